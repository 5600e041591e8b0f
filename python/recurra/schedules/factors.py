"""Schedules that multiply the first rate by a factor, which depends on the step."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from recurra._checks import check_number, is_listed, shown

from .schedule import FROM_0, Schedule, check_count, check_factor, check_optimizer, per_group

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class Factor(Schedule):
    """One that multiplies the present rate from step to step, so that several can be joined.

    A subclass has `_factor(step)`, of the first rate.
    """

    __slots__ = ()

    def _factor(self, step: int) -> float:
        raise NotImplementedError

    def _at(self, step: int, base: float, group: int) -> float:  # noqa: ARG002
        return base * self._factor(step)

    def _after(self, step: int, rate: float, base: float, group: int) -> float:
        before, now = self._factor(step - 1) if step else 1.0, self._factor(step)
        if before == now:
            return rate
        return rate * (now / before) if before else self._at(step, base, group)  # from 0 no factor leads away


class ConstantLR(Factor):
    """`factor` times the first rate for `total_iters` steps, then that rate itself.

    Args:
        optimizer: whose rates.
        factor: in [0, 1].
        total_iters: how many steps, from 1 up.

    Raises:
        TypeError, ValueError: an argument is none of these.

    Example:
        >>> sgd = recurra.SGD(recurra.Linear(2, 1, seed=0), lr=1.0)
        >>> schedule = recurra.schedules.ConstantLR(sgd, factor=0.1, total_iters=2)
        >>> rates = [sgd.lr]
        >>> for _ in range(3):
        ...     schedule.step()
        ...     rates.append(sgd.lr)
        >>> np.round(rates, 3)
        array([0.1, 0.1, 1. , 1. ])
    """

    __slots__ = ("_first", "_total")

    def __init__(self, optimizer: Any, factor: float = 1 / 3, total_iters: int = 5) -> None:
        self._first, self._total = check_factor("factor", factor), check_count("total_iters", total_iters, 1)
        super().__init__(optimizer)

    def _factor(self, step: int) -> float:
        return self._first if step < self._total else 1.0


class LinearLR(Factor):
    """From `start_factor` to `end_factor` times the first rate, in equal differences over `total_iters` steps.

    Args:
        optimizer: whose rates.
        start_factor: in (0, 1].
        end_factor: in [0, 1]; it stays.
        total_iters: how many steps, from 1 up.

    Raises:
        TypeError, ValueError: an argument is none of these.

    Example:
        >>> sgd = recurra.SGD(recurra.Linear(2, 1, seed=0), lr=1.0)
        >>> schedule = recurra.schedules.LinearLR(sgd, start_factor=0.2, total_iters=4)
        >>> rates = [sgd.lr]
        >>> for _ in range(5):
        ...     schedule.step()
        ...     rates.append(sgd.lr)
        >>> np.round(rates, 3)
        array([0.2, 0.4, 0.6, 0.8, 1. , 1. ])
    """

    __slots__ = ("_end", "_start", "_total")

    def __init__(
        self, optimizer: Any, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5
    ) -> None:
        self._start = check_factor("start_factor", start_factor, 5e-324)
        self._end, self._total = check_factor("end_factor", end_factor), check_count("total_iters", total_iters, 1)
        super().__init__(optimizer)

    def _factor(self, step: int) -> float:
        return self._start + (self._end - self._start) * min(step, self._total) / self._total


class StepLR(Factor):
    """Multiplies the rate by `gamma` every `step_size` steps.

    Args:
        optimizer: whose rates.
        step_size: from 1 up.
        gamma: a number from 0 up.

    Raises:
        TypeError, ValueError: an argument is none of these.

    Example:
        >>> sgd = recurra.SGD(recurra.Linear(2, 1, seed=0), lr=1.0)
        >>> schedule = recurra.schedules.StepLR(sgd, step_size=2, gamma=0.1)
        >>> for _ in range(5):
        ...     schedule.step()
        >>> round(sgd.lr, 3)
        0.01
    """

    __slots__ = ("_gamma", "_size")

    def __init__(self, optimizer: Any, step_size: int, gamma: float = 0.1) -> None:
        self._size, self._gamma = check_count("step_size", step_size, 1), check_gamma(gamma)
        super().__init__(optimizer)

    def _factor(self, step: int) -> float:
        return power(self._gamma, step // self._size)


class MultiStepLR(Factor):
    """Multiplies the rate by `gamma` at each milestone.

    Args:
        optimizer: whose rates.
        milestones: numbers of steps from 0 up, in any order; one that is there twice counts twice.
        gamma: a number from 0 up.

    Raises:
        TypeError, ValueError: an argument is none of these.

    Example:
        >>> sgd = recurra.SGD(recurra.Linear(2, 1, seed=0), lr=1.0)
        >>> schedule = recurra.schedules.MultiStepLR(sgd, milestones=[1, 4], gamma=0.5)
        >>> rates = [sgd.lr]
        >>> for _ in range(5):
        ...     schedule.step()
        ...     rates.append(sgd.lr)
        >>> rates
        [1.0, 0.5, 0.5, 0.5, 0.25, 0.25]
    """

    __slots__ = ("_gamma", "_milestones")

    def __init__(self, optimizer: Any, milestones: Iterable[int], gamma: float = 0.1) -> None:
        self._milestones, self._gamma = sorted(check_milestones(milestones)), check_gamma(gamma)
        super().__init__(optimizer)

    def _factor(self, step: int) -> float:
        return power(self._gamma, bisect_right(self._milestones, step))


class ExponentialLR(Factor):
    """Multiplies the rate by `gamma` at every step.

    Args:
        optimizer: whose rates.
        gamma: a number from 0 up.

    Raises:
        TypeError, ValueError: an argument is none of these.

    Example:
        >>> sgd = recurra.SGD(recurra.Linear(2, 1, seed=0), lr=1.0)
        >>> schedule = recurra.schedules.ExponentialLR(sgd, gamma=0.5)
        >>> for _ in range(3):
        ...     schedule.step()
        >>> sgd.lr
        0.125
    """

    __slots__ = ("_gamma",)

    def __init__(self, optimizer: Any, gamma: float) -> None:
        self._gamma = check_gamma(gamma)
        super().__init__(optimizer)

    def _factor(self, step: int) -> float:
        return power(self._gamma, step)

    def _after(self, step: int, rate: float, base: float, group: int) -> float:  # noqa: ARG002
        return rate * self._gamma if step else rate


class LambdaLR(Schedule):
    """The first rate times a function of the number of steps.

    Beside another schedule it sets the rate from the first one, whatever that has become.

    Args:
        optimizer: whose rates.
        lr_lambda: the number of steps -> a factor from 0 up; or a list of such functions, one for each group.

    Raises:
        TypeError, ValueError: no function, or not as many as groups; or, when its turn comes, what it returns is no
            number from 0 up.

    Example:
        >>> sgd = recurra.SGD(recurra.Linear(2, 1, seed=0), lr=1.0)
        >>> schedule = recurra.schedules.LambdaLR(sgd, lambda step: 1 / (1 + step))
        >>> for _ in range(3):
        ...     schedule.step()
        >>> sgd.lr
        0.25
    """

    __slots__ = ("_functions",)
    _subject = "lr_lambda"

    def __init__(self, optimizer: Any, lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]]) -> None:
        self._functions = per_group("lr_lambda", lr_lambda, check_optimizer(optimizer), check_function)
        super().__init__(optimizer)

    def _at(self, step: int, base: float, group: int) -> float:
        return base * check_number("lr_lambda", self._functions[group](step), f"to return {FROM_0}", 0, math.inf)


def power(gamma: float, exponent: int) -> float:
    """The same, and infinite where it is too large, which is then refused as a rate."""
    try:
        return gamma**exponent
    except OverflowError:
        return math.inf


def check_gamma(value: object) -> float:
    """A factor from 0 up."""
    return check_number("gamma", value, FROM_0, 0, math.inf)


def check_milestones(value: Any) -> list[int]:
    """Integers from 0 up."""
    if not is_listed(value):
        raise TypeError(f"milestones: expected integers from 0 up, in a list, got {shown(value)}")
    return [check_count("milestones", one) for one in value]


def check_function(value: object) -> Any:
    """Something that can be called."""
    if not callable(value):
        raise TypeError(f"lr_lambda: expected a function of the step, got {shown(value)}")
    return value
