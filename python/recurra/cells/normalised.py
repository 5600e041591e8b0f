"""Cells with layer normalisation: sums are brought to mean 0 and variance 1 over the units of each row, at each step.

What is normalised forgets its scale, so a gain and a shift per unit follow it. Biases before it are of little use: with
`bias=False` these are the published cells to the letter.
"""

from recurra.formula import formula, mean, relu, sigmoid, sqrt, square, tanh


def mean_of(values):
    """The mean over all units of all values of a row."""
    total = sum(values[1:], values[0])
    return mean(total * (1 / len(values)) if len(values) > 1 else total)


def normalised(*values):
    """The values less their mean, over their standard deviation; both are of all units of all values of a row."""
    centre = mean_of(values)
    centred = [value - centre for value in values]
    scale = 1 / sqrt(mean_of([square(value) for value in centred]) + 1e-5)
    return [value * scale for value in centred]


GAINS = {f"gain_{half}{gate}": 1.0 for half in "xh" for gate in "ifgo"}
SHIFTS = {f"shift_{gate}": 0.0 for gate in "ifgo"}


@formula(gates="i f g o", states="h c", units={**GAINS, **SHIFTS, "gain_c": 1.0, "shift_c": 0.0})
def LayerNormLSTM(a, s, u):
    """LSTM whose sums of W x and of W h, of all four gates together, and whose memory are normalised.

    ::

        s_k = gain_xk ∘ LN(a.x)_k + gain_hk ∘ LN(a.h)_k + shift_k          for k of i, f, g, o
        c_t = σ(s_f) ∘ c_{t-1} + σ(s_i) ∘ tanh(s_g)
        h_t = σ(s_o) ∘ tanh(gain_c ∘ LN(c_t) + shift_c)

    Ba, Kiros & Hinton (2016). For long sequences and small batches, where training is to be steadier.

    Example:
        >>> layer, x = recurra.cells.LayerNormLSTM(3, 4, bias=False, seed=0), np.ones((5, 2, 3), np.float32)
        >>> round(float(abs(layer(100 * x)[0] - layer(x)[0]).max()), 3)  # the scale of x is forgotten
        0.0
    """
    x_i, x_f, x_g, x_o = normalised(a.i.x, a.f.x, a.g.x, a.o.x)
    h_i, h_f, h_g, h_o = normalised(a.i.h, a.f.h, a.g.h, a.o.h)
    i = sigmoid(u.gain_xi * x_i + u.gain_hi * h_i + u.shift_i)
    f = sigmoid(u.gain_xf * x_f + u.gain_hf * h_f + u.shift_f)
    g = tanh(u.gain_xg * x_g + u.gain_hg * h_g + u.shift_g)
    o = sigmoid(u.gain_xo * x_o + u.gain_ho * h_o + u.shift_o)
    c = f * s.c + i * g
    (shown,) = normalised(c)
    return o * tanh(u.gain_c * shown + u.shift_c), c


@formula(
    gates="r z n",
    units={f"gain_{half}{gate}": 1.0 for half in "xh" for gate in "rzn"}
    | {"shift_r": 0.0, "shift_z": 0.0, "shift_xn": 0.0, "shift_hn": 0.0},
)
def LayerNormGRU(a, s, u):
    """GRU, reset after, whose sums are normalised: the two gates' together, the candidate's by itself.

    ::

        r, z = σ(gain_x ∘ LN(a.x) + gain_h ∘ LN(a.h) + shift)
        n    = tanh(gain_xn ∘ LN(a_n.x) + shift_xn + r ∘ (gain_hn ∘ LN(a_n.h) + shift_hn))
        h_t  = (1 − z) ∘ h_{t-1} + z ∘ n

    Ba, Kiros & Hinton (2016). For what `LayerNormLSTM` is for, with one state.

    Example:
        >>> layer, x = recurra.cells.LayerNormGRU(3, 4, bias=False, seed=0), np.ones((5, 2, 3), np.float32)
        >>> round(float(abs(layer(100 * x)[0] - layer(x)[0]).max()), 3)  # the scale of x is forgotten
        0.0
    """
    x_r, x_z = normalised(a.r.x, a.z.x)
    h_r, h_z = normalised(a.r.h, a.z.h)
    (x_n,), (h_n,) = normalised(a.n.x), normalised(a.n.h)
    r = sigmoid(u.gain_xr * x_r + u.gain_hr * h_r + u.shift_r)
    z = sigmoid(u.gain_xz * x_z + u.gain_hz * h_z + u.shift_z)
    n = tanh(u.gain_xn * x_n + u.shift_xn + r * (u.gain_hn * h_n + u.shift_hn))
    return (1 - z) * s.h + z * n


@formula(gates="z n")
def SLiGRU(a, s):
    """Stabilised light GRU: `LiGRU` whose recurrent sums are normalised, so relu can't make it grow without bounds.

    ::

        h_t = z ∘ h_{t-1} + (1 − z) ∘ relu(a_n.x + LN(a.h)_n)           z = σ(a_z.x + LN(a.h)_z)

    Moumen & Parcollet (2023). For speech, on large sets of data.

    Example:
        >>> layer = recurra.cells.SLiGRU(1, 16, seed=0)
        >>> layer.load_state_dict({name: 9 * w for name, w in layer.state_dict().items()})  # large weights
        >>> f"{layer(np.ones((50, 1), np.float32))[0].max():.0e}"
        '3e+00'
    """
    h_z, h_n = normalised(a.z.h, a.n.h)
    z = sigmoid(a.z.x + h_z)
    return z * s.h + (1 - z) * relu(a.n.x + h_n)
