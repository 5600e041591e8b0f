"""When a schedule of learning rates takes its steps, and which rate there was."""

from __future__ import annotations

import inspect
from numbers import Real
from typing import TYPE_CHECKING, Any

from recurra._checks import shown

if TYPE_CHECKING:
    from recurra.history import History


class Scheduling:
    """A schedule, or none, beside its optimizer."""

    def __init__(self, schedule: Any, every: object, optimizer: Any) -> None:
        if not isinstance(every, str):
            raise TypeError(f"schedule_every: expected 'epoch' or 'step', got {shown(every)}")
        if every not in {"epoch", "step"}:
            raise ValueError(f"schedule_every: expected 'epoch' or 'step', got {shown(every)}")
        self.schedule, self._every, self._optimizer = schedule, every, optimizer
        self._takes_loss = schedule is not None and _check_schedule(schedule, optimizer)
        if self._takes_loss and every == "step":
            raise ValueError(f"schedule_every: expected 'epoch', as {shown(schedule)} looks at losses, got 'step'")

    def after_step(self) -> None:
        """After a step of the optimizer."""
        if self.schedule is not None and self._every == "step":
            self.schedule.step()

    def after_epoch(self, history: History) -> None:
        """After an epoch, whose losses are in the history."""
        if self.schedule is None or self._every != "epoch":
            return
        if self._takes_loss:
            self.schedule.step((history.validation or history.losses)[-1])
        else:
            self.schedule.step()

    def rate(self) -> float | None:
        """The rate of the optimizer's first group, if it tells."""
        groups = getattr(self._optimizer, "param_groups", None)
        rate = groups[0].get("lr") if groups else getattr(self._optimizer, "lr", None)
        return float(rate) if isinstance(rate, Real) else None


def _check_schedule(schedule: Any, optimizer: Any) -> bool:
    """Whether its steps need a loss."""
    step = getattr(schedule, "step", None)
    if not callable(step) or isinstance(schedule, type):
        raise TypeError(f"schedule: expected one such as those of recurra.schedules, got {shown(schedule)}")
    if getattr(schedule, "optimizer", optimizer) is not optimizer:
        raise ValueError(f"schedule: expected one of the optimizer, got {shown(schedule)} of another")
    try:
        parameters = inspect.signature(step).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    return any(one.kind in positional and one.default is one.empty for one in parameters)
