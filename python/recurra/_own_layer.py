"""A layer of somebody's own as a model's member: what it lacks, made of its `forward`, `backward` and `leaves`.

A leaf of such a layer is one of our layers, or any object with `params` and `grads`, dicts of NumPy arrays by name.
"""

from __future__ import annotations

import inspect
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ._checks import shown
from ._states import copied
from .module import Array, Module, address, load_all, loadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

METHODS = ("forward", "backward", "leaves")
DERIVED = ("params", "grads", "state_dict", "load_state_dict")
OPTIONS = ("need_dx", "grads", "retain")  # of backward


def missing_of_layer(value: object) -> list[str]:
    """What an object lacks to be a layer."""
    return [name for name in METHODS if not callable(getattr(value, name, None))]


def is_layer(value: object) -> bool:
    """Whether it is a layer: one of ours, or an object with the methods of one."""
    return isinstance(value, Module) or not (isinstance(value, type) or missing_of_layer(value))


def as_member(layer: Any) -> Any:
    """The layer itself if it has all that members have, else what completes it."""
    if isinstance(layer, (Module, OwnLayer)):
        return layer
    complete = callable(layer) and all(hasattr(layer, name) for name in DERIVED) and not _left_out(layer.backward)
    return layer if complete else OwnLayer(layer)


class OwnLayer:
    """What calls such a layer: its own methods where it has them, else these.

    Parameters have the names that the layer's own `params` gives them. If it has none, they have their leaf's names
    with the leaf's number among `leaves()` in front, "0.weight".
    """

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    def __getattr__(self, name: str) -> Any:
        if name == "layer":  # while it is being copied or unpickled
            raise AttributeError(name)
        return getattr(self.layer, name)

    def __call__(self, x: Any, **options: Any) -> Any:
        """Its own call, or what `forward` returns first."""
        return self.layer(x, **options) if callable(self.layer) else self.layer.forward(x, **options)[0]

    def backward(self, tape: Any, dy: Any, *given: Any, **options: Any) -> Any:
        """Its own, given those of need_dx, grads and retain that it takes."""
        left_out = _left_out(self.layer.backward)
        taken = {name: value for name, value in options.items() if name not in left_out}
        grads = options.get("grads")
        if grads is None or "grads" not in left_out:
            return self.layer.backward(tape, dy, *given, **taken)
        own = self.grads
        before = {name: array.copy() for name, array in own.items()}
        for array in own.values():
            array[...] = 0
        try:
            dx = self.layer.backward(tape, dy, *given, **taken)
            for name, array in own.items():
                grads[name][...] += array
        finally:
            for name, array in own.items():
                array[...] = before[name]
        return dx

    @property
    def params(self) -> Mapping[str, Array]:
        """The parameters by name."""
        return MappingProxyType({name: leaf.params[key] for name, leaf, key in self._places()})

    @property
    def grads(self) -> Mapping[str, Array]:
        """Their gradients, the leaves' own arrays."""
        return MappingProxyType({name: leaf.grads[key] for name, leaf, key in self._places()})

    def state_dict(self) -> dict[str, Array]:
        """Copies of the parameters by name."""
        if hasattr(self.layer, "state_dict"):
            return copied(self.layer.state_dict())
        states = {id(leaf): state_of(leaf) for leaf in self.layer.leaves()}
        return {name: states[id(leaf)][key] for name, leaf, key in self._places()}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Takes over all parameters, which have been checked."""
        if hasattr(self.layer, "load_state_dict"):
            self.layer.load_state_dict(state)
            return
        given: dict[int, dict[str, Array]] = {}
        for name, leaf, key in self._places():
            given.setdefault(id(leaf), {})[key] = state[name]
        load_leaves((leaf, given[id(leaf)]) for leaf in self.layer.leaves() if id(leaf) in given)

    def _places(self) -> Iterator[tuple[str, Any, str]]:
        """Each parameter's name, its leaf, and its name there."""
        places = {address(leaf.params[key]): (leaf, key) for leaf in self.layer.leaves() for key in leaf.params}
        if hasattr(self.layer, "params"):
            for name, array in self.layer.params.items():
                place = places.get(address(array))
                if place is None:
                    raise ValueError(
                        f"params: expected arrays of the layer's leaves(), got another, {shown(name)}, in "
                        f"{shown(self.layer)}"
                    )
                yield name, *place
            return
        for i, leaf in enumerate(self.layer.leaves()):
            yield from ((f"{i}.{key}", leaf, key) for key in leaf.params)

    def __repr__(self) -> str:
        return repr(self.layer)


def check_leaf(leaf: Any) -> None:
    """Raises TypeError unless it has parameters: one of our layers, or dicts `params` and `grads` of like arrays."""
    if isinstance(leaf, Module) and (leaf._compressed or hasattr(leaf, "_parameters")):
        return
    params: Any = getattr(leaf, "params", None)
    grads: Any = getattr(leaf, "grads", None)
    if isinstance(leaf, (type, Module)) or not hasattr(params, "items") or not hasattr(grads, "items"):
        raise TypeError(
            "layers: expected leaves() to be layers with parameters, or objects with dicts of arrays, params and "
            f"grads, got {shown(leaf)}"
        )
    for name, array in params.items():
        gradient = grads.get(name)
        if not isinstance(array, np.ndarray) or array.dtype not in (np.float32, np.float64):
            got = array.dtype.name if isinstance(array, np.ndarray) else type(array).__name__
            raise TypeError(f"params[{name!r}]: expected a numpy.ndarray of float32 or float64, got {got}")
        if not isinstance(gradient, np.ndarray) or (gradient.shape, gradient.dtype) != (array.shape, array.dtype):
            got = "none" if gradient is None else shown(gradient)
            raise TypeError(f"grads[{name!r}]: expected an array like the parameter, {array.shape}, got {got}")


def dtypes_of(leaf: Any) -> set[np.dtype[Any]]:
    """Of its parameters."""
    return {leaf.dtype} if isinstance(leaf, Module) else {array.dtype for array in leaf.params.values()}


def version_of(leaf: Any) -> int:
    """Counts the changes of a leaf's parameters; 0 of a leaf that doesn't."""
    return leaf._parameters.version if isinstance(leaf, Module) else 0


def state_of(leaf: Any) -> Mapping[str, Array]:
    """Copies of a leaf's parameters by name."""
    if hasattr(leaf, "state_dict"):
        state: Mapping[str, Array] = leaf.state_dict()
        return state
    return {name: array.copy() for name, array in leaf.params.items()}


def clear(leaves: Iterable[Any]) -> None:
    """Sets the gradients of leaves that aren't ours to 0, by their own `zero_grad` if they have one."""
    for leaf in leaves:
        if callable(getattr(leaf, "zero_grad", None)):
            leaf.zero_grad()
        else:
            for array in leaf.grads.values():
                array[...] = 0


def load_leaves(states: Iterable[tuple[Any, Mapping[str, Array]]]) -> None:
    """Gives leaves, or members, new parameters that have been checked: ours all at once, then the others."""
    able: list[tuple[Any, Mapping[str, Array]]] = []
    plain: list[tuple[Any, Mapping[str, Array]]] = []
    for leaf, state in states:
        (able if hasattr(leaf, "load_state_dict") else plain).append((leaf, state))
    for own in [leaf for leaf, _ in plain] + [leaf for layer, _ in able for leaf in layer.leaves()]:
        _check_writeable(own)  # before the first one changes
    load_all(able)
    for leaf, state in plain:
        for name, array in leaf.params.items():
            array[...] = loadable(state[name])


def _check_writeable(leaf: Any) -> None:
    """Raises unless a leaf has arrays that can be changed, or a way of its own to change them."""
    if isinstance(leaf, Module) or hasattr(leaf, "load_state_dict"):
        return
    for name, array in leaf.params.items():
        if not isinstance(array, np.ndarray) or not np.asarray(array).flags.writeable:
            got = "a read-only one" if isinstance(array, np.ndarray) else type(array).__name__
            raise ValueError(f"params[{name!r}]: expected a writeable numpy.ndarray, got {got}")


def keywords_of(function: Callable[..., Any]) -> frozenset[str]:
    """Those names of arguments that a function can be given by name; "**" if it takes any."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return frozenset({"**"})
    named = {one.name for one in parameters if one.kind in {one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD}}
    return frozenset(named | ({"**"} if any(one.kind is one.VAR_KEYWORD for one in parameters) else set()))


def _left_out(backward: Callable[..., Any]) -> set[str]:
    """Which of the options of a backward this one doesn't take."""
    names = keywords_of(backward)
    return set() if "**" in names else {name for name in OPTIONS if name not in names}
