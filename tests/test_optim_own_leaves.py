"""Layers of one's own, whose parameters are plain NumPy arrays, in optimizers, clipping and models."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from refused import of_wrong_shape, of_wrong_type, refused
from test_optim import set_gradients

MAKERS = {
    "SGD": lambda model: recurra.SGD(model, lr=0.1, momentum=0.9, weight_decay=0.1),
    "Adam": lambda model: recurra.Adam(model, lr=0.1),
    "AdamW": lambda model: recurra.AdamW(model, lr=0.1),
}
every_maker = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)


class Own:
    """y = x Wᵀ + b, with arrays that anyone may write to."""

    def __init__(self, source):
        self.params = source.state_dict()
        self.grads = {name: np.zeros_like(value) for name, value in self.params.items()}

    def forward(self, x):
        return x @ self.params["weight"].T + self.params["bias"], x

    def backward(self, tape, dy):
        self.grads["weight"] += dy.T @ tape
        self.grads["bias"] += dy.sum(0)
        return dy @ self.params["weight"]

    def leaves(self):
        return [self]


def pair(dtype=np.float32):
    layer = recurra.Linear(7, 37, dtype=dtype, seed=0)
    return Own(layer), layer


@every_dtype
@every_maker
def test_the_same_bits_as_a_layer_of_ours(make, dtype):
    own, layer = pair(dtype)
    arrays = dict(own.params)
    optimizers = make(own), make(layer)
    for step in range(10):
        for one, optimizer in zip((own, layer), optimizers, strict=True):
            set_gradients(one, np.random.default_rng(step), step)
            norm = recurra.clip_grad_norm(one, 0.5)
            optimizer.step()
        assert_same_bits(dict(own.grads), dict(layer.grads))
    assert norm > 0.5
    assert_same_bits(own.params, layer.state_dict())
    assert all(own.params[name] is array for name, array in arrays.items())  # in place
    assert_same_bits(optimizers[0].state_dict(), optimizers[1].state_dict())
    optimizers[0].zero_grad()
    assert not any(gradient.any() for gradient in own.grads.values())


@every_maker
def test_beside_layers_of_ours_in_groups(make):
    (own, layer), (other, twin) = pair(), pair()
    lstm, same = recurra.LSTM(3, 5, seed=1), recurra.LSTM(3, 5, seed=1)
    first = make([{"params": [lstm, own], "names": ["0.*", "1.weight"]}, {"params": own, "names": "bias", "lr": 0.5}])
    second = make(
        [{"params": [same, twin], "names": ["0.*", "1.weight"]}, {"params": twin, "names": "bias", "lr": 0.5}]
    )
    for step in range(3):
        for layers, optimizer in (((lstm, own), first), ((same, twin), second)):
            for one in layers:
                set_gradients(one, np.random.default_rng(step))
            optimizer.step()
    assert_same_bits(own.params, twin.state_dict())
    assert_same_bits(lstm.state_dict(), same.state_dict())
    assert not np.array_equal(own.params["weight"], layer.params["weight"])
    assert first.layers == [lstm, own]
    assert other.params["weight"] is not own.params["weight"]


@every_maker
def test_another_array_in_its_place_is_taken(make):
    own, layer = pair()
    optimizers = make(own), make(layer)
    old = own.params["weight"]
    for step in range(3):
        if step == 1:
            own.params["weight"] = old.copy()
            kept = old.copy()
        for one, optimizer in zip((own, layer), optimizers, strict=True):
            set_gradients(one, np.random.default_rng(step))
            optimizer.step()
    assert_same_bits(own.params, layer.state_dict())
    assert_same_bits(old, kept)


@every_maker
def test_wrong_arrays_change_nothing(make):
    """Neither of a layer of ours before it, nor of the optimizer's."""
    own, _ = pair()
    linear = recurra.Linear(3, 2, seed=1)
    optimizer = make([linear, own])
    for one in (linear, own):
        set_gradients(one, np.random.default_rng(0))
    optimizer.step()
    for where in (own.params, own.grads):
        right = where["weight"]
        read_only = right.copy()
        read_only.flags.writeable = False
        wrong = [(TypeError, value) for value in of_wrong_type(right)] + [
            (ValueError, v) for v in of_wrong_shape(right)
        ]
        if where is own.params:
            wrong += [(ValueError, read_only), (ValueError, np.asfortranarray(right))]
        before, state = linear.state_dict(), optimizer.state_dict()
        for error, value in wrong:
            where["weight"] = value
            with refused(error, ".*weight.*", own.params["bias"]):
                optimizer.step()
        where["weight"] = right
        assert_same_bits(linear.state_dict(), before)
        assert_same_bits(optimizer.state_dict(), state)
    own.grads["other"] = np.zeros(1)
    with refused(ValueError, "grads"):
        optimizer.step()
    del own.grads["other"]
    bias = own.params.pop("bias")
    with refused(ValueError, "params"):
        optimizer.step()
    own.params["bias"] = bias
    optimizer.step()


@pytest.mark.parametrize(
    ("params", "error", "name"),
    [
        ({"w": [1.0]}, TypeError, "w"),
        ({"w": np.zeros(3, np.int64)}, TypeError, "w"),
        ({"w": np.zeros(3, np.float16)}, TypeError, "w"),
        ({"w": np.zeros(3), "b": np.zeros(3, np.float32)}, TypeError, "b"),
        ({"w": np.zeros((3, 3)).T[1:]}, ValueError, r"params\['w'\]"),
        ({"w": np.broadcast_to(np.zeros(1), 3)}, ValueError, r"params\['w'\]"),
        ({3: np.zeros(3)}, TypeError, "params"),
        ({"w": np.ma.masked_array(np.zeros(3))}, TypeError, "w"),
    ],
)
def test_what_cannot_be_stepped_is_refused_at_once(params, error, name):
    own, _ = pair()
    own.params = params
    for call in (recurra.Adam, lambda model: recurra.clip_grad_norm(model, 1)):
        with refused(error, name):
            call(own)


def test_arrays_that_overlap_are_refused():
    own, _ = pair()
    other = Own(recurra.Linear(7, 37, seed=1))
    memory = np.zeros(37 * 7 + 37, np.float32)
    optimizer = recurra.SGD([own, other], lr=1)
    other.params["weight"] = memory[: 37 * 7].reshape(37, 7)
    own.params["bias"] = memory[37 * 7 :]
    optimizer.step()
    own.params["bias"] = memory[37 * 7 - 1 : -1]
    with refused(ValueError, "params", memory):
        optimizer.step()


def test_objects_that_are_no_leaves():
    class Half:
        def __init__(self):
            self.params = {"w": np.zeros(3)}

        def leaves(self):
            return [self]

    with refused(TypeError, "model"):
        recurra.Adam(Half())


def test_copies_and_pickles():
    own, _ = pair()
    optimizer = recurra.Adam(own, lr=0.1)
    set_gradients(own, np.random.default_rng(0))
    optimizer.step()
    for make in (copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))):
        twin, other = make((own, optimizer))
        for one, of in ((optimizer, own), (other, twin)):
            set_gradients(of, np.random.default_rng(1))
            one.step()
        assert_same_bits(twin.params, own.params)


class Clearing(Own):
    cleared = 0

    def zero_grad(self):
        self.cleared += 1
        for gradient in self.grads.values():
            gradient.fill(0)


def test_a_zero_grad_of_its_own_is_called():
    one = Clearing(recurra.Linear(7, 37, seed=0))
    one.grads["bias"].fill(1)
    recurra.SGD(one, lr=1).zero_grad()
    assert one.cleared == 1
    assert not one.grads["bias"].any()


def test_it_learns():
    rng = np.random.default_rng(0)
    own = Own(recurra.Linear(3, 2, dtype=np.float64, seed=0))
    adam = recurra.Adam(own, lr=0.05)
    x, target = rng.standard_normal((64, 3)), rng.standard_normal((3, 2))
    for _ in range(300):
        y, tape = own.forward(x)
        loss, dy = recurra.mse(y, x @ target)
        adam.zero_grad()
        own.backward(tape, dy)
        adam.step()
    assert loss < 1e-3


def test_two_first_steps_at_once():
    """The second looks at its arrays while the first steps; it may not replace the moments that those have."""
    looks, stepped, first = threading.Event(), threading.Event(), threading.current_thread()

    class Slow(Own):
        def __init__(self, params):
            self._params, self.grads = params, {"w": np.ones(1, np.float32)}

        @property
        def params(self):
            if threading.current_thread() is not first and not looks.is_set():
                looks.set()
                stepped.wait(0.2)  # in vain, as the first waits for the moments
            return self._params

    adam = recurra.Adam(Slow({"w": np.zeros(1, np.float32)}), lr=0.1)
    second = threading.Thread(target=adam.step)
    second.start()
    assert looks.wait(10)
    adam.step()
    stepped.set()
    second.join()
    one = recurra.Adam(Slow({"w": np.zeros(1, np.float32)}), lr=0.1)
    one.step()
    one.step()
    assert_same_bits(adam.state_dict(), one.state_dict())
