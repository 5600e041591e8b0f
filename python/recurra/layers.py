"""The layers over sequences: RNN, LSTM and GRU."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._checks import caller_level, check_flag, check_number, check_rng, check_size, check_tokens, shown
from ._masks import dropout_mask
from .module import Array, Module

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Tape = _core.Tape32 | _core.Tape64
    Seed = int | np.random.Generator | None
    State = Any  # h, or (h, c) of an LSTM

MOST_LAYERS = 2**16  # beyond any use, and short of filling the memory with names
CELLS = _core.cells()  # gates, states and parameters of every cell, by name
NETWORKS: dict[Any, Any] = {np.dtype(np.float32): _core.Network32, np.dtype(np.float64): _core.Network64}


class _Recurrent(Module):
    """A stack of recurrent layers. Sizes: T steps, B sequences, H hidden_size, L num_layers, D directions (1 or 2)."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        dtype: object,
        seed: Seed,
        tokens: bool | None,
    ) -> None:
        self.input_size = check_size("input_size", input_size)
        self.hidden_size = check_size("hidden_size", hidden_size)
        self.num_layers = check_size("num_layers", num_layers, MOST_LAYERS)
        self.bias = check_flag("bias", bias)
        self.batch_first = check_flag("batch_first", batch_first)
        self._dropout = _check_rate(dropout, self.num_layers)
        self.tokens = check_tokens(tokens)
        self.bidirectional = check_flag("bidirectional", bidirectional)
        self._plan: Mapping[str, int] | None = None
        super().__init__(dtype, seed, self.hidden_size**-0.5)

    @property
    def _cell(self) -> str:
        """The name in `CELLS` of what it computes."""
        raise NotImplementedError

    def _make_core(self) -> Any:
        directions = 2 if self.bidirectional else 1
        return NETWORKS[self.dtype](
            self._cell,
            self.input_size,
            self.hidden_size,
            self.num_layers,
            directions,
            self.bias,
            False,
            self.tokens,
        )

    @property
    def dropout(self) -> float:
        """The rate at which `forward` zeroes what one layer hands to the next."""
        return self._dropout

    @dropout.setter
    def dropout(self, value: float) -> None:
        self._dropout = _check_rate(value, self.num_layers)

    def __call__(
        self, x: Array, hx: State = None, *, lengths: Array | None = None, out: Array | None = None
    ) -> tuple[Array, State]:
        """Runs the network and keeps nothing; without dropout.

        Args:
            x: (T, B, input_size), with `batch_first` (B, T, input_size), or (T, input_size) for one sequence.
            hx: the initial state, None for zeros: h0 (L*D, B, H), or (h0, c0) of an LSTM, each of which may be None;
                (L*D, H) if x has no batch.
            lengths: (B,) integers in 0..T, how many steps each sequence has; None for T.
            out: where to put y: of its shape and dtype, any strides.

        Returns:
            y, of x's shape but with D*H features (forward first, then reverse), zero beyond a sequence's end; and the
            state after each sequence's last step (reverse: after its step 0), as h_n or (h_n, c_n), like hx.

        Raises:
            TypeError: an argument isn't an array, or has another dtype than the layer.
            ValueError: a shape or a length is wrong.
            KeyboardInterrupt: Ctrl-C; `out` may be half written then.
        """
        return self._call(x, hx, lengths, out, None)

    def _call(
        self, x: Array, hx: State, lengths: Array | None, out: Array | None, table: Array | None
    ) -> tuple[Array, State]:
        """With a table (num_embeddings, input_size), x is tokens that stand for its rows."""
        return self._core.call(  # type: ignore[no-any-return]
            x, hx, lengths, out, self.batch_first, table, None, None, self._plan
        )

    def forward(
        self, x: Array, hx: State = None, *, lengths: Array | None = None, rng: Seed = None
    ) -> tuple[Array, State, Tape]:
        """The same, keeping on a tape what `backward` needs; with dropout between layers, if there is any.

        Args:
            x, hx, lengths: as for a plain call. The tape has copies, so they may change afterwards.
            rng: where dropout's masks come from, an integer or a generator; needed if `dropout` is above 0 and there
                is more than one layer.

        Returns:
            y, the state, and the tape. `tape.outputs[l]` is h_t of layer l at every step (before dropout), of y's
            shape, and `tape.states["c"][l]` c_t of an LSTM; both are arrays made when asked for.
        """
        return self._forward(x, hx, lengths, rng, None)

    def _forward(
        self, x: Array, hx: State, lengths: Array | None, rng: Seed, table: Array | None
    ) -> tuple[Array, State, Tape]:
        """With a table (num_embeddings, input_size), x is tokens for its rows, and `backward` returns its gradient."""
        masks = self._masks(rng) if self._dropout and self.num_layers > 1 else None
        return self._core.forward(  # type: ignore[no-any-return]
            x, hx, lengths, self.batch_first, masks, table, None, None, self._plan
        )

    def _masks(self, rng: Seed) -> Callable[[int, int], tuple[list[Array], None]]:
        """A function that draws inverted dropout's masks, once the core has checked the arguments."""
        if rng is None:
            raise ValueError("rng: expected an integer or a numpy.random.Generator, as dropout is on, got None")
        generator, rate = check_rng("rng", rng), self._dropout
        features = self.hidden_size * (2 if self.bidirectional else 1)

        def draw(steps: int, batch: int) -> tuple[list[Array], None]:
            shape = steps, batch, features
            return [dropout_mask(generator, shape, rate, self.dtype) for _ in range(self.num_layers - 1)], None

        return draw

    def backward(
        self,
        tape: Tape,
        dy: Array | None = None,
        dstate: State = None,
        *,
        doutputs: Mapping[int, Array] | None = None,
        dstates: Mapping[str, Mapping[int, Array]] | None = None,
        need_dx: bool = True,
        grads: dict[str, Array] | None = None,
        retain: bool = False,
    ) -> tuple[Array | None, State]:
        """Back-propagation through time. Gradients of None are zeros; what stands beyond a sequence's end is ignored.

        Args:
            tape: from `forward`; it serves once, unless `retain` is set.
            dy: gradient of y, of its shape.
            dstate: gradient of the final state, like it: dh_n, or (dh_n, dc_n) of an LSTM.
            doutputs: gradients of `tape.outputs[l]`, by layer.
            dstates: those of an LSTM's `tape.states["c"][l]`: {"c": {l: array}}.
            need_dx: whether to compute the gradient of x.
            grads: what the gradients of the parameters are added to, by name; `self.grads` if None.
            retain: keep the tape for another backward.

        Returns:
            The gradient of x (None without need_dx), and that of the initial state, like it.

        Raises:
            RuntimeError: the tape is of another layer, has been consumed, or is from before the weights changed.
            TypeError, ValueError: a gradient has a wrong dtype or shape. Nothing is changed then, nor after Ctrl-C.
        """
        grads = self.grads if grads is None else grads
        return self._core.backward(  # type: ignore[no-any-return]
            tape, dy, dstate, doutputs, dstates, None, need_dx, grads, retain, self._plan
        )


_OPTIONS: dict[str, object] = {"input_size": ..., "hidden_size": ..., "num_layers": 1}
_COMMON: dict[str, object] = {"bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
TOKENS: dict[str, object] = {"tokens": None}
DTYPE: dict[str, object] = {"dtype": np.dtype(np.float32)}


class RNN(_Recurrent):
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

    Parameters, by PyTorch's names: weight_ih_l0 (H, input_size), weight_hh_l0 (H, H), bias_ih_l0 (H,), bias_hh_l0 (H,),
    then those of the reverse direction, "…_l0_reverse", and of the layers above, "…_l1", which read D*H features.
    """

    _options = _OPTIONS | {"nonlinearity": "tanh"} | _COMMON | DTYPE | TOKENS

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
    ) -> None:
        self.nonlinearity = check_nonlinearity(nonlinearity)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, seed, tokens
        )

    @property
    def _cell(self) -> str:
        return "rnn_" + self.nonlinearity


class LSTM(_Recurrent):
    """Long short-term memory with a forget gate (Hochreiter & Schmidhuber 1997; Gers et al. 2000).

        i = σ(a_i)   f = σ(a_f)   g = tanh(a_g)   o = σ(a_o)      a = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh
        c_t = f ∘ c_{t-1} + i ∘ g                 h_t = o ∘ tanh(c_t)

    Arguments and parameters are those of `RNN`, without `nonlinearity`; the rows of every parameter go gate by gate,
    i, f, g, o, so that weight_ih_l0 is (4*H, input_size). The state is a pair (h, c).
    """

    _options = _OPTIONS | _COMMON | DTYPE | TOKENS

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: object = np.float32,
        seed: Seed = None,
        tokens: bool | None = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, seed, tokens
        )

    @property
    def _cell(self) -> str:
        return "lstm"


class GRU(_Recurrent):
    """The gated recurrent unit (Cho et al. 2014).

        r = σ(a_r)   z = σ(a_z)                   a = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh
        n = tanh(W_in x_t + b_in + r ∘ (W_hn h_{t-1} + b_hn))      reset_after=True: PyTorch, cuDNN
        n = tanh(W_in x_t + b_in + W_hn (r ∘ h_{t-1}) + b_hn)      reset_after=False: the paper, most textbooks
        h_t = (1 - z) ∘ n + z ∘ h_{t-1}

    Arguments and parameters are those of `RNN`, without `nonlinearity`; the rows of every parameter go gate by gate,
    r, z, n, so that weight_ih_l0 is (3*H, input_size).
    """

    _options = _OPTIONS | _COMMON | {"reset_after": True} | DTYPE | TOKENS

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
    ) -> None:
        self.reset_after = check_flag("reset_after", reset_after)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, seed, tokens
        )

    @property
    def _cell(self) -> str:
        return "gru" if self.reset_after else "gru_reset_before"


LAYERS = (RNN, LSTM, GRU)


def _check_rate(value: object, num_layers: int) -> float:
    rate = check_number("dropout", value, "a number in [0, 1)", 0, 1)
    if rate and num_layers == 1:
        warnings.warn(
            f"dropout: expected num_layers above 1 beside it, as it acts between layers, got dropout={rate} and "
            f"num_layers=1, where it does nothing",
            UserWarning,
            stacklevel=caller_level(),  # whoever made the layer, or set the attribute
        )
    return rate


def check_nonlinearity(value: object) -> str:
    """The activation of an RNN: "tanh" or "relu"."""
    if not isinstance(value, str):
        raise TypeError(f"nonlinearity: expected 'tanh' or 'relu', got {shown(value)}")
    if value not in {"tanh", "relu"}:
        raise ValueError(f"nonlinearity: expected 'tanh' or 'relu', got {shown(value)}")
    return value
