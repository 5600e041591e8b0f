"""RNN, LSTM and GRU over sequences: torch.nn's, computed by recurra."""

from __future__ import annotations

from typing import Any

import torch

from ..definitions import FORMULAS
from ._modules import Sequences
from ._networks import Kind


class TorchLayer(Sequences):
    """What is the same for the three of them. `mode` names the formula in torch's way."""

    mode: str
    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    bidirectional: bool
    proj_size: int

    def _kind(self) -> Kind:
        name = self.mode.lower()
        if self.proj_size:
            name += "_projected"
        return Kind(
            FORMULAS[name],
            self.input_size,
            self.hidden_size,
            self.num_layers,
            self.bidirectional,
            self.bias,
            False,
            self.proj_size,
        )


class RNN(TorchLayer, torch.nn.RNN):  # type: ignore[misc]
    """torch.nn.RNN."""

    def _own_forward(self, input: Any, hx: Any) -> Any:  # noqa: A002
        return torch.nn.RNN.forward(self, input, hx)


class LSTM(TorchLayer, torch.nn.LSTM):  # type: ignore[misc]
    """torch.nn.LSTM."""

    _states = 2

    def _own_forward(self, input: Any, hx: Any) -> Any:  # noqa: A002
        return torch.nn.LSTM.forward(self, input, hx)


class GRU(TorchLayer, torch.nn.GRU):  # type: ignore[misc]
    """torch.nn.GRU."""

    def _own_forward(self, input: Any, hx: Any) -> Any:  # noqa: A002
        return torch.nn.GRU.forward(self, input, hx)
