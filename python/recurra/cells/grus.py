"""The GRU and its relatives: one state, which an update gate mixes with a candidate."""

from recurra.formula import formula, relu, sigmoid, tanh


@formula(gates="r z n")
def GRU(a, s):
    """The GRU that is usual today: the reset gate acts after the product. The same as `recurra.GRU`.

    ::

        n   = tanh(a_n.x + σ(a_r) ∘ a_n.h)
        h_t = (1 − σ(a_z)) ∘ n + σ(a_z) ∘ h_{t-1}

    Cho et al. (2014), in the form of cuDNN and PyTorch. As capable as an LSTM on most tasks, with three quarters of
    its cost.

    Example:
        >>> x = np.ones((5, 2, 3), np.float32)
        >>> float(abs(recurra.cells.GRU(3, 4, seed=0)(x)[0] - recurra.GRU(3, 4, seed=0)(x)[0]).max())
        0.0
    """
    n = tanh(a.n.x + sigmoid(a.r) * a.n.h)
    z = sigmoid(a.z)
    return (1 - z) * n + z * s.h


@formula(gates="r z n")
def GRUResetBefore(a, s):
    """The GRU of the paper: the reset gate acts on h before the product, which makes two products follow each other.

    ::

        n   = tanh(a_n(σ(a_r) ∘ h_{t-1}))
        h_t = (1 − σ(a_z)) ∘ n + σ(a_z) ∘ h_{t-1}

    Cho et al. (2014). For weights from elsewhere: Keras with reset_after=False, ONNX with linear_before_reset = 0.

    Example:
        >>> x, gru = np.ones((5, 2, 3), np.float32), recurra.GRU(3, 4, reset_after=False, seed=0)
        >>> float(abs(recurra.cells.GRUResetBefore(3, 4, seed=0)(x)[0] - gru(x)[0]).max())
        0.0
    """
    n = tanh(a.n(sigmoid(a.r) * s.h))
    z = sigmoid(a.z)
    return (1 - z) * n + z * s.h


@formula(gates="f n")
def MGU(a, s):
    """Minimal gated unit: a GRU whose two gates are one.

    ::

        n   = tanh(a_n(σ(a_f) ∘ h_{t-1}))
        h_t = (1 − σ(a_f)) ∘ h_{t-1} + σ(a_f) ∘ n

    Zhou, Wu, Zhang & Zhou (2016). For small models: a third fewer weights than a GRU.

    Example:
        >>> [sum(w.size for w in kind(8, 16).params.values()) for kind in (recurra.GRU, recurra.cells.MGU)]
        [1248, 832]
    """
    f = sigmoid(a.f)
    return (1 - f) * s.h + f * tanh(a.n(f * s.h))


@formula(gates="z n")
def LiGRU(a, s):
    """Light GRU: no reset gate, and relu.

    ::

        h_t = σ(a_z) ∘ h_{t-1} + (1 − σ(a_z)) ∘ relu(a_n)

    Ravanelli, Brakel, Omologo & Bengio (2018), whose batch normalisation of W x is a layer of its own before it. For
    speech. Nothing bounds the candidate, so `SLiGRU` is the one for long training.

    Example:
        >>> layer = recurra.cells.LiGRU(1, 16, seed=0)
        >>> layer.load_state_dict({name: 9 * w for name, w in layer.state_dict().items()})  # large weights
        >>> f"{layer(np.ones((50, 1), np.float32))[0].max():.0e}"
        '3e+18'
    """
    z = sigmoid(a.z)
    return z * s.h + (1 - z) * relu(a.n)


@formula(gates="f n")
def LightRU(a, s):
    """Light recurrent unit: the candidate doesn't read h at all.

    ::

        h_t = (1 − σ(a_f)) ∘ h_{t-1} + σ(a_f) ∘ tanh(a_n.x)

    Ye, Zhang, Liu, Li, Chang & Zheng (2024). For deep stacks on small machines: one recurrent product.

    Example:
        >>> {name: w.shape for name, w in recurra.cells.LightRU(3, 4).params.items()}
        {'weight_ih_l0': (8, 3), 'weight_hh_l0': (4, 4), 'bias_ih_l0': (8,), 'bias_hh_l0': (4,)}
    """
    f = sigmoid(a.f)
    return (1 - f) * s.h + f * tanh(a.n.x)


@formula(gates="g c")
def UGRNN(a, s):
    """Update gate RNN: one gate between keeping and replacing.

    ::

        h_t = g ∘ h_{t-1} + (1 − g) ∘ tanh(a_c)           g = σ(a_g + 1)

    Collins, Sohl-Dickstein & Sussillo (2017). For networks of one or two layers. The 1 keeps h at first.

    Example:
        >>> cell = recurra.cells.UGRNN.Cell(3, 4, bias=False, seed=0)
        >>> cell(np.zeros(3, np.float32), np.full(4, 0.1, np.float32)).round(2)
        array([0.07, 0.08, 0.07, 0.06], dtype=float32)
    """
    g = sigmoid(a.g + 1)
    return g * s.h + (1 - g) * tanh(a.c)


@formula(gates="z r n")
def MUT1(a, s, x):
    """The first of three cells that a search over ten thousand found. `input_size` is H, since x is added as it is.

    ::

        n   = tanh(W_hn (σ(a_r) ∘ h_{t-1}) + b_hn + tanh(x_t))
        h_t = σ(a_z.x) ∘ n + (1 − σ(a_z.x)) ∘ h_{t-1}

    Jozefowicz, Zaremba & Sutskever (2015). For arithmetic and structured text, on which the search was done.

    Example:
        >>> recurra.cells.MUT1(4, 4, seed=0)(np.ones((5, 2, 4), np.float32))[0].shape
        (5, 2, 4)
        >>> recurra.cells.MUT1(3, 4)
        Traceback (most recent call last):
            ...
        ValueError: input_size: expected as many features in every layer's input as hidden_size = 4, ...
    """
    z = sigmoid(a.z.x)
    n = tanh(a.n.h(sigmoid(a.r) * s.h) + tanh(x.x))
    return z * n + (1 - z) * s.h


@formula(gates="z r n")
def MUT2(a, s, x):
    """The second cell of `MUT1`'s search: its reset gate sees x as it is. `input_size` is H.

    ::

        n   = tanh(a_n(σ(x_t + a_r.h) ∘ h_{t-1}))
        h_t = σ(a_z) ∘ n + (1 − σ(a_z)) ∘ h_{t-1}

    Jozefowicz, Zaremba & Sutskever (2015). For what `MUT1` is for.

    Example:
        >>> y, h_n = recurra.cells.MUT2(4, 4, num_layers=2, seed=0)(np.ones((5, 2, 4), np.float32))
        >>> y.shape, h_n.shape
        ((5, 2, 4), (2, 2, 4))
    """
    z = sigmoid(a.z)
    n = tanh(a.n(sigmoid(x.x + a.r.h) * s.h))
    return z * n + (1 - z) * s.h


@formula(gates="z r n")
def MUT3(a, s):
    """The third cell of `MUT1`'s search: its update gate reads tanh(h).

    ::

        n   = tanh(a_n(σ(a_r) ∘ h_{t-1}))
        h_t = z ∘ n + (1 − z) ∘ h_{t-1}           z = σ(a_z(tanh(h_{t-1})))

    Jozefowicz, Zaremba & Sutskever (2015). For what `MUT1` is for.

    Example:
        >>> y, h_n = recurra.cells.MUT3(3, 4, seed=0)(np.ones((5, 2, 3), np.float32))
        >>> y.shape, h_n.shape
        ((5, 2, 4), (1, 2, 4))
    """
    z = sigmoid(a.z(tanh(s.h)))
    n = tanh(a.n(sigmoid(a.r) * s.h))
    return z * n + (1 - z) * s.h


@formula(gates="r z n", inputs="attention:step")
def AUGRU(a, s, x):
    """GRU whose update gate is scaled by an attention score, one number a step.

    ::

        n   = tanh(a_n.x + σ(a_r) ∘ a_n.h)
        h_t = (1 − z) ∘ h_{t-1} + z ∘ n           z = attention_t · σ(a_z)

    Zhou et al. (2019), of the deep interest evolution network. For sequences in which most steps don't matter, such as
    clicks before a purchase: steps with attention 0 leave h as it is.

    Example:
        >>> layer, h_0 = recurra.cells.AUGRU(3, 4, seed=0), np.ones((1, 4), np.float32)
        >>> attention = np.array([0, 0, 1], np.float32)
        >>> layer(np.ones((3, 3), np.float32), h_0, inputs={"attention": attention})[0][:, 0].round(2)
        array([1.  , 1.  , 0.68], dtype=float32)
    """
    z = x.attention * sigmoid(a.z)
    n = tanh(a.n.x + sigmoid(a.r) * a.n.h)
    return (1 - z) * s.h + z * n
