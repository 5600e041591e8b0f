"""Losses, each of which returns (value, gradient with respect to the prediction), and softmax.

None overflows, whatever the size of the logits.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from . import _core
from ._checks import check_array, check_index, plain_array, shown
from ._positions import check_positions
from ._quiet import quiet

if TYPE_CHECKING:
    from .module import Array

PIECE = 2**15


@quiet
def mse(
    prediction: Array,
    target: Array,
    *,
    position_weights: Array | None = None,
    lengths: Array | None = None,
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
    prediction, target = _check_pair("prediction", prediction, "target", target)
    weights = _check_elements(prediction.shape, position_weights, lengths, batch_first)
    if weights is None:
        return _core.mse(prediction, target)
    return _core.mse(prediction, target, weights, _total(weights, prediction.size // weights.size))


@quiet
def binary_cross_entropy(
    logits: Array,
    targets: Array,
    *,
    position_weights: Array | None = None,
    lengths: Array | None = None,
    batch_first: bool = False,
) -> tuple[float, Array]:
    """Mean of `-t log σ(x) - (1 - t) log (1 - σ(x))` over all elements, x the logits and t the targets.

    Args:
        logits: any shape but an empty one, float32 or float64.
        targets: the same shape and dtype, in [0, 1] where they count.
        position_weights, lengths, batch_first: as for `mse`.

    Returns:
        The value, and its gradient `w (σ(x) - t) / Σ w`, of the logits' shape and dtype; w is 1 without weights.

    Raises:
        TypeError, ValueError: the arrays don't match, a target is outside [0, 1], or nothing counts.
    """
    logits, targets = _check_pair("logits", logits, "targets", targets)
    weights = _check_elements(logits.shape, position_weights, lengths, batch_first)
    if weights is None:
        return _binary_mean(logits, targets)
    counts = np.flatnonzero(weights)
    x, t = (array.reshape(weights.size, -1)[counts] for array in (logits, targets))
    value, slopes = _binary_mean(x, t, weights[counts])
    gradient = np.zeros((weights.size, x.shape[1]), logits.dtype)
    gradient[counts] = slopes
    return value, gradient.reshape(logits.shape)


@quiet
def cross_entropy(
    logits: Array,
    targets: Array,
    weight: Array | None = None,
    *,
    ignore_index: int | None = None,
    position_weights: Array | None = None,
    lengths: Array | None = None,
    batch_first: bool = False,
) -> tuple[float, Array]:
    """Mean of `-log softmax(logits)[target]` over the positions; with weights, `Σ w loss / Σ w`.

    w is `weight[target]`, as in PyTorch, times the position's own weight. A position that is ignored, is beyond its
    sequence's end or has weight 0 doesn't count, whatever its logits and target: its gradient is 0.

    Args:
        logits: (…, C), float32 or float64.
        targets: (…), integers in 0..C-1 where a position counts.
        weight: (C,), of the classes: finite numbers from 0 up, of any dtype.
        ignore_index: a target, of any value, whose positions don't count.
        position_weights: finite numbers from 0 up, of any dtype; bools are a mask. Their axes are those of the targets,
            each of that length or 1; of more than two, at least the first two.
        lengths: (B,) integers in 0..T, of targets (T, B, …): what stands beyond a sequence's end doesn't count.
        batch_first: the targets are (B, T, …).

    Returns:
        The value, and its gradient `w (softmax(logits) - one_hot(target)) / Σ w`, of the logits' shape and dtype.

    Raises:
        TypeError: an array isn't one, or has a wrong dtype.
        ValueError: a shape, a target or a weight is wrong, or no position counts.
    """
    logits, targets = _check_classes(logits, targets)
    flat, classes = logits.reshape(targets.size, logits.shape[-1]), targets.ravel()
    w = _class_weights(flat.shape[1], targets, weight, ignore_index, position_weights, lengths, batch_first)
    counts = np.flatnonzero(w)
    shares = w / _total(w, 1, "position_weights" if weight is None else "weight")
    gradient, maxima, log_sums = _core.weighted_softmax(flat, shares)  # zeros where a position doesn't count
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
    x = check_array("x", x)
    axis = check_index("axis", axis, "an integer")
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"axis: expected one of x's {x.ndim}, got {axis}")
    moved = np.moveaxis(x, axis, -1)
    y: Array = _core.softmax(moved.reshape(math.prod(moved.shape[:-1]), moved.shape[-1]))
    return np.ascontiguousarray(np.moveaxis(y.reshape(moved.shape), -1, axis))


def _total(weights: Array, columns: int, name: str = "position_weights") -> float:
    """The sum of the weights, each as often as it has elements, in an order in which those of 0 have no part."""
    total = float(weights[weights > 0].sum()) * columns
    if not total < math.inf:
        raise ValueError(f"{name}: expected numbers whose sum is finite, got {total}")
    return total


def _check_pair(name: str, prediction: Array, target_name: str, target: Array) -> tuple[Array, Array]:
    """Two arrays of one shape and dtype, with at least one element."""
    prediction = check_array(name, prediction)
    target = check_array(target_name, target, prediction.dtype)
    if target.shape != prediction.shape:
        raise ValueError(f"{target_name}: expected the shape of {name} {prediction.shape}, got {target.shape}")
    if prediction.size == 0:
        raise ValueError(f"{name}: expected at least one element, got {shown(prediction.shape)}")
    return prediction, target


def _check_elements(
    shape: tuple[int, ...], position_weights: Array | None, lengths: Array | None, batch_first: bool
) -> Array | None:
    """The weights of a loss over elements; None if all count the same."""
    least = min(len(shape), 2) if len(shape) != 2 else 1
    return check_positions(shape, least, position_weights, lengths, batch_first)


def _binary_losses(x: Array, t: Array) -> Array:
    """Each element's loss; large arrays in pieces, between which Ctrl-C is seen, and in cache: 46 ms instead of 70."""
    if x.size > PIECE and x.flags.c_contiguous and t.flags.c_contiguous:
        losses = np.empty_like(x)
        flat, rows, targets = losses.reshape(-1), x.reshape(-1), t.reshape(-1)
        for begin in range(0, x.size, PIECE):
            piece = slice(begin, begin + PIECE)
            flat[piece] = _binary_losses(rows[piece], targets[piece])
        return losses
    y: Array = np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x)))
    return y


def _binary_mean(x: Array, t: Array, weights: Array | None = None) -> tuple[float, Array]:
    """The mean of all elements' losses and its gradient; with weights, of the rows."""
    if not (t.min() >= 0 and t.max() <= 1):
        raise ValueError(f"targets: expected numbers in [0, 1], got {t.min()} to {t.max()}")
    losses = _binary_losses(x, t)
    slopes: Array = _core.sigmoid(x) - t
    if weights is None or (weights == weights[0]).all():
        return float(np.mean(losses, dtype=np.float64)), slopes * slopes.dtype.type(1 / slopes.size)
    shares = weights / _total(weights, x.shape[1])
    return float(np.dot(shares, losses.sum(axis=1, dtype=np.float64))), slopes * shares.astype(x.dtype)[:, None]


def _check_classes(logits: Array, targets: Array) -> tuple[Array, Array]:
    """Logits (…, C) and targets (…)."""
    logits = check_array("logits", logits)
    if logits.ndim == 0:
        raise ValueError("logits: expected (..., C), got ()")
    kind = targets.dtype.kind if isinstance(targets, np.ndarray) else ""
    if kind in {"b", "f"} and targets.shape == logits.shape and targets.ndim:
        raise TypeError(f"targets: expected integers, got one-hot rows of {targets.dtype}: write targets.argmax(-1)")
    targets = plain_array("targets", targets, "iu", "integers", "int64")
    if targets.shape != logits.shape[:-1]:
        hint = ": of one-hot rows write targets.argmax(-1)" if targets.shape == logits.shape else ""
        raise ValueError(f"targets: expected the logits' leading axes {logits.shape[:-1]}, got {targets.shape}{hint}")
    return logits, targets


def _class_weights(
    C: int,
    targets: Array,
    weight: Array | None,
    ignore_index: int | None,
    position_weights: Array | None,
    lengths: Array | None,
    batch_first: bool,
) -> Array:
    """The weight of each position, float64, in a row; 0 where it doesn't count."""
    classes = targets.ravel()
    w = np.ones(classes.size)
    by_position = check_positions(targets.shape, min(targets.ndim, 2), position_weights, lengths, batch_first)
    if by_position is not None:
        w = np.repeat(by_position, w.size // by_position.size)
    if ignore_index is not None:
        w[classes == check_index("ignore_index", ignore_index, "an integer or None")] = 0
    by_class = None if weight is None else _check_class_weight(C, weight)
    if not w.any():
        raise ValueError(f"targets: expected at least one position that counts, got {w.size} of which none does")
    wrong = ((classes < 0) | (classes >= C)) & (w > 0)
    if wrong.any():
        target = classes[wrong.argmax()]
        hint = f": to leave such positions out write ignore_index={target}" if target < 0 else ""
        raise ValueError(f"targets: expected integers in 0..C-1 = 0..{C - 1}, got {target}{hint}")
    if by_class is not None:
        counts = np.flatnonzero(w)
        w[counts] *= by_class[classes[counts]]
        if not w.any():
            raise ValueError("weight: expected one above 0 for a target that counts, got none")
    return w


def _check_class_weight(C: int, weight: Array) -> Array:
    array = plain_array("weight", weight, "biuf", "numbers", "float64")
    if array.shape != (C,):
        hint = ": weights by position are position_weights" if array.ndim != 1 else ""
        raise ValueError(f"weight: expected (C,) = ({C},), one for each class, got {array.shape}{hint}")
    by_class = array.astype(np.float64)
    if not ((by_class >= 0) & (by_class < math.inf)).all():
        raise ValueError(f"weight: expected finite numbers from 0 up, got {by_class.min()} to {by_class.max()}")
    return by_class
