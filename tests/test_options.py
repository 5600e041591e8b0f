"""What layers are made with: every wrong option is refused by its name, and no size is so large that it does harm."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from refused import describe, refused

LAYERS = (recurra.RNN, recurra.LSTM, recurra.GRU)
CELLS = (recurra.RNNCell, recurra.LSTMCell, recurra.GRUCell)
EVERYTHING = (*LAYERS, *CELLS, recurra.Linear)
SIZES = dict.fromkeys((*LAYERS, *CELLS), ("input_size", "hidden_size"))
SIZES[recurra.Linear] = ("in_features", "out_features")


every_kind = pytest.mark.parametrize("kind", EVERYTHING, ids=describe)
every_layer = pytest.mark.parametrize("kind", LAYERS, ids=describe)


@every_kind
def test_sizes(kind):
    names = [*SIZES[kind], "num_layers"] if kind in LAYERS else SIZES[kind]
    right = dict.fromkeys(names, 2)
    kind(**right)
    kind(**dict.fromkeys(names, np.int16(2)))  # an integer of NumPy's is one
    for name in names:
        for value in (0, -1, -(2**70), np.int64(0)):
            with refused(ValueError, name):
                kind(**(right | {name: value}))
        for value in (True, 2.0, np.float32(2), "2", None, [2], np.array([2])):
            with refused(TypeError, name):
                kind(**(right | {name: value}))


@every_kind
def test_dtype(kind):
    for right in (np.float64, "float64", np.dtype(np.float64), float):
        layer = kind(2, 3, dtype=right)
        assert layer.dtype == np.float64
        assert {value.dtype for value in layer.params.values()} == {np.dtype(np.float64)}
    wrong = (np.float16, np.longdouble, np.int32, np.complex64, bool, object, np.dtype(np.float32).newbyteorder())
    for value in (*wrong, "half", "no such type", 32):
        with refused(TypeError, "dtype"):
            kind(2, 3, dtype=value)


@every_kind
def test_seed(kind):
    right = [None, 0, 2**40, np.int64(3), np.random.default_rng(0), np.random.Generator(np.random.MT19937(0))]
    for value in right:
        kind(2, 3, seed=value)
    for error, value in ((ValueError, -1), (TypeError, 1.5), (TypeError, "1"), (TypeError, np.random.RandomState(0))):
        with refused(error, "seed"):
            kind(2, 3, seed=value)


@pytest.mark.parametrize("kind", [recurra.RNN, recurra.RNNCell], ids=describe)
def test_nonlinearity(kind):
    assert kind(2, 3).nonlinearity == "tanh"
    assert kind(2, 3, nonlinearity="relu").nonlinearity == "relu"
    for value in ("sigmoid", "", "Tanh", "rnn_tanh"):
        with refused(ValueError, "nonlinearity"):
            kind(2, 3, nonlinearity=value)
    for value in (None, np.tanh, 0, ["tanh"]):
        with refused((TypeError, ValueError), "nonlinearity"):
            kind(2, 3, nonlinearity=value)


@every_layer
def test_dropout(kind):
    """When made and when assigned, which leaves the old one if the new one is wrong."""
    layer = kind(2, 3, num_layers=2, dropout=0.25)
    for right in (0, 0.0, 0.5, np.float32(0.5), 0.999):
        assert kind(2, 3, num_layers=2, dropout=right).dropout == right
    wrong = [(ValueError, value) for value in (1, 1.0, -0.1, 1.5, np.nan, np.inf, -np.inf)]
    for error, value in wrong + [(TypeError, value) for value in ("0.5", None, [0.5], 0.5j)]:
        with refused(error, "dropout"):
            kind(2, 3, num_layers=2, dropout=value)
        with refused(error, "dropout"):
            layer.dropout = value
        assert layer.dropout == 0.25
    layer.dropout = 0.75
    assert layer.dropout == 0.75


@every_layer
def test_rng_of_dropout(kind):
    layer, x = kind(2, 3, num_layers=2, dropout=0.5, seed=0), np.ones((4, 2, 2), np.float32)
    for right in (0, 2**40, np.int64(3), np.random.default_rng(0)):
        layer.forward(x, rng=right)
    for error, value in ((ValueError, None), (ValueError, -1), (TypeError, "0"), (TypeError, 0.5)):
        with refused(error, "rng", x, dict(layer.params), dict(layer.grads)):
            layer.forward(x, rng=value)
    with refused(ValueError, "rng"):
        layer.forward(x)
    generator = np.random.default_rng(0)  # a call that is refused for another reason draws nothing
    with refused(ValueError, "lengths"):
        layer.forward(x, rng=generator, lengths=np.array([1, 5]))
    assert generator.random() == np.random.default_rng(0).random()


@every_kind
def test_names_of_options(kind):
    with pytest.raises(TypeError):
        kind(2, 3, hidden=4)
    with pytest.raises(TypeError):
        kind(2)
    for name in ("params", "grads", *SIZES[kind], "dtype", "bias"):
        assert hasattr(kind(2, 3), name), name


@every_kind
def test_a_refused_option_draws_nothing_from_the_generator(kind):
    generator = np.random.default_rng(0)
    for options in ({SIZES[kind][1]: 0}, {"dtype": np.float16}):
        with pytest.raises((TypeError, ValueError)):
            kind(**(dict.fromkeys(SIZES[kind], 2) | options), seed=generator)
    same = kind(2, 3, seed=generator), kind(2, 3, seed=np.random.default_rng(0))
    assert_same_bits(same[0].state_dict(), same[1].state_dict())


# Every one of these needs more memory than a 64-bit processor can address, so that none can begin by filling it.
HUGE = """
import time
import numpy as np
import recurra
from recurra import functional

def huge(*shape):
    return np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), shape, [0] * len(shape))

layers = [recurra.RNN(1, 4, seed=0), recurra.LSTM(1, 4, seed=0), recurra.GRU(1, 4, bidirectional=True, seed=0)]
cells = [recurra.RNNCell(1, 4, seed=0), recurra.LSTMCell(1, 4, seed=0), recurra.GRUCell(1, 4, seed=0)]
linear = recurra.Linear(1, 4, seed=0)
deep = recurra.LSTM(1, 4, num_layers=2, dropout=0.5, seed=0)
attempts = []
for shape in ((2**30, 2**30, 1), (2**31, 2**29, 1), (2**50, 1, 1), (1, 2**50, 1), (2**60, 1), (2**60, 1, 1)):
    attempts += [lambda f=f, x=huge(*shape): f(x) for layer in layers for f in (layer, layer.forward)]
    attempts += [lambda x=huge(*shape): linear(x), lambda x=huge(*shape): linear.forward(x)]
    attempts += [lambda x=huge(*shape): deep.forward(x, rng=0)]
attempts += [lambda f=f: f(huge(2**50, 1)) for cell in cells for f in (cell, cell.forward)]
attempts += [lambda f=f: f(huge(2**30, 2**21)) for f in (functional.sigmoid, functional.tanh)]
attempts += [lambda: recurra.mse(huge(2**50), huge(2**50))]
attempts += [lambda: functional.forward("lstm", huge(2**30, 2**30, 1), dict(layers[1].params))]
for kind in (*map(type, layers), *map(type, cells), recurra.Linear):
    for sizes in ((3, 2**46), (2**48, 3), (2**62, 1), (1, 2**62), (2**61, 8), (2**63 - 1, 1), (2**64, 2), (2, 2**64)):
        attempts += [lambda kind=kind, sizes=sizes: kind(*sizes)]

for attempt in attempts:
    begin = time.monotonic()
    try:
        attempt()
    except (ValueError, MemoryError):
        seconds = time.monotonic() - begin
        assert seconds < 1, seconds
    else:
        raise AssertionError(f"no error from attempt {attempts.index(attempt)}: {attempt.__defaults__}")
x = np.ones((5, 2, 1), np.float32)
for layer in layers:  # and all is as it was
    y, _, tape = layer.forward(x)
    layer.backward(tape, y)
print(len(attempts))
"""


def test_sizes_beyond_memory():
    """ValueError or MemoryError at once: not a crash, not an overflow that lets a small array pass for a large one."""
    command = [sys.executable, "-c", HUGE]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 100


def test_many_steps_of_no_sequence():
    """Or no step of many: nothing to do."""
    layer = recurra.GRU(1, 4, seed=0)
    y, h_n = layer(np.zeros((2**20, 0, 1), np.float32))
    assert (y.shape, h_n.shape) == ((2**20, 0, 4), (1, 0, 4))
    y, h_n = layer(np.zeros((0, 2**16, 1), np.float32))
    assert (y.shape, h_n.any()) == ((0, 2**16, 4), False)
