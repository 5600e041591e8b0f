"""What compressed layers share: arrays that never change, options of the original, no training."""

from __future__ import annotations

import copy
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import numpy as np

from recurra._checks import check_dtype, check_flag, check_index, check_size, check_tokens, shown
from recurra.composite import check_arrays
from recurra.formula.operations import Role
from recurra.module import Module, loadable
from recurra.recurrent import MOST_LAYERS
from recurra.with_formula import WithFormula

from .rounding import SCALE, check_weights, narrowed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from recurra.module import Array, ArrayIn

IMMUTABLE = ("_core", "_formula", "_narrow", "_params")  # which copies share
MADE = ("_core", "_formula", "_params")  # of the rest, when one is unpickled
MATRICES = {Role.INPUT_WEIGHT, Role.RECURRENT_WEIGHT, Role.PROJECTION}
TRAINED = {"dropout": 0.0, "recurrent_dropout": 0.0, "zoneout": 0.0, "sparse": False}  # options of training only


class Narrow(Module):
    """A layer for inference whose matrices are narrow, made of one of float32, whose options and calls it has.

    The base of `NarrowRecurrent`, `NarrowLinear` and `NarrowEmbedding`; `recurra.compress` makes these. What trains
    raises TypeError: `forward`, `backward`, `grads`, `zero_grad`, optimizers, `fit`. Copies share the arrays, pickles,
    `recurra.save` and `load` keep them as they are.

    Args:
        layer: the layer that it is made of, which it shares nothing with.
        weights: "int8", "bfloat16" or "float16".

    Raises:
        TypeError: the layer isn't of a class that this one is made of, or not of float32.
        ValueError: other weights, or numbers in the layer that aren't finite or beyond what the narrow type holds.

    Example:
        >>> layer = recurra.compress(recurra.LSTM(3, 8, seed=0), "float16")
        >>> isinstance(layer, recurra.narrow.Narrow), layer.weights, layer.nbytes_before, layer.nbytes
        (True, 'float16', 1664, 960)
    """

    _compressed = True
    _kind: type[Any]  # the class of the layer that it was made of
    _made_with: dict[str, Any]  # that one's options
    _weights: str
    _narrow: dict[str, Array]  # read-only

    def __init__(self, layer: Any, weights: str = "int8") -> None:
        weights = check_weights(weights)
        if getattr(layer, "_compressed", False) is True:
            raise TypeError(f"layer: expected one of float32, got a compressed one, {shown(layer)}")
        if not self._takes(type(layer)):
            raise TypeError(f"layer: expected {self._taken}, got {shown(layer)}")
        if layer.dtype != np.float32:
            raise TypeError(
                f"layer: expected float32, got float64 of {shown(layer)}: convert it first, by "
                "load_state_dict of a layer of float32"
            )
        state = layer.state_dict()
        kept: dict[str, Array] = {}
        for name, value in state.items():
            kept |= narrowed(name, value, weights) if _is_matrix(layer, name) else {name: value}
        options = {name: getattr(layer, name) for name in type(layer)._options}
        options |= {name: value for name, value in TRAINED.items() if name in options}
        self._set(type(layer), options, weights)
        self._hold(layer._core, kept)

    _taken: ClassVar[str]  # what it is made of, in words

    @classmethod
    def _takes(cls, kind: type) -> bool:
        """Whether it is made of layers of that class."""
        raise NotImplementedError

    def _set(self, kind: type[Any], options: dict[str, Any], weights: str) -> None:
        own = {f"_{name}" if hasattr(type(self), name) else name: value for name, value in options.items()}
        self.__dict__.update(own, _kind=kind, _made_with=options, _weights=weights)

    def _hold(self, wide: Any, arrays: Mapping[str, Array]) -> None:
        """Keeps arrays, which are its own from now on, and what computes with them, made of a core of float32."""
        core = wide.narrow(self._weights, dict(arrays))
        for array in arrays.values():
            array.flags.writeable = False
        self.__dict__.update(_core=core, _narrow=dict(arrays), _params=MappingProxyType(dict(arrays)))

    def __setattr__(self, name: str, value: object) -> None:
        if name in self._options:
            raise AttributeError(f"{name}: expected to stay {getattr(self, name)!r}, got {value!r}: make a new layer")
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name == "_parameters":  # what training asks for
            raise AttributeError(f"{name}: expected a model to train, got {advice(self._weights)}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def _options(self) -> Mapping[str, object]:  # type: ignore[override]
        options: Mapping[str, object] = self._kind._options
        return options

    @property
    def weights(self) -> str:
        """The type of its matrices, "int8", "bfloat16" or "float16"."""
        return self._weights

    @property
    def nbytes(self) -> int:
        """Bytes of its parameters, scales and biases included."""
        return sum(array.nbytes for array in self._narrow.values())

    @property
    def nbytes_before(self) -> int:
        """Bytes of the parameters of the layer that it was made of."""
        return sum(4 * array.size for name, array in self._narrow.items() if not name.endswith(SCALE))

    def state_dict(self) -> dict[str, Array]:
        """Copies of its arrays.

        Returns:
            The narrow ones by name, int8 with "….scale" (rows,) of float32 beside each, float16, or the bits of
            bfloat16 as uint16; and what stays float32.
        """
        return {name: array.copy() for name, array in self._narrow.items()}

    def load_state_dict(self, state: Mapping[str, ArrayIn]) -> None:
        """Takes over all arrays at once; copies of the layer are left alone.

        Args:
            state: arrays of the names, dtypes and shapes of `state_dict`. Of float32 matrices, compress a layer.

        Raises:
            TypeError: an array isn't one, or has another dtype.
            ValueError: a name is missing or unknown, or a shape is wrong. Nothing is changed then.
        """
        check_arrays("state_dict", state, self._narrow)
        self._hold(self._make_core(), {name: np.array(loadable(state[name]), order="C") for name in self._narrow})

    @property
    def grads(self) -> NoReturn:
        """Raises TypeError: only what trains has gradients."""
        self._refuse("grads")

    @grads.setter
    def grads(self, value: object) -> NoReturn:  # noqa: ARG002
        self._refuse("grads")

    def zero_grad(self) -> NoReturn:
        """Raises TypeError, as `forward` does."""
        self._refuse("zero_grad")

    def forward(self, *_: Any, **__: Any) -> NoReturn:
        """Raises TypeError, whatever it is given: there is no training with narrow weights."""
        self._refuse("forward")

    def backward(self, *_: Any, **__: Any) -> NoReturn:
        """Raises TypeError, as `forward` does."""
        self._refuse("backward")

    def _refuse(self, name: str) -> NoReturn:
        raise TypeError(f"{name}: expected a model to train, got {advice(self._weights)}")

    def __repr__(self) -> str:
        before = repr_of(self._kind, self._made_with)
        return f"{type(self).__name__}({before}, {self._weights!r}, {sizes(self.nbytes_before, self.nbytes)})"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in MADE}

    def __setstate__(self, state: dict[str, Any]) -> None:
        kind, options, weights, arrays = self._checked_state(state)
        self.__dict__.update({name: value for name, value in state.items() if name != "_narrow"})
        self._set(kind, options, weights)
        self._hold(self._make_core(), {name: np.array(array, order="C") for name, array in arrays.items()})

    def _checked_state(self, state: Any) -> tuple[type[Any], dict[str, Any], str, dict[str, Array]]:
        """What a pickle has of a layer, as a core of sizes that nobody meant could fill the memory.

        Raises:
            TypeError, ValueError: something is missing, or no such layer has it.
        """
        if not isinstance(state, dict):
            raise TypeError(f"state: expected a dict, got {shown(state)}")
        missing = [name for name in ("_kind", "_made_with", "_weights", "_narrow") if name not in state]
        if missing:
            raise ValueError(f"state: expected {', '.join(missing)} in it, got {', '.join(map(shown, state))}")
        kind, options, arrays = state["_kind"], state["_made_with"], state["_narrow"]
        weights = check_weights(state["_weights"])
        if not isinstance(kind, type) or not self._takes(kind):
            raise TypeError(f"_kind: expected the class of {self._taken}, got {shown(kind)}")
        _check_options(kind, options)
        if not isinstance(arrays, dict):
            raise TypeError(f"_narrow: expected a dict, got {shown(arrays)}")
        for name, array in arrays.items():
            if not isinstance(array, np.ndarray):
                raise TypeError(f"_narrow[{shown(name)}]: expected a numpy.ndarray, got {shown(array)}")
        return kind, options, weights, arrays

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        twin = object.__new__(type(self))
        memo[id(self)] = twin
        shared = {name: self.__dict__[name] for name in IMMUTABLE if name in self.__dict__}
        own = {name: value for name, value in self.__dict__.items() if name not in shared}
        twin.__dict__.update(copy.deepcopy(own, memo) | shared)
        return twin


def _check_options(kind: type[Any], options: object) -> None:
    """Raises TypeError or ValueError for what layers of a class are never made with, as far as a core is made of it."""
    if not isinstance(options, dict):
        raise TypeError(f"_made_with: expected a dict, got {shown(options)}")
    if options.keys() != kind._options.keys():
        raise ValueError(f"_made_with: expected {', '.join(kind._options)}, got {', '.join(map(shown, options))}")
    for name, default in kind._options.items():
        value = options[name]
        if default is ... or name == "num_layers":
            check_size(name, value, MOST_LAYERS if name == "num_layers" else 2**62)
        elif isinstance(default, bool):
            check_flag(name, value)
        elif name == "nonlinearity" and value not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity: expected 'tanh' or 'relu', got {shown(value)}")
    check_tokens(options.get("tokens"))
    for name, size in (("proj_size", "hidden_size"), ("padding_idx", "num_embeddings")):
        value = options.get(name)
        if name in options and not (value is None and name == "padding_idx"):
            number = check_index(name, value, "an integer")
            if not 0 <= number < options[size]:
                raise ValueError(f"{name}: expected an integer from 0 up, below {size}, got {shown(value)}")
    if check_dtype(options["dtype"]) != np.float32:
        raise ValueError(f"dtype: expected float32, got {shown(options['dtype'])}")


def _is_matrix(layer: Any, name: str) -> bool:
    """Whether a parameter becomes narrow: what vectors are multiplied by, but no bias and no learned state."""
    if not isinstance(layer, WithFormula):
        return name == "weight"
    own = layer._name_in_formula(name)
    return any(parameter.name == own and parameter.role in MATRICES for parameter in layer.formula.layout.parameters)


def advice(weights: str) -> str:
    """What an error says of a compressed model that was to be trained."""
    return f"a compressed one ({weights}), which is for inference: train the original, then compress it"


def repr_of(kind: type[Any], options: Mapping[str, Any]) -> str:
    """What the layer that a compressed one was made of looked like."""
    unmade = object.__new__(kind)
    unmade.__dict__.update({f"_{name}" if hasattr(kind, name) else name: value for name, value in options.items()})
    return Module.__repr__(unmade)


def sizes(before: int, after: int) -> str:
    """Bytes, before and after."""
    return f"{before:,} -> {after:,} bytes"
