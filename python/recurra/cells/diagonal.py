"""Cells whose units remember by themselves: no product, or only one of x, depends on the step before.

All their products are of inputs and so are done for all steps at once. What is left in the loop over time is
element-wise, which makes these the fastest cells at batch 1.
"""

import math

import numpy as np

from recurra.formula import (
    cos,
    exp,
    expm1,
    formula,
    given_slope,
    maximum,
    relu,
    sigmoid,
    sin,
    softplus,
    sqrt,
    tanh,
    where,
)


def up_to_one(rng, H):
    """Uniform in [0, 1)."""
    return rng.uniform(0, 1, H)


@formula(gates="n", units={"w": up_to_one})
def IndRNN(a, s, u):
    """Independently recurrent network: each unit sees only itself.

    ::

        h_t = relu(a_n.x + w ∘ h_{t-1})

    Li, Li, Cook, Zhu & Gao (2018). For thousands of steps and deep stacks. Keep |w| below 2^(1/T) for sequences of T
    steps; w begins in [0, 1).

    Example:
        >>> layer = recurra.cells.IndRNN(3, 4, seed=0)
        >>> layer.params["w_l0"].round(2)
        array([0.86, 0.54, 0.3 , 0.42], dtype=float32)
    """
    return relu(a.n.x + u.w * s.h)


@formula(gates="n f r", states="h c", units={"v_f": 0.0, "v_r": 0.0})
def SRU(a, s, u, x):
    """Simple recurrent unit, with a highway from x to the output. `input_size` is H.

    ::

        f   = σ(a_f.x + v_f ∘ c_{t-1})           r = σ(a_r.x + v_r ∘ c_{t-1})
        c_t = f ∘ c_{t-1} + (1 − f) ∘ a_n.x
        h_t = r ∘ c_t + (1 − r) ∘ x_t

    Lei, Zhang, Wang, Dai & Artzi (2018). For text, in a stack of several layers.

    Example:
        >>> y, (h_n, c_n) = recurra.cells.SRU(4, 4, num_layers=3, seed=0)(np.ones((5, 2, 4), np.float32))
        >>> y.shape, c_n.shape
        ((5, 2, 4), (3, 2, 4))
    """
    f = sigmoid(a.f.x + u.v_f * s.c)
    r = sigmoid(a.r.x + u.v_r * s.c)
    c = f * s.c + (1 - f) * a.n.x
    return r * c + (1 - r) * x.x, c


@formula(gates={"z": "p", "f": "p", "o": "p"}, states="h c p")
def QRNN(a, s, x):
    """Quasi-recurrent network with fo-pooling and a window of two steps. `input_size` is H: a state p keeps x_{t-1}.

    ::

        a_k = W_ik x_t + b_ik + W_pk x_{t-1} + b_hk           for k of z, f, o
        c_t = σ(a_f) ∘ c_{t-1} + (1 − σ(a_f)) ∘ tanh(a_z)
        h_t = σ(a_o) ∘ c_t

    Bradbury, Merity, Xiong & Socher (2017). For text and audio, in which neighbouring steps belong together.

    Example:
        >>> x = np.arange(10, dtype=np.float32).reshape(5, 2)
        >>> y, (h_n, c_n, p_n) = recurra.cells.QRNN(2, 2, seed=0)(x)
        >>> p_n  # x of the last step
        array([[8., 9.]], dtype=float32)
    """
    f = sigmoid(a.f)
    c = f * s.c + (1 - f) * tanh(a.z)
    return sigmoid(a.o) * c, c, x.x


def positive(v):
    """A candidate that is always positive, and linear where it is large."""
    return where(v >= 0, v + 0.5, sigmoid(v))


@formula(gates="z n")
def MinGRU(a, s):
    """A GRU without anything recurrent in its gates.

    ::

        h_t = (1 − z) ∘ h_{t-1} + z ∘ g(a_n.x)           z = σ(a_z.x), g(v) = v + ½ where v ≥ 0, else σ(v)

    Feng, Tung, Ahmed, Bengio & Hajimirsadeghi (2024). For long sequences, in a stack of several.

    Example:
        >>> layer = recurra.cells.MinGRU(3, 4, seed=0)
        >>> layer(np.ones((2, 3), np.float32))[0].round(2)  # positive
        array([[0.32, 0.39, 0.26, 0.31],
               [0.51, 0.57, 0.33, 0.41]], dtype=float32)
    """
    z = sigmoid(a.z.x)
    return (1 - z) * s.h + z * positive(a.n.x)


@formula(gates="f i n")
def MinLSTM(a, s):
    """An LSTM without anything recurrent in its gates, which are made to sum to 1.

    ::

        h_t = (f ∘ h_{t-1} + i ∘ g(a_n.x)) / (f + i)           f = σ(a_f.x), i = σ(a_i.x), g as of MinGRU

    Feng, Tung, Ahmed, Bengio & Hajimirsadeghi (2024). For what `MinGRU` is for.

    Example:
        >>> layer = recurra.cells.MinLSTM(3, 4, seed=0)
        >>> layer(np.ones((2, 3), np.float32))[0].round(2)  # positive
        array([[0.53, 0.72, 0.12, 0.31],
               [0.75, 1.14, 0.2 , 0.48]], dtype=float32)
    """
    f, i = sigmoid(a.f.x), sigmoid(a.i.x)
    return (f / (f + i)) * s.h + (i / (f + i)) * positive(a.n.x)


def slow_decays(rng, H):
    """Λ for which a = exp(−softplus(Λ)) is between 0.9 and 0.999, evenly over the ring's area."""
    a = np.sqrt(rng.uniform(0.9**2, 0.999**2, H))
    return np.log(1 / a - 1)


@formula(gates="r i", units={"decay": slow_decays})
def RGLRU(a, s, u, x):
    """Real-gated linear recurrent unit, the recurrence of Griffin and RecurrentGemma. `input_size` is H.

    ::

        a   = exp(−8 · softplus(decay) ∘ σ(a_r.x))
        h_t = a ∘ h_{t-1} + √(1 − a²) ∘ σ(a_i.x) ∘ x_t

    De et al. (2024). For language, between wide layers. The slope of √ is bounded by 1000, as in the published code,
    since 1 − a² may be 0; there the gates' matrices are block-diagonal, and the first step has 1 for √(1 − a²).

    Example:
        >>> decay = recurra.cells.RGLRU(4, 4, seed=0).params["decay_l0"]
        >>> np.exp(-recurra.formula.softplus(decay)).round(3)  # from 0.9 to 0.999 at first
        array([0.958, 0.933, 0.96 , 0.935], dtype=float32)
    """
    rate = 8 * softplus(u.decay) * sigmoid(a.r.x)
    room = -expm1(-2 * rate)
    bounded = where(room < 2.5e-7, 1000 * room, sqrt(maximum(room, 2.5e-7)))
    return exp(-rate) * s.h + given_slope(sqrt(room), bounded) * (sigmoid(a.i.x) * x.x)


def log_of_decays(rng, H):
    """ν for which |λ| = exp(−exp(ν)) is in (0, 1), evenly over the disc's area."""
    return np.log(-0.5 * np.log(rng.uniform(1e-6, 1 - 1e-6, H)))


def log_of_angles(rng, H):
    """θ for which exp(θ) is an angle, evenly over the circle."""
    return np.log(2 * math.pi * rng.uniform(1e-6, 1, H))


@formula(
    gates={"re": "", "im": "", "p": "h", "q": "h"},
    states="h re im",
    units={"nu": log_of_decays, "theta": log_of_angles, "gain": 1.0, "d": 1.0},
)
def LRU(a, s, u, x):
    """Linear recurrent unit: a complex diagonal recurrence, in real numbers. `input_size` is H.

    ::

        λ    = exp(−exp(ν) + i·exp(θ))           γ = gain ∘ √(1 − |λ|²)
        z_t  = λ ∘ z_{t-1} + γ ∘ (B x_t)                   complex; the states re and im
        h_t  = Re(C z_t) + d ∘ x_t

    Orvieto, Smith, Gu, Fernando, Gulcehre, Pascanu & De (2023). For very long sequences, as a layer among wide ones. B
    is in weight_ih, C in weight_hh: its real part is that of gate p, its imaginary part negated that of gate q.

    Example:
        >>> y, (h_n, re_n, im_n) = recurra.cells.LRU(4, 4, seed=0)(np.ones((5, 2, 4), np.float32))
        >>> y.shape, re_n.shape, im_n.shape
        ((5, 2, 4), (1, 2, 4), (1, 2, 4))
    """
    size, angle = exp(-exp(u.nu)), exp(u.theta)
    lambda_re, lambda_im = size * cos(angle), size * sin(angle)
    gamma = u.gain * sqrt(-expm1(-2 * exp(u.nu)))
    re = lambda_re * s.re - lambda_im * s.im + gamma * a.re.x
    im = lambda_re * s.im + lambda_im * s.re + gamma * a.im.x
    return a.p.h(re) + a.q.h(im) + u.d * x.x, re, im
