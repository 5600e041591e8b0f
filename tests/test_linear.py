"""Linear: y = x Wᵀ + b over the last axis, forward and back, on arrays of any rank and layout."""

from __future__ import annotations

import numpy as np
import pytest

import recurra
from configs import assert_same_bits, numeric_gradient
from refused import of_wrong_shape, of_wrong_type, refused

SIZES = [(1, 1), (3, 5), (16, 16), (17, 33), (64, 10), (130, 65), (600, 9)]
LEADING = [(), (1,), (7,), (300,), (0,), (4, 6), (3, 0, 2), (2, 3, 4, 5)]
TOLERANCE = {np.float32: 2e-6, np.float64: 4e-15}

every_dtype = pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: dtype.__name__)
every_bias = pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])


def draw(layer, leading, seed=0):
    """x and dy with these leading axes."""
    rng, features = np.random.default_rng(seed), (layer.in_features, layer.out_features)
    return tuple(np.array(rng.standard_normal((*leading, n)), layer.dtype) for n in features)


def gradients(layer, x, dy, **options):
    """dx, and what is added to zeros."""
    grads = {name: np.zeros_like(value) for name, value in layer.params.items()}
    return layer.backward(layer.forward(x)[1], dy, grads=grads, **options), grads


def close(got, expected, dtype):
    """To rounding of sums of up to a few hundred terms of size 1."""
    assert (got.shape, got.dtype) == (expected.shape, np.dtype(dtype))
    return not got.size or np.abs(got - expected).max() <= TOLERANCE[dtype] * max(1, np.abs(expected).max())


@pytest.mark.parametrize("leading", LEADING, ids=str)
@pytest.mark.parametrize(("inputs", "outputs"), SIZES)
@every_bias
@every_dtype
def test_answers(dtype, bias, inputs, outputs, leading):
    layer = recurra.Linear(inputs, outputs, bias=bias, dtype=dtype, seed=1)
    x, dy = draw(layer, leading)
    weight = layer.params["weight"].astype(np.float64)
    expected = x @ weight.T + (layer.params["bias"] if bias else 0)
    y, _ = layer.forward(x)
    assert close(y, expected, dtype)
    assert_same_bits(layer(x), y)
    dx, grads = gradients(layer, x, dy)
    rows, of_rows = (a.reshape(-1, a.shape[-1]).astype(np.float64) for a in (x, dy))
    assert close(dx, dy @ weight, dtype)
    assert list(grads) == (["weight", "bias"] if bias else ["weight"])
    assert close(grads["weight"], of_rows.T @ rows, dtype)
    assert not bias or close(grads["bias"], of_rows.sum(0), dtype)


@every_bias
def test_central_differences(bias):
    layer = recurra.Linear(4, 3, bias=bias, dtype=np.float64, seed=1)
    x, dy = draw(layer, (2, 5))
    state = layer.state_dict()

    def loss():
        layer.load_state_dict(state)
        return float(np.vdot(layer(x), dy))

    dx, grads = gradients(layer, x, dy)
    for name, array, gradient in [("x", x, dx), *((name, state[name], grads[name]) for name in state)]:
        numeric = numeric_gradient(loss, array)
        assert np.abs(numeric).max() > 0.1, name
        assert np.abs(gradient - numeric).max() <= 1e-7, name


@every_dtype
def test_a_row_is_that_row_alone(dtype):
    """In whatever batch, at whatever place: the same bits, and nobody else's NaN."""
    layer = recurra.Linear(37, 41, dtype=dtype, seed=1)
    x, dy = draw(layer, (600,))
    x[300], dy[301] = np.nan, np.inf
    y, (dx, _) = layer(x), gradients(layer, x, dy)
    for rows in (slice(0, 1), slice(5, 18), slice(290, 300), slice(302, 599), slice(599, 600)):
        assert_same_bits(layer(x[rows]), y[rows])
        assert_same_bits(gradients(layer, x[rows], dy[rows])[0], dx[rows])
        assert np.isfinite(y[rows]).all()
    assert_same_bits(layer(x.reshape(4, 150, 37)), y.reshape(4, 150, 41))


@pytest.mark.parametrize("threads", [1, 2])
def test_threads(threads):
    layer = recurra.Linear(64, 300, seed=1)
    x, dy = draw(layer, (999,))
    expected, before = (layer(x), gradients(layer, x, dy)), recurra.get_num_threads()
    recurra.set_num_threads(threads)
    try:
        assert_same_bits((layer(x), gradients(layer, x, dy)), expected)
    finally:
        recurra.set_num_threads(before)


@every_dtype
def test_memory_layouts(dtype):
    layer = recurra.Linear(6, 5, dtype=dtype, seed=1)
    x, dy = draw(layer, (4, 7))
    expected = layer(x), gradients(layer, x, dy)

    def spread(a):
        larger = np.full([2 * n for n in a.shape], np.nan, a.dtype)
        larger[::2, ::-2, 1::2] = a
        return larger[::2, ::-2, 1::2]

    def swapped(a):
        return np.ascontiguousarray(a.swapaxes(0, 1)).swapaxes(0, 1)

    def misaligned(a):
        view = np.empty(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
        view[...] = a
        return view

    for lay in (spread, swapped, misaligned, np.asfortranarray, lambda a: a[::-1].copy()[::-1]):
        assert_same_bits((layer(lay(x)), gradients(layer, lay(x), lay(dy))), expected)
    row = np.broadcast_to(x[0, 0], (4, 7, 6))
    assert_same_bits(layer(row), np.broadcast_to(expected[0][0, 0], (4, 7, 5)).copy())


@every_bias
def test_options_of_backward(bias):
    """Gradients add up, in layer.grads or a dict; need_dx, retain; the tape owns its x."""
    layer = recurra.Linear(6, 5, bias=bias, seed=1)
    x, dy = draw(layer, (4,))
    dx, once = gradients(layer, x, dy)
    assert_same_bits(gradients(layer, x, dy, need_dx=False), (None, once))
    _, tape = layer.forward(x)
    x[...] = 9
    for times in (1, 2):
        assert_same_bits(layer.backward(tape, dy, retain=times == 1), dx)
        assert_same_bits(dict(layer.grads), {name: value * times for name, value in once.items()})
    with pytest.raises(RuntimeError, match=r"^tape: "):
        layer.backward(tape, dy)
    layer.zero_grad()
    assert not any(gradient.any() for gradient in layer.grads.values())


@every_dtype
def test_initial_weights(dtype):
    """Uniform in ±1/√in_features, as in PyTorch."""
    layer = recurra.Linear(400, 50, dtype=dtype, seed=1)
    assert {name: value.shape for name, value in layer.params.items()} == {"weight": (50, 400), "bias": (50,)}
    for value in layer.params.values():
        assert 0.9 / 20 < np.abs(value).max() <= 1.000001 / 20
    assert abs(layer.params["weight"].mean()) < 5 / 20 / np.sqrt(3 * 20_000)
    assert repr(recurra.Linear(3, 5)) == "Linear(3, 5)"


@every_dtype
def test_errors(dtype):
    """In the form of all errors; parameters, gradients and the tape are as before."""
    layer = recurra.Linear(6, 5, dtype=dtype, seed=1)
    x, dy = draw(layer, (4, 7))
    expected, (_, tape) = gradients(layer, x, dy), layer.forward(x)

    def refuses(error, name, call, form=r": expected .*got"):
        with refused(error, name, dict(layer.params), dict(layer.grads), x, dy, form=form):
            call()
        grads = {key: np.zeros_like(value) for key, value in layer.params.items()}
        assert_same_bits((layer.backward(tape, dy, grads=grads, retain=True), grads), expected)

    for call in (layer, layer.forward):
        for value in [*of_wrong_type(x), None]:
            refuses(TypeError, "x", lambda value=value, call=call: call(value))
        for shape in ((4, 7, 5), (4, 7, 7), (6, 1), (4, 0), ()):
            refuses(ValueError, "x", lambda shape=shape, call=call: call(np.zeros(shape, dtype)))
    for value in [*of_wrong_type(dy), None]:
        refuses(TypeError, "dy", lambda value=value: layer.backward(tape, value))
    for value in of_wrong_shape(dy):
        refuses(ValueError, "dy", lambda value=value: layer.backward(tape, value))
    right = {name: np.zeros_like(value) for name, value in layer.params.items()}
    for value in of_wrong_shape(right["weight"]):
        refuses(
            ValueError, ".*weight", lambda value=value: layer.backward(tape, dy, grads=right | {"weight": value}), ""
        )
    refuses(ValueError, "grads", lambda: layer.backward(tape, dy, grads={"weight": right["weight"]}))
    for value in (None, x, 3):
        refuses(TypeError, "tape", lambda value=value: layer.backward(value, dy))
    other = recurra.Linear(6, 5, dtype=dtype, seed=1).forward(x)[1]
    refuses(RuntimeError, "tape", lambda: layer.backward(other, dy), ": ")
    layer.load_state_dict(layer.state_dict())
    with refused(RuntimeError, "tape", dict(layer.params), dict(layer.grads), form=": "):
        layer.backward(tape, dy)
