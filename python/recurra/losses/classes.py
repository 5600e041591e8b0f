"""Losses of logits, none of which overflows, whatever their size, and softmax."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra import _core
from recurra._checks import all_taken, check_array, check_index, plain_array, taken
from recurra._positions import check_positions
from recurra._quiet import quiet

from .elements import check_elements, check_pair, mean_of, total

if TYPE_CHECKING:
    from recurra.module import Array, ArrayIn, NumbersIn

PIECE = 2**15


@quiet
def binary_cross_entropy(
    logits: ArrayIn,
    targets: ArrayIn,
    *,
    position_weights: ArrayIn | None = None,
    lengths: NumbersIn | None = None,
    batch_first: bool = False,
) -> tuple[float, Array]:
    """Cross-entropy of yes-or-no answers given as logits, as PyTorch's `binary_cross_entropy_with_logits`.

    The mean over all elements, x the logits and t the targets, of::

        -t log σ(x) - (1 - t) log(1 - σ(x))

    Args:
        logits: any shape but an empty one, float32 or float64. None is too large.
        targets: of the same shape and dtype, in [0, 1] where they count.
        position_weights: weights from 0 up, or a mask, along the logits' first axes; see `mse`.
        lengths: (B,) integers in 0..T, steps of each sequence; None is T for all.
        batch_first: the arrays are (B, T, …) instead of (T, B, …).

    Returns:
        The value, `Σ w loss / Σ w`, a float, and its gradient `w (σ(x) - t) / Σ w`, of the logits' shape and dtype; w
        is 1 without weights.

    Raises:
        TypeError, ValueError: as for `mse`, or a target that counts is outside [0, 1].

    Example:
        >>> value, gradient = recurra.binary_cross_entropy(np.array([0.0, 1000.0]), np.array([1.0, 0.0]))
        >>> round(value, 3), gradient  # (log 2 + 1000) / 2
        (500.347, array([-0.25,  0.5 ]))
    """
    logits, targets = check_pair("logits", logits, "targets", targets)
    weights = check_elements(logits.shape, position_weights, lengths, batch_first)
    value, (gradient,) = mean_of(_binary, (logits, targets), weights)
    return value, gradient


@quiet
def cross_entropy(
    logits: ArrayIn,
    targets: ArrayIn,
    weight: NumbersIn | None = None,
    *,
    ignore_index: int | None = None,
    position_weights: ArrayIn | None = None,
    lengths: NumbersIn | None = None,
    batch_first: bool = False,
) -> tuple[float, Array]:
    """Cross-entropy of classes given as logits: the mean over the positions of -log softmax(logits)[target].

    With weights it is `Σ w loss / Σ w`, where w is `weight[target]`, as in PyTorch, times the position's own weight. A
    position that is ignored, is beyond its sequence's end or has weight 0 doesn't count, whatever its logits and
    target: its gradient is 0, and the numbers are, to the bit, those without it.

    Args:
        logits: (…, C), a score for each class, float32 or float64. No finite ones are too large.
        targets: (…), integers of any dtype, in 0..C-1 where a position counts. Of one-hot rows write
            `targets.argmax(-1)`.
        weight: (C,), of the classes: finite numbers from 0 up, of any dtype. None is 1 for all.
        ignore_index: a target, of any value, whose positions don't count; None for none. (PyTorch's default, -100,
            isn't one here.)
        position_weights: finite numbers from 0 up, of any dtype; bools are a mask. Their axes are those of the targets,
            each of that length or 1; of more than two, at least the first two.
        lengths: (B,) integers in 0..T, of targets (T, B, …): what stands beyond a sequence's end doesn't count. None is
            T for all.
        batch_first: the targets are (B, T, …) instead of (T, B, …).

    Returns:
        The value, a float, and its gradient `w (softmax(logits) - one_hot(target)) / Σ w`, of the logits' shape and
        dtype.

    Raises:
        TypeError: an array isn't one, or has a wrong dtype.
        ValueError: a shape, a target, a weight or a length is wrong, or no position counts.

    Example:
        >>> logits = np.array([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
        >>> value, gradient = recurra.cross_entropy(logits, np.array([0, 2]))
        >>> round(value, 4)
        0.6691
        >>> gradient.round(3)
        array([[-0.107,  0.053,  0.053],
               [ 0.167,  0.167, -0.333]])
    """
    logits, targets, weight, position_weights, lengths = all_taken(
        logits=logits, targets=targets, weight=weight, position_weights=position_weights, lengths=lengths
    )
    logits, targets = _check_classes(logits, targets)
    w = _class_weights(logits.shape[-1], targets, weight, ignore_index, position_weights, lengths, batch_first)
    flat, classes = logits.reshape(targets.size, logits.shape[-1]), targets.ravel()
    counts = np.flatnonzero(w)
    shares = w / total(w, 1, "position_weights" if weight is None else "weight")
    gradient, maxima, log_sums = _core.weighted_softmax(flat, shares)  # zeros where a position doesn't count
    chosen, shares = classes[counts], shares[counts]
    losses = log_sums[counts] + (maxima[counts] - flat[counts, chosen])
    gradient[counts, chosen] -= shares.astype(gradient.dtype)
    return float(np.dot(shares, losses)), gradient.reshape(logits.shape)


def softmax(x: ArrayIn, axis: int = -1) -> Array:
    """Probabilities from logits: exp(x) / Σ exp(x) along an axis. No finite logits are too large.

    Args:
        x: float32 or float64, of one axis or more.
        axis: along which the results add up to 1; negative ones count from the last.

    Returns:
        A new C-contiguous array of x's shape and dtype.

    Raises:
        TypeError: x isn't an array of float32 or float64, or axis no integer.
        ValueError: x has no such axis.

    Example:
        >>> recurra.softmax(np.array([[0.0, 0.0, 1000.0], [1.0, 1.0, -np.inf]]))
        array([[0. , 0. , 1. ],
               [0.5, 0.5, 0. ]])
    """
    x = check_array("x", x)
    axis = check_index("axis", axis, "an integer")
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"axis: expected one of x's {x.ndim}, got {axis}")
    moved = np.moveaxis(x, axis, -1)
    y: Array = _core.softmax(moved.reshape(math.prod(moved.shape[:-1]), moved.shape[-1]))
    return np.ascontiguousarray(np.moveaxis(y.reshape(moved.shape), -1, axis))


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


def _binary(x: Array, t: Array) -> tuple[Array, tuple[Array, ...]]:
    """Each element's loss and slope."""
    if not (t.min() >= 0 and t.max() <= 1):
        raise ValueError(f"targets: expected numbers in [0, 1], got {t.min()} to {t.max()}")
    slopes: Array = _core.sigmoid(x) - t
    return _binary_losses(x, t), (slopes,)


def _check_classes(logits: ArrayIn, targets: Any) -> tuple[Array, Array]:
    """Logits (…, C) and targets (…)."""
    logits = check_array("logits", logits)
    if logits.ndim == 0:
        raise ValueError("logits: expected (..., C), got ()")
    targets = taken("targets", targets)
    kind = targets.dtype.kind if isinstance(targets, np.ndarray) else ""
    if kind in {"b", "f"} and targets.shape == logits.shape and targets.ndim:
        raise TypeError(f"targets: expected integers, got one-hot rows of {targets.dtype}: write targets.argmax(-1)")
    _refuse_texts(targets)
    targets = plain_array("targets", targets, "iu", "integers", "int64")
    if targets.shape != logits.shape[:-1]:
        hint = ": of one-hot rows write targets.argmax(-1)" if targets.shape == logits.shape else ""
        raise ValueError(f"targets: expected the logits' leading axes {logits.shape[:-1]}, got {targets.shape}{hint}")
    return logits, targets


def _refuse_texts(targets: Any) -> None:
    """Raises TypeError for labels that are names of classes."""
    first = None
    if isinstance(targets, (list, tuple)):
        first = next(iter(targets), None)
    elif isinstance(targets, np.ndarray) and targets.dtype.kind in "OSU":
        first = next(targets.flat, None)
    if isinstance(first, (str, bytes)):
        raise TypeError(
            f"targets: expected integers, got texts such as {str(first)!r}: pass their numbers, "
            "np.unique(targets, return_inverse=True)[1]"
        )


def _class_weights(
    C: int,
    targets: Array,
    weight: NumbersIn | None,
    ignore_index: int | None,
    position_weights: ArrayIn | None,
    lengths: NumbersIn | None,
    batch_first: bool,
) -> Array:
    """The weight of each position, float64, in a row; 0 where it doesn't count."""
    if ignore_index is not None:
        ignore_index = check_index("ignore_index", ignore_index, "an integer or None")
    by_position = check_positions(targets.shape, min(targets.ndim, 2), position_weights, lengths, batch_first)
    by_class = None if weight is None else _check_class_weight(C, weight)
    classes = targets.ravel()
    w = np.ones(classes.size)
    if by_position is not None:
        w = np.repeat(by_position, w.size // by_position.size)
    if ignore_index is not None:
        w[classes == ignore_index] = 0
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


def _check_class_weight(C: int, weight: NumbersIn) -> Array:
    array = plain_array("weight", weight, "biuf", "numbers", "float64", numbers=True)
    if array.shape != (C,):
        hint = ": weights by position are position_weights" if array.ndim != 1 else ""
        raise ValueError(f"weight: expected (C,) = ({C},), one for each class, got {array.shape}{hint}")
    by_class = array.astype(np.float64)
    if not ((by_class >= 0) & (by_class < math.inf)).all():
        raise ValueError(f"weight: expected finite numbers from 0 up, got {by_class.min()} to {by_class.max()}")
    return by_class
