"""What single steps of all cells share, whatever the cell: options, calls, gradients, a layer's weights."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ._checks import check_flag, check_index, check_size, check_tokens, shown
from .composite import check_arrays
from .recurrent import NETWORKS, Recurrent
from .with_formula import WithFormula

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from .module import Array, ArrayIn, Module
    from .recurrent import Seed, State, Tape

CELL_OPTIONS: dict[str, object] = {"input_size": ..., "hidden_size": ..., "bias": True, "tokens": None}


class SingleStep(WithFormula):
    """One step. x (B, input_size) or (input_size,); a state is (B, H) or (H,), or a tuple of the cell's states."""

    _layer_type: ClassVar[type[Recurrent]]
    _place: tuple[int, int]  # of a cell that shares a layer's weights: which layer, and 1 for the reverse direction

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dtype: object = np.float32,
        seed: Seed = None,
        tokens: bool | None = None,
        proj_size: int = 0,
    ) -> None:
        self.input_size: int = check_size("input_size", input_size)
        self.hidden_size: int = check_size("hidden_size", hidden_size)
        self.bias: bool = check_flag("bias", bias)
        self.tokens: bool | None = check_tokens(tokens)
        self._proj_size = self._check_projection(proj_size)
        self._source: Recurrent | None = None
        super().__init__(dtype, seed, self.hidden_size**-0.5)

    @classmethod
    def from_layer(cls, recurrent: Recurrent, layer: int = 0, *, reverse: bool = False) -> Self:
        """A cell with the weights of one layer of a stack: the same memory, whichever of the two is trained or loaded.

        Its gradients are the layer's arrays too. Its `leaves` is the layer: an optimizer of either or both steps the
        whole layer, once, and `zero_grad` clears it. Copied or pickled in one call the two go on sharing; alone, the
        cell takes a copy of its layer along.

        Args:
            recurrent: an `RNN` for an RNNCell, an `LSTM` for an LSTMCell, a `GRU` for a GRUCell.
            layer: which of its layers, from 0.
            reverse: the reverse direction's weights, of a bidirectional one.

        Returns:
            The cell.

        Raises:
            TypeError: It isn't such a layer.
            ValueError: It has no layer of that number, or no reverse direction.
        """
        kind = cls._layer_type
        if not isinstance(recurrent, kind):
            raise TypeError(f"recurrent: expected {kind.__name__} for {cls.__name__}, got {shown(recurrent)}")
        index = check_index("layer", layer, "an integer")
        if not 0 <= index < recurrent.num_layers:
            raise ValueError(f"layer: expected one of 0..{recurrent.num_layers - 1}, got {index}")
        if check_flag("reverse", reverse) and not recurrent.bidirectional:
            raise ValueError("reverse: expected False, as the layer has one direction, got True")
        cell = cls.__new__(cls)
        features = (recurrent.proj_size or recurrent.hidden_size) * (2 if recurrent.bidirectional else 1)
        options = {name: getattr(recurrent, name) for name in cls._options if name not in {"input_size", "proj_size"}}
        cell.__dict__.update(options, input_size=recurrent.input_size if index == 0 else features)
        cell.__dict__.update(_proj_size=recurrent.proj_size)
        cell.__dict__.update(_source=recurrent, _place=(index, int(reverse)))
        cell._build()
        return cell

    def _build(self) -> None:
        if self._source is None:
            super()._build()
            return
        layer, direction = self._place
        self._core = self._source._core.cell(layer, direction)
        self._parameters = self._source._parameters
        suffix = f"_l{layer}" + "_reverse" * direction
        names = [name for name in self.formula.parameters if name + suffix in self._source.params]
        self._names = {name: name + suffix for name in names}
        self._params = MappingProxyType({name: self._source.params[long] for name, long in self._names.items()})

    @property
    def grads(self) -> dict[str, Array]:
        """The gradients by the parameters' names; of a cell that shares a layer's weights, what the layer has now."""
        if self._source is None:
            own: dict[str, Array] = self.__dict__["grads"]
            return own
        return {name: self._source.grads[long] for name, long in self._names.items()}

    @grads.setter
    def grads(self, value: dict[str, Array]) -> None:
        if self._source is not None:
            raise AttributeError("grads: expected to be set on the layer whose weights the cell shares")
        self.__dict__["grads"] = value

    def leaves(self) -> list[Module]:
        """The layer that the cell's parameters belong to.

        Returns:
            A list of the cell itself, or of the layer whose weights it shares.
        """
        return [self if self._source is None else self._source]

    def state_dict(self) -> dict[str, Array]:
        """Copies of the parameters by name, all from before or all from after a change in another thread.

        Returns:
            A dict of new arrays, which `load_state_dict` takes.
        """
        state = super().state_dict()
        return state if self._source is None else {name: state[long] for name, long in self._names.items()}

    def load_state_dict(self, state: Mapping[str, ArrayIn]) -> None:
        """Takes over all parameters at once; those that it shares are the layer's from then on too.

        Args:
            state: as for a layer, a mapping by exactly the cell's names, which have no layer's suffix.
        """
        if self._source is not None:
            check_arrays("state_dict", state, self.params)
            state = self._parameters.snapshot() | {long: state[name] for name, long in self._names.items()}
        super().load_state_dict(state)

    def __getstate__(self) -> dict[str, Any]:
        if self._source is None:
            return super().__getstate__()
        own = {*self._options, "_proj_size", "_source", "_place"}
        return {name: value for name, value in self.__dict__.items() if name in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if state["_source"] is None:
            super().__setstate__(state)
            return
        self.__dict__.update(state)
        self._build()

    def _make_core(self) -> Any:
        return NETWORKS[self.dtype](
            self.formula.core,
            self.input_size,
            self.hidden_size,
            1,
            1,
            self.bias,
            True,
            self.tokens,
            self.proj_size,
            False,
            False,
        )

    def __call__(self, x: ArrayIn, hx: State = None, *, inputs: Mapping[str, ArrayIn] | None = None) -> State:
        """One step.

        Args:
            x: (B, I), or (I,) without a batch; or tokens, integers (B,) or ().
            hx: the state before: h (B, H), or a tuple of the cell's states, (h, c) of an LSTM; of H features alone if x
                has no batch. None, or None for one of them, is zeros.
            inputs: what a formula's cell reads besides x, by name: (B, H), or (B,) of one number each.

        Returns:
            The new state, new arrays like `hx`. There is no y, as it would be h.

        Raises:
            TypeError: An argument isn't an array, or has another dtype than the cell.
            ValueError: A shape or a token is wrong, or an input is missing.
        """
        return self._core.call(x, hx, None, None, False, None, inputs, None, None)

    def forward(
        self, x: ArrayIn, hx: State = None, *, inputs: Mapping[str, ArrayIn] | None = None
    ) -> tuple[State, Tape]:
        """One step, and the tape of what `backward` needs.

        Args:
            x: as for a plain call, and so are the others.
            hx: the state before.
            inputs: what a formula's cell reads besides x.

        Returns:
            The new state, and the tape, which owns what it holds.
        """
        return self._core.forward(x, hx, None, False, None, None, inputs, None, None)  # type: ignore[no-any-return]

    def backward(
        self,
        tape: Tape,
        dstate: State = None,
        *,
        dinputs: Mapping[str, Array] | None = None,
        need_dx: bool = True,
        grads: dict[str, Array] | None = None,
        retain: bool = False,
    ) -> tuple[Array | None, State]:
        """From the gradient of the new state, those of x and of the state before; adds to those of the parameters.

        Args:
            tape: from `forward` of this cell; it serves once, unless `retain` is set.
            dstate: the gradient of the new state, like it; None, or None for one of a tuple, is zeros.
            dinputs: a dict by names of `inputs`, some or none of them, of arrays that their gradients are added to.
            need_dx: False spares the gradient of x.
            grads: a dict by the parameters' names of writeable C-contiguous arrays that gradients are added to; None
                for the cell's `grads`.
            retain: keep the tape for another call.

        Returns:
            dx, of x's shape, None for tokens or without `need_dx`; and the gradient of the state before, like it.

        Raises:
            RuntimeError: The tape is of another cell, has been consumed, or was made before the weights changed.
            TypeError: A gradient isn't an array, or has another dtype. Nothing is changed then, here and below.
            ValueError: A gradient has a wrong shape or name.
        """
        grads = self.grads if grads is None else grads
        if self._source is not None:  # the core wants arrays for all of the layer's, and adds to those of the cell
            check_arrays("grads", grads, self.params)
            grads = self._source.grads | {long: grads[name] for name, long in self._names.items()}
        return self._core.backward(  # type: ignore[no-any-return]
            tape, None, dstate, None, None, dinputs, need_dx, grads, retain, None
        )
