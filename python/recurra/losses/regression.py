"""Losses of numbers that are predicted: their means, medians and other quantiles, or mean and variance."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from recurra import _core
from recurra._checks import check_array, check_flag, check_number, shown, taken
from recurra._quiet import quiet

from .elements import check_elements, check_pair, mean_of, total

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recurra.module import Array, ArrayIn, NumbersIn


@quiet
def mse(
    prediction: ArrayIn,
    target: ArrayIn,
    *,
    position_weights: ArrayIn | None = None,
    lengths: NumbersIn | None = None,
    batch_first: bool = False,
) -> tuple[float, Array]:
    """Mean squared error, `mean((prediction - target)²)` over all elements; with weights, `Σ w (…)² / Σ w`.

    Args:
        prediction: any shape but an empty one, float32 or float64.
        target: the same shape and dtype.
        position_weights: finite numbers from 0 up, of any dtype; bools are a mask. Their axes are the first ones of the
            prediction, each of its length or 1: all but the last, or all; with more than three, at least the first two.
        lengths: (B,) integers in 0..T, of a prediction (T, B, …): what stands beyond a sequence's end doesn't count.
        batch_first: the prediction is (B, T, …).

    Returns:
        The value, and its gradient `2 w (prediction - target) / Σ w`, of the prediction's shape and dtype. What doesn't
        count isn't looked at, and its gradient is 0.

    Raises:
        TypeError, ValueError: the arrays don't match, or nothing counts.
    """
    prediction, target = check_pair("prediction", prediction, "target", target)
    weights = check_elements(prediction.shape, position_weights, lengths, batch_first)
    if weights is None:
        return _core.mse(prediction, target)
    return _core.mse(prediction, target, weights, total(weights, prediction.size // weights.size))


@quiet
def huber(
    prediction: ArrayIn,
    target: ArrayIn,
    delta: float = 1.0,
    *,
    position_weights: ArrayIn | None = None,
    lengths: NumbersIn | None = None,
    batch_first: bool = False,
) -> tuple[float, Array]:
    """Huber's loss, quadratic for small errors e = prediction - target and linear for large ones, as PyTorch's.

        e² / 2 where |e| <= delta        delta (|e| - delta / 2) elsewhere

    PyTorch's `smooth_l1_loss` with beta is `huber` with delta = beta, value and gradient divided by beta; with
    delta = 1 the two are the same.

    Args:
        prediction, target: as for `mse`.
        delta: above 0.
        position_weights, lengths, batch_first: as for `mse`.

    Returns:
        The mean over all elements, `Σ w loss / Σ w` with weights, and its gradient, `e` within ±delta times
        `w / Σ w`.

    Raises:
        TypeError, ValueError: the arrays don't match, delta isn't above 0, or nothing counts.
    """
    limit = check_number("delta", delta, "a number above 0", 5e-324, math.inf)
    prediction, target = check_pair("prediction", prediction, "target", target)
    weights = check_elements(prediction.shape, position_weights, lengths, batch_first)

    def function(y: Array, t: Array) -> tuple[Array, tuple[Array, ...]]:
        error = y - t
        within = np.clip(error, -limit, limit)
        return within * (error - within / 2), (within,)

    value, (gradient,) = mean_of(function, (prediction, target), weights)
    return value, gradient


@quiet
def quantile(
    prediction: ArrayIn,
    target: ArrayIn,
    q: float | Sequence[float] = 0.5,
    *,
    position_weights: ArrayIn | None = None,
    lengths: NumbersIn | None = None,
    batch_first: bool = False,
) -> tuple[float, Array]:
    """The pinball loss (Koenker & Bassett 1978), whose minimum is the quantile q of the target.

        q (target - prediction) where the target is above        (1 - q) (prediction - target) where it is below

    Args:
        prediction: float32 or float64, not empty. Of several quantiles they are the last axis, (…, Q).
        target: of the same dtype and, for one quantile, the same shape. For several, (…) or (…, 1).
        q: one number between 0 and 1, 0.5 being the median, or Q of them.
        position_weights, lengths, batch_first: as for `mse`.

    Returns:
        The mean over all elements of the prediction, `Σ w loss / Σ w` with weights, and its gradient: -q or 1 - q times
        `w / Σ w`, and 0 where prediction and target are equal.

    Raises:
        TypeError, ValueError: the arrays don't match, a q isn't between 0 and 1, or nothing counts.
    """
    prediction = check_array("prediction", prediction)
    single = isinstance(q, Real)
    levels = np.array(
        [check_number("q", one, "a number between 0 and 1", 5e-324, 1) for one in ([q] if single else _levels(q))],
        prediction.dtype,
    )
    if not single:
        target = _for_each(prediction, target, len(levels))
    prediction, target = check_pair("prediction", prediction, "target", target)
    weights = check_elements(prediction.shape, position_weights, lengths, batch_first)

    def function(y: Array, t: Array, level: Array) -> tuple[Array, tuple[Array, ...]]:
        error = t - y
        slope = np.where(error > 0, -level, np.where(error < 0, 1 - level, error))  # error is 0 or NaN there
        return np.where(slope == 0, slope, -slope * error), (slope,)

    broadcast = np.broadcast_to(levels[0] if single else levels, prediction.shape)
    value, (gradient,) = mean_of(function, (prediction, target, broadcast), weights)
    return value, gradient


@quiet
def gaussian_nll(
    prediction: ArrayIn,
    target: ArrayIn,
    *,
    log_variance: bool = True,
    full: bool = False,
    eps: float = 1e-6,
    position_weights: ArrayIn | None = None,
    lengths: NumbersIn | None = None,
    batch_first: bool = False,
) -> tuple[float, Array]:
    """The negative log-likelihood of targets under normal distributions, as PyTorch's `gaussian_nll_loss`.

        (log v + (target - m)² / v) / 2,        v the variance, but at least eps

    Args:
        prediction: (…, 2 F), float32 or float64, not empty: the means m, then as many logarithms of variances.
        target: (…, F), of the same dtype.
        log_variance: False if the prediction's second half is variances themselves, from 0 up, as PyTorch's `var`.
        full: whether to add the constant, log(2 π) / 2.
        eps: above 0. The gradient is as if a variance below it were eps, and is not 0 for it, as in PyTorch.
        position_weights, lengths, batch_first: as for `mse`; the axes are the target's.

    Returns:
        The mean over the target's elements, `Σ w loss / Σ w` with weights, and its gradient, of the prediction's shape:
        (m - target) / v in the first half; in the second (1 - (target - m)² / v) / 2, and that divided by v without
        log_variance.

    Raises:
        TypeError, ValueError: the arrays don't match, a variance that counts is negative, or nothing counts.
    """
    log_variance, full = check_flag("log_variance", log_variance), check_flag("full", full)
    least = check_number("eps", eps, "a number above 0", 5e-324, math.inf)
    prediction = check_array("prediction", prediction)
    if prediction.ndim == 0 or prediction.shape[-1] % 2:
        raise ValueError(f"prediction: expected (…, 2 F), means and variances, got {prediction.shape}")
    means, spreads = np.split(prediction, 2, axis=-1)
    target = check_array("target", target, prediction.dtype)
    if target.shape != means.shape:
        raise ValueError(f"target: expected (…, F) = {means.shape}, half of the prediction, got {target.shape}")
    means, target = check_pair("prediction", means, "target", target)
    weights = check_elements(target.shape, position_weights, lengths, batch_first)
    constant = math.log(2 * math.pi) / 2 if full else 0.0

    def function(m: Array, s: Array, t: Array) -> tuple[Array, tuple[Array, ...]]:
        if not log_variance and s.min() < 0:
            raise ValueError(f"prediction: expected variances from 0 up in the second half, got {s.min()}")
        log_v = np.maximum(s, math.log(least)) if log_variance else np.log(np.maximum(s, least))
        precision = np.exp(-log_v) if log_variance else 1 / np.maximum(s, least)
        error = m - t
        scaled = error * precision
        slope = (1 - error * scaled) / 2
        losses = (log_v + error * scaled) / 2 + constant
        return losses, (scaled, slope if log_variance else slope * precision)

    value, gradients = mean_of(function, (means, spreads, target), weights)
    return value, np.concatenate(gradients, axis=-1)


def _levels(q: object) -> list[object]:
    given = taken("q", q)
    given = given.tolist() if isinstance(given, np.ndarray) and given.ndim == 1 else given
    if not isinstance(given, (list, tuple)) or not given:
        raise TypeError(f"q: expected a number or a list of them, got {shown(q)}")
    return list(given)


def _for_each(prediction: Array, target: ArrayIn, count: int) -> Array:
    """The target of (…) or (…, 1) for each of so many quantiles."""
    target = check_array("target", target, prediction.dtype)
    if prediction.ndim == 0 or prediction.shape[-1] != count:
        raise ValueError(f"prediction: expected (…, Q) = (…, {count}), as there are so many q, got {prediction.shape}")
    leading = prediction.shape[:-1]
    if target.shape not in {leading, (*leading, 1)}:
        raise ValueError(f"target: expected {leading} or {(*leading, 1)}, without the quantiles, got {target.shape}")
    return np.broadcast_to(target.reshape(*leading, 1), prediction.shape)
