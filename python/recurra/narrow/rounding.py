"""Matrices of float32 as narrow arrays, and back: what a compressed layer keeps, and what its numbers stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recurra._checks import shown

if TYPE_CHECKING:
    from recurra.module import Array

DTYPES = {"int8": np.dtype(np.int8), "bfloat16": np.dtype(np.uint16), "float16": np.dtype(np.float16)}
SCALE = ".scale"  # behind a matrix's name: that of its scales, one for each row
LARGEST = 127  # of int8; -128 isn't used, so that a row's numbers are symmetric


def check_weights(value: object) -> str:
    """What matrices become: "int8", "bfloat16" or "float16"."""
    if not isinstance(value, str):
        raise TypeError(f"weights: expected 'int8', 'bfloat16' or 'float16', got {shown(value)}")
    weights = str.__str__(value)  # of a subclass, which may compare otherwise, the text itself
    if weights not in DTYPES:
        raise ValueError(f"weights: expected 'int8', 'bfloat16' or 'float16', got {shown(weights)}")
    return weights


def narrowed(name: str, matrix: Array, weights: str) -> dict[str, Array]:
    """The narrow array of a matrix (rows, columns) of float32 by its name, and of int8 its scales (rows,) beside it.

    bfloat16, which NumPy has no dtype for, is an array of uint16 with the bits.

    Raises:
        ValueError: a number isn't finite, or is beyond what the narrow type holds.
    """
    if not np.isfinite(matrix).all():
        raise ValueError(f"{name}: expected finite numbers, got some that are NaN or infinite")
    with np.errstate(all="ignore"):
        if weights == "int8":
            return _by_rows(name, matrix)
        narrow = _bfloat16(matrix) if weights == "bfloat16" else matrix.astype(np.float16)
        if not np.isfinite(widened(narrow)).all():
            largest = np.abs(matrix).max()
            raise ValueError(f"{name}: expected numbers that {weights} holds, got one as large as {largest:.5g}")
    return {name: narrow}


def widened(narrow: Array, scale: Array | None = None) -> Array:
    """The float32 numbers that a narrow array stands for, with int8 beside its scales (rows,)."""
    if narrow.dtype == np.uint16:
        return (narrow.astype(np.uint32) << 16).view(np.float32)
    wide: Array = narrow.astype(np.float32)
    return wide if scale is None else wide * scale[:, None]


def _by_rows(name: str, matrix: Array) -> dict[str, Array]:
    """Each row divided by its largest number's 127th, and rounded; a row of zeros has the scale 0."""
    scale = np.abs(matrix).max(axis=1, initial=0) / np.float32(LARGEST)
    divisor = np.where(scale > 0, scale, np.float32(1))[:, None]
    quotients = np.where(scale[:, None] > 0, np.rint(matrix / divisor), 0)
    return {name: np.clip(quotients, -LARGEST, LARGEST).astype(np.int8), name + SCALE: scale.astype(np.float32)}


def _bfloat16(matrix: Array) -> Array:
    """The upper halves of the numbers' bits, rounded to nearest, ties to even."""
    bits = matrix.view(np.uint32)
    return ((bits + (np.uint32(0x7FFF) + ((bits >> 16) & np.uint32(1)))) >> 16).astype(np.uint16)
