"""Published cells as formulas, for the tests of the compiler."""

from recurra import formula
from recurra.formula import (
    exp,
    given_slope,
    leaky_relu,
    maximum,
    mean,
    project,
    relu,
    sigmoid,
    softplus,
    sqrt,
    square,
    tanh,
    where,
)


@formula(gates="g")
def rnn_tanh(a):
    return tanh(a.g)


@formula(gates="g")
def rnn_relu(a):
    return relu(a.g)


@formula(gates="i f g o", states="h c")
def lstm(a, s):
    c = sigmoid(a.f) * s.c + sigmoid(a.i) * tanh(a.g)
    return sigmoid(a.o) * tanh(c), c


@formula(gates="r z n")
def gru(a, s):
    r, z = sigmoid(a.r), sigmoid(a.z)
    n = tanh(a.n.x + r * a.n.h)
    return n + z * (s.h - n)


@formula(gates="r z n")
def gru_reset_before(a, s):
    r, z = sigmoid(a.r), sigmoid(a.z)
    n = tanh(a.n(r * s.h))
    return (1 - z) * n + z * s.h


@formula(gates="i f g o", states="h c", units={"p_i": 0.0, "p_f": 0.0, "p_o": 0.0})
def peephole(a, s, u):
    c = sigmoid(a.f + u.p_f * s.c) * s.c + sigmoid(a.i + u.p_i * s.c) * tanh(a.g)
    return sigmoid(a.o + u.p_o * c) * tanh(c), c


@formula(gates="f n")
def mgu(a, s):
    f = sigmoid(a.f)
    n = tanh(a.n(f * s.h))
    return s.h + f * (n - s.h)


@formula(gates="d e z y", states="y z", scalars={"dt": 1.0})
def lem(a, s, u):
    step_y, step_z = u.dt * sigmoid(a.d), u.dt * sigmoid(a.e)
    z = (1 - step_z) * s.z + step_z * tanh(a.z)
    y = (1 - step_y) * s.y + step_y * tanh(a.y(z))
    return y, z


@formula(gates="g", scalars={"alpha": 0.2}, inputs="noise")
def leaky(a, s, u, x):
    return (1 - u.alpha) * s.h + u.alpha * a.g(tanh(s.h)) + 0.1 * x.noise


@formula(gates={"g": "h z"}, states="h z", scalars={"dt": 0.05, "gamma": 1.0, "epsilon": 0.7})
def cornn(a, s, u):
    z = s.z + u.dt * (tanh(a.g) - u.gamma * s.h - u.epsilon * s.z)
    return s.h + u.dt * z, z


def normed(v, gain, shift):
    centred = v - mean(v)
    return gain * (centred / sqrt(mean(square(centred)) + 1e-5)) + shift


NORM = {f"{w}_{g}": float(w == "w") for g in "ifgoc" for w in "wb"}


@formula(gates="i f g o", states="h c", units=NORM)
def layer_norm_lstm(a, s, u):
    i = sigmoid(normed(a.i, u.w_i, u.b_i))
    f = sigmoid(normed(a.f, u.w_f, u.b_f))
    g = tanh(normed(a.g, u.w_g, u.b_g))
    o = sigmoid(normed(a.o, u.w_o, u.b_o))
    c = f * s.c + i * g
    return o * tanh(normed(c, u.w_c, u.b_c)), c


@formula(gates="i f g o", states="h c")
def projected_lstm(a, s):
    c = sigmoid(a.f) * s.c + sigmoid(a.i) * tanh(a.g)
    return project(sigmoid(a.o) * tanh(c)), c


@formula(gates="z h")
def min_gru(a, s):
    z = sigmoid(a.z.x)
    return (1 - z) * s.h + z * a.h.x


@formula(gates="g", units={"u": 1.0})
def ind_rnn(a, s, u):
    return relu(a.g.x + u.u * s.h)


@formula(gates="r i", units={"decay": 0.5})
def rg_lru(a, s, u, x):
    rate = exp(-8 * softplus(u.decay) * sigmoid(a.r.x))
    return rate * s.h + sqrt(1 - square(rate)) * (sigmoid(a.i.x) * x.x)


@formula(gates="g", states="s v", scalars={"beta": 0.9})
def spiking(a, s, u):
    v = u.beta * s.v + a.g - s.s
    spike = given_slope(v > 1, sigmoid(5 * (v - 1)))
    return spike, v


@formula(gates="i f z o", states="h c n m", heads=2)
def s_lstm(a, s):
    m = maximum(a.f + s.m, a.i)
    i, f = exp(a.i - m), exp(a.f + s.m - m)
    c = f * s.c + i * tanh(a.z)
    n = f * s.n + i
    return sigmoid(a.o) * (c / n), c, n, m


@formula(gates="m h", states="h")
def two_stages_twice(a, s):
    m = tanh(a.m)
    first = a.h(m * s.h)
    return leaky_relu(first + 0.5 * m)


@formula(gates="g k l", states="h c", inputs="mask:row dt:step")
def chain(a, s, x):
    g = sigmoid(a.g)
    k = tanh(a.k(g * x.mask))
    h = where(x.mask > 0.5, a.l(k), s.h * exp(-x.dt))
    return h, k + 0.5 * s.c


@formula(gates={"f": "h", "g": "c h"}, states="h c")
def halves_and_sum(a, s):
    f = sigmoid(a.f.x) * a.f
    return tanh(a.g.c + f) * a.g.h, s.c + 0.1 * a.g


@formula(gates="g", states="h c")
def pass_through(a, s):
    return s.c, tanh(a.g)


# The formulas themselves, under the names of the classes that they have made.
CELLS = {name: value.formula for name, value in list(globals().items()) if isinstance(value, type)}
globals().update(CELLS)
