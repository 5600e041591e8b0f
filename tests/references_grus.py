"""The GRUs, as plain NumPy; see cell_references.py."""

from __future__ import annotations

import numpy as np

from reference_of_cells import both, layer_norm, of_h, of_x, reference, sigma, times


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
