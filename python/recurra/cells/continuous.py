"""Cells that discretise a differential equation: leaks, oscillators, decays over gaps in time, memories of the past."""

import math

import numpy as np

from recurra.formula import exp, formula, log, mean, relu, sigmoid, tanh, where


@formula(gates="n", inputs="noise")
def LeakyRNN(a, s, x):
    """Leaky network of rate units with noise, of computational neuroscience. h is the current; its rate is relu(h).

    ::

        h_t = (1 − α) h_{t-1} + α a_n(relu(h_{t-1})) + √(2 α) σ noise_t           α = Δt / τ = 0.2, σ = 0.05

    Song, Yang & Wang (2016), with the constants of Yang, Joglekar, Song, Newsome & Wang (2019): steps of 20 ms, τ =
    100 ms. For models of cognitive tasks. `noise` (T, B, H) is standard normal; Dale's law and masks are set on
    weight_hh outside.

    Example:
        >>> x, noise = np.ones((5, 2, 3), np.float32), np.random.default_rng(0).standard_normal((5, 2, 4), np.float32)
        >>> y, h_n = recurra.cells.LeakyRNN(3, 4, seed=0)(x, inputs={"noise": noise})
        >>> y.shape, h_n.shape
        ((5, 2, 4), (1, 2, 4))
    """
    alpha, sigma = 0.2, 0.05
    return (1 - alpha) * s.h + alpha * a.n(relu(s.h)) + math.sqrt(2 * alpha) * sigma * x.noise


@formula(gates="n", units={"leak": 0.3})
def LeakyTanh(a, s, u):
    """Leaky integrators: each unit moves towards its new value at a rate of its own.

    ::

        h_t = (1 − leak) ∘ h_{t-1} + leak ∘ tanh(a_n)           leak = 0.3 at first

    Jaeger, Lukoševičius, Popovici & Siewert (2007). For slow signals; with fixed random weights it is a reservoir.

    Example:
        >>> recurra.cells.LeakyTanh(3, 4).params["leak_l0"]
        array([0.3, 0.3, 0.3, 0.3], dtype=float32)
    """
    return (1 - u.leak) * s.h + u.leak * tanh(a.n)


@formula(gates="b f g p q", inputs="dt:step")
def CfC(a, x):
    """Closed-form continuous-time network: what a liquid network becomes after a gap of dt, without a solver.

    ::

        v   = 1.7159 tanh(0.666 a_b)
        t   = σ(dt_t · (W_hp v + b_hp) + W_hq v + b_hq)
        h_t = (1 − t) ∘ tanh(W_hf v + b_hf) + t ∘ tanh(W_hg v + b_hg)

    Hasani, Lechner, Amini, Liebenwein, Ray, Tschaikowski, Teschl & Rus (2022), with a backbone of one layer, of H units
    here. For series sampled irregularly: `dt` (T, B) is the time since the step before.

    Example:
        >>> dt = np.array([0.1, 0.1, 2.5], np.float32)
        >>> recurra.cells.CfC(3, 4, seed=0)(np.ones((3, 3), np.float32), inputs={"dt": dt})[0].shape
        (3, 4)
    """
    v = 1.7159 * tanh(0.666 * a.b)
    t = sigmoid(a.p.h(v) * x.dt + a.q.h(v))
    return (1 - t) * tanh(a.f.h(v)) + t * tanh(a.g.h(v))


@formula(gates={"n": "h z"}, states="h z")
def CoRNN(a, s):
    """Coupled oscillators, driven by the input and by each other: z is the velocity of h.

    ::

        z_t = z_{t-1} + Δt (tanh(a_n) − γ h_{t-1} − ε z_{t-1})           a_n reads h and z
        h_t = h_{t-1} + Δt z_t                                           Δt = 0.042, γ = 2.7, ε = 4.7

    Rusch & Mishra (2021), with the constants of sequential MNIST. For gradients that stay bounded over thousands of
    steps.

    Example:
        >>> layer = recurra.cells.CoRNN(3, 4, seed=0)
        >>> y, (h_n, z_n) = layer(np.ones((5, 2, 3), np.float32))
        >>> y.shape, layer.params["weight_zh_l0"].shape
        ((5, 2, 4), (4, 4))
    """
    dt, gamma, epsilon = 0.042, 2.7, 4.7
    z = s.z + dt * (tanh(a.n) - gamma * s.h - epsilon * s.z)
    return s.h + dt * z, z


def up_to_one(rng, H):
    """Uniform in [0, 1)."""
    return rng.uniform(0, 1, H)


def near_zero(rng, H):
    """Uniform in [−0.1, 0.1)."""
    return rng.uniform(-0.1, 0.1, H)


@formula(gates="n", states="h z", units={"w": up_to_one, "c": near_zero})
def UnICORNN(a, s, u):
    """Undamped oscillators that don't see each other, each at a pace of its own.

    ::

        z_t = z_{t-1} − Δt σ(c) ∘ (tanh(w ∘ h_{t-1} + a_n.x) + α h_{t-1})           Δt = 0.19, α = 30.65
        h_t = h_{t-1} + Δt σ(c) ∘ z_t

    Rusch & Mishra (2021), with the constants of permuted MNIST. For very long sequences, in a stack: nothing is lost.

    Example:
        >>> y, (h_n, z_n) = recurra.cells.UnICORNN(3, 4, num_layers=3, seed=0)(np.ones((5, 2, 3), np.float32))
        >>> y.shape, z_n.shape
        ((5, 2, 4), (3, 2, 4))
    """
    dt, alpha = 0.19, 30.65
    pace = dt * sigmoid(u.c)
    z = s.z - pace * (tanh(u.w * s.h + a.n.x) + alpha * s.h)
    return s.h + pace * z, z


@formula(gates="p q z n", states="h z")
def LEM(a, s):
    """Long expressive memory: two states, each with steps in time that it chooses itself.

    ::

        z_t = (1 − p) ∘ z_{t-1} + p ∘ tanh(a_z)                    p = Δt σ(a_p), Δt = 1
        h_t = (1 − q) ∘ h_{t-1} + q ∘ tanh(a_n(z_t))               q = Δt σ(a_q)

    Rusch, Mishra, Erichson & Mahoney (2022). For processes with several time scales, and long sequences.

    Example:
        >>> y, (h_n, z_n) = recurra.cells.LEM(3, 4, seed=0)(np.ones((5, 2, 3), np.float32))
        >>> y.shape, z_n.shape
        ((5, 2, 4), (1, 2, 4))
    """
    p, q = sigmoid(a.p), sigmoid(a.q)
    z = (1 - p) * s.z + p * tanh(a.z)
    return (1 - q) * s.h + q * tanh(a.n(z)), z


@formula(gates="n")
def AntisymmetricRNN(a, s):
    """An Euler step of a system that neither explodes nor fades.

    ::

        h_t = h_{t-1} + ε tanh(a_n − γ h_{t-1})           ε = 0.1, γ = 0.01

    Chang, Chen, Haber & Chi (2019), who choose ε and γ for each task. For long memory at Elman's price. weight_hh is
    to be antisymmetric: set it to U − Uᵀ at first, and replace its gradient by g − gᵀ before each step of an
    optimizer.

    Example:
        >>> layer = recurra.cells.AntisymmetricRNN(3, 4, seed=0)
        >>> w = layer.params["weight_hh_l0"]
        >>> layer.load_state_dict(layer.state_dict() | {"weight_hh_l0": w - w.T})
        >>> layer(np.ones((1000, 3), np.float32))[1].round(2)
        array([[-4.6 ,  0.66,  2.48,  5.76]], dtype=float32)
    """
    epsilon, gamma = 0.1, 0.01
    return s.h + epsilon * tanh(a.n - gamma * s.h)


@formula(gates="n z")
def GatedAntisymmetricRNN(a, s):
    """`AntisymmetricRNN` with a gate, which shares the recurrent product.

    ::

        m   = a_n.h − γ h_{t-1}
        h_t = h_{t-1} + ε σ(a_z.x + m) ∘ tanh(a_n.x + m)           ε = 0.1, γ = 0.01

    Chang, Chen, Haber & Chi (2019). weight_hh as of `AntisymmetricRNN`.

    Example:
        >>> {name: w.shape for name, w in recurra.cells.GatedAntisymmetricRNN(3, 4).params.items()}
        {'weight_ih_l0': (8, 3), 'weight_hh_l0': (4, 4), 'bias_ih_l0': (8,), 'bias_hh_l0': (4,)}
    """
    epsilon, gamma = 0.1, 0.01
    m = a.n.h - gamma * s.h
    return s.h + epsilon * sigmoid(a.z.x + m) * tanh(a.n.x + m)


@formula(gates="r z n d")
def GRUD(a, s):
    """GRU for values that are missing: h decays with the time since they were last seen.

    ::

        h   = exp(−relu(a_d.x)) ∘ h_{t-1}
        n   = tanh(a_n(σ(a_r(h)) ∘ h))
        h_t = (1 − z) ∘ h + z ∘ n           z = σ(a_z(h))

    Che, Purushotham, Cho, Sontag & Liu (2018). For clinical and other irregular records. x_t is, one after the other,
    the values (where missing, filled in), the mask and the times since each was seen; the paper has only those times
    in a_d and all but them in the other gates, and lets the filled-in values decay towards their means before the
    layer.

    Example:
        >>> values, mask, since = np.zeros((3, 5, 2, 6), np.float32)  # of 6 variables
        >>> x = np.concatenate([values, mask, since], axis=-1)
        >>> recurra.cells.GRUD(18, 4, seed=0)(x)[0].shape
        (5, 2, 4)
    """
    h = exp(-relu(a.d.x)) * s.h
    r, z = sigmoid(a.r(h)), sigmoid(a.z(h))
    return (1 - z) * h + z * tanh(a.n(r * h))


@formula(gates={"i": "h", "f": "h", "g": "h", "o": "h", "d": "c"}, states="h c", inputs="dt:step")
def TimeAwareLSTM(a, s, x):
    """LSTM whose short-term memory, a part that it learns to tell apart, fades over gaps in time.

    ::

        short = tanh(W_cd c_{t-1} + b_hd)
        c     = c_{t-1} − short + short / log(e + dt_t)
        c_t   = σ(a_f) ∘ c + σ(a_i) ∘ tanh(a_g)           h_t = σ(a_o) ∘ tanh(c_t)

    Baytas, Xiao, Zhang, Wang, Jain & Zhou (2017). For visits and events at odd times: `dt` (T, B) is the time since the
    one before.

    Example:
        >>> dt = np.array([0, 1, 30], np.float32)  # days since the visit before
        >>> y, (h_n, c_n) = recurra.cells.TimeAwareLSTM(3, 4, seed=0)(np.ones((3, 3), np.float32), inputs={"dt": dt})
        >>> y.shape, c_n.shape
        ((3, 4), (1, 4))
    """
    short = tanh(a.d.c)
    c = s.c - short + short / log(math.e + x.dt)
    c = sigmoid(a.f) * c + sigmoid(a.i) * tanh(a.g)
    return sigmoid(a.o) * tanh(c), c


def fraction(v):
    """The fractional part of v from −8 to 8, by halving the range in which it is."""
    v = v + 8
    for step in (8.0, 4.0, 2.0, 1.0):
        v = where(v >= step, v - step, v)
    return v


def periods(rng, H):
    """Periods from 1 to 1000, evenly over their logarithms."""
    return np.exp(rng.uniform(0, math.log(1000), H))


@formula(
    gates="i f g o",
    states="h c phase",
    units={"period": periods, "shift": up_to_one, "open": 0.05},
    inputs="dt:step",
)
def PhasedLSTM(a, s, u, x):
    """LSTM whose units update only in a short part of a cycle of their own; between, they hold what they have.

    ::

        φ   = frac(time / period + shift)
        k   = 2 φ / open where φ < open / 2, 2 − 2 φ / open where φ < open, else α φ           α = 0.001
        c_t = (1 − k) ∘ c_{t-1} + k ∘ (σ(a_f) ∘ c_{t-1} + σ(a_i) ∘ tanh(a_g))           = (1 − k) ∘ c_{t-1} + k ∘ ĉ
        h_t = (1 − k) ∘ h_{t-1} + k ∘ (σ(a_o) ∘ tanh(ĉ))

    Neil, Pfeiffer & Liu (2016), without peepholes. For events at a fine resolution in time. `dt` (T, B) is the time
    since the step before, below 7 periods; a state sums it up in periods. shift is in periods too, and may go from −7
    to 7.

    Example:
        >>> layer, dt = recurra.cells.PhasedLSTM(3, 64, seed=0), np.ones(100, np.float32)
        >>> y, (h_n, c_n, phase_n) = layer(np.ones((100, 3), np.float32), inputs={"dt": dt})
        >>> round(float(np.mean(abs(np.diff(y, axis=0)) > 1e-3)), 2)  # the share of units that change in a step
        0.04
    """
    phase = fraction(s.phase + x.dt / u.period)
    cycle = fraction(phase + u.shift)
    rising = 2 * cycle / u.open
    k = where(cycle < 0.5 * u.open, rising, where(cycle < u.open, 2 - rising, 0.001 * cycle))
    c = sigmoid(a.f) * s.c + sigmoid(a.i) * tanh(a.g)
    h = sigmoid(a.o) * tanh(c)
    return k * h + (1 - k) * s.h, k * c + (1 - k) * s.c, phase


def legendre(order: int, theta: float) -> tuple[np.ndarray, np.ndarray]:
    """A and b of a memory m_t = A m_{t-1} + b u_t of a signal's last `theta` steps, as `order` Legendre coefficients.

    For `LMU`: the matrices of Voelker, Kajić & Eliasmith (2019), with the signal held constant over each step.

    Args:
        order: how many coefficients the memory has; the window's finest detail is some theta / order steps.
        theta: the window's length in steps.

    Returns:
        A (order, order) and b (order,), of float64.

    Example:
        >>> A, b = recurra.cells.legendre(3, 10.0)
        >>> A.round(2), b.round(2)
        (array([[ 0.91, -0.1 , -0.06],
               [ 0.3 ,  0.67, -0.21],
               [-0.31,  0.35,  0.57]]), array([ 0.09, -0.3 ,  0.31]))
    """
    q = np.arange(order)
    i, j = np.meshgrid(q, q, indexing="ij")
    system = np.zeros((order + 1, order + 1))
    system[:order, :order] = np.where(i < j, -1.0, (-1.0) ** (i - j + 1)) * (2 * i + 1) / theta
    system[:order, order] = (-1.0) ** q * (2 * q + 1) / theta
    # exp(system) = exp(system / 2^k)^(2^k), where a short series is exact.
    halvings = max(0, math.ceil(math.log2(np.abs(system).sum(axis=1).max() * 4)))
    term = result = np.eye(order + 1)
    for n in range(1, 15):
        term = term @ system / (n * 2.0**halvings)
        result = result + term
    for _ in range(halvings):
        result = result @ result
    return result[:order, :order], result[:order, order]


def legendre_input(rng, H):  # noqa: ARG001 (nothing is drawn)
    """The b of `legendre` for 784 steps, the pixels of an image of MNIST."""
    return legendre(H, 784.0)[1]


@formula(
    gates={"e": "", "A": "m", "n": "h", "v": "h"},
    states="h m",
    units={"e_h": 0.0, "e_m": 0.0, "b": legendre_input},
)
def LMU(a, s, u):
    """Legendre memory unit: a linear memory m of one signal's last steps, and a network that writes and reads it.

    ::

        signal = mean(a_e.x + e_h ∘ h_{t-1} + e_m ∘ m_{t-1})
        m_t    = W_mA m_{t-1} + b ∘ signal
        h_t    = tanh(W_iv x_t + W_hn h_{t-1} + W_hv m_t)

    Voelker, Kajić & Eliasmith (2019). For delays and long dependencies in one signal. Its m has H units. The paper
    holds W_mA and b at A and b of `legendre(H, theta)`: set them so (b is, for theta = 784), with `bias=False`, and
    their gradients to 0 before each step of an optimizer. Its vectors e are these over H, and the mean of a_e's rows.

    Example:
        >>> layer, (A, b) = recurra.cells.LMU(1, 6, bias=False, seed=0), recurra.cells.legendre(6, 100)
        >>> own = {"weight_mh_l0": np.float32(A), "b_l0": np.float32(b)}
        >>> layer.load_state_dict(layer.state_dict() | own)
        >>> y, (h_n, m_n) = layer(np.ones((200, 1), np.float32))
        >>> y.shape, m_n.shape
        ((200, 6), (1, 6))
    """
    signal = mean(a.e.x + u.e_h * s.h + u.e_m * s.m)
    m = a.A.m + u.b * signal
    return tanh(a.n.h + a.v(m)), m
