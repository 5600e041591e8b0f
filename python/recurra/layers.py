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
    """Elman's network over sequences, stacked and in one direction or both (Elman 1990).

    Each layer computes at each step t, with f = tanh or relu::

        h_t = f(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)

    Sizes: T steps, B sequences, I `input_size`, H `hidden_size`, L `num_layers`, D directions, 2 if `bidirectional`,
    else 1. Parameters have PyTorch's names: weight_ih_l0 (H, I), weight_hh_l0 (H, H), bias_ih_l0 and bias_hh_l0 (H,);
    the same of the reverse direction, weight_ih_l0_reverse …; then _l1 and so on, whose weight_ih is (H, D·H); last h0,
    if it is learned.

    Tokens are integers 0..I-1 of any integer dtype instead of features: each stands for the row that is 1 there and
    else 0. Results are those of such rows, bit for bit, but none is made or multiplied: columns of W_ih are looked up.
    Integers of the shape of one sequence's features, (T, I), may be features that should have been cast, so a layer
    with ``tokens=None`` refuses them by a TypeError.

    The arguments but `seed` are attributes too. Only `dropout`, `recurrent_dropout` and `zoneout` may be set later;
    to set another, or one that there isn't, raises AttributeError.

    Args:
        input_size: I, features of x at a step, or how many tokens there are; from 1.
        hidden_size: H, features of h_t, from 1.
        num_layers: L, how many layers are stacked, each reading the outputs of the one below.
        nonlinearity: f, "tanh" or "relu".
        bias: whether there are b_ih and b_hh.
        batch_first: x and y are (B, T, …) instead of (T, B, …); states aren't.
        dropout: the rate, in [0, 1), at which `forward` zeroes features between layers and scales the others by
            1 / (1 - rate). A UserWarning if there is one layer only, where it does nothing.
        bidirectional: a second direction reads every sequence from its end.
        dtype: float32 or float64, of everything.
        seed: of the weights, all drawn uniform in ±1/√H: an integer from 0, a `numpy.random.Generator`, or None for the
            system's entropy.
        tokens: whether integers are tokens: True, False, or None for where they can't be features.
        reverse: the one direction goes from each sequence's end to its beginning.
        recurrent_dropout: the rate, in [0, 1), at which `forward` zeroes what W_hh reads, with one mask for all steps
            of a sequence (Gal & Ghahramani 2016).
        zoneout: the rate, in [0, 1), at which units of the state stay as they were in a step of `forward` (Krueger et
            al. 2017); or rates by states, as ``{"c": 0.1}`` of an LSTM.
        learned_state: the initial state, where a call gives none, is a parameter, h0 (L·D, H), zeros at first.

    Attributes:
        grads: gradients by the parameters' names, arrays of their shapes, yours to read and to write.

    Raises:
        TypeError: An argument is of a wrong type, or `dtype` is another.
        ValueError: An argument is out of its range, or `reverse` stands beside `bidirectional`.

    Example:
        >>> rnn = recurra.RNN(3, 8, num_layers=2, nonlinearity="relu", seed=0)
        >>> y, h_n = rnn(np.ones((5, 2, 3), np.float32))  # 5 steps of 2 sequences
        >>> y.shape, h_n.shape
        ((5, 2, 8), (2, 2, 8))
        >>> rnn(np.array([[0, 2], [1, 0]]))[0].shape  # tokens
        (2, 2, 8)
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

    With a = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh, each layer computes at each step t::

        i = σ(a_i)   f = σ(a_f)   g = tanh(a_g)   o = σ(a_o)
        c_t = f ∘ c_{t-1} + i ∘ g                 h_t = o ∘ tanh(c_t)

    A state is the pair (h, c), a tuple or a list. Rows of the parameters go gate by gate, i, f, g, o: weight_ih_l0 is
    (4·H, I), weight_hh_l0 (4·H, H), bias_ih_l0 and bias_hh_l0 (4·H,). With `proj_size` = P the output is projected
    (Sak, Senior & Beaufays 2014)::

        h_t = W_hr (o ∘ tanh(c_t))

    h has P features then, c has H, weight_hh_l0 is (4·H, P), and weight_hr_l0 (P, H) comes after the biases. Sizes,
    names of parameters, tokens and what may be set are as of an `RNN`.

    Args:
        input_size: I, features of x at a step, or how many tokens there are; from 1.
        hidden_size: H, features of c_t, and of h_t unless it is projected; from 1.
        num_layers: L, how many layers are stacked.
        bias: whether there are b_ih and b_hh.
        batch_first: x and y are (B, T, …) instead of (T, B, …); states aren't.
        dropout: the rate, in [0, 1), at which `forward` zeroes features between layers.
        bidirectional: a second direction reads every sequence from its end.
        dtype: float32 or float64, of everything.
        seed: of the weights, all drawn uniform in ±1/√H; see `RNN`.
        tokens: whether integers are tokens: True, False, or None for where they can't be features.
        proj_size: P, features of h_t, fewer than H; 0 for no projection.
        reverse: the one direction goes from each sequence's end to its beginning.
        recurrent_dropout: the rate, in [0, 1), at which `forward` zeroes what W_hh reads; 0 with `proj_size`.
        zoneout: the rate, in [0, 1), at which units of both states stay as they were in a step of `forward`; or rates
            by states, as ``{"c": 0.1}``, without h if there is `proj_size`.
        learned_state: the initial state, where a call gives none, is two parameters, h0 (L·D, H or P) and c0 (L·D, H).

    Attributes:
        grads: gradients by the parameters' names, arrays of their shapes, yours to read and to write.

    Example:
        >>> lstm = recurra.LSTM(3, 8, bidirectional=True, seed=0)
        >>> y, (h_n, c_n) = lstm(np.ones((5, 2, 3), np.float32), lengths=np.array([5, 2]))
        >>> y.shape, h_n.shape, c_n.shape
        ((5, 2, 16), (2, 2, 8), (2, 2, 8))
        >>> float(abs(y[2:, 1]).max())  # zeros beyond the second sequence's end
        0.0
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

    With a = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh, each layer computes at each step t::

        r = σ(a_r)   z = σ(a_z)
        n = tanh(W_in x_t + b_in + r ∘ (W_hn h_{t-1} + b_hn))      if reset_after
        n = tanh(W_in x_t + b_in + W_hn (r ∘ h_{t-1}) + b_hn)      if not
        h_t = (1 - z) ∘ n + z ∘ h_{t-1}

    Rows of the parameters go gate by gate, r, z, n: weight_ih_l0 is (3·H, I), weight_hh_l0 (3·H, H), bias_ih_l0 and
    bias_hh_l0 (3·H,). The state is h alone, an array. Sizes, names of parameters, tokens and what may be set are as of
    an `RNN`.

    Args:
        input_size: I, features of x at a step, or how many tokens there are; from 1.
        hidden_size: H, features of h_t, from 1.
        num_layers: L, how many layers are stacked.
        bias: whether there are b_ih and b_hh.
        batch_first: x and y are (B, T, …) instead of (T, B, …); states aren't.
        dropout: the rate, in [0, 1), at which `forward` zeroes features between layers.
        bidirectional: a second direction reads every sequence from its end.
        reset_after: the reset gate acts after the product with W_hn, as in PyTorch and cuDNN, or before it, as in the
            paper and most textbooks.
        dtype: float32 or float64, of everything.
        seed: of the weights, all drawn uniform in ±1/√H; see `RNN`.
        tokens: whether integers are tokens: True, False, or None for where they can't be features.
        reverse: the one direction goes from each sequence's end to its beginning.
        recurrent_dropout: the rate, in [0, 1), at which `forward` zeroes what W_hh reads.
        zoneout: the rate, in [0, 1), at which units of the state stay as they were in a step of `forward`.
        learned_state: the initial state, where a call gives none, is a parameter, h0 (L·D, H), zeros at first.

    Attributes:
        grads: gradients by the parameters' names, arrays of their shapes, yours to read and to write.

    Example:
        >>> gru = recurra.GRU(3, 8, batch_first=True, seed=0)
        >>> y, h_n = gru(np.ones((2, 5, 3), np.float32))
        >>> y.shape, h_n.shape
        ((2, 5, 8), (1, 2, 8))
        >>> float(abs(y[:, -1] - h_n[0]).max())  # one layer in one direction ends in its last output
        0.0
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
