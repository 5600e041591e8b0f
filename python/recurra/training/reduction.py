"""Gradients as one flat array, which a function of the caller's adds up over processes."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra._checks import shown
from recurra.sparse_rows import SparseRows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from recurra.module import Array

    Reduce = Callable[[Array], Array | None]


class Reduction:
    """Weighted means over processes of a model's gradients, and of some numbers.

    What the function is given are sums, each mean times its count, with the counts behind them. So processes whose
    batches differ in size need nothing more than a sum to have the mean of all; and where one averages instead, counts
    and sums shrink alike.
    """

    def __init__(self, function: Reduce, dtype: np.dtype[Any]) -> None:
        self._function, self._dtype = function, dtype
        self._buffer: Array = np.empty(0, dtype)

    def gradients(
        self, leaves: Sequence[Any], weight: float, values: Sequence[tuple[float, float]]
    ) -> list[tuple[float, float]]:
        """Replaces the leaves' gradients by their mean over all processes.

        A gradient of some rows goes as a whole table, and those of its rows come back that aren't 0.

        Args:
            leaves: layers with parameters.
            weight: what their gradients are multiplied by, so that they are sums.
            values: a loss and metrics, each with its count; the first count is the gradients' too. NaN as the first
                says that something isn't finite here, whatever the gradients are.

        Returns:
            The values' means, with the counts of all processes.
        """
        gradients = [gradient for leaf in leaves for gradient in leaf.grads.values()]
        sizes = [math.prod(gradient.shape) for gradient in gradients]
        size, ends = sum(sizes), list(itertools.accumulate(sizes))
        if self._buffer.size != size + 2 * len(values):
            self._buffer = np.empty(size + 2 * len(values), self._dtype)
        buffer = self._buffer
        with np.errstate(all="ignore"):
            for gradient, length, end in zip(gradients, sizes, ends, strict=True):
                array = gradient.to_dense() if isinstance(gradient, SparseRows) else gradient
                np.multiply(array.reshape(-1), weight, out=buffer[end - length : end], casting="same_kind")
            if math.isnan(values[0][0]):
                buffer[:size] = math.nan
            buffer = self._summed(buffer, size, values)
            count = float(buffer[size + 1])
            for gradient, length, end in zip(gradients, sizes, ends, strict=True):
                _replace(gradient, buffer[end - length : end].reshape(gradient.shape), count)
        return _means(buffer[size:])

    def values(self, values: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        """The means over all processes of numbers, each given and returned with its count."""
        return _means(self._summed(np.empty(2 * len(values), self._dtype), 0, values))

    def _summed(self, buffer: Array, size: int, values: Sequence[tuple[float, float]]) -> Array:
        """What the function makes of a buffer, the last part of which is made here."""
        buffer[size:] = [number for value, count in values for number in (value * count if count else 0, count)]
        shape = buffer.shape
        result = self._function(buffer)
        if result is None:
            result = buffer
        if not isinstance(result, np.ndarray) or result.shape != shape or result.dtype != self._dtype:
            raise TypeError(f"reduce: expected to return None or {self._dtype} {shape}, got {shown(result)}")
        return result


def _replace(gradient: Any, sums: Array, count: float) -> None:
    if not isinstance(gradient, SparseRows):
        np.divide(sums, count, out=gradient, casting="same_kind")
        return
    gradient.clear()
    rows = np.flatnonzero((sums != 0).any(axis=1))
    gradient.add(rows, (sums[rows] / count).astype(gradient.dtype))


def _means(sums: Array) -> list[tuple[float, float]]:
    pairs: Any = sums.astype(float).reshape(-1, 2).tolist()
    return [(total / count if count else math.nan, count) for total, count in pairs]
