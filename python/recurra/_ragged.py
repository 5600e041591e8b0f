"""Sequences of different lengths: their checks, and how they become one array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._checks import check_index, plain_array, shown, taken

if TYPE_CHECKING:
    from .module import Array


def padded(arrays: list[Array], T: int, fill: Any, batch_first: bool) -> Array:
    """One array of them, with `fill` beyond their ends."""
    first = arrays[0]
    leading = (len(arrays), T) if batch_first else (T, len(arrays))
    result: Array = np.full(leading + first.shape[1:], fill, first.dtype)
    rows = result if batch_first else result.swapaxes(0, 1)
    for row, array in zip(rows, arrays, strict=True):
        row[: len(array)] = array
    return result


def check_sequences(name: str, value: Any) -> list[Array]:
    """At least one array of numbers (t, …), all of one dtype and of the same shape behind the first axis."""
    value = taken(name, value)
    if not isinstance(value, (list, tuple, np.ndarray)):
        raise TypeError(f"{name}: expected a list of arrays (t, …), got {shown(value)}")
    if isinstance(value, np.ndarray):
        value = plain_array(name, value, "biuf", "numbers", "float32")
        if value.ndim < 2:
            raise ValueError(f"{name}: expected (B, t, …), got {value.shape}")
    if not len(value):
        raise ValueError(f"{name}: expected at least one, got none")
    arrays = [plain_array(f"{name}[{i}]", one, "biuf", "numbers", "float32") for i, one in enumerate(value)]
    first = arrays[0]
    for i, array in enumerate(arrays):
        if array.ndim == 0:
            raise ValueError(f"{name}[{i}]: expected (t, …), got ()")
        if array.dtype != first.dtype:
            raise TypeError(f"{name}[{i}]: expected {first.dtype}, as {name}[0] is, got {array.dtype}")
        if array.shape[1:] != first.shape[1:]:
            behind = "".join(f", {n}" for n in first.shape[1:]) or ","
            raise ValueError(f"{name}[{i}]: expected (t{behind}), as {name}[0] is {first.shape}, got {array.shape}")
    return arrays


def check_value(value: object, dtype: np.dtype[Any]) -> Any:
    """A number that the dtype holds."""
    try:
        with np.errstate(all="ignore"):
            number = np.array(value)
            if number.shape == () and number.dtype.kind in "biuf":
                filled = np.full((), number, dtype)
                if filled == number or (dtype.kind == "f" and np.isfinite(filled) == np.isfinite(number)):
                    return filled
    except (OverflowError, TypeError, ValueError):
        pass
    raise TypeError(f"value: expected a number that {dtype} holds, got {shown(value)}")


def check_length(length: object, longest: int, at: int) -> int:
    """At least the longest sequence's, which is the one at that index."""
    T = check_from_0("length", length)
    if longest > T:
        raise ValueError(f"length: expected at least {longest}, the steps of sequences[{at}], got {shown(T)}")
    return T


def check_from_0(name: str, value: object) -> int:
    """An integer from 0 up."""
    number = check_index(name, value, "an integer from 0 up")
    if number < 0:
        raise ValueError(f"{name}: expected an integer from 0 up, got {shown(number)}")
    return number
