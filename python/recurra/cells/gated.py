"""Elman's network, and cells with gates of other kinds."""

from recurra.formula import formula, relu, sigmoid, tanh


@formula(gates="n")
def Elman(a):
    """The simple recurrent network. The same as `recurra.RNN`.

    ::

        h_t = tanh(a_n)

    Elman (1990). For short memory, and for the least cost of all.

    Example:
        >>> x = np.ones((5, 2, 3), np.float32)
        >>> float(abs(recurra.cells.Elman(3, 4, seed=0)(x)[0] - recurra.RNN(3, 4, seed=0)(x)[0]).max())
        0.0
    """
    return tanh(a.n)


@formula(gates="f i n")
def CFN(a, s):
    """Chaos-free network: without input its state decays to 0, whatever the weights.

    ::

        h_t = σ(a_f) ∘ tanh(h_{t-1}) + σ(a_i) ∘ tanh(a_n.x)

    Laurent & von Brecht (2017). For predictable dynamics; the paper begins with biases of 1 for f and −1 for i.

    Example:
        >>> layer, h_0 = recurra.cells.CFN(3, 4, bias=False, seed=0), np.ones((1, 4), np.float32)
        >>> y, _ = layer(np.zeros((9, 3), np.float32), h_0)
        >>> abs(y[[0, 2, 8]]).max(axis=1).round(3)
        array([0.503, 0.135, 0.002], dtype=float32)
    """
    return sigmoid(a.f) * tanh(s.h) + sigmoid(a.i) * tanh(a.n.x)


@formula(gates="i f n", states="h c")
def RAN(a, s):
    """Recurrent additive network: the memory is a weighted sum of linear images of the inputs.

    ::

        c_t = σ(a_i) ∘ a_n.x + σ(a_f) ∘ c_{t-1}
        h_t = tanh(c_t)

    Lee, Levy & Zettlemoyer (2017). For language, and for weights per input that one can read off.

    Example:
        >>> y, (h_n, c_n) = recurra.cells.RAN(3, 4, seed=0)(np.ones((5, 2, 3), np.float32))
        >>> y.shape, h_n.shape, round(float(abs(np.tanh(c_n) - h_n).max()), 6)
        ((5, 2, 4), (1, 2, 4), 0.0)
    """
    c = sigmoid(a.i) * a.n.x + sigmoid(a.f) * s.c
    return tanh(c), c


@formula(gates="n")
def ATR(a, s):
    """Addition-subtraction twin-gated network: both gates from one pair of products.

    ::

        h_t = σ(p + q) ∘ p + σ(p − q) ∘ h_{t-1}           p = a_n.x, q = a_n.h

    Zhang, Xiong, Su, Lin & Zhang (2018). For translation: gates at the price of Elman's network.

    Example:
        >>> {name: w.shape for name, w in recurra.cells.ATR(3, 4).params.items()}
        {'weight_ih_l0': (4, 3), 'weight_hh_l0': (4, 4), 'bias_ih_l0': (4,), 'bias_hh_l0': (4,)}
    """
    p, q = a.n.x, a.n.h
    return sigmoid(p + q) * p + sigmoid(p - q) * s.h


@formula(gates="z u v")
def MinimalRNN(a, s):
    """The input goes to a latent space first; the network only chooses, unit by unit, whether to follow it.

    ::

        z   = tanh(a_z.x)
        u   = σ(a_u.h + W_hv z + b_hv)
        h_t = u ∘ h_{t-1} + (1 − u) ∘ z

    Chen (2017). For dynamics that can be read. With `Sequential(Linear, Tanh, …)` before it and x for z, of H features,
    the product W_hv z leaves the loop over time.

    Example:
        >>> {name: w.shape for name, w in recurra.cells.MinimalRNN(3, 4).params.items()}
        {'weight_ih_l0': (4, 3), 'weight_hh_l0': (8, 4), 'bias_ih_l0': (4,), 'bias_hh_l0': (8,)}
    """
    z = tanh(a.z.x)
    u = sigmoid(a.u.h + a.v.h(z))
    return u * s.h + (1 - u) * z


@formula(gates="f")
def SGRN(a, s):
    """Simple gated recurrent network: one gate and one matrix for gate and candidate alike.

    ::

        h_t = tanh(f ∘ h_{t-1} + (1 − f) ∘ a_f.x)           f = σ(a_f)

    Zu & Wei (2020). For short signals on small devices, such as disturbances of a power grid.

    Example:
        >>> {name: w.shape for name, w in recurra.cells.SGRN(3, 4).params.items()}
        {'weight_ih_l0': (4, 3), 'weight_hh_l0': (4, 4), 'bias_ih_l0': (4,), 'bias_hh_l0': (4,)}
    """
    f = sigmoid(a.f)
    return tanh(f * s.h + (1 - f) * a.f.x)


@formula(gates="z k")
def STAR(a, s):
    """Stackable recurrent cell: made so that gradients neither grow nor fade across layers.

    ::

        h_t = tanh((1 − k) ∘ h_{t-1} + k ∘ tanh(a_z.x))           k = σ(a_k)

    Turkoglu, D'Aronco, Wegner & Schindler (2021). For stacks of many layers.

    Example:
        >>> y, h_n = recurra.cells.STAR(3, 4, num_layers=12, seed=0)(np.ones((5, 2, 3), np.float32))
        >>> y.shape, h_n.shape
        ((5, 2, 4), (12, 2, 4))
    """
    k = sigmoid(a.k)
    return tanh((1 - k) * s.h + k * tanh(a.z.x))


@formula(gates="a c n", units={"w_a": 0.0, "w_c": 0.0})
def BRC(a, s, u):
    """Bistable recurrent cell: each unit can latch onto one of two values, and stays there without input.

    ::

        α   = 1 + tanh(a_a.x + w_a ∘ h_{t-1})
        c   = σ(a_c.x + w_c ∘ h_{t-1})
        h_t = c ∘ h_{t-1} + (1 − c) ∘ tanh(a_n.x + α ∘ h_{t-1})

    Vecoven, Ernst & Drion (2021). For memory over hundreds of steps without any recurrent product.

    Example:
        >>> list(recurra.cells.BRC(3, 4).params)
        ['weight_ih_l0', 'bias_ih_l0', 'w_a_l0', 'w_c_l0']
    """
    alpha = 1 + tanh(a.a.x + u.w_a * s.h)
    c = sigmoid(a.c.x + u.w_c * s.h)
    return c * s.h + (1 - c) * tanh(a.n.x + alpha * s.h)


@formula(gates="a c n")
def NBRC(a, s):
    """Neuromodulated bistable cell: `BRC`, but other units decide when one latches.

    ::

        h_t = c ∘ h_{t-1} + (1 − c) ∘ tanh(a_n.x + (1 + tanh(a_a)) ∘ h_{t-1})           c = σ(a_c)

    Vecoven, Ernst & Drion (2021). For long memory where `BRC` is too simple.

    Example:
        >>> y, h_n = recurra.cells.NBRC(3, 4, seed=0)(np.ones((5, 2, 3), np.float32))
        >>> y.shape, h_n.shape
        ((5, 2, 4), (1, 2, 4))
    """
    c = sigmoid(a.c)
    return c * s.h + (1 - c) * tanh(a.n.x + (1 + tanh(a.a)) * s.h)


@formula(gates="f n")
def TRNN(a, s):
    """Strongly typed RNN: h only ever adds to h, and x to x.

    ::

        h_t = σ(a_f.x) ∘ h_{t-1} + (1 − σ(a_f.x)) ∘ a_n.x

    Balduzzi & Ghifary (2016). For speed: no product depends on the step before.

    Example:
        >>> list(recurra.cells.TRNN(3, 4).params)
        ['weight_ih_l0', 'bias_ih_l0']
    """
    f = sigmoid(a.f.x)
    return f * s.h + (1 - f) * a.n.x


@formula(gates="g0 g1 g2 g3 g4 g5 g6 g7", states="h c")
def NASCell(a, s):
    """The cell that a search by reinforcement learning found: a tree of eight gates, joined in pairs.

    ::

        c_t = tanh(tanh(σ(a_0) ∘ relu(a_1)) + c_{t-1}) ∘ tanh(σ(a_2) + relu(a_3.x ∘ a_3.h))
        h_t = tanh(c_t ∘ tanh(tanh(tanh(a_4) ∘ σ(a_5)) + σ(tanh(a_6) + σ(a_7))))

    Zoph & Le (2017). For language; twice an LSTM's cost.

    Example:
        >>> [sum(w.size for w in kind(8, 16).params.values()) for kind in (recurra.LSTM, recurra.cells.NASCell)]
        [1664, 3328]
    """
    memory = tanh(tanh(sigmoid(a.g0) * relu(a.g1)) + s.c)
    c = memory * tanh(sigmoid(a.g2) + relu(a.g3.x * a.g3.h))
    shown = tanh(tanh(tanh(a.g4) * sigmoid(a.g5)) + sigmoid(tanh(a.g6) + sigmoid(a.g7)))
    return tanh(c * shown), c
