"""Schedules along a cosine (Loshchilov & Hutter 2017)."""

from __future__ import annotations

import math
from typing import Any

from recurra._checks import check_number

from .schedule import FROM_0, Schedule, check_count


class CosineAnnealingLR(Schedule):
    """eta_min + (first - eta_min) * (1 + cos(π step / T_max)) / 2: down in `T_max` steps, then up again, and so on.

    Raises:
        TypeError, ValueError: T_max is no integer from 1 up, eta_min no number from 0 up.
    """

    __slots__ = ("_least", "_steps")

    def __init__(self, optimizer: Any, T_max: int, eta_min: float = 0.0) -> None:
        self._steps = check_count("T_max", T_max, 1)
        self._least = check_number("eta_min", eta_min, FROM_0, 0, math.inf)
        super().__init__(optimizer)

    def _at(self, step: int, base: float, group: int) -> float:  # noqa: ARG002
        return self._least + (base - self._least) * half_wave(step, self._steps)

    def _after(self, step: int, rate: float, base: float, group: int) -> float:
        """What is above the least is multiplied, so that others' factors stay; at the bottom none is left."""
        if step == 0:
            return rate
        before = half_wave(step - 1, self._steps)
        if before == 0 or (step - 1) % (2 * self._steps) == self._steps:
            return rate + self._at(step, base, group) - self._least
        return self._least + (rate - self._least) * (half_wave(step, self._steps) / before)


class CosineAnnealingWarmRestarts(Schedule):
    """The same way down in `T_0` steps, then at once to the top again, each way `T_mult` times as long as the last.

    PyTorch's `step(epoch)`, with fractions of epochs, is left out: count batches instead.

    Raises:
        TypeError, ValueError: T_0 or T_mult is no integer from 1 up, eta_min no number from 0 up.
    """

    __slots__ = ("_first", "_least", "_longer")

    def __init__(self, optimizer: Any, T_0: int, T_mult: int = 1, eta_min: float = 0.0) -> None:
        self._first, self._longer = check_count("T_0", T_0, 1), check_count("T_mult", T_mult, 1)
        self._least = check_number("eta_min", eta_min, FROM_0, 0, math.inf)
        super().__init__(optimizer)

    def _at(self, step: int, base: float, group: int) -> float:  # noqa: ARG002
        length = self._first
        if self._longer == 1:
            step %= length
        while step >= length:
            step, length = step - length, length * self._longer
        return self._least + (base - self._least) * half_wave(step, length)


def half_wave(step: int, length: int) -> float:
    """From 1 at step 0 to 0 at `length`."""
    return (1 + math.cos(math.pi * step / length)) / 2
