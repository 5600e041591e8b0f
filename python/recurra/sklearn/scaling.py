"""Columns with mean 0 and standard deviation 1, as networks learn best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from recurra._checks import Array


@dataclass
class Scaling:
    """(value - mean) / scale, column by column."""

    mean: Array
    scale: Array

    def apply(self, values: Array, dtype: np.dtype[np.generic]) -> Array:
        """(N, columns), scaled before it is cast, so that no digit is lost to a large mean."""
        scaled: Array = ((values - self.mean) / self.scale).astype(dtype)
        return scaled

    def undo(self, values: Array) -> Array:
        """(…, columns) in the units of before, float64."""
        restored: Array = values * self.scale + self.mean
        return restored


def scaling_of(values: Array, weights: Array | None, wanted: bool) -> Scaling:
    """That of these rows (N, columns) with weights (N,), or one that changes nothing. A constant column becomes 0."""
    columns = values.shape[1]
    if not wanted:
        return Scaling(np.zeros(columns), np.ones(columns))
    values = values.astype(np.float64)
    mean = np.average(values, axis=0, weights=weights)
    scale = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights))
    tiny = scale <= 1e-12 * np.abs(mean)  # rounding of a constant
    return Scaling(mean, np.where(tiny | (scale == 0), 1.0, scale))
