"""The cells of `recurra.cells` once more, as plain NumPy: from the papers, with stacked matrices and no formulas.

A reference takes the parameters by name, x (B, I) and the states (B, H) each, and returns the new states. Its decorator
says what parameters there are: how many gates' rows each weight has, in the order in which the function splits them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from recurra.formula import Formula

if TYPE_CHECKING:
    from collections.abc import Callable

REFERENCES: dict[str, Reference] = {}


def formula_of(cell):
    """The formula behind a class of layers, whose `run_step` calls the function."""
    return cell if isinstance(cell, Formula) else cell.formula


@dataclass
class Reference:
    step: Callable
    states: int
    blocks: dict[str, int]  # rows of weights and biases, in H
    units: list[str]
    scalars: list[str]
    inputs: dict[str, str]
    square: bool  # input_size has to be hidden_size
    heads: int
    projected: int  # 0, or the size of h
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)  # of units and inputs that aren't any number

    def sizes(self, H):
        """Of the states."""
        return [self.projected or H] + [H] * (self.states - 1)

    def shapes(self, I, H):  # noqa: E741
        shapes = {}
        for name, blocks in self.blocks.items():
            columns = {"weight_ih": I, "weight_hh": (self.projected or H) // self.heads}.get(name, H)
            shapes[name] = (blocks * H,) if name.startswith("bias") else (blocks * H, columns)
        if self.projected:
            shapes["weight_hr"] = (self.projected, H)
        return shapes | dict.fromkeys(self.units, (H,)) | dict.fromkeys(self.scalars, ())

    def draw(self, name, rng, shape, scale=1.0):
        low, high = self.ranges.get(name, (None, None))
        return rng.normal(0, scale, shape) if low is None else rng.uniform(low, high, shape)

    def draw_params(self, rng, I, H):  # noqa: E741
        return {name: self.draw(name, rng, shape, 0.5) for name, shape in self.shapes(I, H).items()}


def reference(
    name,
    states=1,
    ih=0,
    hh=0,
    bias_hh=None,
    other=(),
    units="",
    scalars="",
    inputs=(),
    square=False,
    heads=1,
    projected=0,
    ranges=(),
):
    def register(step):
        bias = hh if bias_hh is None else bias_hh
        blocks = {"weight_ih": ih, "weight_hh": hh, **dict(other), "bias_ih": ih, "bias_hh": bias}
        blocks = {key: value for key, value in blocks.items() if value}
        REFERENCES[name] = Reference(
            step, states, blocks, units.split(), scalars.split(), dict(inputs), square, heads, projected, dict(ranges)
        )
        return step

    return register


def sigma(v):
    return 0.5 * (1 + np.tanh(0.5 * v))


def of_x(p, x):
    """W_ih x + b_ih, a block for each gate."""
    sums = x @ p["weight_ih"].T + p["bias_ih"]
    return np.split(sums, len(p["weight_ih"]) // block_size(p), axis=-1)


def block_size(p):
    return p["H"]


def of_h(p, h, weight="weight_hh"):
    """W_hh h + b_hh, a block for each gate."""
    sums = h @ p[weight].T + p["bias_hh"]
    return np.split(sums, len(p[weight]) // block_size(p), axis=-1)


def both(p, x, h):
    """The sums of gates which all have both halves."""
    return [v + w for v, w in zip(of_x(p, x), of_h(p, h), strict=True)]


def times(p, k, v, weight="weight_hh", bias=None):
    """Block k of a weight times v, and a block of the recurrent bias."""
    H = block_size(p)
    bias = k if bias is None else bias
    return v @ p[weight][k * H : (k + 1) * H].T + p["bias_hh"][bias * H : (bias + 1) * H]


def layer_norm(v):
    return (v - v.mean(-1, keepdims=True)) / np.sqrt(v.var(-1, keepdims=True) + 1e-5)


# ---- LSTMs


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


# ---- GRUs


@reference("GRU", ih=3, hh=3)
def gru(p, x, h):
    (xr, xz, xn), (hr, hz, hn) = of_x(p, x), of_h(p, h)
    z = sigma(xz + hz)
    return (z * h + (1 - z) * np.tanh(xn + sigma(xr + hr) * hn),)


@reference("GRUResetBefore", ih=3, hh=3)
def gru_reset_before(p, x, h):
    r, z = (v + times(p, k, h) for k, v in enumerate(of_x(p, x)[:2]))
    n = np.tanh(of_x(p, x)[2] + times(p, 2, sigma(r) * h))
    return (sigma(z) * h + (1 - sigma(z)) * n,)


@reference("MGU", ih=2, hh=2)
def mgu(p, x, h):
    xf, xn = of_x(p, x)
    f = sigma(xf + times(p, 0, h))
    return (h + f * (np.tanh(xn + times(p, 1, f * h)) - h),)


@reference("LiGRU", ih=2, hh=2)
def li_gru(p, x, h):
    z, n = both(p, x, h)
    return (sigma(z) * h + sigma(-z) * n * (n > 0),)


@reference("SLiGRU", ih=2, hh=2)
def sli_gru(p, x, h):
    z, n = np.split(x @ p["weight_ih"].T + p["bias_ih"] + layer_norm(h @ p["weight_hh"].T + p["bias_hh"]), 2, axis=-1)
    return (sigma(z) * h + sigma(-z) * n * (n > 0),)


@reference("LightRU", ih=2, hh=1)
def light_ru(p, x, h):
    xf, xn = of_x(p, x)
    f = sigma(xf + times(p, 0, h))
    return (h + f * (np.tanh(xn) - h),)


@reference("UGRNN", ih=2, hh=2)
def ugrnn(p, x, h):
    g, c = both(p, x, h)
    return (np.tanh(c) + sigma(g + 1) * (h - np.tanh(c)),)


@reference("MUT1", ih=2, hh=2, square=True)
def mut1(p, x, h):
    xz, xr = of_x(p, x)
    r = sigma(xr + times(p, 0, h))
    n = np.tanh(times(p, 1, r * h) + np.tanh(x))
    return (n * sigma(xz) + h * (1 - sigma(xz)),)


@reference("MUT2", ih=2, hh=3, square=True)
def mut2(p, x, h):
    xz, xn = of_x(p, x)
    z, r = sigma(xz + times(p, 0, h)), sigma(x + times(p, 1, h))
    return (np.tanh(times(p, 2, r * h) + xn) * z + h * (1 - z),)


@reference("MUT3", ih=3, hh=3)
def mut3(p, x, h):
    xz, xr, xn = of_x(p, x)
    z, r = sigma(xz + times(p, 0, np.tanh(h))), sigma(xr + times(p, 1, h))
    return (np.tanh(times(p, 2, r * h) + xn) * z + h * (1 - z),)


@reference("AUGRU", ih=3, hh=3, inputs={"attention": "step"}, ranges={"attention": (0, 1)})
def augru(p, x, h, attention):
    (xr, xz, xn), (hr, hz, hn) = of_x(p, x), of_h(p, h)
    update = attention[:, None] * sigma(xz + hz)
    return (h + update * (np.tanh(xn + sigma(xr + hr) * hn) - h),)


GRU_NORMS = "gain_xr gain_xz gain_xn gain_hr gain_hz gain_hn shift_r shift_z shift_xn shift_hn"


@reference("LayerNormGRU", ih=3, hh=3, units=GRU_NORMS)
def layer_norm_gru(p, x, h):
    (xr, xz, xn), (hr, hz, hn) = of_x(p, x), of_h(p, h)
    gates = 0
    for half, stacked in (("x", [xr, xz]), ("h", [hr, hz])):
        gains = np.concatenate([p[f"gain_{half}r"], p[f"gain_{half}z"]])
        gates = gates + layer_norm(np.concatenate(stacked, axis=-1)) * gains
    r, z = np.split(sigma(gates + np.concatenate([p["shift_r"], p["shift_z"]])), 2, axis=-1)
    candidate = layer_norm(xn) * p["gain_xn"] + p["shift_xn"] + r * (layer_norm(hn) * p["gain_hn"] + p["shift_hn"])
    return (h + z * (np.tanh(candidate) - h),)


@reference("GRUD", ih=4, hh=3)
def gru_d(p, x, h):
    xr, xz, xn, xd = of_x(p, x)
    decayed = np.exp(-np.clip(xd, 0, None)) * h
    r, z = sigma(xr + times(p, 0, decayed)), sigma(xz + times(p, 1, decayed))
    return (decayed + z * (np.tanh(xn + times(p, 2, r * decayed)) - decayed),)


# ---- Other gates


@reference("Elman", ih=1, hh=1)
def elman(p, x, h):
    return (np.tanh(np.hstack([x, h]) @ np.hstack([p["weight_ih"], p["weight_hh"]]).T + p["bias_ih"] + p["bias_hh"]),)


@reference("CFN", ih=3, hh=2)
def cfn(p, x, h):
    xf, xi, xn = of_x(p, x)
    return (sigma(xf + times(p, 0, h)) * np.tanh(h) + sigma(xi + times(p, 1, h)) * np.tanh(xn),)


@reference("RAN", states=2, ih=3, hh=2)
def ran(p, x, h, c):
    xi, xf, xn = of_x(p, x)
    c = sigma(xi + times(p, 0, h)) * xn + sigma(xf + times(p, 1, h)) * c
    return np.tanh(c), c


@reference("ATR", ih=1, hh=1)
def atr(p, x, h):
    (pre,), (rec,) = of_x(p, x), of_h(p, h)
    return (pre / (1 + np.exp(-pre - rec)) + h / (1 + np.exp(rec - pre)),)


@reference("MinimalRNN", ih=1, hh=2)
def minimal_rnn(p, x, h):
    z = np.tanh(of_x(p, x)[0])
    u = sigma(times(p, 0, h) + times(p, 1, z))
    return (z + u * (h - z),)


@reference("SGRN", ih=1, hh=1)
def sgrn(p, x, h):
    (pre,), (rec,) = of_x(p, x), of_h(p, h)
    f = sigma(pre + rec)
    return (np.tanh(pre + f * (h - pre)),)


@reference("STAR", ih=2, hh=1)
def star(p, x, h):
    xz, xk = of_x(p, x)
    k = sigma(xk + times(p, 0, h))
    return (np.tanh(h + k * (np.tanh(xz) - h)),)


@reference("BRC", ih=3, units="w_a w_c")
def brc(p, x, h):
    xa, xc, xn = of_x(p, x)
    a, c = 1 + np.tanh(xa + h @ np.diag(p["w_a"])), sigma(xc + h @ np.diag(p["w_c"]))
    return (c * h + (1 - c) * np.tanh(xn + a * h),)


@reference("NBRC", ih=3, hh=2)
def nbrc(p, x, h):
    xa, xc, xn = of_x(p, x)
    a, c = 1 + np.tanh(xa + times(p, 0, h)), sigma(xc + times(p, 1, h))
    return (c * h + (1 - c) * np.tanh(xn + a * h),)


@reference("TRNN", ih=2)
def trnn(p, x, h):
    xf, xn = of_x(p, x)
    return (xn + sigma(xf) * (h - xn),)


@reference("NASCell", states=2, ih=8, hh=8)
def nas(p, x, h, c):
    xs, hs = of_x(p, x), of_h(p, h)
    joined = [v * w if k == 3 else v + w for k, (v, w) in enumerate(zip(xs, hs, strict=True))]
    relu = lambda v: np.clip(v, 0, None)  # noqa: E731
    first = [f(v) for f, v in zip([sigma, relu, sigma, relu, np.tanh, sigma, np.tanh, sigma], joined, strict=True)]
    second = [np.tanh(first[0] * first[1]), np.tanh(first[2] + first[3]), np.tanh(first[4] * first[5])]
    last = sigma(first[6] + first[7])
    c = np.tanh(second[0] + c) * second[1]
    return np.tanh(c * np.tanh(second[2] + last)), c


@reference("MIRNN", ih=1, hh=1, units="alpha beta_h beta_x b")
def mi_rnn(p, x, h):
    (pre,), (rec,) = of_x(p, x), of_h(p, h)
    return (np.tanh((p["alpha"] * pre + p["beta_h"]) * rec + p["beta_x"] * pre + p["b"]),)


@reference("RHN", ih=2, hh=6)
def rhn(p, x, h):
    for layer in range(3):
        g, t = (times(p, 2 * layer + k, h) for k in range(2))
        if layer == 0:
            g, t = g + of_x(p, x)[0], t + of_x(p, x)[1]
        h = h + sigma(t) * (np.tanh(g) - h)
    return (h,)


@reference("SCRN", states=2, ih=2, hh=2)
def scrn(p, x, h, c):
    xb, xp = of_x(p, x)
    c = 0.05 * xb + 0.95 * c
    return sigma(times(p, 0, c) + xp + times(p, 1, h)), c


@reference("FastRNN", ih=1, hh=1, scalars="alpha beta")
def fast_rnn(p, x, h):
    (n,) = both(p, x, h)
    return (np.tanh(n) / (1 + np.exp(-p["alpha"])) + h / (1 + np.exp(-p["beta"])),)


@reference("FastGRNN", ih=1, hh=1, units="b_z b_h", scalars="zeta nu")
def fast_grnn(p, x, h):
    (n,) = both(p, x, h)
    z = sigma(n + p["b_z"])
    return (z * h + (sigma(p["zeta"]) * (1 - z) + sigma(p["nu"])) * np.tanh(n + p["b_h"]),)


@reference("IntersectionRNN", states=2, ih=4, hh=4, square=True)
def intersection_rnn(p, x, h, y):  # noqa: ARG001 (the old output isn't read)
    y_in, h_in, g_y, g_h = both(p, x, h)
    y_in = np.clip(y_in, 0, None)
    return np.tanh(h_in) + sigma(g_h + 1) * (h - np.tanh(h_in)), y_in + sigma(g_y + 1) * (x - y_in)


# ---- Diagonal recurrences


@reference("IndRNN", ih=1, units="w")
def ind_rnn(p, x, h):
    return (np.clip(of_x(p, x)[0] + h @ np.diag(p["w"]), 0, None),)


@reference("SRU", states=2, ih=3, units="v_f v_r", square=True)
def sru(p, x, h, c):  # noqa: ARG001 (the old output isn't read)
    xn, xf, xr = of_x(p, x)
    f, r = sigma(xf + p["v_f"] * c), sigma(xr + p["v_r"] * c)
    c = xn + f * (c - xn)
    return x + r * (c - x), c


@reference("QRNN", states=3, ih=3, other={"weight_ph": 3}, bias_hh=3, square=True)
def qrnn(p, x, h, c, before):  # noqa: ARG001
    window = np.hstack([x, before])
    sums = window @ np.hstack([p["weight_ih"], p["weight_ph"]]).T + p["bias_ih"] + p["bias_hh"]
    z, f, o = np.split(sums, 3, axis=-1)
    c = np.tanh(z) + sigma(f) * (c - np.tanh(z))
    return sigma(o) * c, c, x


def g(v):
    return np.where(v < 0, sigma(v), v + 0.5)


@reference("MinGRU", ih=2)
def min_gru(p, x, h):
    z, n = of_x(p, x)
    return (h + sigma(z) * (g(n) - h),)


@reference("MinLSTM", ih=3)
def min_lstm(p, x, h):
    f, i, n = of_x(p, x)
    return ((sigma(f) * h + sigma(i) * g(n)) / (sigma(f) + sigma(i)),)


@reference("RGLRU", ih=2, units="decay", square=True)
def rg_lru(p, x, h):
    r, i = (sigma(v) for v in of_x(p, x))
    a = (1 / (1 + np.exp(p["decay"]))) ** (8 * r)  # exp(−softplus(Λ)) = σ(−Λ)
    return (a * h + np.sqrt(1 - a**2) * i * x,)


@reference("LRU", states=3, ih=2, hh=2, units="nu theta gain d", square=True)
def lru(p, x, h, re, im):  # noqa: ARG001
    decay = np.exp(-np.exp(p["nu"]) + 1j * np.exp(p["theta"]))
    driven = of_x(p, x)
    z = decay * (re + 1j * im) + p["gain"] * np.sqrt(1 - np.abs(decay) ** 2) * (driven[0] + 1j * driven[1])
    c_re, c_im = np.split(p["weight_hh"], 2)
    y = (z @ (c_re - 1j * c_im).T).real + sum(np.split(p["bias_hh"], 2)) + p["d"] * x
    return y, z.real, z.imag


# ---- In continuous time


@reference("LeakyRNN", ih=1, hh=1, inputs={"noise": "unit"})
def leaky_rnn(p, x, h, noise):
    (driven,) = both(p, x, np.clip(h, 0, None))
    return (h + 0.2 * (driven - h) + 0.05 * np.sqrt(0.4) * noise,)


@reference("LeakyTanh", ih=1, hh=1, units="leak")
def leaky_tanh(p, x, h):
    return (h + p["leak"] * (np.tanh(both(p, x, h)[0]) - h),)


@reference("CfC", ih=1, hh=5, inputs={"dt": "step"}, ranges={"dt": (0, 3)})
def cfc(p, x, h, dt):
    v = 1.7159 * np.tanh(0.666 * (of_x(p, x)[0] + times(p, 0, h)))
    first, second, slope, offset = (times(p, k, v) for k in range(1, 5))
    t = sigma(slope * dt[:, None] + offset)
    return (np.tanh(first) * (1 - t) + np.tanh(second) * t,)


@reference("CoRNN", states=2, ih=1, hh=1, other={"weight_zh": 1})
def co_rnn(p, x, h, z):
    force = np.tanh(of_x(p, x)[0] + h @ p["weight_hh"].T + z @ p["weight_zh"].T + p["bias_hh"])
    z = z + 0.042 * (force - 2.7 * h - 4.7 * z)
    return h + 0.042 * z, z


@reference("UnICORNN", states=2, ih=1, units="w c")
def unicornn(p, x, h, z):
    z = z - 0.19 * sigma(p["c"]) * (np.tanh(h @ np.diag(p["w"]) + of_x(p, x)[0]) + 30.65 * h)
    return h + 0.19 * sigma(p["c"]) * z, z


@reference("LEM", states=2, ih=4, hh=4)
def lem(p, x, h, z):
    xp, xq, xz, xn = of_x(p, x)
    slow, fast = sigma(xp + times(p, 0, h)), sigma(xq + times(p, 1, h))
    z = z + slow * (np.tanh(xz + times(p, 2, h)) - z)
    return h + fast * (np.tanh(xn + times(p, 3, z)) - h), z


def damped(p, h):
    return h @ (p["weight_hh"] - 0.01 * np.eye(block_size(p))).T + p["bias_hh"]


@reference("AntisymmetricRNN", ih=1, hh=1)
def antisymmetric_rnn(p, x, h):
    return (h + 0.1 * np.tanh(of_x(p, x)[0] + damped(p, h)),)


@reference("GatedAntisymmetricRNN", ih=2, hh=1)
def gated_antisymmetric_rnn(p, x, h):
    xn, xz = of_x(p, x)
    return (h + 0.1 * sigma(xz + damped(p, h)) * np.tanh(xn + damped(p, h)),)


@reference("LMU", states=2, ih=2, hh=2, other={"weight_mh": 1}, bias_hh=3, units="e_h e_m b")
def lmu(p, x, h, m):
    H = block_size(p)
    e_x, xv = p["weight_ih"][:H].mean(0), of_x(p, x)[1]
    signal = x @ e_x + p["bias_ih"][:H].mean() + h @ p["e_h"] / H + m @ p["e_m"] / H
    m = times(p, 0, m, "weight_mh") + np.outer(signal, p["b"])
    return np.tanh(xv + times(p, 0, h, bias=1) + times(p, 1, m, bias=2)), m


# ---- Spiking neurons


@reference("LIF", states=2, ih=1, hh=1)
def lif(p, x, z, v):
    v = np.where(z == 1, 0.9 * v - 1, 0.9 * v - z) + both(p, x, z)[0]
    return np.heaviside(v - 1, 0), v


@reference("SynapticLIF", states=3, ih=1, hh=1)
def synaptic_lif(p, x, z, v, current):
    current = 0.8 * current + both(p, x, z)[0]
    v = 0.9 * v + current - z
    return np.heaviside(v - 1, 0), v, current


@reference("AdaptiveLIF", states=3, ih=1, hh=1)
def adaptive_lif(p, x, z, v, b):
    alpha, rho = np.exp(-1 / 20), np.exp(-1 / 200)
    b = rho * b + (1 - rho) * z
    threshold = 0.03 + 1.6 * b
    v = alpha * v + (1 - alpha) * both(p, x, z)[0] - threshold * z
    return np.heaviside(v - threshold, 0), v, b
