"""RNNCell, LSTMCell and GRUCell: torch.nn's, computed by recurra."""

from __future__ import annotations

from typing import Any

import torch

from ..definitions import FORMULAS
from ._modules import Steps
from ._networks import Kind


class TorchCell(Steps):
    """What is the same for the three of them."""

    input_size: int
    hidden_size: int
    bias: bool

    def _formula(self) -> str:
        raise NotImplementedError

    def _kind(self) -> Kind:
        return Kind(FORMULAS[self._formula()], self.input_size, self.hidden_size, 1, False, self.bias, True)


class RNNCell(TorchCell, torch.nn.RNNCell):  # type: ignore[misc]
    """torch.nn.RNNCell."""

    nonlinearity: str

    def _formula(self) -> str:
        return f"rnn_{self.nonlinearity}"

    def _own_forward(self, input: Any, hx: Any) -> Any:  # noqa: A002
        return torch.nn.RNNCell.forward(self, input, hx)


class LSTMCell(TorchCell, torch.nn.LSTMCell):  # type: ignore[misc]
    """torch.nn.LSTMCell."""

    _states = 2

    def _formula(self) -> str:
        return "lstm"

    def _own_forward(self, input: Any, hx: Any) -> Any:  # noqa: A002
        return torch.nn.LSTMCell.forward(self, input, hx)


class GRUCell(TorchCell, torch.nn.GRUCell):  # type: ignore[misc]
    """torch.nn.GRUCell."""

    def _formula(self) -> str:
        return "gru"

    def _own_forward(self, input: Any, hx: Any) -> Any:  # noqa: A002
        return torch.nn.GRUCell.forward(self, input, hx)
