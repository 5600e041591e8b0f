"""Gradients as one flat array, which a function of the caller's adds up over processes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra._checks import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from recurra.module import Array, Module

    Reduce = Callable[[Array], Array | None]


class Reduction:
    """Weighted means over processes of a model's gradients, and of some numbers.

    What the function is given are sums, each mean times its count, with the counts behind them. So processes whose
    batches differ in size need nothing more than a sum to have the mean of all; and where one averages instead, counts
    and sums shrink alike.
    """

    def __init__(self, function: Reduce, leaves: Sequence[Module]) -> None:
        self._function = function
        self._dtype = np.result_type(*(leaf.dtype for leaf in leaves))
        self._buffer: Array = np.empty(0, self._dtype)

    def gradients(
        self, leaves: Sequence[Module], weight: float, values: Sequence[tuple[float, float]]
    ) -> list[tuple[float, float]]:
        """Replaces the leaves' gradients by their mean over all processes.

        Args:
            leaves: layers with parameters.
            weight: what their gradients are multiplied by, so that they are sums.
            values: a loss and metrics, each with its count; the first count is the gradients' too. NaN as the first
                says that something isn't finite here, whatever the gradients are.

        Returns:
            The values' means, with the counts of all processes.
        """
        arrays = [gradient for leaf in leaves for gradient in leaf.grads.values()]
        size = sum(array.size for array in arrays)
        if self._buffer.size != size + 2 * len(values):
            self._buffer = np.empty(size + 2 * len(values), self._dtype)
        buffer, end = self._buffer, 0
        with np.errstate(all="ignore"):
            for array in arrays:
                begin, end = end, end + array.size
                np.multiply(array.reshape(-1), weight, out=buffer[begin:end], casting="same_kind")
            if math.isnan(values[0][0]):
                buffer[:size] = math.nan
            buffer = self._summed(buffer, size, values)
            count, end = float(buffer[size + 1]), 0
            for array in arrays:
                begin, end = end, end + array.size
                np.divide(buffer[begin:end].reshape(array.shape), count, out=array, casting="same_kind")
        return _means(buffer[size:])

    def values(self, values: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        """The means over all processes of numbers, each given and returned with its count."""
        return _means(self._summed(np.empty(2 * len(values), self._dtype), 0, values))

    def _summed(self, buffer: Array, size: int, values: Sequence[tuple[float, float]]) -> Array:
        """What the function makes of a buffer, the last part of which is made here."""
        buffer[size:] = [number for value, count in values for number in (value * count, count)]
        result = self._function(buffer)
        if result is None:
            return buffer
        if not isinstance(result, np.ndarray) or result.shape != buffer.shape or result.dtype != buffer.dtype:
            raise TypeError(f"reduce: expected to return None or {buffer.dtype} {buffer.shape}, got {shown(result)}")
        return result


def _means(sums: Array) -> list[tuple[float, float]]:
    pairs: Any = sums.astype(float).reshape(-1, 2).tolist()
    return [(total / count if count else math.nan, count) for total, count in pairs]
