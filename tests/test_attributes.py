"""What can be set has an effect; all else is refused, but on a class of one's own."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import recurra
from refused import refused

MAKERS = {
    "RNN": lambda: recurra.RNN(2, 3, seed=0),
    "LSTM": lambda: recurra.LSTM(2, 3, seed=0),
    "GRU": lambda: recurra.GRU(2, 3, seed=0),
    "RNNCell": lambda: recurra.RNNCell(2, 3, seed=0),
    "LSTMCell": lambda: recurra.LSTMCell(2, 3, seed=0),
    "GRUCell": lambda: recurra.GRUCell(2, 3, seed=0),
    "Linear": lambda: recurra.Linear(2, 3, seed=0),
    "Embedding": lambda: recurra.Embedding(2, 3, seed=0),
    "Tanh": recurra.Tanh,
    "Dropout": recurra.Dropout,
    "Last": recurra.Last,
    "LayerNorm": lambda: recurra.LayerNorm(2),
    "Attention": lambda: recurra.Attention(2, 3, seed=0),
    "AttentionPooling": lambda: recurra.AttentionPooling(2, seed=0),
    "Parallel": lambda: recurra.Parallel(recurra.Linear(2, 3, seed=0)),
    "Residual": lambda: recurra.Residual(recurra.Linear(2, 2, seed=0)),
    "EncoderDecoder": lambda: recurra.EncoderDecoder(recurra.GRU(2, 3, seed=0), recurra.GRU(2, 3, seed=1)),
    "Sequential": lambda: recurra.Sequential(recurra.Linear(2, 3, seed=0)),
    "SGD": lambda: recurra.SGD(recurra.Linear(2, 3, seed=0), lr=0.1),
    "Adam": lambda: recurra.Adam(recurra.Linear(2, 3, seed=0)),
    "AdamW": lambda: recurra.AdamW(recurra.Linear(2, 3, seed=0)),
}
every_maker = pytest.mark.parametrize("name", MAKERS)


@every_maker
def test_an_unknown_attribute_is_refused(name):
    """As made, copied and unpickled; a name with an underscore in front is nobody's business."""
    made = MAKERS[name]()
    for one in (made, copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        for unknown in ("learning_rate", "training", "x"):
            with pytest.raises(AttributeError, match=rf"^{unknown}: expected an attribute that {name} has, got"):
                setattr(one, unknown, 1)
            assert not hasattr(one, unknown)
        one._mine = 1
        assert one._mine == 1


@pytest.mark.parametrize(
    ("name", "slip", "meant"),
    [
        ("RNN", "dropot", "dropout"),
        ("LSTM", "drop_out", "dropout"),
        ("Linear", "grad", "grads"),
        ("Linear", "in_feature", "in_features"),
        ("SGD", "momentun", "momentum"),
        ("Adam", "beta", "betas"),
        ("AdamW", "weight_decy", "weight_decay"),
    ],
)
def test_a_slip_is_told_what_was_meant(name, slip, meant):
    with refused(AttributeError, slip, form=rf": expected .*got .*: did you mean {meant}\?$"):
        setattr(MAKERS[name](), slip, 0.5)


def test_what_can_be_set():
    lstm, dropout = recurra.LSTM(2, 3, num_layers=2, seed=0), recurra.Dropout()
    lstm.dropout, dropout.p = 0.25, 0.1
    assert (lstm.dropout, dropout.p) == (0.25, 0.1)
    lstm.grads = {name: np.ones_like(value) for name, value in lstm.params.items()}
    lstm.zero_grad()
    assert not any(gradient.any() for gradient in lstm.grads.values())
    lstm.forward = lambda x: x  # as a test's double does it
    assert lstm.forward(1) == 1


@pytest.mark.parametrize("name", ["params", "layers"])
def test_what_is_made_of_the_rest_cannot_be_set(name):
    one = recurra.SGD(recurra.Linear(2, 3), 0.1) if name == "layers" else recurra.Linear(2, 3)
    with pytest.raises(AttributeError):
        setattr(one, name, {})


class Scaled(recurra.Linear):
    """With an attribute of its own."""

    def __init__(self, scale):
        self.before = scale
        super().__init__(2, 3, seed=0)
        self.scale = scale

    def __call__(self, x):
        return self.scale * super().__call__(x)


class Decaying(recurra.SGD):
    """The same of an optimizer."""

    def __init__(self, model):
        super().__init__(model, lr=1.0)
        self.epochs = 0


def test_a_class_of_ones_own_takes_any():
    layer, x = Scaled(3), np.ones((1, 2), np.float32)
    expected = 3 * recurra.Linear(2, 3, seed=0)(x)
    for one in (layer, pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(one(x), expected)
        assert (one.scale, one.before) == (3, 3)
        one.note = "mine"
        with refused(AttributeError, "in_features"):
            one.in_features = 3
    optimizer = Decaying(layer)
    optimizer.epochs += 1
    assert optimizer.epochs == 1
