"""RNN, LSTM and GRU over sequences: torch.nn's, computed by recurra."""

from __future__ import annotations

import torch

from recurra.definitions import FORMULAS

from ._modules import Sequences
from ._networks import Kind


class TorchLayer(Sequences):
    """What is the same for the three of them. `mode` names the formula in torch's way."""

    mode: str
    input_size: int
    hidden_size: int
    bias: bool

    def _kind(self) -> Kind:
        name = self.mode.lower() + ("_projected" if self.proj_size else "")
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
    """torch.nn.RNN, computed by recurra: h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh), or relu instead of tanh.

    It is a torch.nn.RNN: parameters by the same names, drawn alike, `state_dict`, `all_weights`, `flatten_parameters`,
    errors. Calls take `lengths` and `resets` besides, see `forward`.

    Args:
        input_size: features of x_t.
        hidden_size: H, features of h_t.
        num_layers: how many are stacked, each reading the outputs of the one below.
        nonlinearity: "tanh" or "relu".
        bias: whether there are bias_ih and bias_hh.
        batch_first: input and output are (B, T, …) instead of (T, B, …); states aren't.
        dropout: rate between layers while training, drawn from torch's generator: the masks that torch.nn draws.
        bidirectional: a second direction reads every sequence from its end.
        device: the CPU.
        dtype: torch.float32 or torch.float64.

    Example:
        >>> import torch, recurra.torch
        >>> rnn = recurra.torch.RNN(3, 8, bidirectional=True)
        >>> output, h_n = rnn(torch.ones(5, 2, 3), lengths=torch.tensor([5, 3]))
        >>> output.shape, h_n.shape, output[3:, 1].abs().max().item()
        (torch.Size([5, 2, 16]), torch.Size([2, 2, 8]), 0.0)
    """

    _original = torch.nn.RNN


class LSTM(TorchLayer, torch.nn.LSTM):  # type: ignore[misc]
    """torch.nn.LSTM, computed by recurra.

    ::

        i = σ(a_i)   f = σ(a_f)   g = tanh(a_g)   o = σ(a_o)      a = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh
        c_t = f ∘ c_{t-1} + i ∘ g                 h_t = o ∘ tanh(c_t)

    The state is a pair (h, c). Arguments are those of `recurra.torch.RNN` without `nonlinearity`, and:

    Args:
        proj_size: P above 0 makes h_t W_hr (o ∘ tanh(c_t)), of P features.

    Example:
        >>> import torch, recurra.torch
        >>> output, (h_n, c_n) = recurra.torch.LSTM(3, 8, num_layers=2, proj_size=4)(torch.ones(5, 2, 3))
        >>> output.shape, h_n.shape, c_n.shape
        (torch.Size([5, 2, 4]), torch.Size([2, 2, 4]), torch.Size([2, 2, 8]))
    """

    _original = torch.nn.LSTM
    _states = 2


class GRU(TorchLayer, torch.nn.GRU):  # type: ignore[misc]
    """torch.nn.GRU, computed by recurra.

    ::

        r = σ(a_r)   z = σ(a_z)                   a = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh
        n = tanh(W_in x_t + b_in + r ∘ (W_hn h_{t-1} + b_hn))
        h_t = (1 - z) ∘ n + z ∘ h_{t-1}

    Arguments are those of `recurra.torch.RNN` without `nonlinearity`. For n with W_hn (r ∘ h_{t-1}), as in the paper,
    there is `recurra.torch.as_module(recurra.GRU)` with `reset_after=False`.

    Example:
        >>> import torch, recurra.torch
        >>> gru = recurra.torch.GRU(3, 8, batch_first=True)
        >>> output, h_n = gru(torch.ones(2, 5, 3))
        >>> output.sum().backward()
        >>> output.shape, gru.weight_hh_l0.grad.shape
        (torch.Size([2, 5, 8]), torch.Size([24, 8]))
    """

    _original = torch.nn.GRU
