"""Composite: a layer made of layers, such as one of your own: a residual connection, two heads, a shared encoder."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from . import _core
from ._checks import check_array, shown
from ._own_layer import as_member, clear, is_layer, load_leaves
from .module import Array, Module, address, identity_of, loadable
from .sparse_rows import SparseRows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MOST_NAMES = 8  # in an error


class Composite(Module):
    """Base class of layers of your own that are made of others.

    A subclass calls `super().__init__()`, keeps its layers in attributes, alone or in lists, and says how they are
    called, forward and back. All else, `params`, `grads`, `leaves`, `state_dict`, copies and pickles, finds the layers
    where they are. One that has `run` too is given states, lengths and a generator by a `Sequential`; the tape of a
    Sequential within has `state` and `dstate`, to be handed on.

    Names of parameters are the attributes' with a dot, "layer.weight", and of a layer in a list "heads.0.weight".
    Parameters that several parts share, as a cell made by `from_layer` does with its layer, or two models that read
    through one `Embedding`, have one name, that of the first part that has them, one gradient, and one place in a
    `state_dict`.

    Example:
        >>> class Gated(recurra.Composite):
        ...     '''One layer's output, times another's.'''
        ...
        ...     def __init__(self, layer, gate):
        ...         super().__init__()
        ...         self.layer, self.gate = layer, gate
        ...
        ...     def __call__(self, x):
        ...         return self.layer(x) * self.gate(x)
        ...
        ...     def forward(self, x):
        ...         y, tape = self.layer.forward(x)
        ...         g, gate_tape = self.gate.forward(x)
        ...         return y * g, (y, tape, g, gate_tape)
        ...
        ...     def backward(self, tape, dy, *, need_dx=True, grads=None, retain=False):
        ...         (y, tape, g, gate_tape), options = tape, {"need_dx": need_dx, "retain": retain}
        ...         dx = self.layer.backward(tape, dy * g, grads=self.grads_of("layer", grads), **options)
        ...         dg = self.gate.backward(gate_tape, dy * y, grads=self.grads_of("gate", grads), **options)
        ...         return dx + dg if need_dx else None
        >>> gated = Gated(recurra.Linear(8, 4), recurra.Sequential(recurra.Linear(8, 4), recurra.Sigmoid()))
        >>> list(gated.params)
        ['layer.weight', 'layer.bias', 'gate.0.weight', 'gate.0.bias']
        >>> model = recurra.Sequential(recurra.GRU(3, 8), gated, recurra.Last())
        >>> model(np.zeros((5, 2, 3), np.float32)).shape
        (2, 4)
    """

    _options: ClassVar[Mapping[str, object]] = {}

    def __init__(self) -> None:
        pass  # layers are found where they are kept

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
                    yield key, as_member(layer)

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
        named = {prefix + name: value for prefix, arrays in pairs for name, value in arrays.items()}
        for name in self._aliases():
            del named[name]
        return MappingProxyType(named)

    def _aliases(self) -> Mapping[str, str]:
        """What else parameters that several parts share would be called, and what they are called."""
        parts = list(self._parts())
        leaves = [identity_of(leaf) for _, layer in parts for leaf in layer.leaves()]
        if len(set(leaves)) == len(leaves):
            return {}
        names: dict[Any, str] = {}
        parts.sort(key=lambda part: getattr(part[1], "_source", None) is not None)  # cells after the layers they are of
        pairs = [(prefix + name, value) for prefix, layer in parts for name, value in layer.params.items()]
        first = [(name, names.setdefault(address(value), name)) for name, value in pairs]
        return {name: known for name, known in first if name != known}

    def grads_of(self, name: str, grads: Mapping[str, Array] | None) -> dict[str, Array] | None:
        """What the part of that name is to be given as `grads`, in a `backward` of your own.

        Args:
            name: of an attribute, "layer", or of a layer in a list, "heads.0".
            grads: by the names of this layer's `params`, or None.

        Returns:
            Those of the part's parameters, by its own names, also where they are known by another's; None for None.
        """
        prefix = name + "."
        if grads is None:
            return None
        own = {key.removeprefix(prefix): value for key, value in grads.items() if key.startswith(prefix)}
        shared = {key: known for key, known in self._aliases().items() if key.startswith(prefix)}
        return own | {key.removeprefix(prefix): grads[known] for key, known in shared.items()}

    def leaves(self) -> list[Module]:
        """The layers with parameters of their own, in order, each once.

        Returns:
            A list, of layers that share parameters the first.
        """
        leaves = (leaf for _, layer in self._parts() for leaf in layer.leaves())
        return list({identity_of(leaf): leaf for leaf in leaves}.values())

    def zero_grad(self) -> None:
        """Sets `grads` to 0, in place; ValueError if one of them isn't a writeable C-contiguous array any more."""
        leaves = self.leaves()
        ours = [leaf for leaf in leaves if isinstance(leaf, Module)]
        _core.zero_gradients([(leaf._parameters, leaf.grads) for leaf in ours])
        if len(ours) < len(leaves):
            clear([leaf for leaf in leaves if not isinstance(leaf, Module)])

    def state_dict(self) -> dict[str, Array]:
        """Copies of the parameters by name, which `load_state_dict` takes.

        Returns:
            A dict of new arrays by the names of `params`.
        """
        state = {prefix + name: value for prefix, layer in self._parts() for name, value in layer.state_dict().items()}
        for name in self._aliases():
            del state[name]
        return state

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Takes over all parameters at once, once all of them have been checked.

        Args:
            state: arrays by exactly the names of `params`, of their shapes and dtype; they are copied.

        Raises:
            TypeError: an array isn't one, or not of the model's dtype.
            ValueError: a name is missing or unknown, or a shape is wrong. Nothing is changed then.
        """
        check_arrays("state_dict", state, self.params)
        given = {name: loadable(value) for name, value in state.items()}
        given |= {name: given[known] for name, known in self._aliases().items()}
        load_leaves((layer, {name: given[prefix + name] for name in layer.params}) for prefix, layer in self._parts())

    def __repr__(self) -> str:
        lines = "".join(f"{prefix[:-1]}: {layer!r},\n" for prefix, layer in self._parts())
        return f"{type(self).__name__}(\n" + "".join(f"    {line}\n" for line in lines.splitlines()) + ")"

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def check_arrays(what: str, given: Mapping[str, Array], params: Mapping[str, Array]) -> None:
    """Arrays by exactly the parameters' names, of their dtype and shapes; to be written to, if they are gradients."""
    if not hasattr(given, "keys"):
        raise TypeError(f"{what}: expected a dict of arrays by the parameters' names, got {type(given).__name__}")
    missing = ["no " + name for name in params if name not in given]
    surplus = ["also " + shown(name) for name in given if name not in params]
    if missing or surplus:
        wrong = [*missing, *surplus]
        more = f" and {len(wrong) - MOST_NAMES} more" if len(wrong) > MOST_NAMES else ""
        raise ValueError(f"{what}: expected the names of the parameters, got {', '.join(wrong[:MOST_NAMES])}{more}")
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
