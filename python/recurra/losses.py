"""Losses, each of which returns (value, gradient with respect to the prediction), and softmax.

None overflows, whatever the size of the logits.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from . import _core
from ._checks import check_array, check_index, shown

if TYPE_CHECKING:
    from .module import Array


def mse(prediction: Array, target: Array) -> tuple[float, Array]:
    """Mean squared error, `mean((prediction - target)²)` over all elements.

    Args:
        prediction: any shape but an empty one, float32 or float64.
        target: the same shape and dtype.

    Returns:
        The value, and its gradient `2 (prediction - target) / size`, of the prediction's shape and dtype.

    Raises:
        TypeError, ValueError: the arrays don't match.
    """
    return _core.mse(prediction, target)


def binary_cross_entropy(logits: Array, targets: Array) -> tuple[float, Array]:
    """Mean of `-t log σ(x) - (1 - t) log (1 - σ(x))` over all elements, x the logits and t the targets.

    Args:
        logits: any shape but an empty one, float32 or float64.
        targets: the same shape and dtype, in [0, 1].

    Returns:
        The value, and its gradient `(σ(x) - t) / size`, of the logits' shape and dtype.

    Raises:
        TypeError, ValueError: the arrays don't match, or a target is outside [0, 1].
    """
    _check_pair("logits", logits, "targets", targets)
    if not (targets.min() >= 0 and targets.max() <= 1):
        raise ValueError(f"targets: expected numbers in [0, 1], got {targets.min()} to {targets.max()}")
    losses = np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))
    gradient = _core.sigmoid(logits) - targets
    return float(np.mean(losses, dtype=np.float64)), gradient * gradient.dtype.type(1 / gradient.size)


def cross_entropy(
    logits: Array, targets: Array, *, weights: Array | None = None, ignore_index: int | None = None
) -> tuple[float, Array]:
    """Mean of `-log softmax(logits)[target]` over the positions; with weights, `Σ w loss / Σ w`.

    A position that is ignored or has weight 0 doesn't count, whatever its logits: its gradient is 0.

    Args:
        logits: (…, C), float32 or float64.
        targets: (…), integers in 0..C-1 where a position counts.
        weights: (…), finite numbers from 0 up, of any dtype; bools are a mask.
        ignore_index: a target, of any value, whose positions don't count.

    Returns:
        The value, and its gradient `w (softmax(logits) - one_hot(target)) / Σ w`, of the logits' shape and dtype.

    Raises:
        TypeError: an array isn't one, or has a wrong dtype.
        ValueError: a shape, a target or a weight is wrong, or no position counts.
    """
    flat, classes, w = _check_positions(logits, targets, weights, ignore_index)
    counts = np.flatnonzero(w)
    shares = w / w[counts].sum()
    gradient, maxima, log_sums = _core.weighted_softmax(flat, shares)  # of the positions that count; zeros elsewhere
    chosen, shares = classes[counts], shares[counts]
    losses = log_sums[counts] + (maxima[counts] - flat[counts, chosen])
    gradient[counts, chosen] -= shares.astype(gradient.dtype)
    return float(np.dot(shares, losses)), gradient.reshape(logits.shape)


def softmax(x: Array, axis: int = -1) -> Array:
    """`exp(x) / Σ exp(x)` along an axis: probabilities from logits.

    Raises:
        TypeError: x isn't an array of float32 or float64, or axis no integer.
        ValueError: x has no such axis.
    """
    check_array("x", x)
    axis = check_index("axis", axis, "an integer")
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"axis: expected one of x's {x.ndim}, got {axis}")
    moved = np.moveaxis(x, axis, -1)
    y: Array = _core.softmax(moved.reshape(math.prod(moved.shape[:-1]), moved.shape[-1]))
    return np.ascontiguousarray(np.moveaxis(y.reshape(moved.shape), -1, axis))


def _check_pair(name: str, prediction: Array, target_name: str, target: Array) -> None:
    """Two arrays of one shape and dtype, with at least one element."""
    check_array(name, prediction)
    check_array(target_name, target, prediction.dtype)
    if target.shape != prediction.shape:
        raise ValueError(f"{target_name}: expected the shape of {name} {prediction.shape}, got {target.shape}")
    if prediction.size == 0:
        raise ValueError(f"{name}: expected at least one element, got {shown(prediction.shape)}")


def _check_positions(
    logits: Array, targets: Array, weights: Array | None, ignore_index: int | None
) -> tuple[Array, Array, Array]:
    """The positions in a row: logits (N, C), targets (N,), and weights (N,) as float64, 0 where one doesn't count."""
    check_array("logits", logits)
    if logits.ndim == 0:
        raise ValueError("logits: expected (..., C), got ()")
    shape = logits.shape[:-1]
    _check_kind("targets", targets, "iu", "integers")
    if targets.shape != shape:
        raise ValueError(f"targets: expected the logits' leading axes {shape}, got {targets.shape}")
    classes = targets.ravel()
    w = np.ones(classes.size)
    if weights is not None:
        _check_kind("weights", weights, "biuf", "numbers")
        if weights.shape != shape:
            raise ValueError(f"weights: expected the logits' leading axes {shape}, got {weights.shape}")
        w = weights.ravel().astype(np.float64)
        if not np.all((w >= 0) & (w < np.inf)):
            raise ValueError(f"weights: expected finite numbers from 0 up, got {w.min()} to {w.max()}")
    if ignore_index is not None:
        w[classes == check_index("ignore_index", ignore_index, "an integer or None")] = 0
    if not w.any():
        raise ValueError(f"targets: expected at least one position that counts, got {classes.size} of which none does")
    wrong = ((classes < 0) | (classes >= logits.shape[-1])) & (w > 0)
    if wrong.any():
        at = int(wrong.argmax())
        raise ValueError(f"targets: expected integers in 0..C-1 = 0..{logits.shape[-1] - 1}, got {classes[at]}")
    return logits.reshape(-1, logits.shape[-1]), classes, w


def _check_kind(name: str, value: Array, kinds: str, what: str) -> None:
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name}: expected a numpy.ndarray of {what}, got {type(value).__name__}")
    if value.dtype.kind not in kinds:
        raise TypeError(f"{name}: expected {what}, got {value.dtype}")
