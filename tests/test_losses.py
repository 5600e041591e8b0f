"""Losses and softmax: values in higher precision, gradients by central differences, PyTorch's numbers, the extremes."""

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


# cross_entropy


def draw_positions(shape=(5, 4), classes=6, dtype=np.float64, seed=0):
    """Logits, targets, and weights of which some are 0."""
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.1, 2, shape) * (rng.random(shape) < 0.7)
    return (
        np.array(rng.standard_normal((*shape, classes)) * 2, dtype),
        np.array(rng.integers(0, classes, shape)),
        weights,
    )


def exact_cross_entropy(logits, targets, weights):
    """Value and gradient in long double, from the definition."""
    z = logits.astype(np.longdouble)
    p = np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)
    w = np.asarray(weights, np.longdouble) / np.sum(weights, dtype=np.longdouble)
    chosen = np.take_along_axis(p, targets[..., None], axis=-1)[..., 0]
    one_hot = np.arange(logits.shape[-1]) == targets[..., None]
    return float((-w * np.log(chosen)).sum()), w[..., None] * (p - one_hot)


@pytest.mark.parametrize("shape", [(5, 4), (7,), (), (2, 3, 2)], ids=str)
@every_dtype
def test_cross_entropy(shape, dtype):
    logits, targets, weights = draw_positions(shape, dtype=dtype, seed=1)
    weights = np.array(weights + (not weights.any()))
    eps = float(np.finfo(dtype).eps)
    for given in (None, weights):
        value, gradient = recurra.cross_entropy(logits, targets, position_weights=given)
        expected, expected_gradient = exact_cross_entropy(logits, targets, np.ones(shape) if given is None else given)
        assert isinstance(value, float)
        assert (gradient.shape, gradient.dtype) == (logits.shape, np.dtype(dtype))
        assert value == pytest.approx(expected, rel=8 * eps)
        np.testing.assert_allclose(gradient, expected_gradient, rtol=16 * eps, atol=2 * eps)


@pytest.mark.parametrize("how", ["all", "weights", "ignore_index", "both"])
def test_cross_entropy_central_differences(how):
    logits, targets, weights = draw_positions()
    options = {"position_weights": weights} if how in {"weights", "both"} else {}
    options |= {"ignore_index": 2} if how in {"ignore_index", "both"} else {}
    _, gradient = recurra.cross_entropy(logits, targets, **options)
    numeric = numeric_gradient(lambda: recurra.cross_entropy(logits, targets, **options)[0], logits)
    assert np.abs(gradient - numeric).max() <= 1e-9
    assert np.abs(numeric).max() > 1e-3


@every_dtype
def test_cross_entropy_of_torch(dtype):
    """Ignored positions as torch has them, -100 among them; weights as a sum of its unreduced losses."""
    torch = pytest.importorskip("torch")
    logits, targets, weights = draw_positions(dtype=dtype)
    eps = float(np.finfo(dtype).eps)
    for index in (None, 2, -100):
        given = targets.copy()
        if index == -100:
            given[::2] = -100
        tensor = torch.tensor(logits, requires_grad=True)
        ignored = {} if index is None else {"ignore_index": index}
        loss = torch.nn.functional.cross_entropy(tensor.flatten(0, 1), torch.tensor(given).flatten(), **ignored)
        loss.backward()
        value, gradient = recurra.cross_entropy(logits, given, **ignored)
        assert value == pytest.approx(loss.item(), rel=8 * eps)
        np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=16 * eps, atol=2 * eps)
    each = torch.nn.functional.cross_entropy(
        torch.tensor(logits).flatten(0, 1), torch.tensor(targets).flatten(), reduction="none"
    )
    expected = (each.numpy() * weights.ravel()).sum() / weights.sum()
    assert recurra.cross_entropy(logits, targets, position_weights=weights)[0] == pytest.approx(
        float(expected), rel=8 * eps
    )


@every_dtype
def test_positions_that_do_not_count(dtype):
    """Whatever stands there, NaN or a target that is none: the rest is as if they weren't there."""
    logits, targets, weights = draw_positions(dtype=dtype)
    out = weights == 0
    assert out.any()
    expected_value, expected = recurra.cross_entropy(logits[~out], targets[~out], position_weights=weights[~out])
    logits[out], targets[out] = np.nan, -7
    value, gradient = recurra.cross_entropy(logits, targets, position_weights=weights)
    assert value == expected_value
    assert_same_bits(gradient[~out], expected)
    assert not gradient[out].any()
    masked = recurra.cross_entropy(logits, targets, position_weights=~out)
    assert_same_bits(recurra.cross_entropy(logits, targets, ignore_index=-7)[1], masked[1])
    for kind in (np.int8, np.float32, np.float64):
        assert_same_bits(recurra.cross_entropy(logits, targets, position_weights=(~out).astype(kind))[1], masked[1])


@every_dtype
def test_positions_that_do_not_count_among_many(dtype):
    """Weights are summed in an order that those of 0 have no part in: the bits are the same without them."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        logits, weights = rng.normal(0, 3, (50, 7)).astype(dtype), rng.uniform(0.1, 1, 50)
        targets, out = rng.integers(0, 7, 50), rng.random(50) < 0.4
        weights[out] = 0
        value, gradient = recurra.cross_entropy(logits, targets, position_weights=weights)
        expected = recurra.cross_entropy(logits[~out], targets[~out], position_weights=weights[~out])
        assert value == expected[0]
        assert_same_bits(gradient[~out], expected[1])


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, np.uint64, ">i2"])
def test_targets_of_any_integer_dtype(kind):
    logits, targets, _ = draw_positions(dtype=np.float32)
    before = logits.copy(), targets.copy()
    expected = recurra.cross_entropy(logits, targets)
    assert_same_bits(recurra.cross_entropy(logits, targets.astype(kind))[1], expected[1])
    assert_same_bits((logits, targets), before)
    assert not np.shares_memory(expected[1], logits)
    turned = np.asfortranarray(logits)
    assert_same_bits(recurra.cross_entropy(turned, np.asfortranarray(targets))[1], expected[1])


@every_dtype
def test_cross_entropy_of_huge_logits(dtype):
    """±1e4: the loss is their difference, the gradient 0 or ±1; NaN at a position that counts shows."""
    logits = np.array([[1e4, -1e4, 0], [1e4, -1e4, 0], [1e4, 1e4, -1e4]], dtype)
    targets = np.array([0, 1, 0])
    value, gradient = recurra.cross_entropy(logits, targets)
    assert value == pytest.approx((0 + 2e4 + np.log(2)) / 3)
    np.testing.assert_allclose(gradient * 3, [[0, 0, 0], [1, -1, 0], [-0.5, 0.5, 0]], atol=1e-6)
    level = recurra.cross_entropy(np.full((2, 4), 1e30, dtype), targets[:2])
    assert level[0] == pytest.approx(np.log(4))
    small = np.random.default_rng(0).normal(0, 1, (3, 3))
    shifted = recurra.cross_entropy(small + 2.0**40, targets)  # which rounds the logits to 2^-12
    assert shifted[0] == pytest.approx(recurra.cross_entropy((small + 2.0**40) - 2.0**40, targets)[0], rel=1e-14)
    logits[0] = np.nan
    value, gradient = recurra.cross_entropy(logits, targets)
    assert np.isnan(value)
    assert np.isnan(gradient).any(axis=1).tolist() == [True, False, False]


@every_dtype
def test_cross_entropy_errors(dtype):
    logits, targets, weights = draw_positions(dtype=dtype)

    def refuses(error, name, *arguments, **options):
        with refused(error, name, logits, targets, weights):
            recurra.cross_entropy(*arguments, **options)

    for wrong in (logits.astype(np.float16), logits.astype(int), logits.tolist(), None):
        refuses(TypeError, "logits", wrong, targets)
    for wrong in (targets.astype(float), targets == 1, targets.tolist(), None, 3):
        refuses(TypeError, "targets", logits, wrong)
    for wrong in [*of_wrong_shape(targets), targets.T]:
        refuses(ValueError, "targets", logits, wrong)
    refuses(ValueError, "logits", np.array(1, dtype), np.array(0))
    for wrong in (-1, 6):
        at = targets.copy()
        at[3, 1] = wrong
        refuses(ValueError, "targets", logits, at)
    for wrong in (weights.tolist(), weights.astype(complex), weights.astype(str), 1.0):
        refuses(TypeError, "position_weights", logits, targets, position_weights=wrong)
    for wrong in of_wrong_shape(weights):
        refuses(ValueError, "position_weights", logits, targets, position_weights=wrong)
    for wrong in (-weights - 1, weights * np.nan, weights + np.inf):
        refuses(ValueError, "position_weights", logits, targets, position_weights=wrong)
    for wrong in (1.0, "1", True, targets):
        refuses(TypeError, "ignore_index", logits, targets, ignore_index=wrong)
    refuses(ValueError, "position_weights", logits, targets, position_weights=np.zeros((5, 4)))
    refuses(ValueError, "targets", logits, np.full_like(targets, 2), ignore_index=2)
    refuses(ValueError, "targets", logits[:0], targets[:0])
    refuses(ValueError, "targets", logits[..., :0], targets)


# binary_cross_entropy


def draw_binary(shape, dtype=np.float64):
    rng = np.random.default_rng(0)
    return np.array(rng.standard_normal(shape) * 3, dtype), np.array(rng.random(shape), dtype)


@every_shape
@every_dtype
def test_binary_cross_entropy(shape, dtype):
    logits, targets = draw_binary(shape, dtype)
    value, gradient = recurra.binary_cross_entropy(logits, targets)
    assert isinstance(value, float)
    assert (gradient.shape, gradient.dtype) == (shape, np.dtype(dtype))
    p = 1 / (1 + np.exp(-logits.astype(np.longdouble)))
    t, eps = targets.astype(np.longdouble), float(np.finfo(dtype).eps)
    assert value == pytest.approx(float(np.mean(-t * np.log(p) - (1 - t) * np.log1p(-p))), rel=8 * eps)
    np.testing.assert_allclose(gradient, (p - t) / t.size, rtol=8 * eps, atol=2 * eps)


@every_shape
def test_binary_cross_entropy_central_differences(shape):
    logits, targets = draw_binary(shape)
    _, gradient = recurra.binary_cross_entropy(logits, targets)
    numeric = numeric_gradient(lambda: recurra.binary_cross_entropy(logits, targets)[0], logits)
    assert np.abs(gradient - numeric).max() <= 1e-9
    assert np.abs(numeric).max() > 1e-3


@every_dtype
def test_binary_cross_entropy_of_torch(dtype):
    torch = pytest.importorskip("torch")
    logits, targets = draw_binary((4, 5), dtype)
    tensor = torch.tensor(logits, requires_grad=True)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(tensor, torch.tensor(targets))
    loss.backward()
    value, gradient = recurra.binary_cross_entropy(logits, targets)
    eps = float(np.finfo(dtype).eps)
    assert value == pytest.approx(loss.item(), rel=8 * eps)
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=8 * eps, atol=2 * eps)


@every_dtype
def test_binary_cross_entropy_of_huge_logits(dtype):
    logits, targets = np.array([1e4, 1e4, -1e4, -1e4], dtype), np.array([1, 0, 1, 0], dtype)
    value, gradient = recurra.binary_cross_entropy(logits, targets)
    assert value == pytest.approx(2e4 / 4)
    assert (gradient * 4).tolist() == [0, 1, -1, 0]
    logits[0] = np.nan
    value, gradient = recurra.binary_cross_entropy(logits, targets)
    assert np.isnan(value)
    assert np.isnan(gradient).tolist() == [True, False, False, False]


@every_dtype
def test_binary_cross_entropy_errors(dtype):
    logits, targets = draw_binary((4, 5), dtype)
    for wrong in of_wrong_type(targets):
        with refused(TypeError, "targets", logits):
            recurra.binary_cross_entropy(logits, wrong)
    for wrong in [np.zeros((4, 5), int), np.zeros((4, 5), np.float16), logits.tolist(), None]:
        with refused(TypeError, "logits", targets):
            recurra.binary_cross_entropy(wrong, targets)
    for wrong in [*of_wrong_shape(targets), targets - 1, targets + 1, targets * np.nan]:
        with refused(ValueError, "targets", logits):
            recurra.binary_cross_entropy(logits, wrong)
    with refused(ValueError, "logits"):
        recurra.binary_cross_entropy(logits[:0], targets[:0])


# softmax


@every_dtype
def test_softmax(dtype):
    """Of any axis, in higher precision; it sums to 1, and its argument stays as it is."""
    x = draw((4, 5, 3), dtype)[0]
    before, eps = x.copy(), float(np.finfo(dtype).eps)
    for axis in (-1, 0, 1, 2, -3, np.int64(1)):
        exact = np.exp(x.astype(np.longdouble))
        exact /= exact.sum(axis=axis, keepdims=True)
        y = recurra.softmax(x, axis)
        assert y.dtype == dtype
        np.testing.assert_allclose(y, exact, rtol=8 * eps)
        np.testing.assert_allclose(y.sum(axis=axis), 1, rtol=4 * eps)
    assert_same_bits(recurra.softmax(x), recurra.softmax(x, 2))
    assert_same_bits(x, before)
    for columns in (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 100, 1001):  # about the widths of vectors, and what is left
        x = np.random.default_rng(columns).uniform(-30, 30, (3, columns)).astype(dtype)
        x[1] = -np.inf
        x[1, columns // 2] = -1e30
        exact = np.exp(x.astype(np.longdouble) - x.max(axis=1, keepdims=True))
        y = recurra.softmax(x)
        rtol = (8 + 30) * eps  # a difference of up to 60 is rounded by 30 eps before its exponential
        np.testing.assert_allclose(y, exact / exact.sum(axis=1, keepdims=True), rtol=rtol, atol=0)
        assert_same_bits(recurra.softmax(np.repeat(x, 2, axis=1)[:, ::2]), y)
    many = recurra.softmax(np.zeros((1, 70_001), dtype))  # whose sum no chain of additions could hold
    np.testing.assert_allclose(many, 1 / 70_001, rtol=4 * eps)
    with np.errstate(invalid="ignore"):
        assert np.isnan(recurra.softmax(np.array([[-np.inf] * 3, [0, np.inf, 0]], dtype))).any(axis=1).all()
    assert_same_bits(recurra.softmax(x[::-1, ::-1]), recurra.softmax(x[::-1, ::-1].copy()))
    huge = recurra.softmax(np.array([[1e4, -1e4, 1e4], [-1e4, -1e4, 0], [np.nan, 0, 0]], dtype))
    assert huge[:2].tolist() == [[0.5, 0, 0.5], [0, 0, 1]]
    assert np.isnan(huge[2]).all()
    assert recurra.softmax(np.zeros((3, 0), dtype)).shape == (3, 0)
    assert recurra.softmax(np.zeros((0, 3), dtype)).shape == (0, 3)


def test_softmax_and_sigmoid_of_torch():
    torch = pytest.importorskip("torch")
    x = draw((4, 5))[0]
    np.testing.assert_allclose(recurra.softmax(x, 0), torch.tensor(x).softmax(0).numpy(), rtol=1e-14)
    np.testing.assert_allclose(recurra.sigmoid(x), torch.tensor(x).sigmoid().numpy(), rtol=1e-14)


def test_softmax_errors():
    x = draw((4, 5))[0]
    for wrong in (x.tolist(), x.astype(int), x.astype(np.float16), None):
        with refused(TypeError, "x"):
            recurra.softmax(wrong)
    for wrong in (1.0, None, True, (0, 1)):
        with refused(TypeError, "axis", x):
            recurra.softmax(x, wrong)
    for wrong in (2, -3):
        with refused(ValueError, "axis", x):
            recurra.softmax(x, wrong)
    with refused(ValueError, "axis"):
        recurra.softmax(np.array(1.0))


@pytest.mark.parametrize("turned", [False, True])
@every_dtype
def test_binary_cross_entropy_of_many(dtype, turned):
    """More than are done at once; each element's part in the gradient is what it would be alone."""
    logits, targets = draw_binary((70_001, 2), dtype)
    if turned:
        logits, targets = np.asfortranarray(logits), np.asfortranarray(targets)
    value, gradient = recurra.binary_cross_entropy(logits, targets)
    eps, parts = float(np.finfo(dtype).eps), []
    for rows in np.array_split(np.arange(70_001), 7):
        part, slopes = recurra.binary_cross_entropy(logits[rows], targets[rows])
        parts.append(part * len(rows))
        np.testing.assert_allclose(gradient[rows] * (70_001 / len(rows)), slopes, rtol=4 * eps)
    assert value == pytest.approx(sum(parts) / 70_001, rel=8 * eps)
