"""Elman's network and cells with other gates, as plain NumPy; see cell_references.py."""

from __future__ import annotations

import numpy as np

from reference_of_cells import both, of_h, of_x, reference, sigma, times


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
