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

    Args:
        input_size, hidden_size: features of x_t, and H of h_t.
        num_layers: how many are stacked, each reading the outputs of the one below.
        nonlinearity: "tanh" or "relu".
        bias: whether there are bias_ih and bias_hh.
        batch_first: input and output are (B, T, …) instead of (T, B, …); states aren't.
        dropout: rate between layers while training, drawn from torch's generator: the masks that torch.nn draws.
        bidirectional: a second direction reads every sequence from its end.
        device: the CPU.
        dtype: torch.float32 or torch.float64.

    It is a torch.nn.RNN: parameters by the same names, drawn alike, `state_dict`, `all_weights`, `flatten_parameters`.
    Calls take `lengths` and `resets` besides, see `forward`. It has no second derivatives, and none by torch.func.vmap.
    """

    _original = torch.nn.RNN


class LSTM(TorchLayer, torch.nn.LSTM):  # type: ignore[misc]
    """torch.nn.LSTM, computed by recurra.

        i = σ(a_i)   f = σ(a_f)   g = tanh(a_g)   o = σ(a_o)      a = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh
        c_t = f ∘ c_{t-1} + i ∘ g                 h_t = o ∘ tanh(c_t)

    Arguments are those of `RNN` without `nonlinearity`, and `proj_size`: P above 0 makes h_t W_hr (o ∘ tanh(c_t)), of P
    features. The state is a pair (h, c).
    """

    _original = torch.nn.LSTM
    _states = 2


class GRU(TorchLayer, torch.nn.GRU):  # type: ignore[misc]
    """torch.nn.GRU, computed by recurra.

        r = σ(a_r)   z = σ(a_z)                   a = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh
        n = tanh(W_in x_t + b_in + r ∘ (W_hn h_{t-1} + b_hn))
        h_t = (1 - z) ∘ n + z ∘ h_{t-1}

    Arguments are those of `RNN` without `nonlinearity`. For n with W_hn (r ∘ h_{t-1}), as in the paper, there is
    `recurra.torch.as_module(recurra.GRU)` with `reset_after=False`.
    """

    _original = torch.nn.GRU
