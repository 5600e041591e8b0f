"""Cells with exponential gates, which keep the largest exponent apart so that nothing overflows."""

from recurra.formula import equal, exp, formula, log_sigmoid, maximum, sigmoid, tanh, where


@formula(gates="i f z o", states="h c n m", heads=4)
def SLSTM(a, s):
    """The scalar LSTM of xLSTM: exponential input gate, memory c over its own norm n, m the largest exponent so far.

    ::

        k   = m_{t-1} + log σ(a_f)           m_t = max(k, a_i)
        i   = exp(a_i − m_t)                 f   = exp(k − m_t)
        c_t = f ∘ c_{t-1} + i ∘ tanh(a_z)    n_t = f ∘ n_{t-1} + i
        h_t = σ(a_o) ∘ c_t / n_t

    Beck, Pöppel, Spanring, Auer, Prudnikova, Kopp, Klambauer, Brandstetter & Hochreiter (2024). For language and
    series in which one step may outweigh all before it. Four heads: W_hh is four blocks on the diagonal, so H is a
    multiple of 4.

    Example:
        >>> layer = recurra.cells.SLSTM(3, 8, seed=0)
        >>> y, (h_n, c_n, n_n, m_n) = layer(np.ones((5, 2, 3), np.float32))
        >>> y.shape, layer.params["weight_hh_l0"].shape  # 4 * 8 rows of 8 / 4 columns
        ((5, 2, 8), (32, 2))
    """
    # At the first step nothing is kept, whatever m says; equal exponents then make both gates 1.
    kept = where(equal(s.n, 0), a.i, s.m + log_sigmoid(a.f))
    m = maximum(kept, a.i)
    i, f = exp(a.i - m), exp(kept - m)
    c = f * s.c + i * tanh(a.z)
    n = f * s.n + i
    return sigmoid(a.o) * (c / n), c, n, m
