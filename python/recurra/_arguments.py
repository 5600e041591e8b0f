"""What a call of a `Sequential` can be refused for before its first member runs, so that nothing was done in vain.

The members check all of it again, in their own time: a wrong state of the second one would be found when the first has
run and the generator has drawn its masks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._checks import check_array, check_lengths, check_resets, shown, taken
from ._members import ELEMENTWISE, POOLING
from ._own_layer import OwnLayer, keywords_of
from .composite import Composite
from .embedding import Embedding
from .feedforward import Dropout, ReLU, Sigmoid, Tanh
from .linear import Linear
from .module import Module, kind_of_layer
from .normalisation import LayerNorm
from .recurrent import Recurrent, is_layer_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .module import ArrayIn, NumbersIn
    from .recurrent import State

# How a member is called, besides with x: with a state and lengths, and, as a model is, by `run`; with some of lengths,
# resets and a generator; or with x alone. One with `run` may have no state.
RECURRENT, MODEL, STATELESS_MODEL, SOME, PLAIN = range(5)
KNOWN = (*ELEMENTWISE, *POOLING, Embedding, LayerNorm, Linear)  # subclasses may take something else


class Arguments:
    """What the members ask of x, states, lengths and the generator."""

    def __init__(self, layers: Sequence[Any], batch_first: bool | None) -> None:
        self.batch_first = bool(batch_first)
        self.known = next(
            (i for i, kind in enumerate(map(kind_of_layer, layers)) if not (kind in KNOWN or is_layer_type(kind))),
            len(layers),
        )
        self.reader: Any = next((layer for layer in layers if type(layer) not in ELEMENTWISE), None)
        self.first = self.reader is layers[0]
        self.stateful = [(i, layer) for i, layer in enumerate(layers) if kind_of(layer) in {RECURRENT, MODEL}]
        self.none = (None,) * len(self.stateful)
        before = layers[: self.stateful[0][0]] if self.stateful else []
        # The first one checks its own state; nothing is lost if only such as have no effect have run before it.
        self.ahead = len(self.stateful) > 1 or any(
            kind_of_layer(layer) not in (Embedding, Linear, ReLU, Sigmoid, Tanh) for layer in before
        )
        self.of_lengths = any(isinstance(layer, (Recurrent, *POOLING)) for layer in layers[: self.known])
        self.of_resets = any(isinstance(layer, Recurrent) for layer in layers[: self.known])
        self.random = [layer for layer in layers if isinstance(layer, (Recurrent, Dropout))]

    def check(
        self,
        x: ArrayIn,
        states: Sequence[State] | None,
        lengths: NumbersIn | None,
        resets: NumbersIn | None,
        ahead: bool = False,
    ) -> Sequence[State]:
        """The states, one for each member that has some; raises what a member would, `ahead` of others outside too."""
        if not self.first:
            self._check_x(x)
        checked = self.none if states is None else self._check_number("state", states)
        if lengths is None and resets is None and (states is None or not (ahead or self.ahead)):
            return checked
        steps, batch = self._axes(x)
        if lengths is not None and self.of_lengths and steps is not None:
            check_lengths(lengths, steps, *batch)
        if resets is not None and self.of_resets and steps is not None:
            check_resets(resets, steps, batch, self.batch_first)
        for (i, layer), state in zip(self.stateful, checked, strict=True):
            if is_layer_type(kind_of_layer(layer)):
                _check_state(layer, state, batch if steps is not None and i < self.known else None)
        return checked

    def own(self, x: Any) -> Any:
        """An array of another package as one of NumPy, unless what reads it is somebody's own layer."""
        return taken("x", x) if self.known else x

    def check_rng(self, rng: object) -> None:
        """Raises ValueError if there is dropout and nothing to draw its masks from."""
        if rng is None and any(_draws(layer) for layer in self.random):
            raise ValueError("rng: expected an integer or a numpy.random.Generator, as dropout is on, got None")

    def check_gradients(self, dstate: Sequence[State] | None, states: Sequence[State]) -> Sequence[State]:
        """The gradients of final states, like those."""
        given = self._check_number("dstate", dstate)
        for (_, layer), like, gradient in zip(self.stateful, states, given, strict=True):
            names = [f"d{name}_n" for name in layer.formula.states] if isinstance(layer, Recurrent) else []
            _check_gradient(gradient, like, names)
        return given

    def _check_number(self, name: str, state: Sequence[State] | None) -> Sequence[State]:
        count = len(self.stateful)
        if state is None:
            return self.none
        if not isinstance(state, (list, tuple)):
            raise TypeError(f"{name}: expected a list, one for each recurrent member, got {type(state).__name__}")
        if len(state) != count:
            raise ValueError(f"{name}: expected one for each of {count} recurrent members, got {len(state)}")
        return state

    def _check_x(self, x: Any) -> None:
        """What the first layer that isn't element by element will ask, before those in front of it draw masks."""
        reader, kind = self.reader, kind_of_layer(self.reader)
        if kind is not Linear and not is_layer_type(kind):
            return
        x = check_array("x", x, reader.dtype)
        features = reader.in_features if kind is Linear else reader.input_size
        if not x.ndim or x.shape[-1] != features:
            raise ValueError(f"x: expected {features} features, what {shown(reader)} takes, got {x.shape}")

    def _axes(self, x: Any) -> tuple[int | None, tuple[int, ...]]:
        """T and (B,), or T and () without a batch; (None, ()) if x has neither form, or what reads it isn't known."""
        x = self.own(x)
        if not isinstance(x, np.ndarray) or not self.known:
            return None, ()
        leading = x.shape if x.dtype.kind in "iu" else x.shape[:-1]
        if len(leading) not in {1, 2}:
            return None, ()
        if self.batch_first:
            return leading[-1], leading[:-1]
        return leading[0], leading[1:]


def kind_of(layer: Any) -> int:
    """How a member is called."""
    if isinstance(layer, Recurrent):
        return RECURRENT
    if not callable(getattr(layer, "run", None)):
        return SOME if any(options_of(layer)) else PLAIN
    return MODEL if getattr(layer, "_state_count", None) != 0 else STATELESS_MODEL


def options_of(layer: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which options a member's call and its `forward` take, of one that isn't called as a model is."""
    if isinstance(layer, POOLING):
        return ("lengths",), ("lengths",)
    if isinstance(layer, Dropout):
        return (), ("rng",)
    if isinstance(layer, Module) and not isinstance(layer, Composite):
        return (), ()
    forward = keywords_of(layer.forward)  # pyright: ignore[reportAttributeAccessIssue] (as a member it has one)
    own = layer.layer if isinstance(layer, OwnLayer) else layer
    call = keywords_of(own) if callable(own) else forward
    return tuple(call & {"lengths", "resets"}), tuple(forward & {"lengths", "resets", "rng"})


def _draws(layer: Any) -> bool:
    return bool(layer.p > 0 if isinstance(layer, Dropout) else layer._draws)


def _check_state(layer: Any, state: State, batch: tuple[int, ...] | None) -> None:
    """A state of a recurrent layer; of a batch (B,), of none (), or None for either."""
    if state is None:
        return
    names = [f"{name}0" for name in layer.formula.states]
    parts: Any = [(names[0], state)]
    if len(names) > 1:
        if not isinstance(state, (list, tuple)) or len(state) != len(names):
            expected = f"a {'pair' if len(names) == 2 else 'tuple'} ({', '.join(names)})"
            raise TypeError(f"hx: expected {expected}, got {type(state).__name__}")
        parts = zip(names, state, strict=True)
    rows = layer.num_layers * (2 if layer.bidirectional else 1)
    for name, array in parts:
        if array is None:
            continue
        array = check_array(name, array, layer.dtype)  # noqa: PLW2901
        middle = array.shape[1:-1] if batch is None else batch
        size = "proj_size" if layer.proj_size and name == names[0] else "hidden_size"
        shape = (rows, *middle, getattr(layer, size))
        if array.shape != shape or len(shape) > 3:
            symbols = f"(num_layers*num_directions, {'B, ' if middle else ''}{size})"
            raise ValueError(f"{name}: expected {symbols} = {shape}, as {shown(layer)} takes it, got {array.shape}")


def _check_gradient(gradient: State, like: State, names: Sequence[str]) -> None:
    """One member's dstate: None, or an array like its state; of several states, None or a tuple of such."""
    if gradient is None:
        return
    if isinstance(like, (list, tuple)):
        expected = f"a list of {len(like)}"
        if isinstance(like, tuple):
            expected = f"a {'pair' if len(like) == 2 else 'tuple'} ({', '.join(names)})"
        if not isinstance(gradient, (list, tuple)) or len(gradient) != len(like):
            raise TypeError(f"dstate: expected {expected}, got {shown(gradient)}")
        for one, array in zip(gradient, like, strict=True):
            _check_gradient(one, array, ())
        return
    if not isinstance(like, np.ndarray):
        return  # somebody's own
    gradient = check_array("dstate", gradient, like.dtype)
    if gradient.shape != like.shape:
        raise ValueError(f"dstate: expected the state's shape {like.shape}, got {gradient.shape}")
