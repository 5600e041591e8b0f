"""Modules that PyTorch lacks for what `to_torch` makes: a Sequential with recurrent members, and Last."""

from __future__ import annotations

from typing import Any

import torch


class Last(torch.nn.Module):  # type: ignore[misc]
    """What a sequence comes to; see `recurra.Last`."""

    def __init__(
        self, batch_first: bool = False, bidirectional: bool | None = None, reverse: bool | None = None
    ) -> None:
        super().__init__()
        self.batch_first, self.bidirectional, self.reverse = batch_first, bidirectional, reverse

    def forward(self, x: Any) -> Any:
        """(T, B, F), with batch_first (B, T, F), or (T, F) -> (B, F) or (F,)."""
        steps = x.transpose(0, 1) if self.batch_first and x.dim() == 3 else x
        if not self.bidirectional:
            return steps[0 if self.reverse else -1]
        half = x.shape[-1] // 2
        return torch.cat([steps[-1, ..., :half], steps[0, ..., half:]], -1)

    def extra_repr(self) -> str:
        """The options."""
        return f"batch_first={self.batch_first}, bidirectional={self.bidirectional}, reverse={self.reverse}"


class Sequential(torch.nn.Sequential):  # type: ignore[misc]
    """Hands on the outputs of recurrent members without their states, as `recurra.Sequential` does."""

    def forward(self, x: Any) -> Any:
        """x -> y, from states of zeros."""
        for member in self:
            x = member(x)
            x = x[0] if isinstance(member, torch.nn.RNNBase) else x
        return x


SPECIAL = (torch.nn.RNNBase, Last, Sequential)  # members for which it takes such a Sequential
