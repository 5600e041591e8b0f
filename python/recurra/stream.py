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
    """A model with states of its own, which every call takes a step further: for sound, control, text as they come.

    A call, ``y_t = stream(x_t, out=None)``, returns what the model returns for the step x_t of a sequence, to the bit,
    however the sequence is cut into steps and blocks. All else that a step needs is in memory that the stream has from
    the beginning, so a call makes nothing but y_t, and with `out`, an array of y_t's shape and dtype, not even that.
    Strides of both are free, `out` may be x_t, and nothing is cast.

    - Features: x_t is (batch, features) for y_t (batch, out_features); with ``batch=1`` also (features,) for
      (out_features,), and, where there is one feature, () or a number of the model's dtype.
    - Tokens: x_t is integers (batch,); with ``batch=1`` also () or an integer, for y_t (out_features,). A layer with
      ``tokens=None`` takes integers for tokens if it has more than one feature.

    A stream has the weights that the model had when it was made, in one packed copy that it shares with other streams
    of the model; later changes of the model don't reach it. A call runs in the caller's thread. Each thread may have a
    stream of its own; one that is in use by another call raises RuntimeError. Calls of 400,000 multiply-adds or more,
    some 20 µs, give up the GIL; smaller ones keep it. Refused arguments and Ctrl-C leave the states as they were.
    ``with`` closes a stream; to pickle or copy it raises TypeError.

    Args:
        model: a recurrent layer of any cell, in one direction, forward, and without `inputs`; `Linear`; `Embedding`; or
            a `Sequential` of such and of `Tanh`, `ReLU`, `Sigmoid`, `Dropout`, which does nothing here, and `Last`,
            after which y_t is the model's answer to all steps until now. Compressed or not.
        batch: how many sequences go on side by side, from 1.

    Raises:
        TypeError: A model that has a member of another kind.
        ValueError: A model that reads from the end, or has nothing to compute.

    Example:
        >>> model = recurra.Sequential(recurra.GRU(3, 32, seed=0), recurra.Linear(32, 8, seed=1))
        >>> stream = recurra.Stream(model)
        >>> x = np.ones((100, 1, 3), np.float32)
        >>> y = [stream(x_t) for x_t in x]
        >>> y[0].shape, float(abs(y - model(x)).max())
        ((1, 8), 0.0)
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
        """A block of steps, the same as one by one, in the time that a call of the model takes in one thread.

        Args:
            x: (T, batch, features), of a model with `batch_first` (batch, T, features); with ``batch=1`` also (T,
                features), or (T,) where there is one feature; tokens have no axis of features.
            out: where y goes, an array of its shape and dtype, any strides.

        Returns:
            y, laid out as x, with an axis of out_features.

        Raises:
            TypeError: x or `out` isn't an array, or has another dtype.
            ValueError: A shape or a token is wrong, or the stream is closed.
            RuntimeError: The stream is in use by another call.
            KeyboardInterrupt: Ctrl-C; the states are as before, and `out` may be half written.
        """
        return super().many(x, out)

    def reset(self, rows: NumbersIn | None = None) -> None:
        """Begins anew, from zeros or the learned states.

        Args:
            rows: which sequences: row numbers, or a mask (batch,) of bool; None for all.

        Raises:
            TypeError: They aren't integers.
            ValueError: There is no such row.
        """
        rows = taken("rows", rows)
        if isinstance(rows, np.ndarray):
            rows = plain_array("rows", rows, "biu", "integers, or a mask of bool", "int64")
            if rows.ndim > 1:
                raise ValueError(f"rows: expected row numbers (n,), or a mask (batch,), got {rows.shape}")
        if rows is not None and (not isinstance(rows, np.ndarray) or rows.dtype.kind == "b"):
            rows = _numbers(rows, self.batch)
        self._reset(rows)

    @property
    def state(self) -> State:
        """Copies of the states: (L, batch, H), a tuple of such of several states, and of a `Sequential` a list.

        That is as the model's `run` or the layer's call returns them. May be set to the same, which is copied; None, or
        None for one of them, is a beginning, and with ``batch=1`` the axis of the batch may be missing.
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
        """Another stream over the same weights, that goes on from the same states on its own.

        Returns:
            The stream.
        """
        return super().fork()

    def close(self) -> None:
        """Gives back the memory, as the end of the object does too; a call after that raises ValueError."""
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
    if rows and all(isinstance(row, (bool, np.bool_)) for row in rows):
        return _numbers(np.array(rows), batch)
    return np.array([_number(row, batch, "numbers of rows, or a mask") for row in rows], np.int64)


def _number(row: object, batch: int, what: str) -> int:
    number = check_index("rows", row, what)
    if not 0 <= number < batch:
        raise ValueError(f"rows: expected rows in 0..{batch - 1}, got {shown(row)}")
    return number
