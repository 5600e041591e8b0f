"""One schedule after another."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from recurra._checks import is_listed, shown

from .factors import check_milestones
from .schedule import RateSetter, Schedule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recurra.module import Array


class SequentialLR(Schedule):
    """The first schedule until the first milestone, the next from there on, and so on: a warm-up, then a decay.

    Each begins with the optimizer's first rates and counts its own steps.

    Args:
        optimizer: whose rates.
        schedulers: made for the same optimizer; none that looks at a metric.
        milestones: at which number of steps the next begins: rising integers, one fewer than schedules.

    Raises:
        TypeError, ValueError: other schedules or milestones than these.

    Example:
        >>> adam = recurra.Adam(recurra.Linear(2, 1, seed=0), lr=0.1)
        >>> warm_up = recurra.schedules.LinearLR(adam, start_factor=0.1, total_iters=3)
        >>> decay = recurra.schedules.CosineAnnealingLR(adam, T_max=4)
        >>> schedule = recurra.schedules.SequentialLR(adam, [warm_up, decay], milestones=[3])
        >>> rates = [adam.lr]
        >>> for _ in range(7):
        ...     schedule.step()
        ...     rates.append(adam.lr)
        >>> np.round(rates, 3)
        array([0.01 , 0.04 , 0.07 , 0.1  , 0.085, 0.05 , 0.015, 0.   ])
    """

    __slots__ = ("_milestones", "_schedules")

    def __init__(self, optimizer: Any, schedulers: Sequence[Schedule], milestones: Sequence[int]) -> None:
        self._schedules = _check_schedules(schedulers, optimizer)
        self._milestones = check_milestones(milestones)
        if len(self._milestones) != len(self._schedules) - 1:
            raise ValueError(
                f"milestones: expected one fewer than {len(self._schedules)} schedules, got {len(self._milestones)}"
            )
        if any(b <= a for a, b in zip(self._milestones, self._milestones[1:], strict=False)):
            raise ValueError(f"milestones: expected rising ones, got {shown(milestones)}")
        RateSetter.__init__(self, optimizer)
        self._base = list(self._schedules[0]._base)
        self._begin()

    def _begin(self) -> None:
        first = self._schedules[bisect_right(self._milestones, 0)]
        first._begin()
        self.last_epoch, self._last_lr = 0, first.last_lr

    def step(self) -> None:
        """Sets the next rates, those of the schedule whose turn it is."""
        step = self.last_epoch + 1
        i = bisect_right(self._milestones, step)
        schedule = self._schedules[i]
        if i and self._milestones[i - 1] == step:
            schedule._begin()
        else:
            schedule.step()
        self.last_epoch, self._last_lr = step, schedule.last_lr

    def state_dict(self) -> dict[str, Array]:
        """The state as arrays by name; those of the schedules begin with "schedulers.0", "schedulers.1", …."""
        state = super().state_dict()
        for i, schedule in enumerate(self._schedules):
            state |= {f"schedulers.{i}.{name}": value for name, value in schedule.state_dict().items()}
        return state

    def _take(self, numbers: dict[str, Any]) -> None:
        super()._take(numbers)
        for i, schedule in enumerate(self._schedules):
            prefix = f"schedulers.{i}."
            schedule._apply({k.removeprefix(prefix): v for k, v in numbers.items() if k.startswith(prefix)})


def _check_schedules(value: Any, optimizer: Any) -> list[Schedule]:
    schedules = list(value) if is_listed(value) else [value]
    if not schedules:
        raise ValueError("schedulers: expected at least one, got none")
    for schedule in schedules:
        if not isinstance(schedule, Schedule):
            raise TypeError(f"schedulers: expected schedules that count steps, in a list, got {shown(schedule)}")
        if schedule.optimizer is not optimizer:
            raise ValueError(f"schedulers: expected schedules of the same optimizer, got {shown(schedule)} of another")
    if len({id(schedule) for schedule in schedules}) < len(schedules):
        raise ValueError("schedulers: expected different ones, got one twice")
    return schedules
