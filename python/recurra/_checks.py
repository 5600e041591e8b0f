"""Checks of arguments, with errors in one form: `name: expected what, got what`."""

from __future__ import annotations

import operator
from numbers import Real
from typing import Any

import numpy as np

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def shown(value: object) -> str:
    """A value as an error message quotes it."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def check_index(name: str, value: object, what: str) -> int:
    """An integer, which `what` says in words; no bool, though Python takes that for one."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name}: expected {what}, got {shown(value)}") from None


def check_size(name: str, value: object, most: int = 2**62) -> int:
    """A positive integer up to `most`, whose default fits the kernels' index type."""
    number = check_index(name, value, "a positive integer")
    if not 0 < number <= most:
        limit = "" if number < 1 else f" up to {most}"
        raise ValueError(f"{name}: expected a positive integer{limit}, got {shown(value)}")
    return number


def check_flag(name: str, value: object) -> bool:
    """True or False, NumPy's included."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected True or False, got {shown(value)}")
    return bool(value)


def check_tokens(value: object) -> bool | None:
    """Whether integers are tokens; None where they can't be features."""
    return None if value is None else check_flag("tokens", value)


def check_number(name: str, value: object, what: str, least: float, below: float) -> float:
    """A number in [least, below), which `what` says in words."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(f"{name}: expected {what}, got {shown(value)}")
    number = float(value)
    if not least <= number < below:
        raise ValueError(f"{name}: expected {what}, got {shown(value)}")
    return number


def check_dtype(value: object) -> np.dtype[Any]:
    """float32 or float64."""
    try:
        dtype: np.dtype[Any] = np.dtype(value)  # type: ignore[call-overload]
    except TypeError as error:
        raise TypeError(f"dtype: expected float32 or float64, got {shown(value)}") from error
    if value is None or dtype not in FLOATS or not dtype.isnative:
        raise TypeError(f"dtype: expected float32 or float64, got {shown(value)}")
    return dtype


def check_array(name: str, value: object, dtype: np.dtype[Any] | None = None) -> None:
    """An array of this dtype, or of either float dtype."""
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name}: expected a numpy.ndarray, got {type(value).__name__}")
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name}: expected a plain numpy.ndarray, got a masked one")
    if value.dtype not in ((dtype,) if dtype else FLOATS) or not value.dtype.isnative:
        expected = dtype or "float32 or float64"
        raise TypeError(f"{name}: expected {expected}, got {value.dtype}")


def check_lengths(lengths: Any, steps: int, batch: int | None = None) -> None:
    """(B,) integers in 0..T; batch None says that there is none, so that there are no lengths either."""
    if batch is None:
        raise ValueError(f"lengths: expected None, as x has no batch, got {type(lengths).__name__}")
    if not isinstance(lengths, np.ndarray):
        raise TypeError(f"lengths: expected a numpy.ndarray of integers, got {type(lengths).__name__}")
    if isinstance(lengths, np.ma.MaskedArray):
        raise TypeError("lengths: expected a plain numpy.ndarray, got a masked one")
    if lengths.dtype.kind not in "iu":
        raise TypeError(f"lengths: expected integers, got {lengths.dtype}")
    if lengths.shape != (batch,):
        raise ValueError(f"lengths: expected (B,) = ({batch},), got {lengths.shape}")
    wrong = (lengths < 0) | (lengths > steps)
    if wrong.any():
        at = int(wrong.argmax())
        raise ValueError(f"lengths: expected integers in 0..T = 0..{steps}, got {lengths[at]} at index {at}")


def check_rng(name: str, value: object) -> np.random.Generator:
    """A generator, or one from an integer seed; None (where a caller allows it) is a seed from the system."""
    if isinstance(value, np.random.Generator):
        return value
    if value is None:
        return np.random.default_rng()
    seed = check_index(name, value, "an integer or a numpy.random.Generator")
    if seed < 0:
        raise ValueError(f"{name}: expected an integer from 0 up, got {shown(value)}")
    return np.random.default_rng(seed)
