"""What a user of PyTorch expects of RNN, LSTM and GRU: shapes, defaults, weights, states, outputs, dropout."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

import calls
import recurra
from configs import CELLS, Config, assert_same_bits, make_data, make_layer

KINDS = {"rnn": recurra.RNN, "lstm": recurra.LSTM, "gru": recurra.GRU}
DEFAULTS = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
SMALL = Config(
    cell="lstm",
    input_size=3,
    hidden_size=5,
    num_layers=2,
    bidirectional=True,
    bias=True,
    dtype=np.float32,
    batch_first=False,
    lengths=False,
    state=True,
    T=7,
    B=4,
)

every_cell = pytest.mark.parametrize("cell", CELLS)
every_kind = pytest.mark.parametrize("kind", KINDS)


def case(cell, **changes):
    """A small configuration, its data and layer."""
    config = replace(SMALL, cell=cell, **changes)
    data = make_data(config, np.random.default_rng(CELLS.index(cell)))
    return config, data, make_layer(config, data.params)


def as_list(state):
    return list(state) if isinstance(state, tuple) else [state]


def as_state(arrays):
    return tuple(arrays) if len(arrays) > 1 else arrays[0]


SHAPES = list(product((1, 2, 3), (False, True), (False, True), (np.float32, np.float64)))


@pytest.mark.parametrize(("num_layers", "bidirectional", "batch_first", "dtype"), SHAPES)
@every_kind
def test_shapes(kind, num_layers, bidirectional, batch_first, dtype):
    """Outputs in the layer's layout, states (L·D, B, H) in both; unbatched is a batch of one without its axis."""
    options = {"num_layers": num_layers, "bidirectional": bidirectional, "batch_first": batch_first, "dtype": dtype}
    layer = KINDS[kind](3, 5, **options, seed=0)
    rng, directions = np.random.default_rng(1), 1 + bidirectional
    x, states = rng.standard_normal((7, 4, 3)).astype(dtype), (num_layers * directions, 4, 5)
    given = [rng.standard_normal(states).astype(dtype) for _ in range(1 + (kind == "lstm"))]
    y, state, tape = layer.forward(x.swapaxes(0, 1) if batch_first else x, as_state(given))
    shape = (4, 7, 5 * directions) if batch_first else (7, 4, 5 * directions)
    assert (y.shape, [s.shape for s in as_list(state)]) == (shape, [states] * len(given))
    assert [h.shape for h in tape.outputs] == [shape] * num_layers
    assert {name: [c.shape for c in tracks] for name, tracks in tape.states.items()} == (
        {"c": [shape] * num_layers} if kind == "lstm" else {}
    )
    dx, dstate = layer.backward(tape, y, state)
    assert (dx.shape, [d.shape for d in as_list(dstate)]) == ((*shape[:2], 3), [states] * len(given))
    arrays = [y, dx, *as_list(state), *as_list(dstate), *layer.params.values(), *layer.grads.values()]
    assert {a.dtype for a in arrays} == {np.dtype(dtype)}
    assert isinstance(state, tuple) == isinstance(dstate, tuple) == (kind == "lstm")

    one, alone, tape = layer.forward(x[:, 1], as_state([s[:, 1] for s in given]))
    assert_same_bits(one, np.ascontiguousarray((y.swapaxes(0, 1) if batch_first else y)[:, 1]))
    assert_same_bits(as_list(alone), [np.ascontiguousarray(s[:, 1]) for s in as_list(state)])
    assert [h.shape for h in tape.outputs] == [one.shape] * num_layers
    d_one, d_alone = layer.backward(tape, one, alone)
    assert_same_bits(d_one, np.ascontiguousarray((dx.swapaxes(0, 1) if batch_first else dx)[:, 1]))
    assert_same_bits(as_list(d_alone), [np.ascontiguousarray(d[:, 1]) for d in as_list(dstate)])


@every_kind
def test_defaults_and_attributes(kind):
    special = {"rnn": {"nonlinearity": "tanh"}, "lstm": {}, "gru": {"reset_after": True}}[kind]
    layer = KINDS[kind](3, 5)
    for name, value in (DEFAULTS | special | {"input_size": 3, "hidden_size": 5}).items():
        assert getattr(layer, name) == value, name
        assert type(getattr(layer, name)) is type(value), name
    assert layer.dtype == np.float32
    assert list(layer.params) == list(layer.grads) == list(layer.state_dict())
    assert list(layer.params) == ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
    other = {"num_layers": 3, "bias": False, "batch_first": True, "dropout": 0.25, "bidirectional": True}
    special = {"rnn": {"nonlinearity": "relu"}, "lstm": {}, "gru": {"reset_after": False}}[kind]
    layer = KINDS[kind](2, 4, **other, **special)
    for name, value in (other | special).items():
        assert getattr(layer, name) == value, name
    weights = [f"weight_{of}_l{k}{way}" for k in range(3) for way in ("", "_reverse") for of in ("ih", "hh")]
    assert list(layer.params) == weights


def test_repr():
    """As in PyTorch, with the options that aren't as they are by default; it can be typed in again."""
    assert repr(recurra.LSTM(32, 64)) == "LSTM(32, 64)"
    layer = recurra.LSTM(32, 64, num_layers=2, bidirectional=True, seed=3)
    assert repr(layer) == "LSTM(32, 64, num_layers=2, bidirectional=True)"
    made = [
        recurra.RNN(3, 5, nonlinearity="relu", batch_first=True),
        recurra.GRU(3, 5, bias=False, reset_after=False, num_layers=2, dropout=0.5),
        recurra.LSTM(3, 5, dtype=np.float64),
        recurra.RNNCell(3, 5, nonlinearity="relu"),
        recurra.LSTMCell(3, 5, bias=False),
        recurra.GRUCell(3, 5, reset_after=False),
        recurra.Linear(3, 5, bias=False),
    ]
    known = vars(recurra) | {"np": np, "numpy": np, "float64": np.float64}
    for layer in made:
        again = eval(repr(layer), known)
        assert type(again) is type(layer)
        assert repr(again) == repr(layer)
        for name in (*DEFAULTS, "reset_after", "nonlinearity", "dtype", "in_features", "input_size", "hidden_size"):
            assert getattr(again, name, None) == getattr(layer, name, None), (repr(layer), name)


@every_kind
def test_initial_weights(kind):
    """PyTorch's: all uniform in ±1/√H, the biases as well."""
    layer = KINDS[kind](40, 100, num_layers=2, bidirectional=True, seed=0)
    values = {name: value.astype(np.float64) * np.sqrt(100) for name, value in layer.params.items()}
    assert len(values) == 16
    for name, value in values.items():
        assert np.abs(value).max() <= 1 + 1e-6, name
        assert np.abs(value).max() > 0.95, name
        assert abs(value.mean()) < 5 / np.sqrt(3 * value.size), name
        assert abs(value.var() - 1 / 3) < 5 * np.sqrt(4 / 45 / value.size), name
    firsts = {value.reshape(-1)[:3].tobytes() for value in layer.params.values()}
    assert len(firsts) == 16  # no two arrays alike
    assert not any(gradient.any() for gradient in layer.grads.values())


@pytest.mark.parametrize("kind", [*KINDS.values(), recurra.RNNCell, recurra.LSTMCell, recurra.GRUCell, recurra.Linear])
def test_seeds(kind):
    def weights(seed):
        return b"".join(value.tobytes() for value in kind(3, 5, seed=seed).params.values())

    assert weights(1) == weights(1) == weights(np.int64(1))
    assert len({weights(seed) for seed in (0, 1, 2, None, None)}) == 5
    rng, same = np.random.default_rng(7), np.random.default_rng(7)
    drawn = weights(rng), weights(rng)
    assert drawn[0] != drawn[1]
    assert drawn == (weights(same), weights(same))


@every_cell
def test_no_state_is_a_state_of_zeros(cell):
    config, data, layer = case(cell)
    zeros, x = np.zeros_like(data.h0), data.x
    if config.has_cell_state:
        pairs = [(None, (zeros, zeros)), ((None, None), (zeros, zeros)), ((None, data.c0), (zeros, data.c0))]
        pairs += [((data.h0, None), (data.h0, zeros)), ([data.h0, data.c0], (data.h0, data.c0))]
    else:
        pairs = [(None, zeros)]
    for given, full in pairs:
        assert_same_bits(layer(x, given), layer(x, full))
        first, second = layer.forward(x, given), layer.forward(x, full)
        assert_same_bits(first[:2], second[:2])
        backward = [layer.backward(tape, data.dy) for *_, tape in (first, second)]
        assert_same_bits(*backward)
    assert not np.array_equal(layer(x)[0], layer(x, calls.as_state(config, data.h0, data.c0))[0])


@pytest.mark.parametrize("batch_first", [False, True])
@every_cell
def test_out(cell, batch_first):
    """Is filled, all of it, and returned; forward has no such argument but the same numbers."""
    config, data, layer = case(cell, batch_first=batch_first, lengths=True)
    x, state = config.layout(data.x), calls.as_state(config, data.h0, data.c0)
    expected = layer(x, state, lengths=data.lengths)
    out = np.full_like(expected[0], np.nan)
    y, final = layer(x, state, lengths=data.lengths, out=out)
    assert y is out
    assert_same_bits((y, final), expected)
    assert_same_bits(layer.forward(x, state, lengths=data.lengths)[:2], expected)
    assert data.lengths.min() < config.T  # so there is padding to clear
    assert not out[np.isnan(x).all(-1)].any()


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@every_cell
def test_out_may_overlap_the_arguments(cell, num_layers, bidirectional):
    """As x itself, as part of it, or as the state: what is still to be read must not be overwritten."""
    width = 10 if bidirectional else 5
    config, data, layer = case(cell, input_size=width, num_layers=num_layers, bidirectional=bidirectional)
    state = calls.as_state(config, data.h0, data.c0)
    expected = layer(data.x, state)
    x = data.x.copy()
    assert_same_bits(layer(x, state, out=x), expected)
    for shift in (1, -1):
        memory = np.full((9, *data.x.shape[1:]), np.nan, np.float32)
        x, out = memory[1:8], memory[1 + shift : 8 + shift]
        x[...] = data.x
        assert_same_bits(layer(x, state, out=out), expected)
    for every, begin in ((1, 0), (2, 1)):  # the last step where the first goes; each other's gaps
        memory = np.zeros(every * data.x.size, np.float32)
        x, out = (memory[k::every].reshape(data.x.shape) for k in (0, begin))
        x[...] = data.x
        assert_same_bits(np.ascontiguousarray(layer(x[::-1], state, out=out)[0]), layer(data.x[::-1], state)[0])
    states = (num_layers * (1 + bidirectional), 4, 5)
    if not bidirectional:
        h0, part = data.h0.copy(), data.x[: states[0]]
        given = calls.as_state(config, h0, h0)
        expected = layer(part, calls.as_state(config, data.h0, data.h0))
        assert_same_bits(layer(part, given, out=h0), expected)


@every_cell
def test_empty(cell):
    """No steps leave the state as it is, no rows leave nothing; both ways."""
    for T, B in ((0, 4), (7, 0), (0, 0)):
        config, data, layer = case(cell, T=T, B=B)
        results, tape, _ = calls.forward(layer, config, data)
        plain = calls.plain(layer, config, data)
        assert_same_bits(plain, {name: results[name] for name in plain})
        results |= calls.backward(layer, config, data, tape)[0]
        assert results["y"].shape == (T, B, 10)
        pairs = [("h_n", data.h0), ("dh0", data.dh_n), ("c_n", data.c0), ("dc0", data.dc_n)]
        assert_same_bits({k: results[k] for k, v in pairs if v is not None}, {k: v for k, v in pairs if v is not None})
        assert_same_bits(results["dx"], np.zeros_like(data.x))
        assert_same_bits({n: results[n] for n in data.params}, {n: np.zeros_like(v) for n, v in data.params.items()})


@every_cell
def test_rows_of_length_zero(cell):
    """Hand on their state and its gradient bit for bit, NaN and all, and add nothing to the weights' gradients."""
    config = replace(SMALL, cell=cell, lengths=True)
    data = make_data(config, np.random.default_rng(2), lengths=[7, 0, 3, 0])
    layer, empty, full = make_layer(config, data.params), [1, 3], [0, 2]
    for array in (data.h0, data.c0, data.dh_n, data.dc_n):
        if array is not None:
            array[1, 3] = np.nan
    results, _ = calls.both(layer, config, data)
    for name, given in (("h_n", data.h0), ("dh0", data.dh_n), ("c_n", data.c0), ("dc0", data.dc_n)):
        if given is not None:
            assert_same_bits(results[name][:, empty], given[:, empty])
    for name in ("y", "outputs_0", "outputs_1", "dx"):
        assert_same_bits(results[name][:, empty], np.zeros_like(results[name][:, empty]))
    rest = [None if a is None else a[:, full] for a in (data.x, data.h0, data.c0, data.dy, data.dh_n, data.dc_n)]
    part = replace(data, **dict(zip(("x", "h0", "c0", "dy", "dh_n", "dc_n"), rest, strict=True)))
    part = replace(
        part,
        lengths=data.lengths[full],
        doutputs={k: d[:, full] for k, d in data.doutputs.items()},
        dstates={name: {k: d[:, full] for k, d in ds.items()} for name, ds in data.dstates.items()},
    )
    alone, _ = calls.both(layer, replace(config, B=2), part)
    assert_same_bits({n: results[n] for n in data.params}, {n: alone[n] for n in data.params})


@every_cell
def test_calls_leave_no_trace(cell):
    """A call depends on its arguments alone, and changes none of them."""
    config, data, layer = case(cell)
    before = {name: np.copy(value) for name, value in vars(data).items() if isinstance(value, np.ndarray)}
    first, _ = calls.both(layer, config, data)
    other_config, other, _ = case(cell, T=11, B=9)
    calls.both(layer, other_config, other)
    layer(np.full_like(data.x, np.nan))
    assert_same_bits(calls.both(layer, config, data)[0], first)
    assert_same_bits({name: getattr(data, name) for name in before}, before)
    results = layer(data.x, calls.as_state(config, data.h0, data.c0))
    for array in (results[0], *as_list(results[1])):
        array[...] = np.nan  # what was returned is the caller's
    assert_same_bits(calls.both(layer, config, data)[0], first)
    assert_same_bits(layer.state_dict(), data.params)
