"""Dropout's masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .module import Array


def dropout_mask(generator: np.random.Generator, shape: tuple[int, ...], rate: float, dtype: Any) -> Array:
    """Inverted dropout's factors (Srivastava et al. 2014): 0 with probability `rate`, else 1 / (1 - rate).

    Drawn as integers of 16 bits, to which the rate is rounded, in a quarter of a float32's time; as float32 where that
    would be too coarse.
    """
    if 0.01 <= rate <= 0.99:
        keep = generator.integers(0, 1 << 16, shape, np.uint16) >= np.uint16(round(rate * (1 << 16)))
    else:
        keep = generator.random(shape, np.float32) >= np.float32(rate)
    mask: Array = keep.astype(dtype)
    mask *= dtype.type(1 / (1 - rate))  # a product that casts needs buffers, and without memory NumPy dies of it
    return mask


def chosen(generator: np.random.Generator, shape: tuple[int, ...], rate: float, dtype: Any) -> Array:
    """1 with probability `rate`, else 0; drawn as `dropout_mask` is."""
    if 0.01 <= rate <= 0.99:
        return (generator.integers(0, 1 << 16, shape, np.uint16) < np.uint16(round(rate * (1 << 16)))).astype(dtype)
    return (generator.random(shape, np.float32) < np.float32(rate)).astype(dtype)
