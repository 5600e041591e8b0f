"""The LSTM and its relatives: a memory c beside h, written and read through gates."""

from recurra.formula import formula, sigmoid, tanh


@formula(gates="i f g o", states="h c")
def LSTM(a, s):
    """The LSTM of today, with a forget gate and no peepholes. The same as `recurra.LSTM`, here to be read and changed.

    ::

        c_t = σ(a_f) ∘ c_{t-1} + σ(a_i) ∘ tanh(a_g)
        h_t = σ(a_o) ∘ tanh(c_t)

    Hochreiter & Schmidhuber (1997); Gers, Schmidhuber & Cummins (2000). The first to try on anything that needs memory.

    Example:
        >>> layer = recurra.cells.LSTM(3, 4, num_layers=2, bidirectional=True, seed=0)
        >>> y, (h_n, c_n) = layer(np.ones((5, 2, 3), np.float32))
        >>> y.shape, h_n.shape, c_n.shape
        ((5, 2, 8), (4, 2, 4), (4, 2, 4))
    """
    c = sigmoid(a.f) * s.c + sigmoid(a.i) * tanh(a.g)
    h = sigmoid(a.o) * tanh(c)
    return h, c


@formula(gates="i f g o", states="h c", units={"p_i": 0.0, "p_f": 0.0, "p_o": 0.0})
def PeepholeLSTM(a, s, u):
    """LSTM whose gates see the memory: i and f the old one, o the new one, each unit its own.

    ::

        c_t = σ(a_f + p_f ∘ c_{t-1}) ∘ c_{t-1} + σ(a_i + p_i ∘ c_{t-1}) ∘ tanh(a_g)
        h_t = σ(a_o + p_o ∘ c_t) ∘ tanh(c_t)

    Gers, Schraudolph & Schmidhuber (2002). For counting and exact timing; ONNX's LSTM with P is this one. Peepholes
    begin at 0.

    Example:
        >>> list(recurra.cells.PeepholeLSTM(3, 4).params)
        ['weight_ih_l0', 'weight_hh_l0', 'bias_ih_l0', 'bias_hh_l0', 'p_i_l0', 'p_f_l0', 'p_o_l0']
    """
    c = sigmoid(a.f + u.p_f * s.c) * s.c + sigmoid(a.i + u.p_i * s.c) * tanh(a.g)
    h = sigmoid(a.o + u.p_o * c) * tanh(c)
    return h, c


@formula(gates="f g o", states="h c")
def CoupledLSTM(a, s):
    """LSTM that forgets just as much as it writes (CIFG): a quarter fewer weights.

    ::

        c_t = f ∘ c_{t-1} + (1 − f) ∘ tanh(a_g)           f = σ(a_f)
        h_t = σ(a_o) ∘ tanh(c_t)

    Greff, Srivastava, Koutník, Steunebrink & Schmidhuber (2017). As good as the LSTM on most tasks, and smaller.

    Example:
        >>> [sum(w.size for w in kind(8, 16).params.values()) for kind in (recurra.LSTM, recurra.cells.CoupledLSTM)]
        [1664, 1248]
    """
    f = sigmoid(a.f)
    c = f * s.c + (1 - f) * tanh(a.g)
    h = sigmoid(a.o) * tanh(c)
    return h, c


@formula(gates="i g o", states="h c")
def OriginalLSTM(a, s):
    """LSTM without a forget gate: what is written stays.

    ::

        c_t = c_{t-1} + σ(a_i) ∘ tanh(a_g)
        h_t = σ(a_o) ∘ tanh(c_t)

    Hochreiter & Schmidhuber (1997), with tanh for the paper's scaled sigmoids. For sums and counts over short
    sequences.

    Example:
        >>> layer = recurra.cells.OriginalLSTM(1, 1, bias=False, seed=1)
        >>> [round(float(layer(np.ones((T, 1), np.float32))[1][1][0, 0]), 1) for T in (5, 10, 20)]  # c adds up
        [1.9, 3.7, 7.5]
    """
    c = s.c + sigmoid(a.i) * tanh(a.g)
    h = sigmoid(a.o) * tanh(c)
    return h, c


@formula(gates="f g")
def JANET(a, s):
    """LSTM with nothing but its forget gate: Just Another NETwork.

    ::

        h_t = σ(a_f) ∘ h_{t-1} + (1 − σ(a_f − β)) ∘ tanh(a_g)           β = 1

    Van der Westhuizen & Lasenby (2018). For very long sequences, at half an LSTM's cost; the paper draws the biases of
    f as log(U(1, T − 1)) for sequences of T steps.

    Example:
        >>> y, h_n = recurra.cells.JANET(3, 4, seed=0)(np.ones((5, 2, 3), np.float32))
        >>> y.shape, h_n.shape
        ((5, 2, 4), (1, 2, 4))
    """
    beta = 1.0
    return sigmoid(a.f) * s.h + (1 - sigmoid(a.f - beta)) * tanh(a.g)


@formula(gates="f g o", states="h c", inputs="static:row")
def EALSTM(a, s, x):
    """LSTM whose input gate is the same at all steps, from what is known of the sequence as a whole.

    ::

        c_t = σ(a_f) ∘ c_{t-1} + σ(static) ∘ tanh(a_g)          static = W v + b of the sequence's features v
        h_t = σ(a_o) ∘ tanh(c_t)

    Kratzert, Klotz, Shalev, Klambauer, Hochreiter & Nearing (2019), "entity-aware". For one network over many
    catchments, shops or patients. `static` (B, H) comes from a `recurra.Linear`, which learns from its gradient.

    Example:
        >>> catchments = recurra.Linear(6, 4, seed=1)(np.ones((2, 6), np.float32))
        >>> y, _ = recurra.cells.EALSTM(3, 4, seed=0)(np.ones((5, 2, 3), np.float32), inputs={"static": catchments})
        >>> y.shape
        (5, 2, 4)
    """
    c = sigmoid(a.f) * s.c + sigmoid(x.static) * tanh(a.g)
    h = sigmoid(a.o) * tanh(c)
    return h, c


@formula(gates={"i": "h", "f": "h", "g": "h", "o": "h", "m_i": "c", "m_f": "c", "m_o": "h"}, states="h c")
def WorkingMemoryLSTM(a, s):
    """LSTM whose gates see the memory through a matrix and a tanh: peepholes that mix units.

    ::

        c_t = σ(a_f + tanh(W_cf c_{t-1} + b)) ∘ c_{t-1} + σ(a_i + tanh(W_ci c_{t-1} + b)) ∘ tanh(a_g)
        h_t = σ(a_o + tanh(W_co c_t + b)) ∘ tanh(c_t)

    Landi, Baraldi, Cornia & Cucchiara (2021). For long tasks on which peepholes don't train well.

    Example:
        >>> {name: w.shape for name, w in recurra.cells.WorkingMemoryLSTM(3, 4).params.items() if name[:6] == "weight"}
        {'weight_ih_l0': (16, 3), 'weight_hh_l0': (20, 4), 'weight_ch_l0': (8, 4)}
    """
    c = sigmoid(a.f + tanh(a.m_f.c)) * s.c + sigmoid(a.i + tanh(a.m_i.c)) * tanh(a.g)
    h = sigmoid(a.o + tanh(a.m_o.h(c))) * tanh(c)
    return h, c
