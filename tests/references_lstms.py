"""The LSTMs, as plain NumPy; see cell_references.py."""

from __future__ import annotations

import numpy as np

from reference_of_cells import block_size, both, layer_norm, of_x, reference, sigma, times


def memory(i, f, g, o, c):
    c = sigma(f) * c + sigma(i) * np.tanh(g)
    return sigma(o) * np.tanh(c), c


@reference("LSTM", states=2, ih=4, hh=4)
def lstm(p, x, h, c):
    return memory(*both(p, x, h), c)


@reference("PeepholeLSTM", states=2, ih=4, hh=4, units="p_i p_f p_o")
def peephole_lstm(p, x, h, c):
    i, f, g, o = both(p, x, h)
    new = sigma(f + c @ np.diag(p["p_f"])) * c + sigma(i + c @ np.diag(p["p_i"])) * np.tanh(g)
    return sigma(o + new @ np.diag(p["p_o"])) * np.tanh(new), new


@reference("CoupledLSTM", states=2, ih=3, hh=3)
def coupled_lstm(p, x, h, c):
    f, g, o = both(p, x, h)
    return memory(-f, f, g, o, c)  # σ(−f) = 1 − σ(f)


@reference("OriginalLSTM", states=2, ih=3, hh=3)
def original_lstm(p, x, h, c):
    i, g, o = both(p, x, h)
    return memory(i, np.inf, g, o, c)


@reference("JANET", ih=2, hh=2)
def janet(p, x, h):
    s, g = both(p, x, h)
    return (h / (1 + np.exp(-s)) + np.tanh(g) / (1 + np.exp(s - 1)),)


@reference("EALSTM", states=2, ih=3, hh=3, inputs={"static": "row"})
def ea_lstm(p, x, h, c, static):
    return memory(static, *both(p, x, h), c)


@reference("WorkingMemoryLSTM", states=2, ih=4, hh=5, bias_hh=7, other={"weight_ch": 2})
def working_memory_lstm(p, x, h, c):
    sums = of_x(p, x)
    i, f, g, o = (sums[k] + times(p, k, h) for k in range(4))
    m_i, m_f = (np.tanh(times(p, k, c, "weight_ch", bias=4 + k)) for k in range(2))
    new = sigma(f + m_f) * c + sigma(i + m_i) * np.tanh(g)
    return sigma(o + np.tanh(times(p, 4, new, bias=6))) * np.tanh(new), new


LSTM_NORMS = "gain_xi gain_xf gain_xg gain_xo gain_hi gain_hf gain_hg gain_ho gain_c"
LSTM_SHIFTS = "shift_i shift_f shift_g shift_o shift_c"


@reference("LayerNormLSTM", states=2, ih=4, hh=4, units=f"{LSTM_NORMS} {LSTM_SHIFTS}")
def layer_norm_lstm(p, x, h, c):
    gains = [np.concatenate([p[f"gain_{half}{k}"] for k in "ifgo"]) for half in "xh"]
    shift = np.concatenate([p[f"shift_{k}"] for k in "ifgo"])
    stacked = [x @ p["weight_ih"].T + p["bias_ih"], h @ p["weight_hh"].T + p["bias_hh"]]
    sums = layer_norm(stacked[0]) * gains[0] + layer_norm(stacked[1]) * gains[1] + shift
    i, f, g, o = np.split(sums, 4, axis=-1)
    new = sigma(f) * c + sigma(i) * np.tanh(g)
    return sigma(o) * np.tanh(layer_norm(new) * p["gain_c"] + p["shift_c"]), new


@reference("MultiplicativeLSTM", states=2, ih=5, hh=5)
def multiplicative_lstm(p, x, h, c):
    m, *sums = of_x(p, x)
    m = m * times(p, 0, h)
    return memory(*(s + times(p, 1 + k, m) for k, s in enumerate(sums)), c)


@reference("ProjectedLSTM", states=2, ih=4, hh=4, projected=5)
def projected_lstm(p, x, h, c):
    h, c = memory(*both(p, x, h), c)
    return h @ p["weight_hr"].T, c


AFTER_C = {"other": {"weight_ch": 1}, "bias_hh": 5}


@reference("TimeAwareLSTM", states=2, ih=4, hh=4, **AFTER_C, inputs={"dt": "step"}, ranges={"dt": (0, 9)})
def time_aware_lstm(p, x, h, c, dt):
    short = np.tanh(times(p, 0, c, "weight_ch", bias=4))
    adjusted = (c - short) + short * (1 / np.log(np.exp(1) + dt[:, None]))
    return memory(*(v + times(p, k, h) for k, v in enumerate(of_x(p, x))), adjusted)


PHASES = {"period": (1, 9), "open": (0.1, 0.9), "shift": (-3, 3), "dt": (0, 5), "state 2": (0, 1)}


@reference("PhasedLSTM", states=3, ih=4, hh=4, units="period shift open", inputs={"dt": "step"}, ranges=PHASES)
def phased_lstm(p, x, h, c, phase, dt):
    phase = np.mod(phase + dt[:, None] / p["period"], 1)
    cycle, r = np.mod(phase + p["shift"], 1), p["open"]
    k = np.select([cycle < r / 2, cycle < r], [2 * cycle / r, 2 - 2 * cycle / r], 1e-3 * cycle)
    new_h, new_c = memory(*both(p, x, h), c)
    return h + k * (new_h - h), c + k * (new_c - c), phase


@reference("SLSTM", states=4, ih=4, hh=4, heads=4, ranges={"state 2": (0.5, 2)})
def s_lstm(p, x, h, c, n, m):
    # The published recurrence without its stabiliser: c and n times exp(m) are what it would have.
    H = block_size(p)
    rows = p["weight_hh"].reshape(4, 4, H // 4, H // 4)  # gates, heads, units, units
    heads = h.reshape(len(h), 4, H // 4)
    recurrent = np.einsum("ghij,bhj->bghi", rows, heads).reshape(len(h), 4 * H) + p["bias_hh"]
    i, f, z, o = np.split(x @ p["weight_ih"].T + p["bias_ih"] + recurrent, 4, axis=-1)
    true_c = sigma(f) * c * np.exp(m) + np.exp(i) * np.tanh(z)
    true_n = sigma(f) * n * np.exp(m) + np.exp(i)
    kept = np.where(n == 0, -np.inf, m + np.log(sigma(f)))
    new_m = np.maximum(kept, i)
    return sigma(o) * true_c / true_n, true_c / np.exp(new_m), true_n / np.exp(new_m), new_m
