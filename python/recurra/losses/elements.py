"""What losses over elements share: their checks, their weights, and the mean of what counts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from recurra._checks import check_array, shown
from recurra._positions import check_positions

if TYPE_CHECKING:
    from collections.abc import Callable

    from recurra.module import Array, ArrayIn, NumbersIn

    # Arrays of one shape -> each element's loss, and its slopes with respect to the arrays that have a gradient.
    Elementwise = Callable[..., tuple[Array, tuple[Array, ...]]]


def check_pair(name: str, prediction: ArrayIn, target_name: str, target: ArrayIn) -> tuple[Array, Array]:
    """Two arrays of one shape and dtype, with at least one element."""
    prediction = check_array(name, prediction)
    target = check_array(target_name, target, prediction.dtype)
    if target.shape != prediction.shape:
        raise ValueError(f"{target_name}: expected the shape of {name} {prediction.shape}, got {target.shape}")
    if prediction.size == 0:
        raise ValueError(f"{name}: expected at least one element, got {shown(prediction.shape)}")
    return prediction, target


def check_elements(
    shape: tuple[int, ...], position_weights: ArrayIn | None, lengths: NumbersIn | None, batch_first: bool
) -> Array | None:
    """The weights of a loss over elements; None if all count the same."""
    least = min(len(shape), 2) if len(shape) != 2 else 1
    return check_positions(shape, least, position_weights, lengths, batch_first)


def total(weights: Array, columns: int, name: str = "position_weights") -> float:
    """The sum of the weights, each as often as it has elements, in an order in which those of 0 have no part."""
    value = float(weights[weights > 0].sum()) * columns
    if not value < math.inf:
        raise ValueError(f"{name}: expected numbers whose sum is finite, got {value}")
    return value


def mean_of(function: Elementwise, arrays: tuple[Array, ...], weights: Array | None) -> tuple[float, list[Array]]:
    """The mean of all elements' losses, `Σ w loss / Σ w` with weights, and its gradients.

    Args:
        function: of the arrays, or of those rows of them that count, so that what doesn't isn't looked at.
        arrays: of one shape and dtype.
        weights: from `check_elements`.
    """
    if weights is None:
        losses, slopes = function(*arrays)
        return _plain_mean(losses), [slope * slope.dtype.type(1 / slope.size) for slope in slopes]
    shape, counts = arrays[0].shape, np.flatnonzero(weights)
    losses, slopes = function(*(array.reshape(weights.size, -1)[counts] for array in arrays))
    w = weights[counts]
    if (w == w[0]).all():
        value, factor = _plain_mean(losses), arrays[0].dtype.type(1 / losses.size)
    else:
        shares = w / total(w, losses.shape[1])
        value = float(np.dot(shares, losses.sum(axis=1, dtype=np.float64)))
        factor = shares.astype(arrays[0].dtype)[:, None]
    gradients = [np.zeros((weights.size, losses.shape[1]), slope.dtype) for slope in slopes]
    for gradient, slope in zip(gradients, slopes, strict=True):
        gradient[counts] = slope * factor
    return value, [gradient.reshape(shape) for gradient in gradients]


def _plain_mean(losses: Array) -> float:
    return float(np.mean(losses, dtype=np.float64))
