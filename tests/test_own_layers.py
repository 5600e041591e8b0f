"""Members of a Sequential that are one's own, or subclasses of ours: their own methods are the ones that count."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import recurra
from configs import assert_same_bits, numeric_gradient
from own_layers import Heads, Plain, RecurrentResidual, Residual, scaled
from refused import refused

T, B, I, H = 5, 3, 4, 4  # noqa: E741
F64 = {"dtype": np.float64}
LENGTHS = np.array([5, 0, 2])


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def model_of(name):
    """A model of float64 around one such member, and what it reads."""
    rnn, linear = recurra.RNN(I, H, seed=1, **F64), recurra.Linear(H, 2, seed=2, **F64)
    other, deep = recurra.Linear(H, H, seed=3, **F64), recurra.LSTM(H, H, seed=4, **F64)
    inner = deep, recurra.Dropout(0.0), recurra.GRU(H, H, seed=5, **F64)
    after = recurra.GRU(H, 3, seed=6, **F64)
    heads = Heads(linear, recurra.Sequential(recurra.Linear(H, 3, seed=7, **F64), recurra.Tanh()))
    table = recurra.Embedding(7, I, seed=8, **F64)
    layers = {
        "residual": lambda: (Residual(other), rnn, linear),
        "recurrent": lambda: (rnn, RecurrentResidual(*inner), after),
        "heads": lambda: (rnn, heads, recurra.Linear(5, 2, seed=4, **F64)),
        "plain": lambda: (rnn, Plain(linear)),
        "Sequential": lambda: (rnn, scaled(recurra.Sequential)(deep, recurra.Tanh()), linear),
        "Embedding": lambda: (scaled(recurra.Embedding)(7, I, seed=3, **F64), rnn, linear),
        "Linear": lambda: (scaled(recurra.Linear)(I, I, seed=3, **F64), rnn, linear),
        "Last": lambda: (rnn, scaled(recurra.Last)(), linear),
        "Tanh": lambda: (rnn, scaled(recurra.Tanh)(), linear),
        "RNN": lambda: (scaled(recurra.RNN)(I, H, seed=3, **F64), linear),
        "GRU": lambda: (scaled(recurra.GRU)(I, H, seed=3, **F64), linear),
        "LSTM": lambda: (table, scaled(recurra.LSTM)(I, H, seed=3, **F64), linear),  # not for the table to skip
    }
    model = recurra.Sequential(*layers[name]())
    return model, draw_tokens() if name in {"Embedding", "LSTM"} else draw(T, B, I)


def draw_tokens():
    return np.random.default_rng(0).integers(0, 7, (T, B))


NAMES = ["residual", "recurrent", "heads", "plain"]
NAMES += ["Sequential", "Embedding", "Linear", "Last", "Tanh", "RNN", "LSTM", "GRU"]
every_member = pytest.mark.parametrize("name", NAMES)


def by_hand(layers, x, lengths):
    """What the members' plain calls come to, one after another."""
    for layer in layers:
        needs = isinstance(layer, (recurra.RNN, recurra.LSTM, recurra.GRU, recurra.Last, recurra.Sequential))
        y = layer(x, lengths=lengths) if needs or hasattr(layer, "run") else layer(x)
        x = y[0] if isinstance(y, tuple) else y
    return x


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["all", "lengths"])
@every_member
def test_a_model_is_its_members_one_by_one(name, lengths):
    model, x = model_of(name)
    expected = by_hand(model, x, lengths)
    y, tape = model.forward(x, lengths=lengths)
    run, state = model.run(x, lengths=lengths)
    for got in (y, run, model(x, lengths=lengths)):
        assert_same_bits(got, expected)
    assert_same_bits(tape.state, state)


def test_as_many_tokens_as_rows_change_nothing():
    """An Embedding of one's own isn't replaced by its table."""
    model = recurra.Sequential(scaled(recurra.Embedding)(4, 3, seed=0), recurra.RNN(3, 5, seed=1))
    assert_same_bits(model(np.array([1, 2, 1, 2, 1]))[:2], model(np.array([1, 2])))


@every_member
def test_central_differences(name):
    model, x = model_of(name)
    state, parameters = model.run(x)[1], model.state_dict()
    dy = draw(*model(x).shape, seed=1)

    def loss():
        model.load_state_dict(parameters)
        return float(np.vdot(model.forward(x, state, lengths=LENGTHS)[0], dy))

    _, tape = model.forward(x, state, lengths=LENGTHS)
    dx = model.backward(tape, dy, retain=True)
    own = {key: np.zeros_like(value) for key, value in model.params.items()}
    assert model.backward(tape, dy, grads=own, need_dx=False, retain=True) is None
    assert_same_bits(own, dict(model.grads))
    arrays = dict(parameters) if x.dtype.kind == "i" else parameters | {"x": x}
    for key, array in arrays.items():
        numeric = numeric_gradient(loss, array)
        assert np.abs((dx if key == "x" else model.grads[key]) - numeric).max() <= 1e-7, key
        assert np.abs(numeric).max() > 1e-3, key


@every_member
def test_it_trains_and_is_copied(name):
    """Optimizers, clipping, zero_grad, state_dict and copies reach every parameter."""
    model, x = model_of(name)
    names = set(model.params)
    assert len(names) == sum(len(leaf.params) for leaf in model.leaves())
    target, before = np.zeros_like(model(x)), model.state_dict()
    history = recurra.fit(model, [(x, target)], recurra.mse, recurra.Adam(model, lr=0.01), epochs=5, clip_norm=1)
    assert history.losses[-1] < history.losses[0]
    assert not any(np.array_equal(value, before[key]) for key, value in model.params.items())
    hows = [copy.deepcopy] if name != "plain" else []  # whose methods are another's
    if name in {"residual", "recurrent", "heads"}:  # whose classes have a name to be found by
        hows.append(lambda model: pickle.loads(pickle.dumps(model)))
    for how in hows:
        twin = how(model)
        assert_same_bits((twin(x), dict(twin.grads)), (model(x), dict(model.grads)))
        twin.load_state_dict(before)
        assert not np.array_equal(twin(x), model(x))
    model.zero_grad()
    assert not any(gradient.any() for gradient in model.grads.values())


def test_names():
    """Of the attributes, with numbers in lists; a layer that has two names counts once."""
    linear = recurra.Linear(H, 2)
    heads = Heads(linear, recurra.Sequential(recurra.Linear(H, 3)), linear)
    names = ["heads.0.weight", "heads.0.bias", "heads.1.0.weight", "heads.1.0.bias"]
    assert list(heads.params) == list(heads.grads) == list(heads.state_dict()) == names
    assert heads.leaves() == [linear, heads.heads[1][0]]
    assert heads.grads["heads.0.weight"] is linear.grads["weight"]
    assert list(recurra.Sequential(heads).params) == ["0." + name for name in names]
    assert repr(Residual(linear)) == "Residual(\n    layer: Linear(4, 2),\n)"
    with refused(ValueError, "state_dict", dict(heads.params)):
        heads.load_state_dict({})
    with refused(ValueError, "heads.1.0.bias", dict(heads.params)):
        heads.load_state_dict(heads.state_dict() | {"heads.1.0.bias": np.zeros(4, np.float32)})


def test_a_layer_of_ones_own_is_a_model():
    """fit, the optimizers and generate take it bare."""
    layer = Residual(recurra.Linear(2, 2, seed=0))
    x = np.ones((3, 2), np.float32)
    assert recurra.fit(layer, [(x, 3 * x)], recurra.mse, recurra.Adam(layer, lr=0.1), epochs=9).losses[-1] < 3
    reader = recurra.Sequential(
        recurra.Embedding(7, 7, seed=0), RecurrentResidual(recurra.GRU(7, 7, seed=1)), recurra.Linear(7, 7, seed=2)
    )
    text = recurra.generate(reader, [1, 2], 20, temperature=0)
    whole = [1, 2]
    for _ in range(20):
        whole.append(int(reader(np.array(whole))[-1].argmax()))
    assert text.tolist() == whole[2:]


def test_states_are_as_the_members_take_them():
    """A list for one that has several; one without any has no place among them."""
    model, x = model_of("recurrent")
    _, state = model.run(x)
    assert [type(one) for one in state] == [np.ndarray, list, np.ndarray]
    first, middle = model.run(x[:2])
    second, end = model.run(x[2:], middle)
    assert_same_bits((np.concatenate([first, second]), end), (model(x), state))
    feed = scaled(recurra.Sequential)(recurra.Linear(H, H, **F64))
    assert len(recurra.Sequential(feed, recurra.GRU(H, H, **F64)).run(x)[1]) == 1
    with refused(TypeError, "dstate", dict(model.grads)):
        model.backward(model.forward(x)[1], draw(T, B, 3), [None, state[0], None])


def test_what_lacks_a_method_is_refused():
    class Half:
        def __call__(self, x):
            return x

        def forward(self, x):
            return x, None

    with refused(TypeError, "layers", form=r": expected .*Composite, got .*has no backward, leaves"):
        recurra.Sequential(recurra.Tanh(), Half())
    with refused(TypeError, "layers", form=r": expected one argument for each, got a list: write \*layers"):
        recurra.Sequential([recurra.Tanh(), recurra.Tanh()])


# ---- Both directions, batch first


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["all", "lengths"])
@pytest.mark.parametrize("kind", [recurra.RNN, recurra.LSTM, recurra.GRU])
def test_last_after_both_directions_is_the_final_state_of_each(kind, lengths, batch_first):
    layer = kind(I, H, num_layers=2, bidirectional=True, batch_first=batch_first, seed=0, **F64)
    model = recurra.Sequential(layer, recurra.Tanh(), recurra.Last(batch_first))
    assert repr(model[2]) == f"Last({'batch_first=True, ' * batch_first}bidirectional=True)"
    x = draw(B, T, I) if batch_first else draw(T, B, I)
    y, state = layer(x, lengths=lengths)
    h = state[0] if kind is recurra.LSTM else state
    expected = np.tanh(np.concatenate([h[2], h[3]], axis=-1))
    if lengths is not None:
        expected[lengths == 0] = 0
    np.testing.assert_allclose(model(x, lengths=lengths), expected, rtol=1e-14)
    np.testing.assert_allclose(model[1:](y, lengths=lengths), expected, rtol=1e-14)
    got, tape = model.forward(x, lengths=lengths)
    dy = draw(*got.shape, seed=1)
    dx = model.backward(tape, dy)
    numeric = numeric_gradient(lambda: float(np.vdot(model(x, lengths=lengths), dy)), x)
    assert np.abs(dx - numeric).max() <= 1e-7
    if lengths is None:
        one = x[0] if batch_first else np.ascontiguousarray(x[:, 0])
        np.testing.assert_allclose(model(one), got[0], rtol=1e-14)


def test_last_alone_takes_both_directions_if_told():
    x = draw(T, B, 6)
    assert_same_bits(recurra.Last(bidirectional=True)(x), np.concatenate([x[-1, :, :3], x[0, :, 3:]], axis=-1))
    got = recurra.Last(bidirectional=True)(x, lengths=LENGTHS)
    expected = np.zeros((B, 6))
    expected[0], expected[2] = np.r_[x[4, 0, :3], x[0, 0, 3:]], np.r_[x[1, 2, :3], x[0, 2, 3:]]
    assert_same_bits(got, expected)
    assert_same_bits(recurra.Last()(x), x[-1].copy())
    with refused(ValueError, "x"):
        recurra.Last(bidirectional=True)(x[..., :5])
    with refused(TypeError, "bidirectional"):
        recurra.Last(bidirectional=1)
    empty = np.zeros((0, B, 6))
    y, _ = recurra.Last(bidirectional=True).forward(empty, lengths=np.zeros(B, int))
    assert not y.any()


def test_last_says_what_it_takes_where_it_cannot_know():
    pair, one = recurra.GRU(I, H, bidirectional=True, seed=0), recurra.GRU(I, H, seed=0)
    readout = recurra.Linear(2 * H, 6, seed=1)
    form = r": expected Last\(bidirectional=True\).*Last\(bidirectional=False\).*got Last\(\)"
    with refused(ValueError, "layers", form=form):
        recurra.Sequential(pair, readout, recurra.Last())
    with refused(ValueError, "layers", form=form):
        recurra.Sequential(scaled(recurra.Sequential)(pair), recurra.Last())
    with refused(ValueError, "layers"):
        recurra.Sequential(pair, scaled(recurra.Last)())
    with refused(ValueError, "layers", form=": expected a bidirectional layer before Last"):
        recurra.Sequential(one, recurra.Last(bidirectional=True))
    x = draw(T, B, I).astype(np.float32)
    last = recurra.Sequential(pair, recurra.Last(bidirectional=False))
    assert_same_bits(last(x), pair(x)[0][-1].copy())
    assert recurra.Sequential(pair, readout, recurra.Last(bidirectional=True))(x).shape == (B, 6)
    recurra.Sequential(pair, recurra.GRU(2 * H, H), recurra.Last())
    within = recurra.Sequential(pair, recurra.Sequential(recurra.Last(), readout))
    assert within[1][0].bidirectional
    assert within[1][1] is readout


@pytest.mark.parametrize("batch_first", [False, True])
def test_last_of_a_reverse_layer_is_its_final_state(batch_first):
    gru = recurra.GRU(I, H, reverse=True, batch_first=batch_first, seed=0, **F64)
    model = recurra.Sequential(gru, recurra.Tanh(), recurra.Last(batch_first))
    assert repr(model[2]) == f"Last({'batch_first=True, ' * batch_first}reverse=True)"
    x, dy = draw(B, T, I) if batch_first else draw(T, B, I), draw(B, H, seed=2)
    for lengths in (None, LENGTHS):
        _, h_n = gru(x, lengths=lengths)
        y, tape = model.forward(x, lengths=lengths)
        assert_same_bits(y, recurra.Tanh()(h_n[0]))
        assert_same_bits(model(x, lengths=lengths), y)
        dx = model.backward(tape, dy)
        numeric = numeric_gradient(lambda lengths=lengths: float(np.vdot(model(x, lengths=lengths), dy)), x)
        assert np.abs(dx - numeric).max() <= 1e-7
    told = recurra.Sequential(gru, recurra.Last(batch_first, reverse=False))
    steps = gru(x)[0]
    assert_same_bits(told(x), (steps[:, -1] if batch_first else steps[-1]).copy())


def test_last_of_a_reverse_layer_has_to_be_told_where_it_cannot_know():
    reverse = recurra.GRU(I, H, reverse=True, seed=0)
    with refused(ValueError, "layers", form=": expected a layer with reverse=True before Last"):
        recurra.Sequential(recurra.GRU(I, H, seed=0), recurra.Last(reverse=True))
    with refused(ValueError, "layers", form=": expected reverse=True, .*got"):
        recurra.Sequential(reverse, scaled(recurra.Last)())
    with refused(ValueError, "layers", form=r": expected Last\(reverse=True\)"):
        recurra.Sequential(reverse, recurra.Parallel(recurra.Last(), recurra.AttentionPooling(H)))
    recurra.Sequential(reverse, recurra.Parallel(recurra.Last(reverse=True), recurra.AttentionPooling(H)))
    with refused(ValueError, "reverse"):
        recurra.Last(bidirectional=True, reverse=True)
    with refused(TypeError, "reverse"):
        recurra.Last(reverse=1)


def test_batch_first_is_everybodys_or_nobodys():
    first, steps = recurra.GRU(I, H, batch_first=True, seed=0), recurra.GRU(H, H, seed=1)
    form = r": expected all with batch_first=True or all without, got .* and .*"
    for wrong in (
        (recurra.LSTM(I, H, batch_first=True), steps),
        (first, recurra.Last()),
        (steps, recurra.Last(batch_first=True)),
        (recurra.Sequential(first, recurra.Tanh()), steps),
        (scaled(recurra.Sequential)(first), steps),
        (first, RecurrentResidual(steps)),
    ):
        with refused(ValueError, "layers", form=form):
            recurra.Sequential(*wrong)
    model = recurra.Sequential(first, recurra.GRU(H, H, batch_first=True, seed=1), recurra.Last(batch_first=True))
    x = draw(B, T, I).astype(np.float32)
    turned = recurra.Sequential(recurra.GRU(I, H, seed=0), steps, recurra.Last())
    assert_same_bits(model(x, lengths=LENGTHS), turned(np.ascontiguousarray(x.swapaxes(0, 1)), lengths=LENGTHS))
    assert (model.batch_first, turned.batch_first, recurra.Sequential(recurra.Tanh()).batch_first) == (
        True,
        False,
        None,
    )


# ---- What is refused before anything runs


class Watched(recurra.Composite):
    """Counts how often it is called; hands x on."""

    calls = 0

    def __call__(self, x):
        self.calls += 1
        return x

    def forward(self, x):
        self.calls += 1
        return x, None

    def backward(self, tape, dy, **options):  # noqa: ARG002
        return dy


def test_states_are_refused_before_the_first_member_has_run():
    model = recurra.Sequential(
        recurra.Dropout(0.5),
        recurra.LSTM(I, H, num_layers=2, dropout=0.5, seed=0),
        recurra.Dropout(0.5),
        recurra.GRU(H, H, bidirectional=True, seed=1),
    )
    x = draw(T, B, I).astype(np.float32)
    _, ((h, c), g) = model.run(x)
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    wrong = [
        (ValueError, "h0", {"state": [None, g[:, :2]]}),
        (ValueError, "h0", {"state": [None, g[:1]]}),
        (ValueError, "h0", {"state": [None, g[..., 1:]]}),
        (ValueError, "h0", {"state": [None, g[:, 0]]}),
        (TypeError, "h0", {"state": [None, g.astype(np.float64)]}),
        (TypeError, "h0", {"state": [None, (g, g)]}),
        (TypeError, "hx", {"state": [h, g]}),
        (ValueError, "c0", {"state": [(h, c[1:]), g]}),
        (TypeError, "lengths", {"lengths": [1, 2, 3.5]}),
        (ValueError, "lengths", {"lengths": np.array([1, 2, 6])}),
        (ValueError, "lengths", {"lengths": np.array([1, 2])}),
        (ValueError, "lengths", {"lengths": np.array([1]), "x": x[:, 0]}),
        (ValueError, "x", {"x": x[..., 1:]}),
        (TypeError, "x", {"x": x.astype(np.float64)}),
        (TypeError, "x", {"x": x.tolist()}),
    ]
    for error, name, changed in wrong:
        given = {"x": x} | changed
        with refused(error, name):
            model.forward(**given, rng=rng)
        assert rng.bit_generator.state == before
        with refused(error, name):
            model.run(**given)
    model.forward(x, [(None, c), g], lengths=LENGTHS, rng=rng)
    assert rng.bit_generator.state != before


def test_dropout_without_a_generator_is_refused_before_the_first_member_has_run():
    watched = Watched()
    for last in (recurra.Dropout(0.5), recurra.GRU(I, H, num_layers=2, dropout=0.1)):
        with refused(ValueError, "rng"):
            recurra.Sequential(watched, last).forward(np.zeros((T, I), np.float32))
    assert watched.calls == 0
    recurra.Sequential(watched, recurra.Dropout(0.0)).forward(np.zeros((T, I), np.float32))
    assert watched.calls == 1


def test_a_tape_of_none_behind_an_embedding():
    """Any object may be a tape."""

    class Twice(recurra.Composite):
        def __call__(self, x):
            return 2 * x

        def forward(self, x):
            return 2 * x, None

        def backward(self, tape, dy, *, need_dx=True, grads=None, retain=False):  # noqa: ARG002
            return 2 * dy

    tokens = np.zeros((6, 3), int)
    makers = (recurra.Embedding, 5, 4), (recurra.GRU, 4, 8), (recurra.Linear, 8, 5)
    layers = [make(*sizes, dtype=np.float64, seed=0) for make, *sizes in makers]
    layers.insert(2, Twice())
    model = recurra.Sequential(*layers)
    y, tape = model.forward(tokens)
    model.backward(tape, np.ones_like(y))
    grads = {name: array.copy() for name, array in model.grads.items()}
    model.zero_grad()
    embedded, embedding_tape = layers[0].forward(tokens)
    h, _, gru_tape = layers[1].forward(embedded)
    _, linear_tape = layers[3].forward(2 * h)
    dh = layers[3].backward(linear_tape, np.ones_like(y)) * 2
    layers[0].backward(embedding_tape, layers[1].backward(gru_tape, dh)[0])
    for name, array in model.grads.items():
        np.testing.assert_allclose(grads[name], array, rtol=1e-12, atol=1e-12)
