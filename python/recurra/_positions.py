"""How much each position of a loss counts: weights by position, and where sequences end."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ._checks import check_flag, check_lengths, plain_array

if TYPE_CHECKING:
    from ._checks import Array
    from .module import ArrayIn, NumbersIn


def check_positions(
    shape: tuple[int, ...], least: int, position_weights: ArrayIn | None, lengths: NumbersIn | None, batch_first: bool
) -> Array | None:
    """The weights of a loss's positions.

    Args:
        shape: the axes that can be weighted.
        least: how many of them the weights have at least. Were (T,) enough for (T, B), (B,) would be taken for it
            where T = B.
        position_weights: as in `recurra.mse`, or None.
        lengths: (B,) of (T, B, …), with batch_first of (B, T, …), or None.
        batch_first: which of the two.

    Returns:
        A float64 for every position, in C order of some of the first axes, 0 where it doesn't count; None if all are 1.

    Raises:
        TypeError, ValueError: one of the arguments is wrong, or no position counts.
    """
    check_flag("batch_first", batch_first)
    weights = None if position_weights is None else _check_weights(shape, least, position_weights)
    if lengths is not None:
        within = _within(shape, lengths, batch_first)
        if weights is None:
            weights = within
        else:
            weights = weights.reshape(weights.shape + (1,) * (2 - weights.ndim))
            weights = np.where(within.reshape(within.shape + (1,) * (weights.ndim - 2)), weights, 0)
    if weights is None:
        return None
    weights = np.ascontiguousarray(np.broadcast_to(weights, shape[: weights.ndim]), np.float64).ravel()
    if not ((weights >= 0) & (weights < math.inf)).all():
        raise ValueError(f"position_weights: expected finite numbers from 0 up, got {weights.min()} to {weights.max()}")
    if not weights.any():
        name = "lengths" if position_weights is None else "position_weights"
        raise ValueError(f"{name}: expected at least one position that counts, got {weights.size} of which none does")
    if weights.max() < 1e-290:  # their sums and shares would be taken for zero; only ratios count, and these stay
        weights = weights * 2.0**900
    return None if (weights == 1).all() else weights


def _within(shape: tuple[int, ...], lengths: NumbersIn, batch_first: bool) -> Array:
    """Whether a position is before its sequence's end."""
    if len(shape) < 2:
        raise ValueError(f"lengths: expected None, as there are no axes of time and batch in {shape}, got an array")
    batch, steps = shape[:2] if batch_first else shape[1::-1]
    within: Array = np.arange(steps)[:, None] < check_lengths(lengths, steps, batch)
    return within.T if batch_first else within


def _check_weights(shape: tuple[int, ...], least: int, given: ArrayIn) -> Array:
    weights = plain_array("position_weights", given, "biuf", "numbers", "float64")
    fits = least <= weights.ndim <= len(shape)
    if not fits or any(n not in {1, m} for n, m in zip(weights.shape, shape, strict=False)):
        which = "the axes" if least == len(shape) else f"the first {least} or more of the axes"
        raise ValueError(f"position_weights: expected {which} {shape}, each of that length or 1, got {weights.shape}")
    return weights
