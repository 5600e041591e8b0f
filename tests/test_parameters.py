"""Weights of a layer: nobody writes into them but load_state_dict and the optimizers, and everyone sees them change."""

from __future__ import annotations

import threading
from contextlib import suppress

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from recurra import _core
from recurra.definitions import FORMULAS

MAKERS = {
    "RNN": lambda **options: recurra.RNN(3, 5, num_layers=2, bidirectional=True, **options),
    "LSTM": lambda **options: recurra.LSTM(3, 5, num_layers=2, bidirectional=True, **options),
    "GRU": lambda **options: recurra.GRU(3, 5, num_layers=2, bidirectional=True, **options),
    "RNNCell": lambda **options: recurra.RNNCell(3, 5, **options),
    "LSTMCell": lambda **options: recurra.LSTMCell(3, 5, **options),
    "GRUCell": lambda **options: recurra.GRUCell(3, 5, **options),
    "Linear": lambda **options: recurra.Linear(3, 5, **options),
}
X = np.random.default_rng(0).standard_normal((7, 4, 3))

every_maker = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)


def output(layer):
    """Some of what it computes from X."""
    x = X.astype(layer.dtype)
    y = layer(x[0] if "Cell" in type(layer).__name__ else x)
    return (y[0] if isinstance(y, tuple) else y).copy()


@every_maker
def test_params_cannot_be_written_into(make):
    layer = make(seed=0)
    before, y = layer.state_dict(), output(layer)
    for name, value in layer.params.items():
        with pytest.raises(ValueError, match="read-only"):
            value[0] = 1
        base = value
        while isinstance(base, np.ndarray):  # the view, and whatever arrays it is a view of
            with pytest.raises(ValueError, match="WRITEABLE"):
                base.flags.writeable = True
            base = base.base
        view = value.view()
        with pytest.raises(ValueError, match="WRITEABLE"):
            view.setflags(write=True)
        with pytest.raises((ValueError, BufferError, TypeError)):
            memoryview(value)[0] = 1
        with pytest.raises(ValueError, match="read-only"):
            np.add(value, 1, out=value)
        assert name in before
    assert_same_bits(dict(layer.params), before)
    assert_same_bits(output(layer), y)


@every_maker
def test_replacing_entries_changes_no_layer(make):
    """Whether the dicts allow it or not, what the layer computes with is elsewhere."""
    layer = make(seed=0)
    before, y, name = layer.state_dict(), output(layer), next(iter(layer.params))
    attempts = (
        lambda: layer.params.__setitem__(name, np.zeros_like(before[name])),
        lambda: layer.params.pop(name),
        lambda: layer.params.update(before),
    )
    for attempt in attempts:
        with suppress(TypeError, AttributeError):
            attempt()
    assert_same_bits(output(layer), y)
    assert_same_bits(layer.state_dict(), before)
    assert_same_bits(dict(layer.params), before)


@every_dtype
@every_maker
def test_state_dict_is_a_copy(make, dtype):
    layer = make(seed=0, dtype=dtype)
    y, state = output(layer), layer.state_dict()
    assert list(state) == list(layer.params)
    for name, value in state.items():
        assert (value.dtype, value.shape) == (np.dtype(dtype), layer.params[name].shape)
        assert not np.shares_memory(value, layer.params[name])
        value[...] = 0  # so it is writeable, too
    assert_same_bits(output(layer), y)
    assert all(value.any() for value in layer.state_dict().values())


@every_dtype
@every_maker
def test_weights_go_from_one_layer_to_another(make, dtype):
    first, second = make(seed=0, dtype=dtype), make(seed=1, dtype=dtype)
    held, y = dict(second.params), output(first)
    assert not np.array_equal(output(second), y)
    state = first.state_dict()
    second.load_state_dict(state)
    assert_same_bits(output(second), y)
    assert_same_bits(second.state_dict(), state)
    assert_same_bits(held, state)  # views from before show the new values
    for value in state.values():
        value[...] = 9  # what was loaded was copied
    assert_same_bits(output(second), y)
    assert_same_bits(output(first), y)


@every_maker
def test_weights_may_come_from_any_memory_in_any_order(make):
    first, second = make(seed=0), make(seed=1)
    state = first.state_dict()
    spread = {}
    for name, value in reversed(state.items()):
        spread[name] = np.full([2 * n for n in value.shape], np.nan, np.float32)[(slice(None, None, 2),) * value.ndim]
        spread[name][...] = value
        spread[name].flags.writeable = False
    second.load_state_dict(spread)
    assert list(second.params) == list(state)
    assert_same_bits(second.state_dict(), state)
    second.load_state_dict(first.params)  # another layer's views, or its own
    second.load_state_dict(second.params)
    assert_same_bits(second.state_dict(), state)


@every_maker
def test_own_views_in_another_place(make):
    """A state dict may be made of the very memory that it is loaded into."""
    layer = make(seed=0, bias=True)
    names = [name for name in layer.params if name.startswith("bias")]
    if len(names) < 2:
        names = ["bias", "bias"]
    swapped = dict(layer.params) | {names[0]: layer.params[names[1]], names[1]: layer.params[names[0]]}
    expected = {name: value.copy() for name, value in swapped.items()}
    layer.load_state_dict(swapped)
    assert_same_bits(layer.state_dict(), expected)


@pytest.mark.parametrize("view", [lambda v: v, lambda v: v[::-1], lambda v: np.asarray(memoryview(v))])
def test_views_of_a_layer_that_another_thread_changes_are_of_one_moment(view):
    source, layer = recurra.Linear(700, 700, seed=0), recurra.Linear(700, 700, seed=0)
    states = [{name: np.full_like(p, k) for name, p in source.params.items()} for k in range(2)]
    done = threading.Event()

    def change():
        while not done.is_set():
            for state in states:
                source.load_state_dict(state)

    source.load_state_dict(states[0])
    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(100):
            layer.load_state_dict({name: view(value) for name, value in source.params.items()})
            assert len({number for value in layer.params.values() for number in (value.min(), value.max())}) == 1
    finally:
        done.set()
        thread.join()


def test_two_layers_may_load_each_other_at_the_same_time():
    first, second = recurra.Linear(300, 300, seed=0), recurra.Linear(300, 300, seed=0)

    def load(to, of):
        for _ in range(200):
            to.load_state_dict(of.params)

    threads = [threading.Thread(target=load, args=pair) for pair in ((first, second), (second, first), (first, first))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_same_bits(first.state_dict(), second.state_dict())


@every_dtype
@every_maker
def test_gradients(make, dtype):
    layer = make(seed=0, dtype=dtype)
    assert list(layer.grads) == list(layer.params)
    held = dict(layer.grads)
    for name, gradient in held.items():
        assert (gradient.dtype, gradient.shape) == (np.dtype(dtype), layer.params[name].shape)
        assert gradient.flags.writeable
        assert not gradient.any()
        gradient[...] = 3
    assert all((layer.grads[name] == 3).all() for name in held)
    layer.zero_grad()
    assert_same_bits(held, {name: np.zeros_like(value) for name, value in layer.params.items()})
    assert_same_bits(dict(layer.grads), held)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e-45, -0.0])
@every_maker
def test_any_value_may_be_loaded(make, value):
    """Bit for bit; judging weights is not a layer's business."""
    layer = make(seed=0)
    state = {name: np.full_like(p, value) for name, p in layer.params.items()}
    layer.load_state_dict(state)
    assert_same_bits(layer.state_dict(), state)


@pytest.mark.parametrize("lent", [_core.lent32, _core.lent64])
def test_lent_arrays_are_changed_in_place(lent):
    dtype = np.float32 if lent is _core.lent32 else np.float64
    arrays = {"w": np.ones((3, 5), dtype), "b": np.zeros(300, dtype)}
    grads = {name: np.ones_like(array) for name, array in arrays.items()}
    parameters = lent(arrays)
    views = parameters.views()
    assert all(
        np.shares_memory(views[name], array) and not views[name].flags.writeable for name, array in arrays.items()
    )
    others = {name: array.copy() for name, array in arrays.items()}
    for given in (arrays, others):
        before = parameters.version
        parameters.lend(given)
        assert parameters.version > before
        _core.sgd([(parameters, grads, None, -1)], [0], [(0.5, 0.0, 0.0, False)])
        assert (given["w"] == 0.5).all()
        assert (given["b"] == -0.5).all()
    parameters.load(grads)
    assert_same_bits(others, grads)
    assert_same_bits(parameters.snapshot(), grads)
    del arrays
    assert (views["b"] == -0.5).all()  # the old array is there as long as its view
    with pytest.raises(ValueError, match="read-only"):
        parameters.lend({name: others[name] if name == "w" else views[name] for name in others})
    with pytest.raises(RuntimeError, match="expected lent ones"):
        recurra.GRU(3, 5)._parameters.lend(others)


def test_a_cell_of_a_cell_is_refused():
    stack = recurra._core.Network32(FORMULAS["lstm"].core, 3, 5, 2, 2, True, False, None)
    for network, place in ((stack.cell(1, 1), (0, 0)), (stack, (2, 0)), (stack, (0, 2)), (stack, (-1, 0))):
        with pytest.raises(ValueError, match="layer, direction"):
            network.cell(*place)
