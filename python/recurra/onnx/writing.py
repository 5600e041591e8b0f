"""What writers of layers share: the sequence on its way through a model, its states, its lengths."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from recurra.module import Array

    from .building import Builder


@dataclass
class Flow:
    """What a model computes, from member to member: always time-major, (T, B, features) or (B, features)."""

    graph: Builder
    value: str
    features: int | None
    lengths: str | None = None  # (B,) int32, of a model that takes them
    states: bool = True  # whether states are inputs and outputs
    recurrent: int = 0  # members so far that have states
    by_time: bool = True  # whether the value has an axis of time
    cell: bool = False  # whether the model is a single step, whose states are (B, H)
    inputs: dict[str, str] = field(default_factory=dict)  # of a formula, time-major, (T, B, 1) those of one number

    def mask(self) -> str:
        """Which steps are within their sequences, (T, B, 1) of bool."""
        graph = self.graph
        steps = graph.once("Squeeze", graph.size(self.value, 0))
        times = graph.once("Range", graph.integer(0), steps, graph.integer(1))
        column = graph.once("Unsqueeze", times, graph.integers(1, 2))
        lengths = graph.once("Cast", str(self.lengths), to=7)  # int64, as times are
        return graph.once("Less", column, graph.once("Unsqueeze", lengths, graph.integers(1)))

    def initial_state(self, name: str, count: int, features: int, learned: Array | None) -> str | None:
        """A state (L*D, B, features) before the first step, by its name; None for zeros that nothing may change.

        A model that takes states has an input `h0_0` (`h` being the state, and 0 the first recurrent member), whose
        default is (L*D, 1, features): what has been learned, or zeros.
        """
        graph = self.graph
        default = np.zeros((count, features), graph.dtype) if learned is None else learned
        if self.states:
            full = f"{name}0_{self.recurrent}"
            shape = (None, features) if self.cell else (count, None, features)
            value = graph.input(full, graph.dtype, shape)
            graph.default(full, default if self.cell else default[:, None])
            if self.cell:
                value = graph.node("Unsqueeze", value, graph.integers(0))
        elif learned is None:
            return None
        else:
            value = graph.weight(default[:, None], f"{name}0_{self.recurrent}")
        batch = graph.size(self.value, 1)
        shape_of = graph.node("Concat", graph.integers(count), batch, graph.integers(features), axis=0)
        return graph.node("Expand", value, shape_of)

    def final_state(self, value: str, name: str, count: int, features: int) -> None:
        """Makes a state after the last step an output, `h_n_0`."""
        if self.states:
            shape: tuple[Any, ...] = (count, "B", features)
            if self.cell:
                value = self.graph.node("Squeeze", value, self.graph.integers(0))
                shape = shape[1:]
            self.graph.output(value, f"{name}_n_{self.recurrent}", self.graph.dtype, shape)
