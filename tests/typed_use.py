"""What users write, as their type checkers see it: mypy and pyright read this file; it isn't run."""

from __future__ import annotations

from typing import Any

import numpy as np
from typing_extensions import assert_type

import recurra
from recurra.formula import sigmoid, tanh

Array = np.ndarray[Any, np.dtype[Any]]


def train(x: Array, target: Array) -> float:
    lstm, readout = recurra.LSTM(8, 64, num_layers=2, seed=0), recurra.Linear(64, 1, seed=1)
    assert_type(lstm.hidden_size, int)
    assert_type(lstm.bidirectional, bool)
    assert_type(lstm.state_dict(), dict[str, Array])
    adam = recurra.Adam([lstm, readout], lr=1e-2)
    h, _state, tape = lstm.forward(x)
    prediction, readout_tape = readout.forward(h)
    loss, gradient = recurra.mse(prediction, target)
    assert_type(loss, float)
    adam.zero_grad()
    lstm.backward(tape, readout.backward(readout_tape, gradient))
    recurra.clip_grad_norm([lstm, readout], 1.0)
    adam.step()
    return loss


def whole(x: Array, y: Array) -> Array:
    model = recurra.Sequential(recurra.GRU(8, 16), recurra.Last(), recurra.Linear(16, 3))
    history = recurra.fit(model, [(x, y)], recurra.cross_entropy, recurra.Adam(model), epochs=2)
    assert_type(history, recurra.History)
    recurra.save("model.safetensors", model)
    stream = recurra.Stream(model)
    return stream(x[0])


@recurra.formula(gates="f n")
def MinimalGatedUnit(a: Any, s: Any) -> Any:
    f = sigmoid(a.f)
    return (1 - f) * s.h + f * tanh(a.n(f * s.h))


def own(x: Array) -> Array:
    layer = MinimalGatedUnit(8, 64, num_layers=2, seed=0)
    y, _h = layer(x)
    return np.asarray(y)
