"""Spiking neurons: they add up their input, and fire a 1 where a threshold is passed.

A step has no useful slope, so training takes that of a smooth function in its place, a *surrogate*. The first state is
the spikes: they are the output, and what other neurons read at the next step.
"""

import math

from recurra.formula import clip, formula, given_slope, where


def spike(v):
    """1 where v > 0, else 0; its slope is taken to be 1 / (1 + 25 |v|)², that of v / (1 + 25 |v|)."""
    return given_slope(where(v > 0, 1.0, 0.0), v / (1 + 25 * abs(v)))


@formula(gates="n", states="z v")
def LIF(a, s):
    """Leaky integrate-and-fire neurons. A spike takes the threshold off the potential at the next step.

    ::

        v_t = β v_{t-1} + a_n − θ z_{t-1}           β = 0.9, θ = 1
        z_t = 1 where v_t > θ, else 0

    Zenke & Ganguli (2018) for the surrogate. For event data and neuromorphic hardware; the plainest of them.

    Example:
        >>> z, (z_n, v_n) = recurra.cells.LIF(1, 1, seed=4)(np.full((12, 1), 0.5, np.float32))
        >>> z[:, 0]
        array([0., 1., 0., 1., 0., 1., 0., 1., 0., 0., 1., 0.], dtype=float32)
    """
    beta, threshold = 0.9, 1.0
    v = beta * s.v + a.n - threshold * s.z
    return spike(v - threshold), v


@formula(gates="n", states="z v current")
def SynapticLIF(a, s):
    """`LIF` with a synaptic current, which fades too: input is felt over several steps.

    ::

        i_t = α i_{t-1} + a_n                       α = 0.8
        v_t = β v_{t-1} + i_t − θ z_{t-1}           β = 0.9, θ = 1
        z_t = 1 where v_t > θ, else 0

    Zenke & Ganguli (2018). For inputs that are spikes themselves.

    Example:
        >>> z, (z_n, v_n, current_n) = recurra.cells.SynapticLIF(1, 1, seed=4)(np.full((12, 1), 0.02, np.float32))
        >>> z[:, 0]
        array([0., 0., 0., 0., 1., 0., 1., 0., 1., 0., 1., 0.], dtype=float32)
    """
    alpha, beta, threshold = 0.8, 0.9, 1.0
    current = alpha * s.current + a.n
    v = beta * s.v + current - threshold * s.z
    return spike(v - threshold), v, current


@formula(gates="n", states="z v b")
def AdaptiveLIF(a, s):
    """Neurons whose threshold rises with each spike and falls slowly: memory over many times their own leak (LSNN).

    ::

        b_t = ρ b_{t-1} + (1 − ρ) z_{t-1}                      ρ = exp(−1 / 200)
        v_t = α v_{t-1} + (1 − α) a_n − B_t z_{t-1}            α = exp(−1 / 20), B_t = 0.03 + 1.6 b_t
        z_t = 1 where v_t > B_t, else 0

    Bellec, Salaj, Subramoney, Legenstein & Maass (2018); the slope is their 0.3 · max(0, 1 − |v_t − B_t| / B_t). For
    tasks with working memory, in spikes.

    Example:
        >>> z, (z_n, v_n, b_n) = recurra.cells.AdaptiveLIF(1, 1, seed=4)(np.ones((200, 1), np.float32))
        >>> z.reshape(4, 50).sum(axis=1)  # fewer and fewer
        array([20., 11.,  9.,  8.], dtype=float32)
    """
    alpha, rho = math.exp(-1 / 20), math.exp(-1 / 200)
    b = rho * s.b + (1 - rho) * s.z
    threshold = 0.03 + 1.6 * b
    v = alpha * s.v + (1 - alpha) * a.n - threshold * s.z
    above = (v - threshold) / threshold
    near = clip(above, -1, 1)
    return given_slope(where(v > threshold, 1.0, 0.0), 0.3 * (near - near * abs(near) / 2)), v, b
