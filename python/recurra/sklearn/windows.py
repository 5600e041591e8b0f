"""Series and what goes along with them, cut into windows that a forecaster learns from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.utils.validation import check_array

from recurra._checks import is_listed, refuse_masked, shown

if TYPE_CHECKING:
    from recurra._checks import Array


@dataclass
class Series:
    """One or many series, each with the inputs known up to the present and those known in advance.

    Attributes:
        values: (T_i,) each, float64.
        past: (T_i, P) each; P is 0 without any.
        known: (T_i + more, K) each; K is 0 without any.
        single: whether X was one series, (T,).
    """

    values: list[Array]
    past: list[Array]
    known: list[Array]
    single: bool

    @property
    def inputs(self) -> tuple[int, int]:
        """P and K."""
        return self.past[0].shape[1], self.known[0].shape[1]


def read_series(X: Any, past: Any, known: Any, more: int) -> Series:
    """X as series, with their inputs; those known in advance are for `more` steps beyond the series' end.

    Raises:
        TypeError, ValueError: there is no series, one is masked or has NaN, or there are inputs for more or fewer
            steps.
    """
    if not is_listed(X):
        raise TypeError(f"X: expected a series or several, got {shown(X)}")
    for name, value in (("X", X), ("past", past), ("known", known)):
        refuse_masked(name, value)
    array = np.asarray(X) if hasattr(X, "__array__") else None
    single = array.ndim == 1 and array.dtype.kind != "O" if array is not None else _is_numbers(X)
    rows = [X] if single else list(X) if array is None else list(array)
    if not rows:
        raise ValueError("X: expected at least one series, got none")
    values = [_column("X", row, i) for i, row in enumerate(rows)]
    lengths = [len(one) for one in values]
    return Series(
        values,
        _inputs("past", past, single, lengths),
        _inputs("known", known, single, [length + more for length in lengths]),
        single,
    )


def _is_numbers(X: Any) -> bool:
    return hasattr(X, "__len__") and len(X) > 0 and all(np.ndim(one) == 0 for one in X)


def _column(name: str, row: Any, i: int) -> Array:
    array: Array = check_array(row, dtype=np.float64, ensure_2d=False, allow_nd=True, input_name=name)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(
            f"{name}: expected series of one number a step, (time,) or (n, time), got {array.shape} in series {i}: "
            f"what goes along with a series is past or known"
        )
    return array


def _inputs(name: str, given: Any, single: bool, lengths: list[int]) -> list[Array]:
    """(steps, columns) for each series; without columns where nothing is given."""
    if given is None:
        return [np.empty((length, 0)) for length in lengths]
    if not is_listed(given):
        raise TypeError(f"{name}: expected an array, or a list of one for each series, got {shown(given)}")
    rows = [given] if single else list(given.to_numpy() if hasattr(given, "iloc") else given)
    if len(rows) != len(lengths):
        raise ValueError(f"{name}: expected inputs of {len(lengths)} series, got {len(rows)}")
    arrays = [
        check_array(row, dtype=np.float64, ensure_2d=False, ensure_min_samples=0, input_name=name) for row in rows
    ]
    arrays = [array[:, None] if array.ndim == 1 else array for array in arrays]
    if not arrays[0].ndim:
        raise ValueError(f"{name}: expected (steps, columns) for each series, got a number")
    for i, (array, length) in enumerate(zip(arrays, lengths, strict=True)):
        if array.shape != (length, arrays[0].shape[1]):
            raise ValueError(
                f"{name}: expected ({length}, {arrays[0].shape[1]}), a row of inputs for each step, got {array.shape} "
                f"for series {i}"
            )
    return arrays


@dataclass
class Windows:
    """What a network reads of each window, and how far its numbers were shifted.

    Attributes:
        x: (N, steps, features).
        level: (N, 1), what was subtracted.
        left: (N,), how many steps of its series are left where each window begins.
    """

    x: Array
    level: Array
    left: Array


def cut(series: Series, window: int, horizon: int, stride: int, level: float | None) -> Windows:
    """Windows of `window` steps that begin at every `stride`-th step, so that `known` reaches `horizon` steps further.

    Without `known` a network reads the window: the shifted value and `past`. With it, the window and the horizon: 0 and
    0 for those in the horizon, then `known`, and 1 in the horizon.

    Args:
        series: at least `window` steps each.
        window, horizon, stride: in steps.
        level: what is subtracted from the values; each window's own mean if None.
    """
    parts = [
        _cut_one(values, past, known, window, horizon, stride, level)
        for values, past, known in zip(series.values, series.past, series.known, strict=True)
    ]
    x, levels, left = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Windows(x, levels, left)


def _cut_one(
    values: Array, past: Array, known: Array, window: int, horizon: int, stride: int, level: float | None
) -> tuple[Array, Array, Array]:
    read = sliding_window_view(values, window)[::stride]
    levels = read.mean(axis=1, keepdims=True) if level is None else np.full((len(read), 1), level)
    x = np.concatenate([(read - levels)[..., None], _by_window(past, window)[::stride]], axis=2)
    left = len(values) - np.arange(len(read)) * stride
    if not known.shape[1]:
        return x, levels, left
    ahead = _by_window(known, window + horizon)[::stride]
    flag = np.broadcast_to((np.arange(window + horizon) >= window)[:, None], (*ahead.shape[:2], 1))
    blank = np.zeros((len(x), horizon, x.shape[2]))
    return np.concatenate([np.concatenate([x, blank], axis=1), ahead, flag], axis=2), levels, left


def _by_window(rows: Array, window: int) -> Array:
    """(T, columns) as (N, window, columns)."""
    view = sliding_window_view(rows, window, axis=0) if rows.shape[1] else np.empty((len(rows) - window + 1, 0, window))
    return np.moveaxis(view, -1, 1)
