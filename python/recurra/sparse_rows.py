"""A gradient of some rows of a table: what training with an `Embedding(sparse=True)` costs is what its tokens cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._checks import check_array, check_dtype, check_size, plain_array, shown

if TYPE_CHECKING:
    from .module import Array


class SparseRows:
    """The gradient of a table (count, features), of which most rows are 0: the rows that aren't, and their values.

    `layer.grads["weight"]` of an `Embedding(sparse=True)` is one, and any `Embedding.backward` adds to one that it is
    given in `grads=`. Optimizers, `clip_grad_norm`, `zero_grad` and `fit` take it for the array that it stands for, and
    touch no other rows.

    Args:
        shape: the table's, (count, features).
        dtype: float32 or float64.

    Attributes:
        shape: the table's.
        dtype: of the values.

    Raises:
        TypeError, ValueError: it is no table's shape, or another dtype.

    Example:
        >>> table = recurra.Embedding(1000, 2, sparse=True, seed=0)
        >>> y, tape = table.forward(np.array([7, 3, 7]))
        >>> _ = table.backward(tape, np.ones_like(y))
        >>> table.grads["weight"]
        SparseRows(2 of (1000, 2), float32)
        >>> table.grads["weight"].rows, table.grads["weight"].values.tolist()
        (array([3, 7]), [[1.0, 1.0], [2.0, 2.0]])
    """

    # The core reads `_parts`, a pair, and puts `_none` in its place: so both always change together.
    __slots__ = ("_none", "_parts", "dtype", "shape")

    def __init__(self, shape: tuple[int, int], dtype: object = np.float32) -> None:
        if not isinstance(shape, (tuple, list)):
            raise TypeError(f"shape: expected (count, features), got {shown(shape)}")
        if len(shape) != 2:
            raise ValueError(f"shape: expected (count, features), got {shown(shape)}")
        count, features = (check_size("shape", size) for size in shape)
        self.shape, self.dtype = (count, features), check_dtype(dtype)
        self._none = (np.empty(0, np.int64), np.empty((0, features), self.dtype))
        self._parts = self._none

    @property
    def rows(self) -> Array:
        """The rows' numbers, rising, (n,) of int64."""
        return self._parts[0]

    @property
    def values(self) -> Array:
        """Their gradients, (n, features), which may be changed in place."""
        return self._parts[1]

    def add(self, rows: Array, values: Array) -> None:
        """Adds to some rows.

        Args:
            rows: (n,) integers in 0..count-1, all different, in any order.
            values: (n, features), of this dtype.

        Raises:
            TypeError, ValueError: other arrays than these; nothing is changed.
        """
        rows = plain_array("rows", rows, "iu", "integers", "int64").astype(np.int64)
        values = check_array("values", values, self.dtype)
        if rows.ndim != 1 or (rows.size and (rows.min() < 0 or rows.max() >= self.shape[0])):
            raise ValueError(f"rows: expected (n,) numbers in 0..{self.shape[0] - 1}, got {shown(rows)}")
        if values.shape != (rows.size, self.shape[1]):
            raise ValueError(f"values: expected {(rows.size, self.shape[1])}, got {values.shape}")
        order = np.argsort(rows, kind="stable")
        rows = rows[order]
        if (rows[1:] == rows[:-1]).any():
            raise ValueError("rows: expected different numbers, got one twice")
        self._merge(rows, values[order])

    def _merge(self, rows: Array, values: Array) -> None:
        """The same of rows that rise, and arrays that become its own."""
        old_rows, old = self._parts
        if not old_rows.size:
            self._parts = (rows, values)
            return
        both = np.union1d(old_rows, rows)
        total = np.zeros((both.size, self.shape[1]), self.dtype)
        total[np.searchsorted(both, old_rows)] = old
        with np.errstate(all="ignore"):
            total[np.searchsorted(both, rows)] += values
        self._parts = (both, total)

    def clear(self) -> None:
        """Makes all of it 0."""
        self._parts = self._none

    def to_dense(self) -> Array:
        """The same as an array.

        Returns:
            A new array (count, features), of this dtype.
        """
        rows, values = self._parts
        dense = np.zeros(self.shape, self.dtype)
        dense[rows] = values
        return dense

    def __repr__(self) -> str:
        return f"SparseRows({self.rows.size} of {self.shape}, {self.dtype.name})"

    def __getstate__(self) -> dict[str, Any]:
        return {"shape": self.shape, "dtype": self.dtype, "rows": self.rows, "values": self.values}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["shape"], state["dtype"])  # type: ignore[misc]
        self._parts = (np.array(state["rows"]), np.array(state["values"]))  # which may lie in memory that is read-only
