"""Dropout's masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .module import Array


def dropout_mask(generator: np.random.Generator, shape: tuple[int, ...], rate: float, dtype: Any) -> Array:
    """Inverted dropout's factors (Srivastava et al. 2014): 0 with probability `rate`, else 1 / (1 - rate).

    Drawn in float32 whatever the dtype is, which takes half the time of float64; so a rate is rounded to 24 bits.
    """
    keep = generator.random(shape, np.float32) >= rate
    mask: Array = np.multiply(keep, dtype.type(1 / (1 - rate)), dtype=dtype)
    return mask
