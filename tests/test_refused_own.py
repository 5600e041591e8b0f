"""Layers of one's own whose parts aren't what they should be: refused with nothing changed."""

from __future__ import annotations

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from refused import refused


class Gain:
    """Each feature times a trained number."""

    def __init__(self):
        self.params, self.grads = {"g": np.ones(3, np.float32)}, {"g": np.zeros(3, np.float32)}

    def forward(self, x):
        return x * self.params["g"], x

    def backward(self, x, dy):
        self.grads["g"] += (dy * x).sum((0, 1))
        return dy * self.params["g"]

    def leaves(self):
        return [self]


def read_only(array):
    array.flags.writeable = False
    return array


def test_a_state_that_cannot_be_loaded_in_one_layer_is_loaded_in_none():
    own = Gain()
    own.params["g"] = read_only(np.ones(3, np.float32))
    model = recurra.Sequential(recurra.Linear(3, 3, seed=0), own)
    state = {name: 2 * value for name, value in model.state_dict().items()}
    with refused(ValueError, r"params\['g'\]"):
        model.load_state_dict(state)
    assert_same_bits({name: 2 * value for name, value in model.state_dict().items()}, state)


@pytest.mark.parametrize("params", [None, 3, [1], {}, {"a": 1}, {"g": None}, {"g": 1.0}, {"g": np.zeros(3)}])
@pytest.mark.parametrize("make", [recurra.Adam, lambda model: recurra.SGD(model, 0.1, momentum=0.9)])
def test_parameters_that_are_replaced_are_looked_at_before_a_step(params, make):
    own, linear = Gain(), recurra.Linear(3, 3, seed=0)
    optimizer = make([linear, own])
    linear.grads["weight"][...] = 1
    own.params = params
    before = linear.state_dict()
    with refused((TypeError, ValueError), ".*", form="expected"):
        optimizer.step()
    assert (linear.state_dict()["weight"] == before["weight"]).all()


def test_a_layer_of_no_parameters_has_nothing_to_step():
    own = Gain()
    own.params, own.grads = {}, {}
    with refused(ValueError, "model"):
        recurra.Adam(own)


@pytest.mark.parametrize("leaves", [None, 3, np.zeros(())])
def test_leaves_are_a_list(leaves):
    own = Gain()
    own.leaves = lambda: leaves
    with refused(TypeError, "layers"):
        recurra.Sequential(own)


def test_arguments_of_estimators_that_are_arrays_or_numbers():
    pytest.importorskip("sklearn")
    estimators = recurra.sklearn
    X, y = np.ones((6, 4, 2)), np.array([0, 1] * 3)
    small = {"hidden_size": 2, "max_epochs": 1, "random_state": 0}
    for value in (np.zeros(3), np.zeros(()), [], None):
        for name in ("output", "verbose"):
            with refused((TypeError, ValueError), name):
                estimators.RecurrentClassifier(**small, **{name: value}).fit(X, y)
    with refused(TypeError, "y"):
        estimators.RecurrentClassifier(**small).fit(X, 3)
    forecaster = estimators.RecurrentForecaster(window=2, **small)
    for value in (None, 3, np.zeros(())):
        with refused(TypeError, "X"):
            forecaster.fit(value)
    for name in ("past", "known"):
        with refused(TypeError, name):
            forecaster.fit(X[:, :, 0], **{name: 3})
        with refused(ValueError, name):
            forecaster.fit(X[:, :, 0], **{name: [3] * 6})
    for value in ([], "a", 3):
        with refused(TypeError, "scaler"):
            estimators.SequenceScaler(value).fit(X)


def test_weights_that_torch_has_freed_are_not_read():
    torch = pytest.importorskip("torch")
    linear = torch.nn.Linear(2, 3)
    linear.weight.data.untyped_storage().resize_(0)
    with refused(RuntimeError, r"module\.weight"):
        recurra.from_torch(linear)
