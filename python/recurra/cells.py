"""The cells, which take single steps: RNNCell, LSTMCell and GRUCell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._checks import check_flag, check_size
from .layers import DTYPE, NETWORKS, check_nonlinearity
from .module import Array, Module

if TYPE_CHECKING:
    from .layers import Seed, State, Tape


class _Cell(Module):
    """One step. x (B, input_size) or (input_size,); a state is (B, H) or (H,), or a pair of them for an LSTM."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool, dtype: object, seed: Seed) -> None:
        self.input_size = check_size("input_size", input_size)
        self.hidden_size = check_size("hidden_size", hidden_size)
        self.bias = check_flag("bias", bias)
        super().__init__(dtype, seed, self.hidden_size**-0.5)

    @property
    def _cell(self) -> str:
        raise NotImplementedError

    def _make_core(self) -> Any:
        return NETWORKS[self.dtype](self._cell, self.input_size, self.hidden_size, 1, 1, self.bias, True)

    def __call__(self, x: Array, hx: State = None) -> State:
        """The state after this step; hx None is zeros."""
        return self._core.call(x, hx, None, None, False, None, None)

    def forward(self, x: Array, hx: State = None) -> tuple[State, Tape]:
        """The same, and the tape for `backward`."""
        return self._core.forward(x, hx, None, False, None, None, None)  # type: ignore[no-any-return]

    def backward(
        self,
        tape: Tape,
        dstate: State = None,
        *,
        need_dx: bool = True,
        grads: dict[str, Array] | None = None,
        retain: bool = False,
    ) -> tuple[Array | None, State]:
        """From the gradient of the new state, those of x and of the state before; adds to `grads` or `self.grads`."""
        grads = self.grads if grads is None else grads
        return self._core.backward(  # type: ignore[no-any-return]
            tape, None, dstate, None, None, need_dx, grads, retain, None
        )


OPTIONS: dict[str, object] = {"input_size": ..., "hidden_size": ..., "bias": True}


class RNNCell(_Cell):
    """One step of `RNN`: (x, h) -> h'. Parameters: weight_ih, weight_hh, bias_ih, bias_hh."""

    _options = OPTIONS | {"nonlinearity": "tanh"} | DTYPE

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        dtype: object = np.float32,
        seed: Seed = None,
    ) -> None:
        self.nonlinearity = check_nonlinearity(nonlinearity)
        super().__init__(input_size, hidden_size, bias, dtype, seed)

    @property
    def _cell(self) -> str:
        return "rnn_" + self.nonlinearity


class LSTMCell(_Cell):
    """One step of `LSTM`: (x, (h, c)) -> (h', c'). Parameters: weight_ih, weight_hh, bias_ih, bias_hh."""

    _options = OPTIONS | DTYPE

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, dtype: object = np.float32, seed: Seed = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, dtype, seed)

    @property
    def _cell(self) -> str:
        return "lstm"


class GRUCell(_Cell):
    """One step of `GRU`: (x, h) -> h'. Parameters: weight_ih, weight_hh, bias_ih, bias_hh."""

    _options = OPTIONS | {"reset_after": True} | DTYPE

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        reset_after: bool = True,
        dtype: object = np.float32,
        seed: Seed = None,
    ) -> None:
        self.reset_after = check_flag("reset_after", reset_after)
        super().__init__(input_size, hidden_size, bias, dtype, seed)

    @property
    def _cell(self) -> str:
        return "gru" if self.reset_after else "gru_reset_before"
