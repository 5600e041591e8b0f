"""Stream: a model that goes on from step to step, for sound, control and text as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._checks import check_index, check_size, plain_array, shown, taken
from ._tapes import versions_of
from .embedding import Embedding
from .feedforward import Dropout, Last, ReLU, Sigmoid, Tanh
from .linear import Linear
from .module import kind_of_layer
from .recurrent import is_layer_type
from .sequential import Sequential, as_model

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from .module import Array, ArrayIn, NumbersIn
    from .recurrent import State

RUNNING = ("__call__", "run", "_run")  # by which a subclass of Sequential would do something else with its layers
ACTIVATIONS: dict[type, str] = {Tanh: "tanh", Sigmoid: "sigmoid", ReLU: "relu"}


class Stream(_core.Stream):
    """A model with states of its own, which every call takes a step further: `y_t = stream(x_t, out=None)`.

    A call returns what the model returns for the step x_t of a sequence, to the bit, and makes nothing but y_t: states
    and all else are in memory that the stream has from the beginning. With `out`, an array of y_t's shape and any
    strides, it doesn't make that either. The call runs in the caller's thread.

    With `batch` sequences side by side, x_t is (batch, features) and y_t (batch, out_features). With batch=1 it may
    also be (features,), for y_t (out_features,), or, where there is one feature, a number of the model's dtype. Tokens
    are integers, (batch,), or with batch=1 one integer, for y_t (out_features,).

    A stream keeps the weights that the model has when it is made, and shares them with other streams of it: later
    changes of the model don't reach it. One stream serves one thread at a time; each thread may have its own.

    Args:
        model: a recurrent layer of any cell, Linear or Embedding, or a Sequential of such and of Tanh, Sigmoid, ReLU,
            Dropout, which does nothing here, and Last, after which y_t is the model's answer to all steps until now.
        batch: how many sequences go on side by side.

    Raises:
        TypeError, ValueError: a model that reads from the end, or has a member that needs more than the present step.
    """

    __slots__ = ()

    def __new__(cls, model: Any, batch: int = 1) -> Self:
        """Takes the weights as they are."""
        rows = check_size("batch", batch)
        members = _members(model)
        listed = not is_layer_type(kind_of_layer(model))
        names = [repr(layer) for layer in members]
        text = names[0] if not listed and len(names) == 1 else f"Sequential({', '.join(names)})"
        used = [layer for layer in members if type(layer) not in (Dropout, Last)]
        batch_first = any(getattr(layer, "batch_first", False) for layer in members)
        return super().__new__(cls, _parts(used), rows, batch_first, listed, text)

    def many(self, x: ArrayIn, out: Array | None = None) -> Array:
        """A block of steps, the same as one by one.

        Args:
            x: (T, batch, features), of a model with batch_first (batch, T, features); with batch=1 also (T, features),
                or (T,) where there is one feature; tokens have no axis of features.
            out: where to put y, of y's shape.

        Returns:
            y, laid out as x, with an axis of out_features.

        Raises:
            KeyboardInterrupt: Ctrl-C; the states are as before, and `out` may be half written.
        """
        return super().many(x, out)

    def reset(self, rows: NumbersIn | None = None) -> None:
        """Begins anew, from zeros or the learned states: all sequences, or some, by numbers or a mask (batch,)."""
        rows = taken("rows", rows)
        if isinstance(rows, np.ndarray):
            rows = plain_array("rows", rows, "biu", "integers, or a mask of bool", "int64")
        if rows is not None and (not isinstance(rows, np.ndarray) or rows.dtype.kind == "b"):
            rows = _numbers(rows, self.batch)
        self._reset(rows)

    @property
    def state(self) -> State:
        """Copies of the states, as the model's `run` or the layer's call returns them, with an axis for the batch.

        May be set to such, which is copied; None is a beginning.
        """
        return self._states

    @state.setter
    def state(self, value: State) -> None:
        self._states = value

    @property
    def closed(self) -> bool:
        """Whether `close` has been called."""
        return super().closed

    @property
    def batch(self) -> int:
        """How many sequences go on side by side."""
        return super().batch

    def fork(self) -> Self:
        """Another stream over the same weights, that goes on from the same states on its own."""
        return super().fork()

    def close(self) -> None:
        """Gives back the memory; a call after that is an error. Not needed: a stream that nobody holds does so too."""
        super().close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes it."""
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"batch={self.batch}"
        return f"{type(self).__name__}({self._text}, {state})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("stream: expected to stay in its process: copy it with fork(), or keep the model and `state`")


_core.seal(Stream)


def steps_alone(model: Any) -> bool:
    """Whether a stream of the model returns a step of what the model returns for a sequence."""
    try:
        return all(type(layer) is not Last for layer in _members(model))
    except (TypeError, ValueError):
        return False


def _members(model: Any) -> list[Any]:
    """The layers of a model that can go step by step."""
    whole = as_model(model)
    kind = type(whole)
    if not isinstance(whole, Sequential) or any(
        getattr(kind, name) is not getattr(Sequential, name) for name in RUNNING
    ):
        raise TypeError(f"model: expected a layer, or a Sequential that runs as such, got {shown(model)}")
    layers = [layer for _, layer in whole._members]
    for i, layer in enumerate(layers):
        _check(layer, i)
    if not any(hasattr(layer, "_core") for layer in layers):
        raise ValueError(f"model: expected a recurrent layer, Linear or Embedding in it, got {shown(model)}")
    return layers


def _check(layer: Any, place: int) -> None:
    kind = kind_of_layer(layer)
    if is_layer_type(kind):
        if layer.bidirectional or layer.reverse:
            raise ValueError(
                f"model: expected layers of one direction, forward, as the future isn't known, got {shown(layer)}"
            )
        if layer.formula.declared.inputs:
            raise ValueError(f"model: expected layers that take x alone, got {shown(layer)}")
    elif kind is Last:
        if layer.bidirectional or layer.reverse:
            raise ValueError(f"model: expected the last step of one direction, forward, got {shown(layer)}")
    elif kind is Embedding:
        if place:
            raise ValueError(
                f"model: expected an Embedding as the first member, as it reads tokens, got member {place}"
            )
    elif kind is not Linear and kind is not Dropout and kind not in ACTIVATIONS:
        raise TypeError(
            "model: expected recurrent layers, Linear, Embedding, Tanh, Sigmoid, ReLU, Dropout and Last, got "
            f"{shown(layer)}"
        )


def _parts(layers: list[Any]) -> tuple[Any, ...]:
    """What the stream goes through, with the weights of one moment; those of compressed layers never change."""
    changing = [layer for layer in layers if type(layer) not in ACTIVATIONS and not layer._compressed]
    while True:
        versions = versions_of(changing)
        parts = tuple(ACTIVATIONS.get(type(layer)) or layer._core.stream_part() for layer in layers)
        if versions == versions_of(changing):
            return parts


def _numbers(rows: Any, batch: int) -> Array:
    """Row numbers from a mask or a list."""
    if isinstance(rows, np.ndarray):
        if rows.shape != (batch,):
            raise ValueError(f"rows: expected a mask (batch,) = ({batch},), got {rows.shape}")
        return np.flatnonzero(rows)
    if not isinstance(rows, (list, tuple, range)):
        return np.array([_number(rows, batch, "numbers of rows, or a mask")])
    return np.array([_number(row, batch, "numbers of rows") for row in rows], np.int64)


def _number(row: object, batch: int, what: str) -> int:
    number = check_index("rows", row, what)
    if not 0 <= number < batch:
        raise ValueError(f"rows: expected rows in 0..{batch - 1}, got {shown(row)}")
    return number
