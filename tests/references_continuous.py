"""Cells in continuous time, diagonal ones and spiking neurons, as plain NumPy; see cell_references.py."""

from __future__ import annotations

import numpy as np

from reference_of_cells import block_size, both, of_x, reference, sigma, times


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
