"""RNNCell, LSTMCell and GRUCell: torch.nn's, computed by recurra."""

from __future__ import annotations

import torch

from recurra.definitions import FORMULAS

from ._modules import Steps
from ._networks import Kind


class TorchCell(Steps):
    """What is the same for the three of them."""

    input_size: int
    hidden_size: int
    bias: bool

    def _formula_name(self) -> str:
        raise NotImplementedError

    def _kind(self) -> Kind:
        return Kind(FORMULAS[self._formula_name()], self.input_size, self.hidden_size, 1, False, self.bias, True)


class RNNCell(TorchCell, torch.nn.RNNCell):  # type: ignore[misc]
    """torch.nn.RNNCell, computed by recurra: one step of `RNN`, (x, h) -> h'.

    Args:
        input_size: features of x.
        hidden_size: H, features of h.
        bias: whether there are bias_ih and bias_hh.
        nonlinearity: "tanh" or "relu".
        device: the CPU.
        dtype: torch.float32 or torch.float64.

    Example:
        >>> import torch, recurra.torch
        >>> cell = recurra.torch.RNNCell(3, 8, nonlinearity="relu")
        >>> cell(torch.ones(2, 3)).shape, isinstance(cell, torch.nn.RNNCell)
        (torch.Size([2, 8]), True)
    """

    _original = torch.nn.RNNCell
    nonlinearity: str

    def _formula_name(self) -> str:
        return f"rnn_{self.nonlinearity}"


class LSTMCell(TorchCell, torch.nn.LSTMCell):  # type: ignore[misc]
    """torch.nn.LSTMCell, computed by recurra: one step of `LSTM`, (x, (h, c)) -> (h', c').

    Arguments are those of `recurra.torch.RNNCell` without `nonlinearity`.

    Example:
        >>> import torch, recurra.torch
        >>> h, c = recurra.torch.LSTMCell(3, 8)(torch.ones(2, 3))
        >>> h.shape, c.shape
        (torch.Size([2, 8]), torch.Size([2, 8]))
    """

    _original = torch.nn.LSTMCell
    _states = 2

    def _formula_name(self) -> str:
        return "lstm"


class GRUCell(TorchCell, torch.nn.GRUCell):  # type: ignore[misc]
    """torch.nn.GRUCell, computed by recurra: one step of `GRU`, (x, h) -> h'.

    Arguments are those of `recurra.torch.RNNCell` without `nonlinearity`.

    Example:
        >>> import torch, recurra.torch
        >>> recurra.torch.GRUCell(3, 8)(torch.ones(2, 3), torch.zeros(2, 8)).shape
        torch.Size([2, 8])
    """

    _original = torch.nn.GRUCell

    def _formula_name(self) -> str:
        return "gru"
