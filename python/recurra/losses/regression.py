"""Losses of numbers that are predicted: their means, medians and other quantiles, or mean and variance."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from recurra import _core
from recurra._checks import all_taken, check_array, check_flag, check_number, shown, taken
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
    """Mean squared error: the mean over all elements of (prediction - target)².

    With weights w it is `Σ w loss / Σ w`, here and in all losses. What doesn't count isn't looked at, NaN included: its
    gradient is 0, and the numbers are, to the bit, those without it, so padding changes nothing.

    Args:
        prediction: any shape but an empty one, float32 or float64.
        target: of the same shape and dtype.
        position_weights: finite numbers from 0 up, of any dtype; bools are a mask. Their axes are the first ones of the
            prediction, each of its length or 1, as (T, B), (T, 1) or (1, B) for (T, B, F): all but the last, or all; of
            more than three, at least the first two.
        lengths: (B,) integers in 0..T, of a prediction (T, B, …): what stands beyond a sequence's end doesn't count.
            None is T for all.
        batch_first: the arrays are (B, T, …) instead of (T, B, …).

    Returns:
        The value, a float, and its gradient `2 w (prediction - target) / Σ w`, of the prediction's shape and dtype; w
        is 1 without weights.

    Raises:
        TypeError: an argument isn't an array, or its dtype isn't as above.
        ValueError: shapes don't match, a weight or a length is out of range, or nothing counts.

    Example:
        >>> recurra.mse(np.array([[1.0, 3.0]]), np.array([[1.0, 1.0]]))
        (2.0, array([[0., 2.]]))

        Of a batch of two sequences, the second of one step:

        >>> y, t = np.ones((3, 2, 4), np.float32), np.zeros((3, 2, 4), np.float32)
        >>> value, gradient = recurra.mse(y, t, lengths=np.array([3, 1]))
        >>> value, gradient[:, :, 0].tolist()
        (1.0, [[0.125, 0.125], [0.125, 0.0], [0.125, 0.0]])
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
    """Huber's loss, quadratic for small errors and linear for large ones (Huber 1964), as PyTorch's `huber_loss`.

    The mean over all elements, with e = prediction - target, of::

        e² / 2 where |e| <= delta        delta (|e| - delta / 2) elsewhere

    PyTorch's `smooth_l1_loss` with beta is `huber` with delta = beta, value and gradient divided by beta; with delta =
    1 the two are the same.

    Args:
        prediction: any shape but an empty one, float32 or float64.
        target: of the same shape and dtype.
        delta: the error, in the units of the target, from which on the loss is linear; a number above 0.
        position_weights: weights from 0 up, or a mask, along the prediction's first axes; see `mse`.
        lengths: (B,) integers in 0..T, steps of each sequence; None is T for all.
        batch_first: the arrays are (B, T, …) instead of (T, B, …).

    Returns:
        The value, `Σ w loss / Σ w`, a float, and its gradient, e within ±delta, times `w / Σ w`, of the prediction's
        shape and dtype.

    Raises:
        TypeError, ValueError: as for `mse`, or delta isn't a number above 0.

    Example:
        >>> recurra.huber(np.array([0.5, 4.0]), np.zeros(2))
        (1.8125, array([0.25, 0.5 ]))
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
    """The pinball loss, whose minimum is the quantile q of the target (Koenker & Bassett 1978).

    The mean over all elements of::

        q (target - prediction) where the target is above        (1 - q) (prediction - target) where it is below

    Args:
        prediction: float32 or float64, not empty. Of several quantiles they are the last axis, (…, Q).
        target: of the same dtype and, for one quantile, the same shape. For several, (…) or (…, 1).
        q: a number between 0 and 1, 0.5 being the median, or a list of Q of them.
        position_weights: weights from 0 up, or a mask, along the prediction's first axes; see `mse`.
        lengths: (B,) integers in 0..T, steps of each sequence; None is T for all.
        batch_first: the arrays are (B, T, …) instead of (T, B, …).

    Returns:
        The value, `Σ w loss / Σ w`, a float, and its gradient, of the prediction's shape and dtype: -q, 1 - q, or 0
        where prediction and target are equal, times `w / Σ w`.

    Raises:
        TypeError, ValueError: as for `mse`, or a q isn't a number between 0 and 1.

    Example:
        A prediction below the target costs nine times what one above it does:

        >>> recurra.quantile(np.array([1.0, 5.0]), np.array([3.0, 3.0]), q=0.9)
        (1.0, array([-0.45,  0.05]))
    """
    prediction, target, q, position_weights, lengths = all_taken(
        prediction=prediction, target=target, q=q, position_weights=position_weights, lengths=lengths
    )
    prediction = check_array("prediction", prediction)
    single = isinstance(q, Real)
    levels = np.array(
        [check_number("q", one, "a number between 0 and 1", 5e-324, 1) for one in ([q] if single else _levels(q))],
        prediction.dtype,
    )
    weights = check_elements(prediction.shape, position_weights, lengths, batch_first)
    if not single:
        target = _for_each(prediction, target, len(levels))
    prediction, target = check_pair("prediction", prediction, "target", target)

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

    The mean over the target's elements, m being a mean and v a variance, but at least eps, of::

        (log v + (target - m)² / v) / 2

    Args:
        prediction: (…, 2 F), float32 or float64, not empty: F means m, then as many logarithms of variances.
        target: (…, F), of the same dtype.
        log_variance: False if the prediction's second half is variances themselves, from 0 up, as PyTorch's `var`.
        full: whether to add the constant, log(2 π) / 2.
        eps: the least variance, above 0. The gradient is as if a variance below it were eps, and is not 0 for it, as in
            PyTorch.
        position_weights: weights from 0 up, or a mask, along the target's first axes; see `mse`.
        lengths: (B,) integers in 0..T, steps of each sequence; None is T for all.
        batch_first: the arrays are (B, T, …) instead of (T, B, …).

    Returns:
        The value, `Σ w loss / Σ w`, a float, and its gradient, of the prediction's shape and dtype, times `w / Σ w`: (m
        - target) / v in the first half; in the second (1 - (target - m)² / v) / 2, and that divided by v without
        `log_variance`.

    Raises:
        TypeError, ValueError: as for `mse`, the prediction's last axis isn't twice the target's, eps isn't above 0, or
            a variance that counts is negative.

    Example:
        A mean of 1 and a variance of 1, whose logarithm is 0, where 2 came:

        >>> recurra.gaussian_nll(np.array([[1.0, 0.0]]), np.array([[2.0]]))
        (0.5, array([[-1.,  0.]]))
    """
    log_variance, full = check_flag("log_variance", log_variance), check_flag("full", full)
    least = check_number("eps", eps, "a number above 0", 5e-324, math.inf)
    prediction, target, position_weights, lengths = all_taken(
        prediction=prediction, target=target, position_weights=position_weights, lengths=lengths
    )
    prediction = check_array("prediction", prediction)
    if prediction.ndim == 0 or prediction.shape[-1] % 2:
        raise ValueError(f"prediction: expected (…, 2 F), means and variances, got {prediction.shape}")
    target = check_array("target", target, prediction.dtype)
    half = (*prediction.shape[:-1], prediction.shape[-1] // 2)
    if target.shape != half:
        raise ValueError(f"target: expected (…, F) = {half}, half of the prediction, got {target.shape}")
    weights = check_elements(target.shape, position_weights, lengths, batch_first)
    means, spreads = np.split(prediction, 2, axis=-1)
    means, target = check_pair("prediction", means, "target", target)
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
