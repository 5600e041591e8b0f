"""Single steps of known cells: RNNCell, LSTMCell, GRUCell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._checks import check_flag
from .definitions import FORMULAS
from .layers import GRU, LSTM, RNN, check_nonlinearity
from .recurrent import DTYPE
from .single_step import CELL_OPTIONS, SingleStep

if TYPE_CHECKING:
    from .formula import Formula
    from .recurrent import Seed


class RNNCell(SingleStep):
    """One step of an `RNN`: (x, h) -> h'.

    ::

        h' = f(W_ih x + b_ih + W_hh h + b_hh)

    Parameters: weight_ih (H, I), weight_hh (H, H), bias_ih (H,), bias_hh (H,), where I is `input_size` and H
    `hidden_size`.

    Args:
        input_size: I, features of x, or how many tokens there are; from 1.
        hidden_size: H, features of h, from 1.
        bias: whether there are b_ih and b_hh.
        nonlinearity: f, "tanh" or "relu".
        dtype: float32 or float64.
        seed: of the weights, drawn uniform in ±1/√H; see `RNN`.
        tokens: whether integers are tokens: True, False, or None for where they can't be features.

    Attributes:
        grads: gradients by the parameters' names, arrays of their shapes.

    Example:
        >>> cell = recurra.RNNCell(3, 8, seed=0)
        >>> h = None
        >>> for x_t in np.ones((5, 2, 3), np.float32):
        ...     h = cell(x_t, h)
        >>> h.shape
        (2, 8)
    """

    _layer_type = RNN
    _options = CELL_OPTIONS | {"nonlinearity": "tanh"} | DTYPE

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        dtype: object = np.float32,
        seed: Seed = None,
        tokens: bool | None = None,
    ) -> None:
        self.nonlinearity: str = check_nonlinearity(nonlinearity)
        super().__init__(input_size, hidden_size, bias, dtype, seed, tokens)

    @property
    def formula(self) -> Formula:
        """What the cell computes."""
        return FORMULAS["rnn_" + self.nonlinearity]


class LSTMCell(SingleStep):
    """One step of an `LSTM`: (x, (h, c)) -> (h', c').

    Parameters: weight_ih (4·H, I), weight_hh (4·H, H), bias_ih (4·H,), bias_hh (4·H,), where I is `input_size` and H
    `hidden_size`; rows go gate by gate, i, f, g, o. A cell made by `from_layer` of a layer that projects does so too.

    Args:
        input_size: I, features of x, or how many tokens there are; from 1.
        hidden_size: H, features of h and c, from 1.
        bias: whether there are b_ih and b_hh.
        dtype: float32 or float64.
        seed: of the weights, drawn uniform in ±1/√H; see `RNN`.
        tokens: whether integers are tokens: True, False, or None for where they can't be features.

    Attributes:
        grads: gradients by the parameters' names, arrays of their shapes.

    Example:
        >>> lstm = recurra.LSTM(3, 8, seed=0)
        >>> cell = recurra.LSTMCell.from_layer(lstm)  # the same weights
        >>> x, state = np.ones((5, 2, 3), np.float32), None
        >>> for x_t in x:
        ...     state = cell(x_t, state)
        >>> bool(np.array_equal(state[1], lstm(x)[1][1][0])), state[1].shape
        (True, (2, 8))
    """

    _layer_type = LSTM
    _options = CELL_OPTIONS | DTYPE

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dtype: object = np.float32,
        seed: Seed = None,
        tokens: bool | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, dtype, seed, tokens)

    @property
    def formula(self) -> Formula:
        """What the cell computes."""
        return FORMULAS["lstm_projected" if self.proj_size else "lstm"]

    @property
    def _can_project(self) -> bool:
        return True


class GRUCell(SingleStep):
    """One step of a `GRU`: (x, h) -> h'.

    Parameters: weight_ih (3·H, I), weight_hh (3·H, H), bias_ih (3·H,), bias_hh (3·H,), where I is `input_size` and H
    `hidden_size`; rows go gate by gate, r, z, n.

    Args:
        input_size: I, features of x, or how many tokens there are; from 1.
        hidden_size: H, features of h, from 1.
        bias: whether there are b_ih and b_hh.
        reset_after: whether the reset gate acts after the product with W_hn or before it; see `GRU`.
        dtype: float32 or float64.
        seed: of the weights, drawn uniform in ±1/√H; see `RNN`.
        tokens: whether integers are tokens: True, False, or None for where they can't be features.

    Attributes:
        grads: gradients by the parameters' names, arrays of their shapes.

    Example:
        >>> cell = recurra.GRUCell(3, 8, seed=0)
        >>> h, tape = cell.forward(np.ones((2, 3), np.float32))
        >>> dx, dh = cell.backward(tape, np.ones_like(h))
        >>> dx.shape, dh.shape, cell.grads["weight_hh"].shape
        ((2, 3), (2, 8), (24, 8))
    """

    _layer_type = GRU
    _options = CELL_OPTIONS | {"reset_after": True} | DTYPE

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        reset_after: bool = True,
        dtype: object = np.float32,
        seed: Seed = None,
        tokens: bool | None = None,
    ) -> None:
        self.reset_after: bool = check_flag("reset_after", reset_after)
        super().__init__(input_size, hidden_size, bias, dtype, seed, tokens)

    @property
    def formula(self) -> Formula:
        """What the cell computes."""
        return FORMULAS["gru" if self.reset_after else "gru_reset_before"]
