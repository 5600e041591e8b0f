"""What a prediction is worth in words that people use, for `fit`'s metrics and by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._checks import check_array, check_index, plain_array
from ._positions import check_positions

if TYPE_CHECKING:
    from .module import Array


def accuracy(
    prediction: Array,
    target: Array,
    *,
    ignore_index: int | None = None,
    position_weights: Array | None = None,
    lengths: Array | None = None,
    batch_first: bool = False,
) -> float:
    """The share of positions whose class is the target.

    Args:
        prediction: logits or probabilities of classes (…, C), as for `cross_entropy`; the class is the largest, the
            first of equals. Or logits (…) of the target's shape, as for `binary_cross_entropy`: true above 0. Float32
            or float64.
        target: classes (…), integers; or numbers (…), true above 0.5.
        ignore_index: a class that doesn't count where it is the target; None for none.
        position_weights: weights from 0 up, or a mask, along the target's first axes; see `mse`.
        lengths: (B,) integers in 0..T, steps of each sequence; None is T for all.
        batch_first: the arrays are (B, T, …) instead of (T, B, …).

    Returns:
        `Σ w right / Σ w`, a float; NaN if there is nothing, or `ignore_index` leaves nothing that counts.

    Raises:
        TypeError, ValueError: the arrays don't match, or by position_weights or lengths nothing counts.

    Example:
        >>> logits = np.array([[2.0, 1.0, 0.0], [0.0, 5.0, 1.0], [1.0, 0.0, 3.0], [9.0, 0.0, 0.0]])
        >>> recurra.accuracy(logits, np.array([0, 1, 1, 0]))
        0.75
    """
    prediction = check_array("prediction", prediction)
    target = plain_array("target", target, "biuf", "numbers", "int64")
    if target.dtype.kind in "iu":
        if prediction.ndim == 0 or not prediction.shape[-1] or target.shape != prediction.shape[:-1]:
            raise ValueError(
                f"target: expected classes of the prediction's leading axes {prediction.shape[:-1]}, got {target.shape}"
            )
        right = prediction.argmax(axis=-1) == target
    else:
        if target.shape != prediction.shape:
            raise ValueError(f"target: expected the shape of prediction {prediction.shape}, got {target.shape}")
        right = (prediction > 0) == (target > 0.5)
    weights = np.ones(target.size)
    if target.size:
        least = min(target.ndim, 2) if target.ndim != 2 or target.dtype.kind in "iu" else 1
        given = check_positions(target.shape, least, position_weights, lengths, batch_first)
        if given is not None:
            weights = np.repeat(given, target.size // given.size)
    if ignore_index is not None:
        weights[target.ravel() == check_index("ignore_index", ignore_index, "an integer or None")] = 0
    total = float(weights.sum())
    return float(np.dot(weights, right.ravel())) / total if total else float("nan")
