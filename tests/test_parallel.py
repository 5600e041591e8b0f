"""Parallel and Residual: their layers one by one, by the same bits; gradients, states, names, copies, errors."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import recurra
from configs import assert_same_bits, numeric_gradient, slope_error
from refused import refused

T, B, I = 5, 3, 4  # noqa: E741
F64 = {"dtype": np.float64}
LENGTHS = np.array([5, 0, 2])
RESETS = np.random.default_rng(3).random((T, B)) < 0.4
JOINS = ("concat", "sum", "tuple")
every_join = pytest.mark.parametrize("join", JOINS)


def draw(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def branches(**options):
    """A recurrent layer with dropout, a Sequential with two, and one without states; all give three features."""
    options = F64 | options
    return (
        recurra.LSTM(I, 3, num_layers=2, dropout=0.3, seed=1, **options),
        recurra.Sequential(
            recurra.GRU(I, 2, seed=2, **options), recurra.Dropout(0.5), recurra.RNN(2, 3, seed=3, **options)
        ),
        recurra.Linear(I, 3, dtype=options["dtype"], seed=4),
    )


def joined(join, parts):
    if join == "tuple":
        return tuple(parts)
    return np.concatenate(parts, axis=-1) if join == "concat" else parts[0] + parts[1] + parts[2]


def parted(join, dy):
    if join == "concat":
        return np.split(dy, 3, axis=-1)
    return [dy] * 3 if join == "sum" else dy


def gradient_like(y, seed=5):
    return (
        tuple(gradient_like(one, seed + i) for i, one in enumerate(y))
        if isinstance(y, tuple)
        else draw(*y.shape, seed=seed)
    )


def by_hand(layers, join, x, state, rng, dy, dstate, **options):
    """What it comes to when the layers are called one by one."""
    rng = np.random.default_rng(rng)
    lstm, (gru, dropout, rnn), linear = layers
    a, s, lstm_tape = lstm.forward(x, state[0], rng=rng, **options)
    b, g, gru_tape = gru.forward(x, state[1], **options)
    b, dropout_tape = dropout.forward(b, rng=rng)
    b, r, rnn_tape = rnn.forward(b, state[2], **options)
    c, linear_tape = linear.forward(x)
    da, db, dc = parted(join, dy)
    first, ds = lstm.backward(lstm_tape, da, dstate[0])
    second, dr = rnn.backward(rnn_tape, db, dstate[2])
    second, dg = gru.backward(gru_tape, dropout.backward(dropout_tape, second), dstate[1])
    dx = first + second + linear.backward(linear_tape, dc)
    return joined(join, [a, b, c]), [s, g, r], dx, [ds, dg, dr]


@pytest.mark.parametrize("options", [{}, {"lengths": LENGTHS}, {"resets": RESETS}], ids=["all", "lengths", "resets"])
@pytest.mark.parametrize("batch_first", [False, True])
@every_join
def test_is_its_layers_one_by_one(join, batch_first, options):
    model, twin = (recurra.Parallel(*branches(batch_first=batch_first), join=join) for _ in range(2))
    options = {name: value.T if batch_first and name == "resets" else value for name, value in options.items()}
    x = draw(*((B, T) if batch_first else (T, B)), I)
    state = [(draw(2, B, 3, seed=6), draw(2, B, 3, seed=7)), draw(1, B, 2, seed=8), draw(1, B, 3, seed=9)]
    dstate = [(draw(2, B, 3, seed=1), draw(2, B, 3, seed=2)), draw(1, B, 2, seed=3), draw(1, B, 3, seed=4)]
    dy = gradient_like(model(x))
    expected = by_hand(twin, join, x, state, 5, dy, dstate, **options)
    y, tape = model.forward(x, state, rng=5, **options)
    assert_same_bits((y, tape.state), expected[:2])
    assert_same_bits((model.backward(tape, dy, dstate), tape.dstate), expected[2:])
    assert_same_bits(dict(model.grads), dict(twin.grads))
    model[0].dropout = model[1][1].p = 0
    y, tape = model.forward(x, state, **options)
    assert_same_bits(model.run(x, state, **options), (y, tape.state))
    assert_same_bits(model(x, **options), model.run(x, **options)[0])
    assert model.batch_first is batch_first
    first, middle = model.run(x[:, :2] if batch_first else x[:2])
    if not options:  # a stream in two pieces
        second, end = model.run(x[:, 2:] if batch_first else x[2:], middle)
        whole, final = model.run(x)
        axis = 1 if batch_first else 0
        pairs = zip(first, second, strict=True) if join == "tuple" else [(first, second)]
        wholes = whole if join == "tuple" else [whole]
        for pair, one in zip(pairs, wholes, strict=True):
            assert_same_bits(np.concatenate(pair, axis=axis), one)
        assert_same_bits(end, final)


@every_join
def test_central_differences(join):
    model, x = recurra.Parallel(*branches(), join=join), draw(T, B, I)
    dy, parameters = gradient_like(model(x)), model.state_dict()

    def loss():
        model.load_state_dict(parameters)
        y, _ = model.forward(x, lengths=LENGTHS, rng=5)
        return sum(float(np.vdot(*pair)) for pair in (zip(y, dy, strict=True) if join == "tuple" else [(y, dy)]))

    _, tape = model.forward(x, lengths=LENGTHS, rng=5)
    got = {"x": model.backward(tape, dy, retain=True)} | {name: value.copy() for name, value in model.grads.items()}
    own = {name: np.zeros_like(value) for name, value in parameters.items()}
    assert model.backward(tape, dy, need_dx=False, grads=own) is None
    assert_same_bits(own, {name: got[name] for name in own})
    for name, array in (parameters | {"x": x}).items():
        assert slope_error(loss, array, got[name]) <= 1e-7, name
        assert np.abs(got[name]).max() > 1e-3, name


def test_two_heads():
    """A tagger of two kinds of tags, trained by `fit`; a head without a gradient counts as zeros."""
    rng = np.random.default_rng(0)
    model = recurra.Sequential(
        recurra.Embedding(9, 8, seed=0),
        recurra.GRU(8, 16, bidirectional=True, seed=1),
        recurra.Parallel(
            recurra.Linear(32, 3, seed=2),
            recurra.Sequential(recurra.Linear(32, 8, seed=3), recurra.Tanh(), recurra.Linear(8, 2, seed=4)),
            join="tuple",
        ),
    )
    assert [name for name in model.params if name.startswith("2.")] == [
        "2.0.weight", "2.0.bias", "2.1.0.weight", "2.1.0.bias", "2.1.2.weight", "2.1.2.bias"
    ]  # fmt: skip

    def batch(x):
        """Of each token its remainder by 3, and whether the one before it was larger."""
        before = np.concatenate([x[:1], x[:-1]])
        return x, (x % 3, (before > x).astype(int))

    def loss(y, target):
        (one, first), (two, second) = (recurra.cross_entropy(*pair) for pair in zip(y, target, strict=True))
        return one + two, (first, second)

    data = [batch(rng.integers(0, 9, (7, 32))) for _ in range(20)]
    history = recurra.fit(model, data, loss, recurra.Adam(model, lr=0.02), epochs=4, clip_norm=1.0)
    x, target = batch(rng.integers(0, 9, (7, 64)))
    assert history.losses[-1] < history.losses[0]
    assert [float((y.argmax(-1) == t).mean()) > 0.97 for y, t in zip(model(x), target, strict=True)] == [True, True]
    y, tape = model.forward(x)
    model.zero_grad()
    model.backward(tape, (np.ones_like(y[0]), None))
    assert model.grads["2.0.weight"].any()
    assert not model.grads["2.1.0.weight"].any()
    again = pickle.loads(pickle.dumps(model))
    assert_same_bits(again(x), model(x))
    with refused(TypeError, "dy"):
        model.backward(model.forward(x)[1], y[0])


def test_a_parallel_in_a_model_writes():
    """generate hands its states on."""
    model = recurra.Sequential(
        recurra.Embedding(6, 5, seed=0),
        recurra.Parallel(recurra.GRU(5, 4, seed=1), recurra.LSTM(5, 3, seed=2), recurra.Tanh()),
        recurra.Residual(recurra.Linear(12, 12, seed=5), recurra.GRU(12, 12, seed=3)),
        recurra.Linear(12, 6, seed=4),
    )
    text = [1, 2]
    for _ in range(12):
        text.append(int(model(np.array(text))[-1].argmax()))
    assert recurra.generate(model, [1, 2], 12, temperature=0).tolist() == text[2:]
    _, state = model.run(np.array([1, 2]))
    assert [type(one) for one in state] == [list, list]
    assert len(state[0]) == 2


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
@pytest.mark.parametrize("kind", [recurra.Parallel, recurra.Residual])
def test_copies_and_names(kind, how):
    layers = (
        branches()
        if kind is recurra.Parallel
        else (recurra.LSTM(I, 6, seed=1, **F64), recurra.Linear(6, I, seed=2, **F64))
    )
    model, x = kind(*layers), draw(T, B, I)
    names = [f"{i}.{name}" for i, layer in enumerate(layers) for name in layer.params]
    assert list(model.params) == list(model.grads) == list(model.state_dict()) == names
    assert len(model) == len(layers)
    assert model[0] is layers[0]
    assert list(model) == list(layers)
    y, tape = model.forward(x, rng=1)
    model.backward(tape, y)
    twin = how(model)
    assert repr(twin) == repr(model)
    assert_same_bits((twin(x), dict(twin.grads)), (model(x), dict(model.grads)))
    _, tape = model.forward(x, rng=1)
    if how is copy.copy:
        assert twin[0] is model[0]
        twin.backward(tape, y)
    else:
        with refused(RuntimeError, "tape"):
            twin.backward(tape, y)
        changed = {name: value + 1 for name, value in model.state_dict().items()}
        twin.load_state_dict(changed)
        assert_same_bits(twin.state_dict(), changed)
        recurra.SGD(twin, lr=0.1).step()
        assert not np.array_equal(twin.params[names[0]], changed[names[0]])


def test_repr():
    model = recurra.Parallel(recurra.Linear(2, 3), recurra.Residual(recurra.Linear(2, 2), recurra.Tanh()), join="tuple")
    assert repr(model) == (
        "Parallel(\n    Linear(2, 3),\n    Residual(\n        Linear(2, 2),\n        Tanh(),\n    ),\n"
        "    join='tuple',\n)"
    )
    assert model.join == "tuple"


# ---- Residual


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["all", "lengths"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_residual_is_what_it_says(lengths, batch_first):
    layers = recurra.LSTM(I, 6, batch_first=batch_first, seed=1, **F64), recurra.Linear(6, I, bias=False, seed=2, **F64)
    model, chain = recurra.Residual(*layers), recurra.Sequential(*layers)
    x = draw(*((B, T) if batch_first else (T, B)), I)
    beyond = np.zeros((T, B), bool) if lengths is None else np.arange(T)[:, None] >= lengths
    beyond = beyond.T if batch_first else beyond
    x[beyond] = np.nan
    y, tape = model.forward(x, lengths=lengths)
    expected, own = chain.forward(x, lengths=lengths)
    expected += np.nan_to_num(x)
    assert_same_bits((y, tape.state), (expected, own.state))
    assert_same_bits(model.run(x, lengths=lengths), (expected, own.state))
    assert_same_bits(model(x, lengths=lengths), expected)
    dy = draw(*y.shape, seed=2)
    dx = model.backward(tape, dy)
    through = chain.backward(own, dy) + dy
    through[beyond] = 0
    assert_same_bits((dx, tape.dstate), (through, own.dstate))
    if lengths is None:
        numeric = numeric_gradient(lambda: float(np.vdot(model(x), dy)), x)
        assert np.abs(dx - numeric).max() <= 1e-8


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_residuals_gradients_are_of_real_steps(batch_first):
    """Also where a layer after the recurrent one gives something beyond the ends, which y has not."""
    model = recurra.Residual(
        recurra.GRU(I, 4, batch_first=batch_first, seed=1, **F64),
        recurra.Linear(4, I, seed=2, **F64),
        recurra.LayerNorm(I, **F64),
    )
    x = draw(*((B, T) if batch_first else (T, B)), I)
    y, tape = model.forward(x, lengths=LENGTHS)
    dy = draw(*y.shape, seed=2)
    given = dy.copy()
    dx = model.backward(tape, dy)
    assert_same_bits(dy, given)
    state = model.state_dict()

    def value():
        model.load_state_dict(state)
        return float(np.vdot(model(x, lengths=LENGTHS), dy))

    assert np.abs(dx - numeric_gradient(value, x)).max() <= 1e-8
    for name in ("1.weight", "1.bias", "2.weight", "2.bias"):
        assert np.abs(model.grads[name] - numeric_gradient(value, state[name])).max() <= 1e-8, name


def test_residual_within_and_after_last():
    """lengths go to all members; after Last there are no steps that could be beyond an end."""
    model = recurra.Sequential(
        recurra.GRU(I, 4, seed=1, **F64),
        recurra.Residual(recurra.LayerNorm(4, **F64), recurra.GRU(4, 4, seed=2, **F64)),
        recurra.Last(),
        recurra.Residual(recurra.Linear(4, 4, seed=3, **F64), recurra.Tanh()),
    )
    x = draw(T, B, I)
    y, tape = model.forward(x, lengths=LENGTHS)
    assert_same_bits(model(x, lengths=LENGTHS), y)
    assert len(tape.state) == 2
    model.backward(tape, y)
    assert all(gradient.any() for gradient in model.grads.values())
    tokens = recurra.Residual(recurra.Embedding(3, 2, seed=0))
    with refused(ValueError, "layers"):
        tokens(np.array([0, 1]))
    with refused(ValueError, "layers"):
        recurra.Residual(recurra.Linear(4, 3))(draw(T, 4, dtype=np.float32))


# ---- What is refused


def test_what_parallel_refuses():
    linear = recurra.Linear(3, 3, seed=0)
    for error, name, layers, options in (
        (ValueError, "layers", [], {}),
        (TypeError, "layers", [recurra.GRUCell(3, 3)], {}),
        (TypeError, "layers", [[linear]], {}),
        (TypeError, "layers", [linear, recurra.Linear(3, 3, dtype=np.float64)], {}),
        (ValueError, "layers", [recurra.GRU(3, 3), recurra.GRU(3, 3, batch_first=True)], {}),
        (ValueError, "join", [linear], {"join": "product"}),
        (TypeError, "join", [linear], {"join": None}),
    ):
        with refused(error, name):
            recurra.Parallel(*layers, **options)
    both = recurra.GRU(3, 3, bidirectional=True, seed=0)
    with refused(ValueError, "layers"):
        recurra.Sequential(both, recurra.Parallel(recurra.Last(), recurra.AttentionPooling(6)))
    recurra.Sequential(both, recurra.Parallel(recurra.Last(bidirectional=True), recurra.AttentionPooling(6)))
    x = draw(T, B, 3, dtype=np.float32)
    wide = recurra.Linear(3, 4, seed=1)
    with refused(ValueError, "layers"):
        recurra.Parallel(linear, wide, join="sum")(x)
    with refused(ValueError, "layers"):
        recurra.Parallel(linear, recurra.Last())(x)
    model = recurra.Parallel(recurra.GRU(3, 2, num_layers=2, dropout=0.5, seed=0), recurra.RNN(3, 2, seed=1))
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    _, (g, r) = model.run(x)
    for error, name, options in (
        (TypeError, "state", {"state": g}),
        (ValueError, "state", {"state": [g]}),
        (ValueError, "h0", {"state": [g, r[:, :1]]}),
        (ValueError, "lengths", {"lengths": np.array([9, 9, 9])}),
        (TypeError, "resets", {"resets": np.zeros((T, B))}),
    ):
        with refused(error, name):
            model.forward(x, rng=rng, **options)
    assert rng.bit_generator.state == before
    with refused(ValueError, "rng"):
        model.forward(x)
    y, tape = model.forward(x, rng=rng)
    grads = dict(model.grads)
    for error, name, arguments, options in (
        (ValueError, "dy", (y[1:],), {}),
        (TypeError, "dy", (y.astype(np.float64),), {}),
        (ValueError, "dstate", (y, [g]), {}),
        (ValueError, "dstate", (y, [g, r[1:]]), {}),
        (ValueError, "grads", (y,), {"grads": {}}),
        (TypeError, "need_dx", (y,), {"need_dx": 1}),
    ):
        with refused(error, name, grads):
            model.backward(tape, *arguments, **options)
    model.backward(tape, None, [g, r])
    assert any(gradient.any() for gradient in model.grads.values())
    with refused(RuntimeError, "tape"):
        model.backward(tape, y)
    heads = recurra.Parallel(linear, wide, join="tuple")
    (a, b), tape = heads.forward(x)
    for error, name, dy in (
        (TypeError, "dy", (a,)),
        (ValueError, r"dy\[1\]", (a, a)),
        (TypeError, r"dy\[0\]", ("a", b)),
    ):
        with refused(error, name, dict(heads.grads)):
            heads.backward(tape, dy)
