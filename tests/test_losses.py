"""mse: its value in higher precision, its gradient by central differences."""

from __future__ import annotations

import numpy as np
import pytest

import recurra
from configs import assert_same_bits, numeric_gradient
from refused import of_wrong_shape, of_wrong_type, refused

SHAPES = [(1,), (), (17,), (4, 5), (3, 1, 6), (7, 2, 3, 2)]
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def draw(shape, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(np.array(rng.standard_normal(shape), dtype) for _ in range(2))


@every_shape
@every_dtype
def test_value_and_gradient(shape, dtype):
    prediction, target = draw(shape, dtype)
    value, gradient = recurra.mse(prediction, target)
    assert isinstance(value, float)
    assert (gradient.shape, gradient.dtype) == (shape, np.dtype(dtype))
    error = prediction.astype(np.longdouble) - target
    eps = float(np.finfo(dtype).eps)
    assert value == pytest.approx(float(np.mean(error**2)), rel=8 * eps)
    np.testing.assert_allclose(gradient, 2 * error / error.size, rtol=4 * eps)
    same = recurra.mse(prediction, prediction.copy())
    assert same[0] == 0
    assert not np.any(same[1])


@every_shape
def test_central_differences(shape):
    prediction, target = draw(shape)
    _, gradient = recurra.mse(prediction, target)
    numeric = numeric_gradient(lambda: recurra.mse(prediction, target)[0], prediction)
    assert np.abs(gradient - numeric).max() <= 1e-9
    assert np.abs(numeric).max() > 1e-3


def test_the_gradient_is_the_callers():
    """Its own memory, writeable, and the arguments are left alone; any strides will do."""
    prediction, target = draw((6, 8), np.float32)
    before = prediction.copy(), target.copy()
    expected = recurra.mse(prediction, target)
    assert_same_bits((prediction, target), before)
    assert not np.shares_memory(expected[1], prediction)
    assert not np.shares_memory(expected[1], target)
    assert expected[1].flags.writeable
    target.flags.writeable = False
    value, gradient = recurra.mse(prediction.T, target.T)
    assert value == pytest.approx(expected[0], rel=1e-6)
    assert_same_bits(np.ascontiguousarray(gradient), np.ascontiguousarray(expected[1].T))


def test_a_long_mean_is_accurate():
    """A million equal float32 errors: summed one by one in float32 they would be off by a percent."""
    prediction, target = np.full(2**20, 1.1, np.float32), np.full(2**20, 1, np.float32)
    exact = float(np.float32(1.1) - np.float32(1)) ** 2
    assert recurra.mse(prediction, target)[0] == pytest.approx(exact, rel=1e-5)


@every_dtype
def test_nan_and_infinity_show(dtype):
    prediction, target = draw((5,), dtype)
    prediction[2] = np.nan
    value, gradient = recurra.mse(prediction, target)
    assert np.isnan(value)
    assert np.isnan(gradient).tolist() == [False, False, True, False, False]


@every_dtype
def test_errors(dtype):
    prediction, target = draw((4, 5), dtype)
    for value in of_wrong_type(prediction):
        with refused(TypeError, "target", prediction):
            recurra.mse(prediction, value)
    for value in [np.zeros((4, 5), int), np.zeros((4, 5), np.float16), prediction.tolist(), 1.0, None]:
        with refused(TypeError, "prediction", target):
            recurra.mse(value, target)
    other = np.float64 if dtype == np.float32 else np.float32
    with refused(TypeError, "(prediction|target)"):
        recurra.mse(prediction.astype(other), target)
    for value in of_wrong_shape(prediction):  # nothing is broadcast, which is most often a mistake
        with refused(ValueError, "(prediction|target)", prediction, target):
            recurra.mse(prediction, value)
        with refused(ValueError, "(prediction|target)", prediction, target):
            recurra.mse(value, target)
    for shape in ((0,), (3, 0)):
        with refused(ValueError, "(prediction|target)"):
            recurra.mse(np.zeros(shape, dtype), np.zeros(shape, dtype))
