"""What an optimizer remembers: rates that may be set, moments that are saved and loaded; what it leaves alone."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from refused import refused
from test_optim import set_gradients

MAKERS = {
    "SGD": lambda model, **options: recurra.SGD(model, lr=0.1, **options),
    "momentum": lambda model, **options: recurra.SGD(model, **({"lr": 0.1, "momentum": 0.9} | options)),
    "Adam": recurra.Adam,
    "AdamW": recurra.AdamW,
}
every_maker = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def make_layers(dtype=np.float32):
    return [recurra.LSTM(3, 5, dtype=dtype, seed=0), recurra.Linear(5, 2, dtype=dtype, seed=1)]


def train(optimizer, steps=3, seed=0):
    rng = np.random.default_rng(seed)
    for step in range(steps):
        for layer in optimizer.layers:
            set_gradients(layer, rng, step)
        optimizer.step()


def weights(layers):
    return [layer.state_dict() for layer in layers]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@every_maker
def test_training_goes_on_to_the_bit(make, dtype):
    """From a file that holds the states of model and optimizer, in another process as well as here."""
    layers = make_layers(dtype)
    optimizer = make(layers)
    train(optimizer)
    optimizer.lr = 0.03
    files = []
    for state in (optimizer.state_dict(), *weights(layers)):
        file = io.BytesIO()
        np.savez(file, **state)
        file.seek(0)
        files.append(np.load(file))
    train(optimizer, seed=1)

    twins = make_layers(dtype)
    other = make(twins)
    train(other, steps=1, seed=5)  # to be forgotten
    for twin, file in zip(twins, files[1:], strict=True):
        twin.load_state_dict(file)
    other.load_state_dict(files[0])
    assert other.lr == 0.03
    train(other, seed=1)
    assert_same_bits(weights(twins), weights(layers))
    assert_same_bits(other.state_dict(), optimizer.state_dict())


def test_names_of_a_state():
    layer = recurra.Linear(3, 2, seed=0)
    adam, sgd = recurra.Adam([layer]), recurra.SGD(layer, lr=0.1, momentum=0.5)
    assert list(adam.state_dict()) == ["step", "lr", "betas", "eps", "weight_decay"]
    assert list(sgd.state_dict()) == ["step", "lr", "momentum", "nesterov", "weight_decay"]
    adam.step()
    moments = [f"{kind}.0.{name}" for kind in ("exp_avg", "exp_avg_sq") for name in ("weight", "bias")]
    assert list(adam.state_dict())[5:] == moments
    sgd.step()
    assert list(sgd.state_dict())[5:] == ["momentum_buffer.0.weight", "momentum_buffer.0.bias"]
    state = adam.state_dict()
    assert (state["step"], state["lr"], tuple(state["betas"])) == (1, 1e-3, (0.9, 0.999))
    state["exp_avg.0.weight"][...] = 7  # a copy
    assert not (adam.state_dict()["exp_avg.0.weight"] == 7).any()
    assert adam.layers == [layer]


@every_maker
def test_a_wrong_state_changes_nothing(make):
    layers = make_layers()
    optimizer = make(layers)
    train(optimizer)
    right = optimizer.state_dict()
    moment = next((name for name in right if "." in name), None)
    wrong = [(TypeError, None), (TypeError, [1]), (ValueError, {}), (ValueError, right | {"other": np.zeros(1)})]
    wrong += [(ValueError, {name: value for name, value in right.items() if name != left}) for left in right]
    wrong += [(ValueError, right | {name: np.array(-1.0)}) for name in ("lr", "weight_decay")]
    wrong += [(ValueError, right | {"step": np.array(-1)}), (TypeError, right | {"step": np.array(0.5)})]
    if moment:
        value = right[moment]
        wrong += [(ValueError, right | {moment: value[:-1]}), (TypeError, right | {moment: value.astype(np.float64)})]
        wrong += [(TypeError, right | {moment: np.ma.masked_array(value)})]
    for error, state in wrong:
        with pytest.raises(error, match=r"^[\w.]+: expected .*got"):
            optimizer.load_state_dict(state)
        assert_same_bits(optimizer.state_dict(), right)
    optimizer.load_state_dict(right)
    assert_same_bits(optimizer.state_dict(), right)


def test_the_state_of_another_kind_is_refused():
    layers = make_layers()
    for make in (MAKERS["momentum"], MAKERS["Adam"]):
        for other in (MAKERS["momentum"], MAKERS["Adam"]):
            optimizer = other(layers)
            train(optimizer, 1)
            if make is not other:
                with refused(ValueError, "state_dict"):
                    make(layers).load_state_dict(optimizer.state_dict())


def read_only(model):
    """The same pickled with its arrays out of band, as Ray and Dask do, and joblib.load(mmap_mode="r") in effect."""
    buffers = []
    data = pickle.dumps(model, protocol=5, buffer_callback=buffers.append)
    assert buffers
    return pickle.loads(data, buffers=[bytes(buffer.raw()) for buffer in buffers])


@every_maker
def test_what_was_unpickled_from_read_only_memory_trains(make):
    model = recurra.Sequential(recurra.Embedding(6, 3, seed=0), *make_layers())
    model = recurra.Sequential(model, recurra.Linear(2, 2, seed=3))
    optimizer = make(model)
    train(optimizer)
    twin, other = read_only((model, optimizer))
    for each in (optimizer, other):
        each.zero_grad()
        train(each, seed=2)
    assert_same_bits(twin.state_dict(), model.state_dict())
    recurra.clip_grad_norm(twin, 1e-3)


def test_cells_unpickled_from_read_only_memory_train():
    for cell in (recurra.RNNCell(3, 4, seed=0), recurra.LSTMCell(3, 4, seed=0), recurra.GRUCell(3, 4, seed=0)):
        twin = read_only(cell)
        x = np.ones((2, 3), np.float32)
        for one in (cell, twin):
            state, tape = one.forward(x)
            one.backward(tape, state)
        assert_same_bits(twin.grads, cell.grads)


def test_joblib_maps_a_model_read_only(tmp_path):
    joblib = pytest.importorskip("joblib")
    layer = recurra.Linear(700, 700, seed=0)  # joblib maps what is above 1 MB
    joblib.dump((layer, recurra.SGD(layer, 0.1, 0.9)), tmp_path / "model")
    for mode in (None, "r", "c"):
        twin, optimizer = joblib.load(tmp_path / "model", mmap_mode=mode)
        y, tape = twin.forward(np.ones((3, 700), np.float32))
        twin.backward(tape, y)
        optimizer.step()
        optimizer.step()
        assert not np.array_equal(twin.params["weight"], layer.params["weight"])


def test_a_copy_keeps_what_it_shares():
    """Of gradients that can be written to, unpickling makes no second copy."""
    layer = recurra.Linear(3, 2, seed=0)
    twin, gradient = copy.deepcopy((layer, layer.grads["weight"]))
    assert twin.grads["weight"] is gradient


# rates


def by_hand(rates, gradients):
    """A float64 layer after SGD steps, each under rates of its own."""
    layer = recurra.Linear(3, 2, bias=False, dtype=np.float64, seed=0)
    p, v = layer.state_dict()["weight"], np.zeros((2, 3))
    optimizer = recurra.SGD(layer, lr=0.1)
    for rate, gradient in zip(rates, gradients, strict=True):
        for name, value in rate.items():
            setattr(optimizer, name, value)
            assert getattr(optimizer, name) == value
        layer.grads["weight"][...] = gradient
        optimizer.step()
        g = gradient + optimizer.weight_decay * p
        if optimizer.momentum:
            v = optimizer.momentum * v + g
            g = g + optimizer.momentum * v if optimizer.nesterov else v
        p = p - optimizer.lr * g
    np.testing.assert_allclose(layer.params["weight"], p, rtol=1e-14)


def test_rates_of_sgd_may_be_set():
    gradients = np.random.default_rng(0).standard_normal((6, 2, 3))
    rates = [{}, {"momentum": 0.9}, {"nesterov": True}, {"weight_decay": 0.1}, {"lr": 0.5, "nesterov": False}]
    by_hand([*rates, {"momentum": 0}], gradients)


def test_rates_of_adam_may_be_set():
    """Each has the effect that it would have had from the first step on, where there was none before."""
    options = {"lr": 0.1, "betas": (0.5, 0.8), "eps": 1e-3, "weight_decay": 0.3}
    for make in (recurra.Adam, recurra.AdamW):
        first, second = make_layers(), make_layers()
        given, later = make(first, **options), make(second)
        for name, value in options.items():
            before = weights(second)
            setattr(later, name, value)
            assert getattr(later, name) == value
            assert_same_bits(weights(second), before)
        train(given)
        train(later)
        assert_same_bits(weights(first), weights(second))


@every_maker
def test_wrong_rates_leave_the_old_ones(make):
    optimizer = make(recurra.Linear(3, 2, seed=0))
    before = optimizer.state_dict()
    for name in set(before) - {"step"}:
        for value in (-1.0, np.nan, "0.1", None, [0.1]):
            with refused((TypeError, ValueError), name):
                setattr(optimizer, name, value)
    assert_same_bits(optimizer.state_dict(), before)


def test_nesterov_needs_momentum_however_it_is_set():
    sgd = recurra.SGD(recurra.Linear(3, 2, seed=0), lr=0.1)
    with refused(ValueError, "nesterov"):
        sgd.nesterov = True
    sgd.momentum = 0.9
    sgd.nesterov = True
    with refused(ValueError, "nesterov"):
        sgd.momentum = 0
    assert (sgd.momentum, sgd.nesterov) == (0.9, True)


# padding rows


@pytest.mark.parametrize("padding", [0, 2, 5])
@every_maker
def test_padding_rows_stay(make, padding):
    """Zero or not, whatever the gradient says, under decay and momentum; the other rows are as without padding."""
    table = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    for row in (table[padding], np.zeros(4, np.float32)):
        table[padding] = row
        with_padding, without = recurra.Embedding(6, 4, padding_idx=padding, seed=0), recurra.Embedding(6, 4, seed=0)
        for layer in (with_padding, without):
            layer.load_state_dict({"weight": table})
            train(make(layer, weight_decay=0.1))
        assert_same_bits(with_padding.params["weight"][padding], row)
        others = np.arange(6) != padding
        assert_same_bits(with_padding.params["weight"][others], without.params["weight"][others])
        assert not np.array_equal(without.params["weight"][padding], row) or not row.any()


# models that aren't layers


class Both:
    """An encoder and a decoder, as `fit` accepts it."""

    def __init__(self):
        self.parts = make_layers()

    def leaves(self):
        return self.parts


def test_an_object_with_leaves_is_a_model():
    both, layers = Both(), make_layers()
    for model in (both, layers):
        optimizer = recurra.Adam(model)
        train(optimizer)
        recurra.clip_grad_norm(model, 0.1)
    assert_same_bits(weights(both.parts), weights(layers))
    assert recurra.SGD([Both(), recurra.Linear(2, 2)], lr=0.1).layers[2].in_features == 2
    for wrong in (Both, [Both], [both, None]):
        with refused(TypeError, "model"):
            recurra.Adam(wrong)
    both.parts = [3]
    with refused(TypeError, "model"):
        recurra.Adam(both)


# all or nothing


@every_maker
def test_zero_grad_and_clipping_change_all_or_nothing(make):
    layers = make_layers()
    optimizer = make(layers)
    model = recurra.Sequential(*layers)
    for layer in layers:
        set_gradients(layer, np.random.default_rng(0))
    layers[1].grads["bias"].flags.writeable = False
    watched = [layer.grads for layer in layers]
    calls = [optimizer.zero_grad, model.zero_grad, lambda: recurra.clip_grad_norm(layers, 1e-3)]
    for call in calls:
        with refused(ValueError, r"grads\['bias'\]", watched):
            call()
    norm = recurra.clip_grad_norm(layers, 1e9)  # nothing to scale
    optimizer.step()  # reads them
    layers[1].grads["bias"].flags.writeable = True
    assert recurra.clip_grad_norm(layers, norm / 2) == norm
    assert recurra.clip_grad_norm(layers, 1e9) == pytest.approx(norm / 2)


def test_a_step_that_is_refused_does_not_count():
    layers, same = make_layers(), make_layers()
    optimizer, expected = recurra.Adam(layers), recurra.Adam(same)
    train(optimizer, 1)
    train(expected, 1)
    right = layers[1].grads["bias"]
    before = optimizer.state_dict()
    for wrong in (right[:1], None, np.ma.masked_array(right)):
        layers[1].grads["bias"] = wrong
        with pytest.raises((TypeError, ValueError), match=r"^bias: expected"):
            optimizer.step()
    layers[1].grads = None
    with pytest.raises(TypeError, match=r"^grads: expected"):
        optimizer.step()
    layers[1].grads = {"weight": same[1].grads["weight"], "bias": right}
    assert_same_bits(optimizer.state_dict(), before)
    optimizer.step()
    expected.step()
    assert_same_bits(weights(layers), weights(same))


def test_a_model_loads_all_or_nothing():
    """A wrong array of a later member leaves the earlier ones alone as well."""
    model = recurra.Sequential(*make_layers())
    before = model.state_dict()
    state = {name: value + 1 for name, value in before.items()}
    for wrong in (np.ma.masked_array(state["1.bias"]), state["1.bias"].astype(np.float64), state["1.bias"][:1], None):
        with pytest.raises((TypeError, ValueError), match=r"bias: expected"):
            model.load_state_dict(state | {"1.bias": wrong})
        assert_same_bits(model.state_dict(), before)
    model.load_state_dict(state)
    assert_same_bits(model.state_dict(), state)


@pytest.mark.parametrize(("name", "value"), [("step", 2**63), ("step", 2**53 + 1), ("step", -1)])
def test_steps_that_cannot_be_are_refused(name, value):
    optimizer = recurra.Adam(recurra.Linear(2, 2, seed=0))
    with pytest.raises(ValueError, match=f"^{name}: expected an integer in 0"):
        optimizer.load_state_dict(optimizer.state_dict() | {name: value})


def test_means_of_squares_below_zero_are_refused():
    layer = recurra.Linear(2, 2, seed=0)
    optimizer = recurra.Adam(layer)
    optimizer.step()
    state = optimizer.state_dict()
    key = next(name for name in state if name.startswith("exp_avg_sq"))
    before = {name: np.array(array) for name, array in state.items()}
    with pytest.raises(ValueError, match=f"^{key}: expected means of squares"):
        optimizer.load_state_dict(state | {key: np.full_like(state[key], -1)})
    for name, array in optimizer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
