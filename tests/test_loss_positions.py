"""Losses over sequences of different lengths and with weights: what doesn't count might as well not be there."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import recurra
from configs import assert_same_bits, numeric_gradient
from refused import of_wrong_shape, refused

T, B, F = 6, 4, 3
LENGTHS = np.array([6, 2, 0, 5])
LOSSES = {
    "mse": recurra.mse,
    "binary_cross_entropy": recurra.binary_cross_entropy,
    "cross_entropy": recurra.cross_entropy,
}

every_loss = pytest.mark.parametrize("name", LOSSES)
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)


def draw(name, shape=(T, B, F), dtype=np.float64, seed=0):
    """A prediction and a target of its kind."""
    rng = np.random.default_rng(seed)
    prediction = rng.standard_normal(shape).astype(dtype)
    if name == "cross_entropy":
        return prediction, rng.integers(0, shape[-1], shape[:-1])
    return prediction, rng.random(shape).astype(dtype)


def padded(array, steps, value):
    """Up to so many steps, with the value wherever a sequence has ended."""
    result = np.full((steps, *array.shape[1:]), value, array.dtype)
    for b, length in enumerate(LENGTHS):
        result[:length, b] = array[:length, b]
    return result


def nothing(target):
    """A target that is refused where it counts."""
    return -7 if target.dtype.kind == "i" else np.nan


@every_dtype
@every_loss
def test_padding_does_not_count(name, dtype):
    """The numbers are those of the real steps alone, to the bit, with any padding, and its gradient is 0."""
    prediction, target = draw(name, dtype=dtype)
    real = np.arange(T)[:, None] < LENGTHS
    value, gradient = LOSSES[name](prediction[real], target[real])
    for steps in (T, 2 * T, 50):
        x, t = padded(prediction, steps, np.nan), padded(target, steps, nothing(target))
        before = x.copy(), t.copy()
        got, got_gradient = LOSSES[name](x, t, lengths=LENGTHS)
        assert got == value
        assert (got_gradient.shape, got_gradient.dtype) == (x.shape, x.dtype)
        assert_same_bits(got_gradient[:T][real], gradient)
        assert np.count_nonzero(got_gradient) == np.count_nonzero(gradient)
        assert_same_bits((x, t), before)
        mask = np.arange(steps)[:, None] < LENGTHS
        for weights in (mask, mask.astype(np.int8), mask.astype(np.float32)):
            assert LOSSES[name](x, t, position_weights=weights)[0] == value


@every_dtype
@every_loss
def test_batch_first(name, dtype):
    """The same gradient; the value is summed in another order."""
    prediction, target = draw(name, dtype=dtype)
    value, gradient = LOSSES[name](prediction, target, lengths=LENGTHS)
    turned, turned_gradient = LOSSES[name](
        prediction.swapaxes(0, 1), target.swapaxes(0, 1), lengths=LENGTHS, batch_first=True
    )
    assert turned == pytest.approx(value, rel=1e-6)
    assert_same_bits(np.ascontiguousarray(turned_gradient.swapaxes(0, 1)), gradient)


def test_by_hand():
    """Two sequences, of 2 steps and 1: four numbers count with features, and the fifth and sixth don't."""
    prediction = np.array([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [9.0, 9.0]]])
    value, gradient = recurra.mse(prediction, np.zeros_like(prediction), lengths=np.array([2, 1]))
    assert value == (1 + 4 + 9 + 16 + 25 + 36) / 6
    np.testing.assert_allclose(gradient, prediction * 2 / 6 * [[[1], [1]], [[1], [0]]], rtol=1e-15)
    weighted = recurra.mse(prediction, np.zeros_like(prediction), position_weights=np.array([[1, 0], [0, 3]]))
    assert weighted[0] == (1 + 4 + 3 * 81 + 3 * 81) / (2 * 1 + 2 * 3)


@every_loss
def test_lengths_of_all_steps_are_none(name):
    prediction, target = draw(name)
    assert_same_bits(LOSSES[name](prediction, target, lengths=np.full(B, T))[1], LOSSES[name](prediction, target)[1])
    assert LOSSES[name](prediction, target, lengths=np.full(B, T))[0] == LOSSES[name](prediction, target)[0]


def mean_of_each(name, prediction, target, weights):
    """Σ w loss / Σ w from the loss of one element or position at a time; weights for each of them."""
    losses = np.zeros(weights.shape)
    for index in np.ndindex(weights.shape):
        if name == "cross_entropy":
            losses[index] = LOSSES[name](prediction[index][None], target[index][None])[0]
        else:
            losses[index] = LOSSES[name](prediction[index].reshape(1), target[index].reshape(1))[0]
    return (weights * losses).sum() / weights.sum()


@pytest.mark.parametrize("shape", [(T, B), (T, 1), (1, B), (T, B, F), (1, 1, F), (T, B, 1)], ids=str)
@every_loss
def test_weights(name, shape):
    """Whichever of the first axes they have; with lengths they count up to the end, and are not looked at beyond it."""
    prediction, target = draw(name, (T, B, F, 5) if name == "cross_entropy" else (T, B, F))
    rng = np.random.default_rng(1)
    weights = rng.uniform(0.5, 2, shape) * (rng.random(shape) < 0.8)
    every = np.broadcast_to(weights.reshape(shape + (1,) * (3 - len(shape))), (T, B, F))
    value, gradient = LOSSES[name](prediction, target, position_weights=weights)
    assert value == pytest.approx(mean_of_each(name, prediction, target, every), rel=1e-13)
    numeric = numeric_gradient(lambda: LOSSES[name](prediction, target, position_weights=weights)[0], prediction)
    assert np.abs(gradient - numeric).max() <= 1e-9
    assert np.abs(numeric).max() > 1e-3
    both = every * (np.arange(T)[:, None] < LENGTHS)[..., None]
    value, gradient = LOSSES[name](prediction, target, position_weights=weights, lengths=LENGTHS)
    assert value == pytest.approx(mean_of_each(name, prediction, target, both), rel=1e-13)
    assert not gradient[both == 0].any()


@every_dtype
@every_loss
def test_weights_among_many(name, dtype):
    """The bits are those without what has weight 0, whatever multiple of eight it displaces."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        prediction, target = draw(name, (50, 7), dtype, seed)
        weights = rng.uniform(0.1, 1, 50) * (rng.random(50) < 0.6)
        keep = weights > 0
        value, gradient = LOSSES[name](prediction, target, position_weights=weights)
        expected = LOSSES[name](prediction[keep], target[keep], position_weights=weights[keep])
        assert value == expected[0]
        assert_same_bits(gradient[keep], expected[1])


@every_loss
def test_arguments_have_the_same_names(name):
    parameters = inspect.signature(LOSSES[name]).parameters
    assert list(parameters)[-3:] == ["position_weights", "lengths", "batch_first"]
    assert parameters["batch_first"].default is False


@every_dtype
@every_loss
def test_errors(name, dtype):
    prediction, target = draw(name, dtype=dtype)

    def refuses(error, argument, *arguments, **options):
        with refused(error, argument, prediction, target):
            LOSSES[name](*(arguments or (prediction, target)), **options)

    for wrong in ([float(T)] * B, np.full(B, 2.0), np.ma.masked_array(LENGTHS, LENGTHS == 0), 3):
        refuses(TypeError, "lengths", lengths=wrong)
    for wrong in (np.full(B, T + 1), np.full(B, -1), np.full(B + 1, 2), np.full((B, 1), 2), np.zeros(B, int)):
        refuses(ValueError, "lengths", lengths=wrong)
    refuses(ValueError, "lengths", lengths=np.full(T, 2))
    refuses(ValueError, "lengths", lengths=LENGTHS, batch_first=True)
    one = (prediction[0, 0], np.array(target[0, 0]))
    refuses(ValueError, "lengths", *one, lengths=LENGTHS)
    refuses(TypeError, "batch_first", lengths=LENGTHS, batch_first=1)
    weights = np.ones((T, B))
    for wrong in (weights.tolist(), weights.astype(complex), weights.astype(str), 1.0, np.ma.masked_array(weights)):
        refuses(TypeError, "position_weights", position_weights=wrong)
    shapes = [(T + 1, B), (T, B + 1), (1, T, B), (T,), (B,), (T * B,), (), (B, T), (T, B, F, 1)]
    wrong = [np.ones(shape) for shape in shapes]
    for array in [
        *wrong,
        -weights,
        weights * np.nan,
        weights + np.inf,
        weights * 0,
        weights * [1e308, 1e308, 1e308, 1],
    ]:
        refuses(ValueError, "position_weights", position_weights=array)
    square = draw(name, (B, B, F))  # weights of one axis could be meant for either
    refuses(ValueError, "position_weights", *square, position_weights=np.ones(B))


# weights by class


@every_dtype
def test_weights_by_class(dtype):
    """PyTorch's Σ w[target] loss / Σ w[target], also where there are as many positions as classes, and with others."""
    for shape, C in (((5, 4), 6), ((4,), 4), ((7, 2), 2)):
        prediction, target = draw("cross_entropy", (*shape, C), dtype)
        weight = np.random.default_rng(3).uniform(0.5, 2, C)
        for kind in (np.float64, np.float32):
            given = weight.astype(kind)
            got = recurra.cross_entropy(prediction, target, given)
            expected = recurra.cross_entropy(prediction, target, position_weights=given[target])
            assert got[0] == expected[0]
            assert_same_bits(got[1], expected[1])
        each = mean_of_each("cross_entropy", prediction, target, weight[target])
        assert recurra.cross_entropy(prediction, target, weight)[0] == pytest.approx(each, rel=1e-5)
    prediction, target = draw("cross_entropy", (T, B, 5), dtype)
    weight, positions = np.array([1, 0, 2, 1, 3]), np.random.default_rng(4).uniform(0.5, 2, (T, B))
    options = {"position_weights": positions, "lengths": LENGTHS, "ignore_index": 3}
    value, gradient = recurra.cross_entropy(prediction, target, weight, **options)
    w = weight[target] * positions * (np.arange(T)[:, None] < LENGTHS) * (target != 3)
    assert value == pytest.approx(mean_of_each("cross_entropy", prediction, target, w), rel=1e-5)
    assert not gradient[w == 0].any()
    assert gradient[w > 0].all()


def test_weights_by_class_central_differences():
    prediction, target = draw("cross_entropy")
    weight = np.array([0.5, 2.0, 1.0])
    numeric = numeric_gradient(lambda: recurra.cross_entropy(prediction, target, weight)[0], prediction)
    assert np.abs(recurra.cross_entropy(prediction, target, weight)[1] - numeric).max() <= 1e-9


@every_dtype
def test_weights_by_class_of_torch(dtype):
    torch = pytest.importorskip("torch")
    prediction, target = draw("cross_entropy", dtype=dtype)
    weight = np.array([0.5, 2.0, 1.0], dtype)
    for ignored in ({}, {"ignore_index": 1}):
        tensor = torch.tensor(prediction, requires_grad=True)
        loss = torch.nn.functional.cross_entropy(
            tensor.flatten(0, 1), torch.tensor(target).flatten(), torch.tensor(weight), **ignored
        )
        loss.backward()
        value, gradient = recurra.cross_entropy(prediction, target, weight, **ignored)
        eps = float(np.finfo(dtype).eps)
        assert value == pytest.approx(loss.item(), rel=8 * eps)
        np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=16 * eps, atol=2 * eps)


def test_weights_by_class_are_checked():
    prediction, target = draw("cross_entropy")
    weight = np.ones(F)

    def refuses(error, wrong):
        with refused(error, "weight", prediction, target):
            recurra.cross_entropy(prediction, target, wrong)

    for wrong in (weight.astype(str).tolist(), weight.astype(complex), 1.0, np.ma.masked_array(weight)):
        refuses(TypeError, wrong)
    for wrong in [*of_wrong_shape(weight), np.ones((T, B)), -weight, weight * np.nan, weight + np.inf, weight * 0]:
        refuses(ValueError, wrong)


def test_targets_that_pytorch_users_write():
    prediction, target = draw("cross_entropy")
    one_hot = np.eye(F)[target]
    for kind in (np.float32, np.float64, bool):
        with refused(TypeError, "targets", form=r": expected .*got .*targets\.argmax\(-1\)$"):
            recurra.cross_entropy(prediction, one_hot.astype(kind))
    with refused(ValueError, "targets", form=r": expected .*got .*targets\.argmax\(-1\)$"):
        recurra.cross_entropy(prediction, one_hot.astype(int))
    target[0, 0] = -100
    with refused(ValueError, "targets", form=r": expected .*got -100: .*ignore_index=-100$"):
        recurra.cross_entropy(prediction, target)
    assert np.isfinite(recurra.cross_entropy(prediction, target, ignore_index=-100)[0])


@pytest.mark.parametrize("weight", [1e-310, 1e-300, 1e300])
def test_weights_count_by_their_ratios(weight):
    prediction, target = np.zeros((2, 2), np.float32), np.ones((2, 2), np.float32)
    value, gradient = recurra.mse(prediction, target, position_weights=np.full((2, 2), weight))
    expected, like = recurra.mse(prediction, target)
    assert value == pytest.approx(expected)
    np.testing.assert_allclose(gradient, like, rtol=1e-6)
