"""huber, quantile and gaussian_nll: PyTorch's numbers, central differences, where they are minimal, weights."""

from __future__ import annotations

import math

import numpy as np
import pytest

import recurra
from configs import assert_same_bits, numeric_gradient
from refused import of_wrong_shape, of_wrong_type, refused

SHAPES = [(2,), (17, 2), (7, 3, 4), (3, 1, 5, 2)]
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
LEVELS = [0.1, 0.5, 0.75]


def draw(shape, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(np.array(rng.standard_normal(shape) * 2, dtype) for _ in range(2))


def positive_half(prediction):
    means, spreads = np.split(prediction, 2, axis=-1)
    return np.concatenate([means, np.abs(spreads) + 0.1], axis=-1).astype(prediction.dtype)


# Each loss by name, and what makes its prediction and target of two arrays of one shape.
LOSSES = {
    "huber": (recurra.huber, lambda p, t: (p, t)),
    "huber, small delta": (lambda p, t, **o: recurra.huber(p, t, 0.3, **o), lambda p, t: (p, t)),
    "median": (recurra.quantile, lambda p, t: (p, t)),
    "quantile": (lambda p, t, **o: recurra.quantile(p, t, 0.9, **o), lambda p, t: (p, t)),
    "quantiles": (
        lambda p, t, **o: recurra.quantile(p, t, LEVELS, **o),
        lambda p, t: (np.repeat(p[..., :1], 3, -1) * p.dtype.type(1.5), t[..., :1].copy()),
    ),
    "gaussian": (recurra.gaussian_nll, lambda p, t: (p, t[..., : t.shape[-1] // 2].copy())),
    "gaussian, variance": (
        lambda p, t, **o: recurra.gaussian_nll(p, t, log_variance=False, full=True, **o),
        lambda p, t: (positive_half(p), t[..., : t.shape[-1] // 2].copy()),
    ),
}
every_loss = pytest.mark.parametrize("name", LOSSES)


def prepared(name, shape, dtype=np.float64, seed=0):
    loss, make = LOSSES[name]
    if "gaussian" in name:
        shape = (*shape[:-1], shape[-1] + shape[-1] % 2)
    return loss, *make(*draw(shape, dtype, seed))


@every_shape
@every_loss
def test_central_differences(name, shape):
    loss, prediction, target = prepared(name, shape)
    value, gradient = loss(prediction, target)
    assert isinstance(value, float)
    assert gradient.shape == prediction.shape
    numeric = numeric_gradient(lambda: loss(prediction, target)[0], prediction)
    assert np.abs(gradient - numeric).max() <= 1e-8
    assert np.abs(numeric).max() > 1e-3


@every_dtype
@every_shape
@every_loss
def test_torch(name, shape, dtype):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    loss, prediction, target = prepared(name, shape, dtype)

    def theirs(y, t):
        if name.startswith("huber"):
            return functional.huber_loss(y, t, delta=0.3 if "small" in name else 1.0)
        if name.startswith("gaussian"):
            means, spreads = y.chunk(2, dim=-1)
            full = name != "gaussian"
            return functional.gaussian_nll_loss(means, t, spreads if full else spreads.exp(), full=full)
        q = torch.tensor(LEVELS if name == "quantiles" else 0.9 if name == "quantile" else 0.5, dtype=y.dtype)
        return torch.maximum(q * (t - y), (q - 1) * (t - y)).mean()

    y = torch.tensor(prediction, requires_grad=True)
    expected = theirs(y, torch.tensor(target))
    expected.backward()
    value, gradient = loss(prediction, target)
    rtol = 2e-6 if dtype == np.float32 else 1e-13
    assert gradient.dtype == np.dtype(dtype)
    assert value == pytest.approx(expected.item(), rel=rtol)
    np.testing.assert_allclose(gradient, y.grad.numpy(), rtol=10 * rtol, atol=rtol / prediction.size)


def test_smooth_l1_is_huber_divided_by_beta():
    torch = pytest.importorskip("torch")
    prediction, target = draw((40, 3))
    for beta in (0.25, 1.0, 3.0):
        y = torch.tensor(prediction, requires_grad=True)
        expected = torch.nn.functional.smooth_l1_loss(y, torch.tensor(target), beta=beta)
        expected.backward()
        value, gradient = recurra.huber(prediction, target, beta)
        assert value / beta == pytest.approx(expected.item(), rel=1e-13)
        np.testing.assert_allclose(gradient / beta, y.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize("log_variance", [False, True])
def test_variances_below_eps(log_variance):
    """Count as eps, in value and gradient; of variances that is PyTorch's."""
    torch = pytest.importorskip("torch")
    means, target = draw((6, 1))
    spreads = np.array([[0.0], [1e-9], [1e-3], [0.5], [1.0], [0.2]])
    y, v = torch.tensor(means, requires_grad=True), torch.tensor(spreads, requires_grad=True)
    expected = torch.nn.functional.gaussian_nll_loss(y, torch.tensor(target), v, eps=0.01)
    expected.backward()
    with np.errstate(divide="ignore"):
        second = np.log(spreads) if log_variance else spreads
    prediction = np.concatenate([means, second], axis=1)
    value, gradient = recurra.gaussian_nll(prediction, target, log_variance=log_variance, eps=0.01)
    assert value == pytest.approx(expected.item(), rel=1e-13)
    np.testing.assert_allclose(gradient[:, :1], y.grad.numpy(), rtol=1e-12)
    factor = np.maximum(spreads, 0.01) if log_variance else 1
    np.testing.assert_allclose(gradient[:, 1:], v.grad.numpy() * factor, rtol=1e-12)


def test_the_minimum_of_the_pinball_loss_is_the_quantile():
    samples = np.random.default_rng(0).exponential(size=999)
    for q in LEVELS:
        guesses = np.linspace(0, 3, 601)
        values = [recurra.quantile(np.full(999, guess), samples, q)[0] for guess in guesses]
        assert guesses[np.argmin(values)] == pytest.approx(np.quantile(samples, q), abs=0.006)
    together = recurra.quantile(np.tile(LEVELS, (999, 1)), samples, LEVELS)[0]
    assert together == pytest.approx(np.mean([recurra.quantile(np.full(999, q), samples, q)[0] for q in LEVELS]))


def test_equal_ones_have_no_slope():
    x = np.linspace(-1, 1, 5)
    for loss in (recurra.huber, recurra.quantile):
        value, gradient = loss(x, x.copy())
        assert value == 0
        assert not gradient.any()


def test_one_target_for_all_quantiles():
    prediction, target = draw((4, 3, 3))
    target = target[..., 0]
    expected = recurra.quantile(prediction, target, LEVELS)
    again = recurra.quantile(prediction, target[..., None], np.array(LEVELS))
    assert again[0] == expected[0]
    assert_same_bits(again[1], expected[1])
    assert expected[0] == pytest.approx(
        np.mean([recurra.quantile(prediction[..., i].copy(), target, q)[0] for i, q in enumerate(LEVELS)])
    )


@every_dtype
@every_loss
def test_what_does_not_count_is_not_looked_at(name, dtype):
    """Beyond lengths and where the weight is 0 there may be NaN; the numbers are, to the bit, those without it."""
    loss, prediction, target = prepared(name, (6, 4, 2), dtype)
    lengths = np.array([6, 2, 0, 5])
    within = np.arange(6)[:, None] < lengths
    expected = loss(prediction[within], target[within])
    padded, padded_target = prediction.copy(), target.copy()
    padded[~within], padded_target[~within] = np.nan, -np.inf
    for options in ({"lengths": lengths}, {"position_weights": within}, {"position_weights": within * 0.5}):
        value, gradient = loss(padded, padded_target, **options)
        assert value == expected[0]
        assert_same_bits(gradient[within], expected[1])
        assert not gradient[~within].any()
    first = loss(
        np.ascontiguousarray(padded.swapaxes(0, 1)),
        np.ascontiguousarray(padded_target.swapaxes(0, 1)),
        lengths=lengths,
        batch_first=True,
    )
    assert first[0] == pytest.approx(expected[0], rel=1e-6)
    np.testing.assert_allclose(first[1].swapaxes(0, 1)[within], expected[1], rtol=1e-6)


@every_loss
def test_weights(name):
    """Integers are as good as repeated positions."""
    loss, prediction, target = prepared(name, (9, 2))
    weights = np.array([1, 2, 0, 3, 1, 1, 2, 0, 4])
    value, gradient = loss(prediction, target, position_weights=weights)
    repeated = loss(np.repeat(prediction, weights, axis=0), np.repeat(target, weights, axis=0))
    assert value == pytest.approx(repeated[0], rel=1e-13)
    starts = np.cumsum(weights) - weights
    for i, w in enumerate(weights):
        np.testing.assert_allclose(gradient[i], repeated[1][starts[i] : starts[i] + w].sum(axis=0), rtol=1e-12)


@every_dtype
@every_loss
def test_nan_and_infinity_show(name, dtype):
    loss, prediction, target = prepared(name, (5, 2), dtype)
    prediction[2] = np.nan
    value, gradient = loss(prediction, target)
    assert np.isnan(value)
    assert np.isnan(gradient).any(axis=1).tolist() == [False, False, True, False, False]


@every_dtype
def test_nothing_overflows(dtype):
    """Of the extremes a dtype has, where the loss itself is finite."""
    large = np.array([np.finfo(dtype).max / 4, -np.finfo(dtype).max / 4], dtype)
    value, gradient = recurra.huber(large, np.zeros(2, dtype), 1.0)
    assert math.isfinite(value)
    assert gradient.tolist() == [0.5, -0.5]
    assert math.isfinite(recurra.quantile(large, np.zeros(2, dtype), 0.3)[0])
    for spread in (-1e30, 1e30):
        value, gradient = recurra.gaussian_nll(np.array([[0.5, spread]], dtype), np.array([[0.0]], dtype))
        assert math.isfinite(value)
        assert np.isfinite(gradient).all()


@every_dtype
@every_loss
def test_errors(name, dtype):
    loss, prediction, target = prepared(name, (4, 2), dtype)
    for wrong in of_wrong_type(prediction):
        with refused(TypeError, "(prediction|target)"):
            loss(wrong, target)
    for wrong in of_wrong_type(target):
        with refused(TypeError, "target"):
            loss(prediction, wrong)
    for wrong in of_wrong_shape(target):
        if name != "quantiles" or wrong.shape != target.shape[:-1]:
            with refused(ValueError, "target"):
                loss(prediction, wrong)
    with refused(ValueError, "(prediction|q|target)"):
        loss(prediction[:0], target[:0])
    with refused(ValueError, "position_weights"):
        loss(prediction, target, position_weights=np.zeros(4))
    with refused(ValueError, "lengths"):
        loss(prediction, target, lengths=np.zeros(2, int))


def test_errors_of_options():
    prediction, target = draw((4, 2))
    for wrong in (0, -1.0, math.inf, math.nan):
        with refused(ValueError, "delta"):
            recurra.huber(prediction, target, wrong)
        with refused(ValueError, "eps"):
            recurra.gaussian_nll(prediction, target[:, :1], eps=wrong)
    for wrong in (0, 1, -0.1, math.nan, [0.5, 1.0]):
        with refused(ValueError, "q"):
            recurra.quantile(prediction, target, wrong)
    for wrong in (None, "0.5", [], [None], np.zeros((1, 1)), True):
        with refused(TypeError, "q"):
            recurra.quantile(prediction, target, wrong)
    with refused(ValueError, "prediction"):
        recurra.quantile(prediction, target[:, :1], LEVELS)
    with refused(ValueError, "prediction"):
        recurra.gaussian_nll(prediction[:, :1], target[:, :1])
    with refused(ValueError, "prediction"):
        recurra.gaussian_nll(-np.ones((2, 2)), np.ones((2, 1)), log_variance=False)
    for name in ("log_variance", "full"):
        with refused(TypeError, name):
            recurra.gaussian_nll(prediction, target[:, :1], **{name: 1})


@pytest.mark.parametrize("name", ["huber", "quantiles", "gaussian"])
def test_fit_takes_them(name):
    """A network learns mean and spread, or quantiles, of what it can't know, over sequences of different lengths."""
    rng = np.random.default_rng(0)
    loss, outputs = {"huber": (recurra.huber, 1), "quantiles": (LOSSES["quantiles"][0], 3)}.get(
        name, (recurra.gaussian_nll, 2)
    )
    sequences = [rng.standard_normal((n, 1)).astype(np.float32) for n in rng.integers(5, 30, 40)]
    targets = [(2 * s + rng.standard_normal(s.shape) * 0.5).astype(np.float32) for s in sequences]
    model = recurra.Sequential(recurra.GRU(1, 8, seed=0), recurra.Linear(8, outputs, seed=1))
    data = recurra.batches(sequences, targets, 10, shuffle=True)
    history = recurra.fit(model, data, loss, recurra.Adam(model, lr=0.03), epochs=40)
    assert history.losses[-1] < 0.5 * history.losses[0]
    y = model(np.zeros((50, 1), np.float32))[-1]
    if name == "gaussian":
        assert math.exp(y[1]) == pytest.approx(0.25, rel=0.5)
    if name == "quantiles":
        assert (np.diff(y) > 0).all()
