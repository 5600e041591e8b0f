"""Cells of several products in a row, of few parameters, or with outputs that aren't their state."""

from recurra.formula import formula, project, relu, sigmoid, tanh


@formula(gates="m i f g o", states="h c")
def MultiplicativeLSTM(a, s):
    """LSTM whose recurrent matrix depends on x: the gates read m in place of h.

    ::

        m   = a_m.x ∘ a_m.h
        c_t = σ(a_f(m)) ∘ c_{t-1} + σ(a_i(m)) ∘ tanh(a_g(m))
        h_t = σ(a_o(m)) ∘ tanh(c_t)

    Krause, Murray, Renals & Lu (2017). For text letter by letter; the "sentiment neuron" is one of its units.

    Example:
        >>> {name: w.shape for name, w in recurra.cells.MultiplicativeLSTM(3, 4).params.items()}
        {'weight_ih_l0': (20, 3), 'weight_hh_l0': (20, 4), 'bias_ih_l0': (20,), 'bias_hh_l0': (20,)}
    """
    m = a.m.x * a.m.h
    c = sigmoid(a.f(m)) * s.c + sigmoid(a.i(m)) * tanh(a.g(m))
    return sigmoid(a.o(m)) * tanh(c), c


@formula(gates="n", units={"alpha": 1.0, "beta_h": 0.5, "beta_x": 0.5, "b": 0.0})
def MIRNN(a, u):
    """Multiplicative integration: W x and W h are multiplied as well as added. The paper has no biases but b.

    ::

        h_t = tanh(α ∘ a_n.x ∘ a_n.h + β_h ∘ a_n.h + β_x ∘ a_n.x + b)

    Wu, Zhang, Zhang, Bengio & Salakhutdinov (2016). For text, at the price of Elman's network.

    Example:
        >>> list(recurra.cells.MIRNN(3, 4, bias=False).params)
        ['weight_ih_l0', 'weight_hh_l0', 'alpha_l0', 'beta_h_l0', 'beta_x_l0', 'b_l0']
    """
    return tanh(u.alpha * a.n.x * a.n.h + u.beta_h * a.n.h + u.beta_x * a.n.x + u.b)


def highway(candidate, transfer, s):
    """A layer that replaces a share of s."""
    t = sigmoid(transfer)
    return t * tanh(candidate) + (1 - t) * s


@formula(gates="g1 t1 g2 t2 g3 t3")
def RHN(a, s):
    """Recurrent highway network: each step goes through several layers; x enters the first. Three here.

    ::

        s_0 = h_{t-1}
        s_k = t_k ∘ tanh(a_gk(s_{k-1})) + (1 − t_k) ∘ s_{k-1}           t_k = σ(a_tk(s_{k-1}))
        h_t = s_3

    Zilly, Srivastava, Koutník & Schmidhuber (2017), with carry gates 1 − t. For hard steps in short sequences.

    Example:
        >>> layer = recurra.cells.RHN(3, 4)
        >>> layer.params["weight_ih_l0"].shape, layer.params["weight_hh_l0"].shape
        ((8, 3), (24, 4))
    """
    h = highway(a.g1, a.t1, s.h)
    h = highway(a.g2.h(h), a.t2.h(h), h)
    return highway(a.g3.h(h), a.t3.h(h), h)


@formula(gates={"b": "", "p": "h", "r": "h"}, states="h c")
def SCRN(a, s):
    """Structurally constrained network: a slow context of inputs beside a fast state.

    ::

        c_t = α c_{t-1} + (1 − α) a_b.x           α = 0.95
        h_t = σ(W_ip x_t + W_hp c_t + W_hr h_{t-1} + b)

    Mikolov, Joulin, Chopra, Mathieu & Ranzato (2015). For topics that last over many words, without gates.

    Example:
        >>> y, (h_n, c_n) = recurra.cells.SCRN(3, 4, seed=0)(np.ones((5, 2, 3), np.float32))
        >>> y.shape, c_n.shape
        ((5, 2, 4), (1, 2, 4))
    """
    alpha = 0.95
    c = alpha * s.c + (1 - alpha) * a.b.x
    return sigmoid(a.p(c) + a.r.h), c


@formula(gates="n", scalars={"alpha": -3.0, "beta": 3.0})
def FastRNN(a, s, u):
    """Elman's network with a residual connection that two trained numbers weight.

    ::

        h_t = σ(α) tanh(a_n) + σ(β) h_{t-1}           α = −3 and β = 3 at first

    Kusupati, Singh, Bhatia, Kumar, Jain & Varma (2018). For microcontrollers: two numbers more than Elman's, and
    trainable.

    Example:
        >>> layer = recurra.cells.FastRNN(3, 4)
        >>> float(layer.params["alpha_l0"]), float(layer.params["beta_l0"])
        (-3.0, 3.0)
    """
    return sigmoid(u.alpha) * tanh(a.n) + sigmoid(u.beta) * s.h


@formula(gates="n", units={"b_z": 1.0, "b_h": 1.0}, scalars={"zeta": 1.0, "nu": -4.0})
def FastGRNN(a, s, u):
    """Gate and candidate from one pair of matrices. With `bias=False` it is the published one.

    ::

        z   = σ(a_n + b_z)
        h_t = (σ(ζ) (1 − z) + σ(ν)) ∘ tanh(a_n + b_h) + z ∘ h_{t-1}           ζ = 1 and ν = −4 at first

    Kusupati, Singh, Bhatia, Kumar, Jain & Varma (2018). For microcontrollers: a gate, for hardly more weights
    than Elman's.

    Example:
        >>> kinds = recurra.RNN, recurra.cells.FastGRNN
        >>> [sum(w.size for w in kind(8, 16, bias=False).params.values()) for kind in kinds]
        [384, 418]
    """
    z = sigmoid(a.n + u.b_z)
    return (sigmoid(u.zeta) * (1 - z) + sigmoid(u.nu)) * tanh(a.n + u.b_h) + z * s.h


@formula(gates="y_in h_in g_y g_h", states="h y", output="y")
def IntersectionRNN(a, s, x):
    """The +RNN: what goes up to the next layer and what goes on to the next step are gated apart. `input_size` is H.

    ::

        y_t = g_y ∘ x_t + (1 − g_y) ∘ relu(a_y_in)               g_y = σ(a_g_y + 1)
        h_t = g_h ∘ h_{t-1} + (1 − g_h) ∘ tanh(a_h_in)           g_h = σ(a_g_h + 1)

    Collins, Sohl-Dickstein & Sussillo (2017). For deep stacks. The output is y; gates read h.

    Example:
        >>> layer = recurra.cells.IntersectionRNN(4, 4, num_layers=3, seed=0)
        >>> y, (h_n, y_n) = layer(np.ones((5, 2, 4), np.float32))
        >>> y.shape, h_n.shape, float(abs(y[-1] - y_n[-1]).max())
        ((5, 2, 4), (3, 2, 4), 0.0)
    """
    g_y, g_h = sigmoid(a.g_y + 1), sigmoid(a.g_h + 1)
    y = g_y * x.x + (1 - g_y) * relu(a.y_in)
    h = g_h * s.h + (1 - g_h) * tanh(a.h_in)
    return h, y


@formula(gates="i f g o", states="h c")
def ProjectedLSTM(a, s):
    """LSTM whose h is a smaller linear image of what it shows: much memory, small recurrent products.

    ::

        c_t = σ(a_f) ∘ c_{t-1} + σ(a_i) ∘ tanh(a_g)
        h_t = W_hr (σ(a_o) ∘ tanh(c_t))

    Sak, Senior & Beaufays (2014). For speech and large vocabularies; PyTorch's `proj_size`.

    Example:
        >>> y, (h_n, c_n) = recurra.cells.ProjectedLSTM(3, 8, proj_size=2, seed=0)(np.ones((5, 2, 3), np.float32))
        >>> y.shape, h_n.shape, c_n.shape
        ((5, 2, 2), (1, 2, 2), (1, 2, 8))
    """
    c = sigmoid(a.f) * s.c + sigmoid(a.i) * tanh(a.g)
    return project(sigmoid(a.o) * tanh(c)), c
