"""Schedules along a cosine (Loshchilov & Hutter 2017)."""

from __future__ import annotations

import math
from typing import Any

from recurra._checks import check_number

from .schedule import FROM_0, Schedule, check_count


class CosineAnnealingLR(Schedule):
    """From the first rate down to `eta_min` along half a cosine, then up again, and so on (Loshchilov & Hutter 2017).

    At each step it is::

        eta_min + (first - eta_min) * (1 + cos(π step / T_max)) / 2

    Args:
        optimizer: whose rates.
        T_max: steps of a way down, or up, from 1 up.
        eta_min: the least rate, from 0 up.

    Raises:
        TypeError, ValueError: an argument is none of these.

    Example:
        >>> sgd = recurra.SGD(recurra.Linear(2, 1, seed=0), lr=1.0)
        >>> schedule = recurra.schedules.CosineAnnealingLR(sgd, T_max=4)
        >>> rates = [sgd.lr]
        >>> for _ in range(5):
        ...     schedule.step()
        ...     rates.append(sgd.lr)
        >>> np.round(rates, 3)
        array([1.   , 0.854, 0.5  , 0.146, 0.   , 0.146])
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
    """Down along half a cosine as `CosineAnnealingLR`, then at once to the top again (Loshchilov & Hutter 2017).

    PyTorch's `step(epoch)`, with fractions of epochs, is left out: count batches instead. Beside another schedule it
    sets the rate from the first one, whatever that has become.

    Args:
        optimizer: whose rates.
        T_0: steps of the first way down, from 1 up.
        T_mult: how many times as long each way is as the last, an integer from 1 up.
        eta_min: the least rate, from 0 up.

    Raises:
        TypeError, ValueError: an argument is none of these.

    Example:
        >>> sgd = recurra.SGD(recurra.Linear(2, 1, seed=0), lr=1.0)
        >>> schedule = recurra.schedules.CosineAnnealingWarmRestarts(sgd, T_0=2, T_mult=2)
        >>> rates = [sgd.lr]
        >>> for _ in range(6):
        ...     schedule.step()
        ...     rates.append(sgd.lr)
        >>> np.round(rates, 3)
        array([1.   , 0.5  , 1.   , 0.854, 0.5  , 0.146, 1.   ])
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
