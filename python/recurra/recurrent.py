"""What all recurrent layers share, whatever their cell: options, calls, masks, back-propagation through time."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._checks import caller_level, check_flag, check_number, check_rng, check_size, check_tokens
from ._masks import chosen, dropout_mask
from .formula.operations import Role
from .masked import RECURRENT_MASK, masked, zone_of
from .with_formula import WithFormula

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .formula import Formula
    from .module import Array, ArrayIn, NumbersIn

    Tape = _core.Tape32 | _core.Tape64
    Seed = int | np.random.Generator | None
    State = Any  # h, or a tuple of the cell's states
    Drawn = tuple[list[Array] | None, dict[str, Array] | None]  # masks between layers, and inputs of the cell

MOST_LAYERS = 2**16  # beyond any use, and short of filling the memory with names
NETWORKS: dict[Any, Any] = {np.dtype(np.float32): _core.Network32, np.dtype(np.float64): _core.Network64}

SIZES: dict[str, object] = {"input_size": ..., "hidden_size": ..., "num_layers": 1}
COMMON: dict[str, object] = {"bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
DTYPE: dict[str, object] = {"dtype": np.dtype(np.float32)}
OPTIONS: dict[str, object] = DTYPE | {
    "tokens": None,
    "reverse": False,
    "recurrent_dropout": 0.0,
    "zoneout": 0.0,
    "learned_state": False,
}


class Recurrent(WithFormula):
    """A stack of recurrent layers. Sizes: T steps, B sequences, H hidden_size, L num_layers, D directions (1 or 2).

    h has P features: proj_size where the cell projects, else H.
    """

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
        proj_size: int = 0,
        reverse: bool = False,
        recurrent_dropout: float = 0.0,
        zoneout: float | Mapping[str, float] = 0.0,
        learned_state: bool = False,
    ) -> None:
        self.input_size: int = check_size("input_size", input_size)
        self.hidden_size: int = check_size("hidden_size", hidden_size)
        self.num_layers: int = check_size("num_layers", num_layers, MOST_LAYERS)
        self.bias: bool = check_flag("bias", bias)
        self.batch_first: bool = check_flag("batch_first", batch_first)
        self._dropout = _check_rate(dropout, self.num_layers)
        self.tokens: bool | None = check_tokens(tokens)
        self.bidirectional: bool = check_flag("bidirectional", bidirectional)
        self.reverse: bool = check_flag("reverse", reverse)
        if self.reverse and self.bidirectional:
            raise ValueError("reverse: expected False, as the layer is bidirectional, got True")
        self.learned_state: bool = check_flag("learned_state", learned_state)
        self._proj_size = self._check_projection(proj_size)
        self._recurrent_dropout = self._check_recurrent_dropout(recurrent_dropout)
        self._zoneout = self._check_zoneout(zoneout)
        self._plan: Mapping[str, int] | None = None
        super().__init__(dtype, seed, self.hidden_size**-0.5)

    def _check_recurrent_dropout(self, rate: object) -> float:
        number = check_number("recurrent_dropout", rate, "a number in [0, 1)", 0, 1)
        if number and self.proj_size:
            raise ValueError(f"recurrent_dropout: expected 0, as the state that products read is projected, got {rate}")
        if number and not any(p.role == Role.RECURRENT_WEIGHT for p in self.formula.layout.parameters):
            raise ValueError(f"recurrent_dropout: expected 0, as no product of the cell reads a state, got {rate}")
        if number:
            masked(self.formula, True, ())  # refuses gates that read several states
        return number

    def _check_zoneout(self, zoneout: object) -> float | dict[str, float]:
        rates = self._zoneout_rates(zoneout)
        first = self.formula.states[0]
        if self.proj_size and (rates.get(first) if isinstance(rates, dict) else rates):
            others = ", ".join(f"{name!r}: {zoneout}" for name in self.formula.states[1:])
            expected = "0" if isinstance(rates, dict) else f"0, or {{{others}}},"
            raise ValueError(f"zoneout: expected {expected} as {first} is projected, got {zoneout}")
        return rates

    def _zoneout_rates(self, zoneout: Any) -> float | dict[str, float]:
        if not hasattr(zoneout, "keys"):
            return check_number("zoneout", zoneout, "a number in [0, 1), or one for each of some states", 0, 1)
        given: Any = zoneout
        rates: dict[str, Any] = dict(given)
        for name, rate in rates.items():
            if name not in self.formula.states:
                raise ValueError(f"zoneout: expected some of {', '.join(self.formula.states)}, got {name!r}")
            rates[name] = check_number(f"zoneout[{name!r}]", rate, "a number in [0, 1)", 0, 1)
        return rates

    def _make_core(self) -> Any:
        return self._network(self.formula)

    def _network(self, formula: Formula) -> Any:
        return NETWORKS[self.dtype](
            formula.core,
            self.input_size,
            self.hidden_size,
            self.num_layers,
            2 if self.bidirectional else 1,
            self.bias,
            False,
            self.tokens,
            self.proj_size,
            self.reverse,
            self.learned_state,
        )

    def _name_in_formula(self, name: str) -> str:
        return re.sub(r"_l\d+(_reverse)?$", "", name)

    def _initial(self, name: str, value: Array, rng: np.random.Generator, bound: float) -> Array:
        """The same, and learned states zero, whose names have no layer's suffix."""
        if self.learned_state and self._name_in_formula(name) == name:
            return np.zeros_like(value)
        return super()._initial(name, value, rng, bound)

    @property
    def dropout(self) -> float:
        """The rate, in [0, 1), at which `forward` zeroes what one layer hands to the next. May be set."""
        return self._dropout

    @dropout.setter
    def dropout(self, value: float) -> None:
        self._dropout = _check_rate(value, self.num_layers)

    @property
    def recurrent_dropout(self) -> float:
        """The rate, in [0, 1), at which `forward` zeroes what products with the state before the step read. May be set.

        One mask serves all steps of a sequence (Gal & Ghahramani 2016).
        """
        return self._recurrent_dropout

    @recurrent_dropout.setter
    def recurrent_dropout(self, value: float) -> None:
        self._recurrent_dropout = self._check_recurrent_dropout(value)

    @property
    def zoneout(self) -> float | dict[str, float]:
        """The rate at which units of the states stay as they were in a step, or rates by states. May be set."""
        return dict(self._zoneout) if isinstance(self._zoneout, dict) else self._zoneout

    @zoneout.setter
    def zoneout(self, value: float | Mapping[str, float]) -> None:
        self._zoneout = self._check_zoneout(value)

    def __call__(
        self,
        x: ArrayIn,
        hx: State = None,
        *,
        lengths: NumbersIn | None = None,
        out: Array | None = None,
        inputs: Mapping[str, ArrayIn] | None = None,
        resets: NumbersIn | None = None,
    ) -> tuple[Array, State]:
        """Runs the network and keeps nothing; without dropout and zoneout.

        Sizes are the class's, and P is `proj_size` where the cell projects, else H. T and B may be 0. Strides are free.

        Args:
            x: the sequences, (T, B, I), with `batch_first` (B, T, I), or (T, I) of one sequence, in the layer's dtype;
                or tokens, integers of that shape without the last axis. What stands beyond a sequence's end is never
                read, but tokens must be in range there too.
            hx: the initial state: h0 (L·D, B, P), or a tuple or list of the cell's states, (h0, c0) of an LSTM, where
                all but h are (L·D, B, H). Layer by layer, the forward direction first; without B if x has none. None,
                or None for one of them, is zeros, or what has been learned.
            lengths: (B,) integers in 0..T, in any order: steps of each sequence; None for T. One sequence without B has
                none.
            out: where y goes: an array of its shape and dtype, any strides, which may overlap the arguments.
            inputs: what a formula's cell reads besides x, by name: (T, B, H), (T, B) of a number per step, or (B, H) of
                what stays the same; or one for each layer and direction, (L·D, …).
            resets: bool, (T, B) laid out as x: before which steps the state becomes zero, as if a sequence began there,
                an episode or a document. No gradient crosses such a place. For the reverse direction it is where the
                piece before ends.

        Returns:
            y and the state. y, `out` or a new C-contiguous array, is laid out as x with D·P features, the forward
            direction's first, and zero beyond a sequence's end. The state is new arrays like `hx`, after each
            sequence's last step, of the reverse direction after step 0; a sequence of length 0 keeps its initial state.

        Raises:
            TypeError: An argument isn't an array, or has another dtype than the layer.
            ValueError: A shape, a length or a token is wrong, or an input is missing.
            KeyboardInterrupt: Ctrl-C; `out` may be half written then.
        """
        return self._call(x, hx, lengths, out, None, inputs, resets)

    def _call(
        self,
        x: ArrayIn,
        hx: State,
        lengths: NumbersIn | None,
        out: Array | None,
        table: Array | None,
        inputs: Mapping[str, ArrayIn] | None = None,
        resets: NumbersIn | None = None,
    ) -> tuple[Array, State]:
        """With a table (num_embeddings, input_size), x is tokens that stand for its rows."""
        return self._core.call(  # type: ignore[no-any-return]
            x, hx, lengths, out, self.batch_first, table, inputs, resets, self._plan
        )

    def forward(
        self,
        x: ArrayIn,
        hx: State = None,
        *,
        lengths: NumbersIn | None = None,
        rng: Seed = None,
        inputs: Mapping[str, ArrayIn] | None = None,
        resets: NumbersIn | None = None,
    ) -> tuple[Array, State, Tape]:
        """The same numbers, with dropout and zoneout if there is any, and a tape of what `backward` needs.

        The tape owns what it holds, so arguments and y may change afterwards. It neither copies nor pickles.

        Args:
            x: as for a plain call, and so are the others but `rng`.
            hx: the initial state.
            lengths: steps of each sequence.
            rng: where masks come from, an integer or a `numpy.random.Generator`; required if `recurrent_dropout` or
                `zoneout` is above 0, or `dropout` where there is more than one layer, and else ignored.
            inputs: what a formula's cell reads besides x.
            resets: before which steps the state becomes zero.

        Returns:
            y, the state, and the tape. ``tape.outputs[l]`` is h_t of layer l at every step, of y's shape, before
            dropout and zero beyond a sequence's end; ``tape.states["c"][l]`` is the same of another state. Each is a
            new, read-only array, made when asked for.

        Raises:
            TypeError: An argument isn't an array, or has another dtype than the layer.
            ValueError: A shape, a length or a token is wrong, or an input is missing, or `rng` where it is required.
        """
        return self._forward(x, hx, lengths, rng, None, inputs, resets)

    def _forward(
        self,
        x: ArrayIn,
        hx: State,
        lengths: NumbersIn | None,
        rng: Seed,
        table: Array | None,
        inputs: Mapping[str, ArrayIn] | None = None,
        resets: NumbersIn | None = None,
    ) -> tuple[Array, State, Tape]:
        """With a table (num_embeddings, input_size), x is tokens for its rows, and `backward` returns its gradient."""
        core, draw = self._core, None
        if self._draws:
            if rng is None:
                raise ValueError("rng: expected an integer or a numpy.random.Generator, as dropout is on, got None")
            core, draw = self._masked_core(), self._drawing(check_rng("rng", rng))
        return core.forward(  # type: ignore[no-any-return]
            x, hx, lengths, self.batch_first, draw, table, inputs, resets, self._plan
        )

    def backward(
        self,
        tape: Tape,
        dy: ArrayIn | None = None,
        dstate: State = None,
        *,
        doutputs: Mapping[int, ArrayIn] | None = None,
        dstates: Mapping[str, Mapping[int, ArrayIn]] | None = None,
        dinputs: Mapping[str, Array] | None = None,
        need_dx: bool = True,
        grads: dict[str, Array] | None = None,
        retain: bool = False,
    ) -> tuple[Array | None, State]:
        """Back-propagation through time. Gradients not given are zeros; all that are given add up.

        What stands beyond a sequence's end in a gradient is never read.

        Args:
            tape: from `forward` of this layer; it serves once, unless `retain` is set.
            dy: the gradient of the loss with respect to y, of its shape.
            dstate: that of the final state, like it: dh_n, or a tuple, (dh_n, dc_n) of an LSTM, each of which may be
                None.
            doutputs: a dict by layer l of gradients of ``tape.outputs[l]``, of y's shape.
            dstates: a dict by name of such dicts, of gradients of ``tape.states[name][l]``: ``{"c": {0: dc}}``.
            dinputs: a dict by names of `inputs`, some or none of them, of arrays that their gradients are added to,
                each of the shape that `forward` was given.
            need_dx: False spares the gradient of x.
            grads: a dict by the parameters' names of writeable C-contiguous arrays that gradients are added to; None
                for the layer's `grads`. Calls that run at the same time in several threads need their own.
            retain: keep the tape for another call.

        Returns:
            dx, laid out as x and zero beyond a sequence's end, None for tokens or without `need_dx`; and the gradient
            of the initial state, like it: dh0, of an LSTM the pair (dh0, dc0), as in
            ``dx, (dh0, dc0) = lstm.backward(tape, dy)``. A sequence of length 0 hands its final state's gradient on.
            With `learned_state`, and no initial state given to `forward`, its sum over the batch is added to
            ``grads["h0"]`` too, of an LSTM also to ``grads["c0"]``.

        Raises:
            RuntimeError: The tape is of another layer, has been consumed, or was made before the weights changed.
            TypeError: A gradient isn't an array, or has another dtype. Nothing is changed then, here and below.
            ValueError: A gradient has a wrong shape or name.
            KeyboardInterrupt: Ctrl-C.
        """
        grads = self.grads if grads is None else grads
        return self._core.backward(  # type: ignore[no-any-return]
            tape, dy, dstate, doutputs, dstates, dinputs, need_dx, grads, retain, self._plan
        )

    @property
    def _zoned(self) -> dict[str, float]:
        """The rates of zoneout above 0, by state."""
        rates = self._zoneout
        if not isinstance(rates, dict):
            rates = dict.fromkeys(self.formula.states, rates)
        return {name: rate for name, rate in rates.items() if rate}

    @property
    def _draws(self) -> bool:
        """Whether `forward` draws masks."""
        between = self._dropout and self.num_layers > 1
        return bool(between or self._recurrent_dropout or self._zoned)

    def _masked_core(self) -> Any:
        """The network whose cell takes masks as inputs, on the same parameters."""
        key = bool(self._recurrent_dropout), tuple(self._zoned)
        if not any(key):
            return self._core
        if key not in self._variants:
            self._variants[key] = self._core.with_cell(masked(self.formula, *key).core)
        return self._variants[key]

    def _drawing(self, rng: np.random.Generator) -> Callable[[int, int], Drawn]:
        """A function of (T, B) that draws masks, once the core has checked the arguments.

        Between layers (T, B, D*P); for what recurrent products read (L*D, B, H); for zoneout (L*D, T, B, H).
        """
        directions = 2 if self.bidirectional else 1
        rate, recurrent, zoned = self._dropout, self._recurrent_dropout, self._zoned

        def draw(steps: int, batch: int) -> Drawn:
            stacked, masks, inputs = self.num_layers * directions, None, {}
            if rate and self.num_layers > 1:
                shape = steps, batch, directions * (self.proj_size or self.hidden_size)
                masks = [dropout_mask(rng, shape, rate, self.dtype) for _ in range(self.num_layers - 1)]
            if recurrent:
                inputs[RECURRENT_MASK] = dropout_mask(rng, (stacked, batch, self.hidden_size), recurrent, self.dtype)
            for name, kept in zoned.items():
                inputs[zone_of(name)] = chosen(rng, (stacked, steps, batch, self.hidden_size), kept, self.dtype)
            return masks, inputs

        return draw

    def _build(self) -> None:
        super()._build()
        self._variants: dict[Any, Any] = {}  # networks of the masked cells, made when needed


def is_layer_type(kind: type) -> bool:
    """Whether it is a class of recurrent layers of ours or of a formula; a subclass may compute something else.

    Nor is it that of compressed ones, whose parameters aren't what the formula says.
    """
    return issubclass(kind, Recurrent) and "formula" in vars(kind) and not kind._compressed


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
