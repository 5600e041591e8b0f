"""Streams of compressed models: the bits of the compressed model over the whole sequence."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from formula_cells import CELLS
from recurra.formula_layer import layer_class
from test_stream import in_blocks, randomised, sound, stepped

WEIGHTS = ("int8", "bfloat16", "float16")
LAYERS = {
    "lstm": lambda: recurra.LSTM(5, 33, 2, seed=0),
    "gru": lambda: recurra.GRU(1, 17, 2, seed=0, bias=False),
    "gru_reset_before": lambda: recurra.GRU(5, 64, seed=0, reset_after=False),
    "rnn_relu": lambda: recurra.RNN(5, 9, 2, nonlinearity="relu", seed=0),
    "projected": lambda: recurra.LSTM(5, 33, 2, proj_size=7, seed=0),
    "learned": lambda: randomised(recurra.LSTM(5, 16, 2, learned_state=True, seed=0)),
    "interpreted": lambda: layer_class(CELLS["layer_norm_lstm"])(5, 19, 2, seed=0),
    "two stages": lambda: layer_class(CELLS["two_stages_twice"])(5, 19, seed=0),
    "raw": lambda: layer_class(CELLS["rg_lru"])(19, 19, seed=0),
}


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("name", LAYERS)
def test_steps_and_blocks_give_the_bits_of_the_whole(name, weights):
    layer = recurra.compress(LAYERS[name](), weights)
    for batch in (1, 3):
        x = 2 * sound(37, batch, layer.input_size)
        y, state = layer(x)
        stream = recurra.Stream(layer, batch)
        assert_same_bits(stepped(stream, x), y)
        assert_same_bits(stream.state, state)
        stream.reset()
        assert_same_bits(in_blocks(stream, x, [1, 3]), y)
        assert_same_bits(stream.state, state)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_whole_model(weights):
    model = recurra.compress(
        recurra.Sequential(
            recurra.Embedding(11, 5, seed=0),
            recurra.Dropout(0.1),
            recurra.GRU(5, 24, seed=1),
            recurra.Tanh(),
            recurra.LSTM(24, 40, seed=2),
            recurra.Linear(40, 11, seed=3),
        ),
        weights,
    )
    for batch in (1, 5):
        text = np.random.default_rng(0).integers(0, 11, (40, batch))
        y, states = model.run(text)
        stream = recurra.Stream(model, batch)
        assert_same_bits(stepped(stream, text), y)
        assert_same_bits(stream.state, states)
        stream.reset()
        assert_same_bits(in_blocks(stream, text, [7]), y)
    fork, (before, after) = stream.fork(), (copy.deepcopy(model), model.run(text, states)[0])
    model.load_state_dict({name: value // 2 for name, value in model.state_dict().items()})
    assert_same_bits(fork.many(text), after)  # the weights of its construction
    assert_same_bits(before(text), y)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_tokens_instead_of_features(weights):
    layer = recurra.compress(recurra.GRU(6, 20, seed=0), weights)
    text = np.random.default_rng(0).integers(0, 6, (20, 2))
    assert_same_bits(stepped(recurra.Stream(layer, 2), text), layer(text)[0])


@pytest.mark.parametrize("weights", WEIGHTS)
def test_generate(weights):
    whole = recurra.Sequential(
        recurra.Embedding(7, 5, seed=0), recurra.LSTM(5, 24, seed=1), recurra.Linear(24, 7, seed=2)
    )
    whole.load_state_dict({name: value * 4 for name, value in whole.state_dict().items()})
    model, text = recurra.compress(whole, weights), [1, 2]
    for _ in range(20):
        text.append(int(model(np.array(text))[-1].argmax()))
    assert recurra.generate(model, [1, 2], 20, temperature=0).tolist() == text[2:]


def test_what_goes_one_way_only():
    layer = recurra.compress(recurra.GRU(3, 4, bidirectional=True, seed=0))
    with pytest.raises(ValueError, match="one direction"):
        recurra.Stream(layer)
    with pytest.raises(ValueError, match="expected"):
        layer._core.stream_part()
    assert repr(recurra.Stream(recurra.compress(recurra.Linear(3, 4, seed=0)))).startswith("Stream(")
