"""Losses: each returns (value, gradient with respect to the prediction)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._checks import check_array, shown

if TYPE_CHECKING:
    from numpy.typing import NDArray


def mse(prediction: NDArray[Any], target: NDArray[Any]) -> tuple[float, NDArray[Any]]:
    """Mean squared error, `mean((prediction - target)²)` over all elements.

    Args:
        prediction: any shape but an empty one, float32 or float64.
        target: the same shape and dtype.

    Returns:
        The value, and its gradient `2 (prediction - target) / size`, of the prediction's shape and dtype.

    Raises:
        TypeError, ValueError: the arrays don't match.
    """
    check_array("prediction", prediction)
    check_array("target", target, prediction.dtype)
    if target.shape != prediction.shape:
        raise ValueError(f"target: expected the prediction's shape {prediction.shape}, got {target.shape}")
    if prediction.size == 0:
        raise ValueError(f"prediction: expected at least one element, got {shown(prediction.shape)}")
    error = prediction - target
    value = float(np.vdot(error, error)) / error.size
    return value, error * error.dtype.type(2 / error.size)
