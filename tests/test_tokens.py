"""Tokens instead of one-hot rows: the same bits, forward and back, and clear errors."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

import calls
import recurra
from configs import CELLS, assert_same_bits, draw_config, make_data, make_layer
from recurra import _core

DTYPES = (np.float32, np.float64)


def one_hot(tokens, size, dtype):
    """(…,) integers -> (…, size); a token of -1, as on padding, is a row of NaN."""
    rows = np.eye(size, dtype=dtype)[np.maximum(tokens, 0)]
    rows[tokens < 0] = np.nan
    return rows


def draw_case(rng, cell, dtype, **fixed):
    """A configuration whose x is one-hot, its layer, and the tokens (T, B), 0 on padding."""
    config = draw_config(rng, cell=cell, dtype=dtype, **fixed)
    data = make_data(config, rng)
    tokens = rng.integers(0, config.input_size, (config.T, config.B))
    if data.lengths is not None:
        padding = np.arange(config.T)[:, None] >= data.lengths
        data = replace(data, x=one_hot(np.where(padding, -1, tokens), config.input_size, dtype))
        tokens[padding] = 0
    else:
        data = replace(data, x=one_hot(tokens, config.input_size, dtype))
    # Zeros of both signs among weights and biases, whose sums a chain of zeros may or may not change.
    for value in data.params.values():
        value[rng.random(value.shape) < 0.1] = 0.0
        value[rng.random(value.shape) < 0.1] = -0.0
    return config, data, make_layer(config, data.params), tokens


def of_tokens(layer, config, data, tokens, plan):
    """Results like those of calls.both, from tokens."""
    layer._plan = plan
    state = calls.as_state(config, data.h0, data.c0)
    y, state_n, tape = layer.forward(config.layout(tokens), state, lengths=data.lengths, rng=1)
    layers = range(config.num_layers)
    history = {"outputs": [config.layout(tape.outputs[k]) for k in layers]}
    history |= {name: [config.layout(tracks[k]) for k in layers] for name, tracks in tape.states.items()}
    grads = {name: np.zeros_like(value) for name, value in layer.params.items()}
    dx, dstate = layer.backward(
        tape,
        config.layout(data.dy),
        (data.dh_n, data.dc_n) if config.has_cell_state else data.dh_n,
        doutputs={k: config.layout(d) for k, d in data.doutputs.items()},
        dstates={name: {k: config.layout(d) for k, d in ds.items()} for name, ds in data.dstates.items()},
        grads=grads,
    )
    assert dx is None
    dh0, dc0 = dstate if config.has_cell_state else (dstate, None)
    return calls.as_results(config, y, state_n) | calls.named(history) | calls.named({}, dh0=dh0, dc0=dc0) | grads


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("cell", CELLS)
def test_tokens_are_one_hot_rows_to_the_bit(cell, dtype):
    rng = np.random.default_rng([CELLS.index(cell), np.dtype(dtype).itemsize])
    compared = in_stretches = 0
    for case in range(8):
        # More rows than a block of the gradient.
        fixed = {"T": 40, "B": 33, "bidirectional": case == 0} if case < 2 else {}
        config, data, layer, tokens = draw_case(rng, cell, dtype, **fixed)
        layer.dropout = 0.3 if config.num_layers > 1 else 0.0
        expected, _ = calls.both(layer, config, data, rng=1)
        plain = calls.plain(layer, config, data)
        del expected["dx"]
        for plan in (
            None,
            {"threads": 2, "split": 1},
            {"fused": 1},
            {"chunk": 3, "threads": 2, "split": 2},
            {"threads": 1, "delta_blocks": 1},
        ):
            assert_same_bits(of_tokens(layer, config, data, tokens, plan), expected, f"{config} by {plan}")
            in_stretches += _core.last_plan()["delta_blocks"] == 1 and config.T * config.B > 1000
            state = calls.as_state(config, data.h0, data.c0)
            y, state_n = layer(config.layout(tokens), state, lengths=data.lengths)
            assert_same_bits(calls.as_results(config, y, state_n), plain)
        compared += sum(value.size for value in expected.values())
    assert compared > 100_000
    assert in_stretches


@pytest.mark.parametrize("kind", [recurra.RNN, recurra.LSTM, recurra.GRU])
def test_any_integers_and_any_layout(kind):
    layer = kind(7, 5, seed=0)
    tokens = np.random.default_rng(0).integers(0, 7, (6, 4))
    expected, _ = layer(tokens)
    for dtype in (np.int8, np.uint8, np.int16, np.int32, np.uint64, ">i4"):
        assert_same_bits(layer(tokens.astype(dtype))[0], expected)
    wide = np.zeros((12, 8), np.int64)
    wide[::2, ::2] = tokens
    for same in (np.asfortranarray(tokens), wide[::2, ::2], tokens[::-1, ::-1].copy()[::-1, ::-1]):
        assert_same_bits(layer(same)[0], expected)
    assert_same_bits(layer(tokens[:, 1])[0], np.ascontiguousarray(expected[:, 1]))  # no batch


@pytest.mark.parametrize("kind", [recurra.RNNCell, recurra.LSTMCell, recurra.GRUCell])
def test_cells_take_tokens(kind):
    cell = kind(7, 5, seed=0, dtype=np.float64)
    tokens = np.array([6, 0, 3])
    rows = np.eye(7)[tokens]
    assert_same_bits(cell(tokens), cell(rows))
    assert_same_bits(cell(np.array(6)), cell(rows[0]))
    grads = []
    for x in (tokens, rows):
        state, tape = cell.forward(x)
        total = {name: np.zeros_like(value) for name, value in cell.params.items()}
        cell.backward(tape, state, grads=total)
        grads.append(total)
    assert_same_bits(grads[0], grads[1])


def test_the_tape_owns_its_tokens():
    layer = recurra.GRU(7, 5, seed=0)
    tokens = np.array([[1, 2], [3, 4]])
    y, _, tape = layer.forward(tokens)
    tokens[...] = 99
    first = {name: np.zeros_like(value) for name, value in layer.params.items()}
    layer.backward(tape, y, grads=first)
    _, _, tape = layer.forward(np.array([[1, 2], [3, 4]]))
    second = {name: np.zeros_like(value) for name, value in layer.params.items()}
    layer.backward(tape, y, grads=second)
    assert_same_bits(first, second)


@pytest.mark.parametrize(
    ("x", "error"),
    [
        (np.array([[0, 7]]), ValueError),
        (np.array([[-1, 0]]), ValueError),
        (np.array([[0, 2**64 - 1]], np.uint64), ValueError),
        (np.array([[0.0, 1.0]], np.float32), ValueError),  # floats are features, of which there are 7
        (np.array([[True, False]]), TypeError),
        (np.zeros((2, 3, 7), np.int64), TypeError),
        ([[0, 1]], TypeError),
        (np.ma.array([[0, 1]], mask=[[0, 1]]), TypeError),
    ],
    ids=["too large", "negative", "huge", "float", "bool", "three axes", "list", "masked"],
)
def test_wrong_tokens_are_refused(x, error):
    for layer in (recurra.RNN(7, 5, seed=0), recurra.LSTM(7, 5, seed=0), recurra.GRU(7, 5, seed=0)):
        for call in (layer, layer.forward):
            with pytest.raises(error, match=r"^x: expected .*got"):
                call(x)


def test_the_message_says_where():
    with pytest.raises(
        ValueError, match=r"^x: expected tokens in 0\.\.input_size-1 = 0\.\.6, got 9 at index \(1, 1\)$"
    ):
        recurra.LSTM(7, 5)(np.array([[0, 1], [2, 9]]))


# ---- Integers that may be features


def of_kind(kind, **options):
    """A layer or a cell that takes 3 features, and shapes of integers: both ways, only tokens, only features."""
    single = kind.__name__.endswith("Cell")
    shapes = ((3,), (4,), (2, 3)) if single else ((5, 3), (5, 4), (5, 2, 3))
    return kind(3, 4, seed=0, **options), shapes


EVERY = [recurra.RNN, recurra.LSTM, recurra.GRU, recurra.RNNCell, recurra.LSTMCell, recurra.GRUCell]
every_kind = pytest.mark.parametrize("kind", EVERY)
FORM = r"^x: expected float32 features .*input_size = 3, got int64 .*x\.astype\(np\.float32\).*tokens=True$"


@pytest.mark.parametrize("call", ["plain", "forward"])
@every_kind
def test_integers_that_may_be_features_are_refused(kind, call):
    layer, (either, tokens, features) = of_kind(kind)
    run = layer if call == "plain" else layer.forward
    with pytest.raises(TypeError, match=FORM):
        run(np.ones(either, int))
    with pytest.raises(TypeError, match=r"^x: expected float32, got int64: pass x.astype"):
        run(np.ones(features, int))
    run(np.ones(tokens, int))
    run(np.ones(either[1:], int))
    run(np.ones(either, np.float32))


@every_kind
def test_a_layer_may_be_told_what_integers_are(kind):
    layer, (either, tokens, _) = of_kind(kind, tokens=True)
    plain = of_kind(kind)[0]
    assert_same_bits(layer(np.ones(either, int)), plain(np.eye(3, dtype=np.float32)[np.ones(either, int)]))
    assert_same_bits(layer(np.ones(either, np.float32)), plain(np.ones(either, np.float32)))
    assert "tokens=True" in repr(layer)
    assert_same_bits(pickle.loads(pickle.dumps(layer))(np.ones(either, int)), layer(np.ones(either, int)))
    never = of_kind(kind, tokens=False)[0]
    for shape in (either, tokens):
        with pytest.raises(TypeError, match=r"^x: expected .*float32, got int64"):
            never(np.ones(shape, int))
    for wrong in (1, "yes"):
        with pytest.raises(TypeError, match=r"^tokens: expected True or False"):
            kind(3, 4, tokens=wrong)


def test_functional_may_be_told_too():
    weights = recurra.GRU(3, 4, seed=0).state_dict()
    x = np.array([[0, 1, 2], [2, 1, 0]])
    with pytest.raises(TypeError, match=FORM):
        recurra.functional.forward("gru", x, weights)
    y, *_ = recurra.functional.forward("gru", x, weights, tokens=True)
    assert_same_bits(y, recurra.GRU(3, 4, seed=0, tokens=True)(x)[0])
    with pytest.raises(TypeError, match=r"^x: expected float32, got int64"):
        recurra.functional.forward("gru", x[:, :2], weights, tokens=False)


def test_models_ask_the_layer_that_reads():
    """A Sequential that begins with a recurrent layer is as strict; behind an Embedding integers are tokens."""
    x = np.array([[0, 1, 2], [2, 1, 0]])
    model = recurra.Sequential(recurra.GRU(3, 4, seed=0), recurra.Linear(4, 3, seed=1))
    for call in (model, model.run, model.forward):
        with pytest.raises(TypeError, match=FORM):
            call(x)
    told = recurra.Sequential(recurra.GRU(3, 4, seed=0, tokens=True), recurra.Linear(4, 3, seed=1))
    assert told(x).shape == (2, 3, 3)
    assert (
        recurra.generate(model, [0, 1, 2], 5, seed=0).tolist() == recurra.generate(told, [0, 1, 2], 5, seed=0).tolist()
    )
    embedded = recurra.Sequential(recurra.Embedding(3, 3, seed=0), recurra.GRU(3, 4, seed=1))
    assert (embedded(x).shape, embedded(x[:1]).shape) == ((2, 3, 4), (1, 3, 4))  # by row, and by token
