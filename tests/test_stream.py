"""Streams: the bits of the model over the whole sequence, however the steps come; states, forks, resets."""

from __future__ import annotations

import numpy as np
import pytest

import recurra
from configs import CELLS, CLASSES, assert_same_bits
from formula_cells import CELLS as FORMULAS
from recurra.formula_layer import layer_class

LAYERS = {name: (CLASSES[name][0], CLASSES[name][2]) for name in CELLS} | {
    name: (layer_class(made), {"proj_size": 3} if made.projects else {})
    for name, made in FORMULAS.items()
    if name not in CELLS and not made.declared.inputs
}


def sound(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def stepped(stream, x, axis=0):
    return np.stack([stream(np.ascontiguousarray(x_t)) for x_t in np.moveaxis(x, axis, 0)], axis)


def in_blocks(stream, x, ends, axis=0):
    return np.concatenate([stream.many(block) for block in np.split(x, ends, axis)], axis)


def randomised(layer, seed=0):
    """With weights of its learned states and scalars that differ from their beginnings."""
    rng = np.random.default_rng(seed)
    state = layer.state_dict()
    layer.load_state_dict(
        {k: (v + 0.3 * rng.standard_normal(v.shape).astype(v.dtype)).astype(v.dtype) for k, v in state.items()}
    )
    return layer


@pytest.mark.parametrize("name", LAYERS)
def test_steps_and_blocks_give_the_bits_of_the_whole(name):
    kind, options = LAYERS[name]
    size = 18 if name == "s_lstm" else 17
    raw = name in FORMULAS and FORMULAS[name].reads_input_itself
    for batch, layers, inputs, dtype, learned in ((1, 1, 5, np.float32, False), (3, 2, 1, np.float64, True)):
        features = size if raw else inputs
        layer = kind(features, size, layers, dtype=dtype, seed=1, learned_state=learned, **options)
        if learned and name != "s_lstm":
            randomised(layer)
        x = sound(39, batch, features, dtype=dtype)
        y, state = layer(x)
        stream = recurra.Stream(layer, batch)
        assert_same_bits(stepped(stream, x), y)
        assert_same_bits(stream.state, state)
        stream.reset()
        assert_same_bits(in_blocks(stream, x, [1, 1, 4]), y)
        assert_same_bits(stream.state, state)


def everything(dtype=np.float32, batch_first=False):
    return recurra.Sequential(
        recurra.Dropout(0.5),
        recurra.Linear(3, 19, seed=0, dtype=dtype),
        recurra.ReLU(),
        recurra.LSTM(19, 33, 2, seed=1, dtype=dtype, batch_first=batch_first),
        recurra.Tanh(),
        recurra.Sequential(recurra.GRU(33, 16, seed=2, dtype=dtype, batch_first=batch_first), recurra.Dropout(0.1)),
        recurra.Sigmoid(),
        recurra.Linear(16, 7, seed=3, bias=False, dtype=dtype),
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch", [1, 2, 6, 40])
def test_a_whole_model(batch, dtype):
    model, x = everything(dtype), sound(40, batch, 3, dtype=dtype)
    y, states = model.run(x)
    stream = recurra.Stream(model, batch)
    assert_same_bits(stepped(stream, x), y)
    assert_same_bits(stream.state, states)
    stream.reset()
    assert_same_bits(in_blocks(stream, x, [33]), y)
    assert_same_bits(stream.state, states)
    assert_same_bits(stream.many(x[:0]), y[:0])
    assert_same_bits(stream.state, states)


@pytest.mark.parametrize("size", [1, 8, 15, 64, 129])
def test_sizes_around_the_vectors(size):
    model = recurra.Sequential(
        recurra.LSTM(size, size, seed=0), recurra.Linear(size, size, seed=1), recurra.GRU(size, size, seed=2)
    )
    for batch in (1, 7):
        x = sound(9, batch, size)
        assert_same_bits(stepped(recurra.Stream(model, batch), x), model(x))


def test_large_layers_whose_weights_exceed_the_caches():
    layer = recurra.LSTM(40, 520, seed=0)
    x = sound(35, 1, 40)
    y, state = layer(x)
    stream = recurra.Stream(layer)
    assert_same_bits(np.concatenate([stepped(stream, x[:2]), stream.many(x[2:])]), y)
    assert_same_bits(stream.state, state)


@pytest.mark.parametrize("batch", [1, 4])
def test_batch_first_is_for_blocks(batch):
    model = everything(batch_first=True)
    x = sound(batch, 50, 3)
    y = model(x)
    stream = recurra.Stream(model, batch)
    assert_same_bits(stepped(stream, x, 1), y)
    stream.reset()
    assert_same_bits(in_blocks(stream, x, [3, 40], 1), y)
    stream.reset()
    out = np.zeros((2, *y.shape), np.float32)[1]
    assert stream.many(x, out) is out
    assert_same_bits(out, y)
    tokens = np.random.default_rng(0).integers(0, 5, (batch, 37))
    model = recurra.Sequential(recurra.Embedding(5, 3, seed=0), recurra.GRU(3, 9, batch_first=True, seed=0))
    assert_same_bits(recurra.Stream(model, batch).many(tokens), model(tokens))


def test_last_is_the_answer_until_now():
    model = recurra.Sequential(recurra.GRU(3, 8, seed=0), recurra.Last(), recurra.Linear(8, 2, seed=1))
    x = sound(25, 2, 3)
    stream = recurra.Stream(model, 2)
    for t in range(25):
        assert_same_bits(stream(x[t]), model(x[: t + 1]))


@pytest.mark.parametrize("layer", [recurra.ReLU(), recurra.Tanh(), recurra.Sigmoid()], ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations_of_every_kind_of_number(layer, dtype):
    """NaN, infinities, zeros and subnormal numbers."""
    tiny = np.finfo(dtype).smallest_subnormal
    values = np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, 0, tiny, -tiny, -1, 1, -100, 1e-5], dtype)
    table = recurra.Embedding(len(values), 1, dtype=dtype, seed=0)
    table.load_state_dict({"weight": values[:, None]})
    model, all_of_them = recurra.Sequential(table, layer), np.arange(len(values))
    assert_same_bits(recurra.Stream(model, len(values))(all_of_them), model(all_of_them))


def test_states_are_copies_that_may_be_set():
    model, x = everything(), sound(30, 2, 3)
    stream = recurra.Stream(model, 2)
    stream.many(x[:10])
    kept = stream.state
    _, expected = model.run(x[:10])
    assert_same_bits(kept, expected)
    y = stream.many(x[10:])
    assert_same_bits(kept, expected)  # and not views
    stream.state = kept
    kept[0][0][...] = np.nan
    assert_same_bits(stream.many(x[10:]), y)
    stream.state = tuple(expected)
    assert_same_bits(stream.many(x[10:]), y)
    stream.state = [None, expected[1]]
    assert_same_bits(stream.many(x[10:]), model.run(x[10:], [None, expected[1]])[0])
    stream.state = [(None, expected[0][1]), None]
    assert_same_bits(stream.many(x[10:]), model.run(x[10:], [(None, expected[0][1]), None])[0])
    stream.state = None
    assert_same_bits(stream.many(x), model(x))


def test_the_state_of_a_layer_is_what_it_returns():
    """No list; and a state without a batch, of a call without one, will do for a single sequence."""
    lstm, x = recurra.LSTM(3, 6, 2, seed=0), sound(20, 3)
    y, (h, c) = lstm(x[:8])
    stream = recurra.Stream(lstm)
    stream.state = h, c
    assert_same_bits(stream.many(x[8:]), lstm(x[8:], (h, c))[0])
    stream.state = [h, c]
    assert_same_bits(stream.state, (h[:, None], c[:, None]))
    assert recurra.Stream(recurra.Sequential(lstm)).state[0][1].shape == (2, 1, 6)
    assert recurra.Stream(recurra.Linear(2, 2, seed=0)).state == []
    assert y.shape == (8, 6)


@pytest.mark.parametrize("learned", [False, True])
def test_reset(learned):
    layer = recurra.LSTM(3, 9, 2, seed=0, learned_state=learned)
    if learned:
        randomised(layer)
    x = sound(12, 4, 3)
    whole, _ = layer(x)
    stream = recurra.Stream(layer, 4)
    for rows, numbers in (
        (None, range(4)),
        ([0, 2], [0, 2]),
        (np.array([3, 3, 1]), [3, 1]),
        (np.array([True, False, False, True]), [0, 3]),
        ([], []),
        (2, [2]),
    ):
        stream.reset()
        first = stream.many(x)
        before = stream.state
        assert_same_bits(first, whole)
        assert stream.reset(rows) is None
        after = stream.state
        again = stream.many(x)
        onward, _ = layer(x, before)
        for row in range(4):
            expected = whole if row in numbers else onward
            assert_same_bits(again[:, row], expected[:, row])
            if row not in numbers:
                assert_same_bits(after[0][:, row], before[0][:, row])


def test_a_subclass_that_is_no_other_model():
    class Named(recurra.Sequential):
        def __init__(self, *layers, name):
            super().__init__(*layers)
            self.name = name

    model, x = Named(recurra.GRU(3, 4, seed=0), name="mine"), sound(7, 1, 3)
    assert_same_bits(stepped(recurra.Stream(model), x), model(x))


def test_forks_go_their_own_ways():
    model, x = everything(), sound(30, 1, 3)
    stream = recurra.Stream(model)
    stream.many(x[:10])
    fork = stream.fork()
    assert type(fork) is recurra.Stream
    assert repr(fork) == repr(stream)
    y = stream.many(x[10:])
    assert_same_bits(fork.many(x[10:20]), y[:10])
    stream.close()
    assert_same_bits(fork.many(x[20:]), y[10:])
    assert_same_bits(fork.fork().state, fork.state)


def test_a_stream_keeps_its_weights():
    """Those of its construction, also in a fork, and when the model is gone."""
    model, x = everything(), sound(15, 1, 3)
    y = model(x)
    stream = recurra.Stream(model)
    model.load_state_dict({name: 2 * value for name, value in model.state_dict().items()})
    later = recurra.Stream(model)
    assert_same_bits(later.many(x), model(x))
    assert not np.array_equal(model(x), y)
    del model
    fork = stream.fork()
    assert_same_bits(stream.many(x), y)
    assert_same_bits(fork.many(x), y)


def test_a_subclass_of_stream():
    class Counting(recurra.Stream):
        def __init__(self, *_):
            self.calls = 0

        def __call__(self, x):
            self.calls += 1
            return super().__call__(x)

    x = sound(4, 3)
    counting, plain = (kind(recurra.GRU(3, 4, seed=0)) for kind in (Counting, recurra.Stream))
    for x_t in x:
        assert_same_bits(counting(x_t), plain(x_t))
    assert counting.calls == 4


def test_what_a_stream_says_of_itself():
    stream = recurra.Stream(recurra.Sequential(recurra.GRU(3, 4, seed=0), recurra.Linear(4, 2, seed=0)), batch=2)
    assert repr(stream) == "Stream(Sequential(GRU(3, 4), Linear(4, 2)), batch=2)"
    assert repr(recurra.Stream(recurra.GRU(3, 4, seed=0))) == "Stream(GRU(3, 4), batch=1)"
    assert stream.batch == 2
    assert not stream.closed
    with stream as same:
        assert same is stream
    assert stream.closed
    assert repr(stream) == "Stream(Sequential(GRU(3, 4), Linear(4, 2)), closed)"
