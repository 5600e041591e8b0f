"""What changes during a training, and its states: all that is saved of it, but for the history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra._checks import shown
from recurra._states import copied

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recurra.module import Array

    from .best import Best

    Arrays = dict[str, Array]


@dataclass
class Run:
    """What changes during a training, but for its history; `measured` says which arguments the latter depends on."""

    model: Any
    optimizer: Any
    schedule: Any
    generator: np.random.Generator | None
    best: Best
    measured: Mapping[str, bool]

    def check(self, name: str) -> None:
        """Raises TypeError, about the argument of that name, if something can't be saved."""
        parts = {"a model": self.model, "an optimizer": self.optimizer}
        if self.schedule is not None:
            parts["a schedule"] = self.schedule
        for what, part in parts.items():
            if not callable(getattr(part, "state_dict", None)) or not callable(getattr(part, "load_state_dict", None)):
                raise TypeError(f"{name}: expected {what} with state_dict and load_state_dict, got {shown(part)}")
        for what, state in self.states().items():
            for key, value in state.items():
                if np.asarray(value).dtype.kind not in "biuf":
                    raise TypeError(f"{name}: expected arrays in the state of the {what}, got {shown(value)} as {key}")

    def states(self) -> dict[str, Arrays]:
        """Of each part, arrays by name."""
        states = {"model": dict(self.model.state_dict()), "optimizer": dict(self.optimizer.state_dict())}
        if self.schedule is not None:
            states["schedule"] = dict(self.schedule.state_dict())
        return states

    def load(self, states: Mapping[str, Arrays]) -> None:
        """Gives each part its state: all of them, or none after an error."""
        before, begun = copied(self.states()), []
        try:
            for name, state in states.items():
                begun.append(name)
                getattr(self, name).load_state_dict(state)
        except BaseException as error:
            for name in begun[:-1]:
                getattr(self, name).load_state_dict(before[name])
            if isinstance(error, (TypeError, ValueError)):
                raise ValueError(f"resume: expected a checkpoint of this {begun[-1]}, got another: {error}") from error
            raise

    def kinds(self) -> dict[str, str | None]:
        """What has to be the same in a training that goes on.

        Names of the parts' classes, whose states may have the same names and shapes and mean something else; and those
        of arguments without which a list of the history would end.
        """
        schedule = None if self.schedule is None else type(self.schedule).__name__
        layers = self.model.leaves() if hasattr(self.model, "leaves") else [self.model]
        model = " ".join(type(layer).__name__ for layer in layers)
        kinds = {"model": model, "optimizer": type(self.optimizer).__name__, "schedule": schedule}
        return kinds | {name: name if given else None for name, given in self.measured.items()}
