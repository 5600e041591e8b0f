"""What all layers share: parameters that only C++ writes, gradients, state_dict, copies and pickles."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import _core
from ._attributes import Attributes
from ._checks import check_dtype, check_rng
from .sparse_rows import SparseRows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Self

    Parameters = _core.Parameters32 | _core.Parameters64

Array = np.ndarray[Any, np.dtype[Any]]


def drawn(draw: Callable[[int], Array], like: Array) -> Array:
    """What draw(size) returns, in the shape and dtype of an array: the same numbers as in one go, but in pieces.

    Python looks for Ctrl-C only between them.
    """
    array: Array = np.empty_like(like)
    flat, piece = array.reshape(-1), 1 << 20
    with np.errstate(all="ignore"):
        for begin in range(0, flat.size, piece):
            flat[begin : begin + piece] = draw(min(piece, flat.size - begin))
    return array


class Module(Attributes):
    """A layer with parameters. A subclass names its options and makes the core that does the work.

    The last thing in its constructor is this one's, which needs the other attributes and sets weights uniform in
    ±bound.
    """

    # Names of the constructor's arguments, each an attribute too, with its default; those without come first.
    _options: ClassVar[Mapping[str, object]]
    _compressed: ClassVar[bool] = False  # whether its matrices are narrow, for inference only
    dtype: np.dtype[Any]

    def __init__(self, dtype: object, seed: object, bound: float) -> None:
        self.dtype = check_dtype(dtype)
        rng = check_rng("seed", seed)
        self._build()
        self._parameters.load({name: self._initial(name, value, rng, bound) for name, value in self.params.items()})

    def _initial(self, name: str, value: Array, rng: np.random.Generator, bound: float) -> Array:  # noqa: ARG002
        """What a parameter begins as, in the shape and dtype of `value`."""
        return drawn(lambda size: rng.uniform(-bound, bound, size), value)

    def _attribute_names(self) -> set[str]:
        return {*self._options, "dtype", "grads"}

    def __setattr__(self, name: str, value: object) -> None:
        if name in self._options and name in self.__dict__:
            raise AttributeError(f"{name}: expected to stay {self.__dict__[name]!r}, got {value!r}: make a new layer")
        super().__setattr__(name, value)

    def leaves(self) -> list[Module]:
        """The layers with parameters of their own that this one consists of.

        Returns:
            A list of the layer itself.
        """
        return [self]

    def _make_core(self) -> Any:
        """The object of `_core` that does the work."""
        raise NotImplementedError

    def _build(self) -> None:
        self._core = self._make_core()
        self._parameters: Parameters = self._core.parameters
        self._params = MappingProxyType(self._parameters.views())
        self.grads: dict[str, Array] = self._zero_gradients()

    def _zero_gradients(self) -> dict[str, Any]:
        """New gradients of all parameters."""
        return {name: np.zeros_like(value) for name, value in self._params.items()}

    @property
    def params(self) -> Mapping[str, Array]:
        """The parameters by name, in PyTorch's order: read-only views, which show every later change too."""
        return self._params

    def zero_grad(self) -> None:
        """Sets `grads` to 0, in place.

        Raises:
            ValueError: One of them isn't a writeable C-contiguous array any more.
        """
        _core.zero_gradients([(layer._parameters, layer.grads) for layer in self.leaves()])

    def _frozen_row(self) -> int:
        """The row of the first parameter that no optimizer moves, or -1."""
        return -1

    def state_dict(self) -> dict[str, Array]:
        """Copies of the parameters by name, all from before or all from after a change in another thread.

        Returns:
            A dict of new arrays, which `load_state_dict` takes.
        """
        return self._parameters.snapshot()

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Takes over all parameters at once; a call in another thread sees the old ones or the new, but no mixture.

        Args:
            state: a mapping with exactly the parameters' names, of arrays of their shapes and dtype, which are copied;
                also another layer's `params`, while a thread trains it.

        Raises:
            TypeError: An array isn't one, or not of the layer's dtype.
            ValueError: A name is missing or unknown, or a shape is wrong. Nothing is changed then.
        """
        if type(state) is dict and any(isinstance(value, np.generic) for value in state.values()):
            state = {name: loadable(value) for name, value in state.items()}
        _core.load_all([(self._parameters, state)], "state_dict")

    def __repr__(self) -> str:
        parts = []
        for name, default in self._options.items():
            value = getattr(self, name)
            if default is ...:
                parts.append(repr(value))
            elif value != default:
                parts.append(f"{name}={value.name if name == 'dtype' else repr(value)}")
        return f"{type(self).__name__}({', '.join(parts)})"

    def __copy__(self) -> Self:
        """A second name for the same parameters and gradients."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def __getstate__(self) -> dict[str, Any]:
        own = {
            name: value
            for name, value in self.__dict__.items()
            if name not in {"_core", "_parameters", "_params", "_variants", "grads"}
        }
        return own | {"params": self.state_dict(), "grads": self.grads}

    def __setstate__(self, state: dict[str, Any]) -> None:
        own = dict(state)
        params, grads = own.pop("params"), own.pop("grads")
        self.__dict__.update(own)
        self._build()
        self._parameters.load(params)
        self.grads = writeable(grads)


def writeable(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Arrays that can be written to, copies where they can't, as unpickled ones may lie in a file or a buffer."""
    return {name: array if _is_writeable(array) else np.array(array, order="C") for name, array in arrays.items()}


def _is_writeable(array: Any) -> bool:
    return type(array) is SparseRows or (type(array) is np.ndarray and array.flags.carray)


def kind_of_layer(layer: Any) -> type[Any]:
    """A layer's class, or that of the layer that a compressed one was made of."""
    kind: type[Any] = layer._kind if getattr(type(layer), "_compressed", False) is True else type(layer)
    return kind


def identity_of(leaf: Any) -> int:
    """Equal for leaves that share their parameters."""
    return id(getattr(leaf, "_parameters", leaf) if isinstance(leaf, Module) else leaf)


def address(array: Any) -> object:
    """Equal for arrays that are the same parameter."""
    return (_core.address(array), array.shape) if isinstance(array, np.ndarray) else id(array)


def loadable(value: Any) -> Any:
    """An array of a NumPy number, which arithmetic makes of arrays without axes, such as the scalars of formulas."""
    return np.asarray(value) if isinstance(value, np.generic) else value


def load_all(states: Iterable[tuple[Module, Mapping[str, Array]]]) -> None:
    """Gives each layer new parameters: all at once, but for those that have a way of their own and come last."""
    common, own = [], []
    for layer, state in states:
        if getattr(type(layer), "load_state_dict", None) is Module.load_state_dict:
            common.append((layer._parameters, state))
        else:
            own.append((layer, state))
    _core.load_all(common, "state_dict")
    if own:  # else not even an iterator may be made that could fail for lack of memory
        for layer, state in own:
            layer.load_state_dict(state)
