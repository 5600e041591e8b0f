"""The layers over sequences: RNN, LSTM and GRU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._checks import check_flag, shown
from .definitions import FORMULAS
from .recurrent import COMMON, OPTIONS, SIZES, Recurrent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .formula import Formula
    from .recurrent import Seed


class RNN(Recurrent):
    """Elman's network: h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh), or relu instead of tanh.

    Args:
        input_size, hidden_size: features of x_t, and H of h_t.
        num_layers: how many are stacked, each reading the outputs of the one below.
        nonlinearity: "tanh" or "relu".
        bias: whether there are b_ih and b_hh.
        batch_first: x and y are (B, T, …) instead of (T, B, …); states aren't.
        dropout: rate between layers, in `forward` only.
        bidirectional: a second direction reads every sequence from its end.
        dtype: float32 or float64, of everything.
        seed: of the weights, drawn uniform in ±1/√H: an integer, a numpy.random.Generator, or None for the system's.
        tokens: whether integers are tokens, which stand for one-hot rows; None: unless their last axis is input_size,
            so that they may be features that were meant to be cast. Those are refused.
        reverse: the one direction goes from each sequence's end to its beginning.
        recurrent_dropout: rate at which `forward` zeroes what W_hh reads, with one mask for all steps of a sequence
            (Gal & Ghahramani 2016).
        zoneout: rate at which units of the state stay as they were in a step of `forward` (Krueger et al. 2017), or
            rates by the names of states.
        learned_state: the initial state, where a call gives none, is a parameter: h0 (L*D, H), which begins as zeros.

    Parameters, by PyTorch's names: weight_ih_l0 (H, input_size), weight_hh_l0 (H, H), bias_ih_l0 (H,), bias_hh_l0 (H,),
    then those of the reverse direction, "…_l0_reverse", and of the layers above, "…_l1", which read D*H features.
    """

    _options = SIZES | {"nonlinearity": "tanh"} | COMMON | OPTIONS

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: object = np.float32,
        seed: Seed = None,
        tokens: bool | None = None,
        reverse: bool = False,
        recurrent_dropout: float = 0.0,
        zoneout: float | Mapping[str, float] = 0.0,
        learned_state: bool = False,
    ) -> None:
        self.nonlinearity: str = check_nonlinearity(nonlinearity)
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            dtype,
            seed,
            tokens,
            0,
            reverse,
            recurrent_dropout,
            zoneout,
            learned_state,
        )

    @property
    def formula(self) -> Formula:
        """What the cell computes."""
        return FORMULAS["rnn_" + self.nonlinearity]


class LSTM(Recurrent):
    """Long short-term memory with a forget gate (Hochreiter & Schmidhuber 1997; Gers et al. 2000).

        i = σ(a_i)   f = σ(a_f)   g = tanh(a_g)   o = σ(a_o)      a = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh
        c_t = f ∘ c_{t-1} + i ∘ g                 h_t = o ∘ tanh(c_t)

    Arguments and parameters are those of `RNN`, without `nonlinearity`; the rows of every parameter go gate by gate,
    i, f, g, o, so that weight_ih_l0 is (4*H, input_size). The state is a pair (h, c). With proj_size = P above 0, h_t
    is W_hr (o ∘ tanh(c_t)), of P features, and there is weight_hr_l0 (P, H) (Sak, Senior & Beaufays 2014).
    """

    _options = SIZES | COMMON | OPTIONS | {"proj_size": 0}

    @property
    def formula(self) -> Formula:
        """What the cell computes."""
        return FORMULAS["lstm_projected" if self.proj_size else "lstm"]

    @property
    def _can_project(self) -> bool:
        return True


class GRU(Recurrent):
    """The gated recurrent unit (Cho et al. 2014).

        r = σ(a_r)   z = σ(a_z)                   a = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh
        n = tanh(W_in x_t + b_in + r ∘ (W_hn h_{t-1} + b_hn))      reset_after=True: PyTorch, cuDNN
        n = tanh(W_in x_t + b_in + W_hn (r ∘ h_{t-1}) + b_hn)      reset_after=False: the paper, most textbooks
        h_t = (1 - z) ∘ n + z ∘ h_{t-1}

    Arguments and parameters are those of `RNN`, without `nonlinearity`; the rows of every parameter go gate by gate,
    r, z, n, so that weight_ih_l0 is (3*H, input_size).
    """

    _options = SIZES | COMMON | {"reset_after": True} | OPTIONS

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        reset_after: bool = True,
        dtype: object = np.float32,
        seed: Seed = None,
        tokens: bool | None = None,
        reverse: bool = False,
        recurrent_dropout: float = 0.0,
        zoneout: float | Mapping[str, float] = 0.0,
        learned_state: bool = False,
    ) -> None:
        self.reset_after: bool = check_flag("reset_after", reset_after)
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            dtype,
            seed,
            tokens,
            0,
            reverse,
            recurrent_dropout,
            zoneout,
            learned_state,
        )

    @property
    def formula(self) -> Formula:
        """What the cell computes."""
        return FORMULAS["gru" if self.reset_after else "gru_reset_before"]


LAYERS = (RNN, LSTM, GRU)


def check_nonlinearity(value: object) -> str:
    """The activation of an RNN: "tanh" or "relu"."""
    if not isinstance(value, str):
        raise TypeError(f"nonlinearity: expected 'tanh' or 'relu', got {shown(value)}")
    if value not in {"tanh", "relu"}:
        raise ValueError(f"nonlinearity: expected 'tanh' or 'relu', got {shown(value)}")
    return value
