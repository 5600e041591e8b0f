"""The weights that patience keeps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from recurra._states import copied

if TYPE_CHECKING:
    from recurra.history import History
    from recurra.module import Array


class Best:
    """The weights at the smallest loss so far, and for how many epochs it has been that."""

    def __init__(self, model: Any, patience: int | None) -> None:
        self.model, self.patience = model, patience
        self.loss, self.waited = math.inf, 0
        self.weights: dict[str, Array] | None = None

    @property
    def patient(self) -> bool:
        """Whether there is patience for another epoch."""
        return self.patience is None or self.waited < self.patience

    def note(self, history: History) -> None:
        """Takes note of an epoch's loss."""
        if self.patience is None:
            return
        loss = history.validation[-1]
        if loss < self.loss:
            self.loss, self.weights, self.waited = loss, copied(self.model.state_dict()), 0
            history.best = loss
        else:
            self.waited += 1

    def restore(self) -> None:
        """Loads those weights, if there are any."""
        if self.weights is not None:
            self.model.load_state_dict(self.weights)
