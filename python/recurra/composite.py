"""Composite: a layer made of layers, such as one of your own: a residual connection, two heads, a shared encoder."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from ._checks import check_array, shown
from .module import Array, Module, load_all, loadable
from .sparse_rows import SparseRows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

METHODS = ("forward", "backward", "leaves", "state_dict", "load_state_dict")


class Composite(Module):
    """Base class of layers that consist of others: `params`, `grads`, copies and pickles are those of its parts.

    A subclass calls `super().__init__()`, keeps its layers in attributes, alone or in lists, and has three methods:

        class Residual(recurra.Composite):
            def __init__(self, layer):
                super().__init__()
                self.layer = layer
            def __call__(self, x):
                return x + self.layer(x)
            def forward(self, x):
                y, tape = self.layer.forward(x)
                return x + y, tape
            def backward(self, tape, dy, *, need_dx=True, grads=None, retain=False):
                grads = self.grads_of("layer", grads)
                dx = self.layer.backward(tape, dy, need_dx=need_dx, grads=grads, retain=retain)
                return dy + dx if need_dx else None

    Names of parameters are the attributes' with a dot, "layer.weight", and of a layer in a list "heads.0.weight".
    In a `Sequential` one that has `run` too is given states, lengths and a generator: see docs/api.md.
    """

    _options: ClassVar[Mapping[str, object]] = {}

    def __init__(self) -> None:
        """Nothing to set up: layers are found where they are kept."""

    def _parts(self) -> Iterator[tuple[str, Any]]:
        """Its layers with the prefix of their parameters' names, each once."""
        seen: set[int] = set()
        for name, value in self.__dict__.items():
            pairs = [(name + ".", value)]
            if isinstance(value, (list, tuple)):
                pairs = [(f"{name}.{i}.", one) for i, one in enumerate(value)]
            for key, layer in pairs:
                if is_layer(layer) and id(layer) not in seen:
                    seen.add(id(layer))
                    yield key, layer

    @property
    def params(self) -> Mapping[str, Array]:
        """The parts' parameters under their prefixed names: read-only views."""
        return self._named("params")

    @property
    def grads(self) -> Mapping[str, Array]:  # type: ignore[override]
        """The parts' gradients under their prefixed names: their own arrays, to be changed in place."""
        return self._named("grads")

    def _named(self, what: str) -> Mapping[str, Array]:
        pairs = ((prefix, getattr(layer, what)) for prefix, layer in self._parts())
        return MappingProxyType({prefix + name: value for prefix, arrays in pairs for name, value in arrays.items()})

    def grads_of(self, name: str, grads: Mapping[str, Array] | None) -> dict[str, Array] | None:
        """What the part of that name is to be given as `grads`: those of its parameters, by its own names, or None."""
        prefix = name + "."
        if grads is None:
            return None
        return {key.removeprefix(prefix): value for key, value in grads.items() if key.startswith(prefix)}

    def leaves(self) -> list[Module]:
        """The layers with parameters of their own, in order, each once."""
        leaves = (leaf for _, layer in self._parts() for leaf in layer.leaves())
        return list({id(leaf): leaf for leaf in leaves}.values())

    def state_dict(self) -> dict[str, Array]:
        """Copies of the parameters by name."""
        return {prefix + name: value for prefix, layer in self._parts() for name, value in layer.state_dict().items()}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Takes over all parameters at once, once all of them have been checked.

        Raises:
            TypeError: an array isn't one, or not of the model's dtype.
            ValueError: a name is missing or unknown, or a shape is wrong. Nothing is changed then.
        """
        check_arrays("state_dict", state, self.params)
        given = {name: loadable(value) for name, value in state.items()}
        load_all((layer, {name: given[prefix + name] for name in layer.params}) for prefix, layer in self._parts())

    def __repr__(self) -> str:
        lines = "".join(f"{prefix[:-1]}: {layer!r},\n" for prefix, layer in self._parts())
        return f"{type(self).__name__}(\n" + "".join(f"    {line}\n" for line in lines.splitlines()) + ")"

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def is_layer(value: object) -> bool:
    """Whether it is a layer: one of ours, or an object with the same methods."""
    return isinstance(value, Module) or not (isinstance(value, type) or missing_of_layer(value))


def missing_of_layer(value: object) -> list[str]:
    """What an object lacks to be called as a layer is."""
    missing = [] if callable(value) else ["__call__"]
    missing += [name for name in METHODS if not callable(getattr(value, name, None))]
    return missing + [name for name in ("params", "grads") if not hasattr(value, name)]


def check_arrays(what: str, given: Mapping[str, Array], params: Mapping[str, Array]) -> None:
    """Arrays by exactly the parameters' names, of their dtype and shapes; to be written to, if they are gradients."""
    if not hasattr(given, "keys"):
        raise TypeError(f"{what}: expected a dict of arrays by the parameters' names, got {type(given).__name__}")
    missing = ["no " + name for name in params if name not in given]
    surplus = ["also " + shown(name) for name in given if name not in params]
    if missing or surplus:
        raise ValueError(f"{what}: expected the names of the parameters, got {', '.join(missing + surplus)}")
    for name, like in params.items():
        array = loadable(given[name]) if what == "state_dict" else given[name]
        if what == "grads" and type(array) is SparseRows:
            continue  # an Embedding's, which looks at it
        check_array(name, array, like.dtype)
        if array.shape != like.shape:
            raise ValueError(f"{name}: expected {like.shape}, got {array.shape}")
        flags = array.flags
        if what == "grads" and not (flags.writeable and flags.c_contiguous and flags.aligned):
            kind = "one of other strides" if flags.writeable else "a read-only one"
            raise ValueError(f"grads['{name}']: expected a writeable C-contiguous array, got {kind}")
