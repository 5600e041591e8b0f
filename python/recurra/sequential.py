"""Sequential: layers one after another, as one model."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, overload

import numpy as np

from ._checks import check_array, check_flag, check_rng, shown
from ._features import check_features
from .cells import _Cell
from .embedding import Embedding
from .feedforward import Dropout, Last
from .layers import _Recurrent
from .module import Array, Module, load_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .layers import Seed, State

    States = Sequence[State] | None  # one for each recurrent member; None, or None for one, is zeros


class SequentialTape:
    """What `Sequential.forward` keeps for `backward`: a tape for each member.

    `state` has the final state of every recurrent member, and after `backward` `dstate` the gradient of its initial
    one.
    """

    __slots__ = ("consumed", "dstate", "members", "state", "tapes", "versions")

    def __init__(self, members: object, tapes: list[Any], state: list[State], versions: list[int]) -> None:
        self.members, self.tapes, self.state, self.versions = members, tapes, state, versions
        self.dstate: list[State] | None = None
        self.consumed = False


class Sequential(Module):
    """Hands x through the layers, each one's y to the next; what a recurrent layer returns besides is collected.

    Members' parameters have their numbers in front: "0.weight_ih_l0", "1.weight", and, of a Sequential within,
    "2.0.weight". `model[i]` is the i-th layer, and a slice is a Sequential that shares its layers.

    Args:
        layers: at least one, all of one dtype; no cells, no layer with parameters twice, nothing recurrent after
            `Last`.

    Raises:
        TypeError, ValueError: for layers that don't go together.
    """

    _options: ClassVar[Mapping[str, object]] = {}

    def __init__(self, *layers: Module) -> None:
        if not layers:
            raise ValueError("layers: expected at least one, got none")
        for layer in layers:
            if not isinstance(layer, Module) or isinstance(layer, _Cell):
                raise TypeError(f"layers: expected layers over sequences or single values, got {shown(layer)}")
        self._layers = layers
        self._members = tuple(_flatten(layers))
        leaves = self.leaves()
        if len({id(leaf._parameters) for leaf in leaves}) < len(leaves):
            raise ValueError("layers: expected different layers, got one with parameters twice")
        if len({leaf.dtype for leaf in leaves}) > 1:
            raise TypeError(f"layers: expected one dtype, got {', '.join(leaf.dtype.name for leaf in leaves)}")
        kinds = [type(layer) for _, layer in self._members]
        recurrent = [issubclass(kind, _Recurrent) for kind in kinds]
        if Last in kinds and any(recurrent[kinds.index(Last) :]):
            names = ", ".join(kind.__name__ for kind in kinds)
            raise ValueError(f"layers: expected nothing recurrent after Last, which leaves no time axis, got {names}")
        if Last in kinds and any(getattr(layer, "batch_first", False) for _, layer in self._members):
            raise ValueError("layers: expected time-major ones before Last, which takes (T, B, F), not batch_first")
        check_features([layer for _, layer in self._members])
        self._state_count = sum(recurrent)
        self._first = next((i for i, (_, layer) in enumerate(self._members) if layer.leaves()), len(self._members))

    def __call__(self, x: Array, lengths: Array | None = None) -> Array:
        """X -> y; without dropout, from states of zeros. `lengths` is for the recurrent members and Last."""
        return self.run(x, None, lengths)[0]

    def run(self, x: Array, state: States = None, lengths: Array | None = None) -> tuple[Array, list[State]]:
        """X -> y and the final states; without dropout, keeping nothing.

        Args:
            x: what the first member takes.
            state: the initial one of each recurrent member, in a list.
            lengths: (B,) integers in 0..T, for the recurrent members and Last.
        """
        initial = iter(self._check_state("state", state))
        final = []
        y: Any = x
        table = self._table(x)
        for _, layer in self._members[table is not None :]:
            if isinstance(layer, _Recurrent):
                y, h = layer._call(y, next(initial), lengths, None, table)
                final.append(h)
                table = None
            elif isinstance(layer, Last):
                y = layer(y, lengths=lengths)
            else:
                y = layer(y)
        return y, final

    def forward(
        self, x: Array, state: States = None, lengths: Array | None = None, rng: Seed = None
    ) -> tuple[Array, SequentialTape]:
        """X -> y and the tape, `tape.state` the final states.

        Args:
            x, state, lengths: as for `run`.
            rng: where dropout's masks come from, drawn member after member from one generator; needed if there is any.
        """
        initial = iter(self._check_state("state", state))
        versions = self._versions()
        rng = None if rng is None else check_rng("rng", rng)
        tapes: list[Any] = []
        final: list[State] = []
        y: Any = x
        tape: Any
        table = self._table(x)
        if table is not None:
            tapes.append(None)  # what Embedding.backward would need, the recurrent layer does
        for _, layer in self._members[table is not None :]:
            if isinstance(layer, _Recurrent):
                y, h, tape = layer._forward(y, next(initial), lengths, rng, table)
                final.append(h)
                table = None
            elif isinstance(layer, Last):
                y, tape = layer.forward(y, lengths=lengths)
            elif isinstance(layer, Dropout):
                y, tape = layer.forward(y, rng=rng)
            else:
                y, tape = layer.forward(y)
            tapes.append(tape)
        return y, SequentialTape(self._members, tapes, final, versions)

    def backward(
        self,
        tape: SequentialTape,
        dy: Array | None,
        dstate: States = None,
        *,
        need_dx: bool = True,
        grads: Mapping[str, Array] | None = None,
        retain: bool = False,
    ) -> Array | None:
        """Back through the members, last to first. `tape.dstate` is the gradient of the initial states afterwards.

        Args:
            tape: from `forward`; it serves once, unless `retain` is set.
            dy: gradient of y, of its shape; None for zeros, if the last member is recurrent.
            dstate: gradients of the final states, like `tape.state`.
            need_dx: whether to compute the gradient of x.
            grads: what the gradients of the parameters are added to, by the names of `params`; the members' own if
                None.
            retain: keep the tape for another backward.

        Returns:
            The gradient of x; None without need_dx, and if x was tokens.

        Raises:
            RuntimeError: the tape is of another model, has been consumed, or is from before the weights changed.
            TypeError, ValueError: a gradient has a wrong dtype or shape. Nothing is changed then.
            KeyboardInterrupt: Ctrl-C; the last members' gradients may have been added then.
        """
        self._check_tape(tape)
        given = self._check_state("dstate", dstate)
        for like, gradient in zip(tape.state, given, strict=True):
            _check_gradient(gradient, like)
        need_dx, retain = check_flag("need_dx", need_dx), check_flag("retain", retain)
        _check_arrays("grads", self.grads if grads is None else grads, self.params)
        after, before = iter(reversed(given)), []
        dx: Any = dy
        for i in reversed(range(0 if need_dx else self._first, len(self._members))):
            prefix, layer = self._members[i]
            own = None if grads is None else {name: grads[prefix + name] for name in layer.params}
            below = need_dx or i > self._first
            if isinstance(layer, _Recurrent):
                dx, dprevious = layer.backward(tape.tapes[i], dx, next(after), need_dx=below, grads=own, retain=retain)
                before.append(dprevious)
            elif tape.tapes[i] is None:
                if layer.padding_idx is not None:
                    dx[layer.padding_idx] = 0
                with np.errstate(all="ignore"):
                    (layer.grads if own is None else own)["weight"] += dx
                dx = None
            else:
                dx = layer.backward(tape.tapes[i], dx, need_dx=below, grads=own, retain=retain)
        tape.dstate = before[::-1]
        if not retain:
            tape.consumed = True
            tape.tapes.clear()
        return dx if need_dx else None

    def _table(self, x: Array) -> Array | None:
        """The vectors of an Embedding before a recurrent layer, if projecting each once is less work than by token.

        So it is where tokens come more than once on average: the products with W_ih, there and back, are then over the
        table's rows instead of x's. Forward, the numbers are the same to the bit.
        """
        layers = [layer for _, layer in self._members[:2]]
        if len(layers) < 2 or not isinstance(layers[0], Embedding) or not isinstance(layers[1], _Recurrent):
            return None
        few = (
            isinstance(x, np.ndarray)
            and x.dtype.kind in "iu"
            and x.ndim in {1, 2}
            and x.size >= len(layers[0].params["weight"])
        )
        if not few or layers[0].embedding_dim != layers[1].input_size:
            return None
        return layers[0]._parameters.snapshot()["weight"]

    def _check_state(self, name: str, state: States) -> Sequence[State]:
        if state is None:
            return [None] * self._state_count
        if not isinstance(state, (list, tuple)):
            raise TypeError(f"{name}: expected a list, one for each recurrent member, got {type(state).__name__}")
        if len(state) != self._state_count:
            raise ValueError(
                f"{name}: expected one for each of {self._state_count} recurrent members, got {len(state)}"
            )
        return state

    def _check_tape(self, tape: SequentialTape) -> None:
        if not isinstance(tape, SequentialTape):
            raise TypeError(f"tape: expected the tape of a forward call of this model, got {type(tape).__name__}")
        if tape.members is not self._members:
            raise RuntimeError("tape: expected one of this model, got one of another")
        if tape.consumed:
            raise RuntimeError("tape: expected an unused one, got one that backward has consumed; retain=True keeps it")

        if tape.versions != self._versions():
            raise RuntimeError("tape: expected one made with the present weights, got one from before they changed")

    def _versions(self) -> list[int]:
        return [leaf._parameters.version for leaf in self.leaves()]

    @property
    def params(self) -> Mapping[str, Array]:
        """The members' parameters under their prefixed names: read-only views."""
        return self._named("params")

    @property
    def grads(self) -> Mapping[str, Array]:  # type: ignore[override]
        """The members' gradients under their prefixed names: their own arrays, to be changed in place."""
        return self._named("grads")

    def _named(self, what: str) -> Mapping[str, Array]:
        pairs = ((prefix, getattr(layer, what)) for prefix, layer in self._members)
        return MappingProxyType({prefix + name: value for prefix, arrays in pairs for name, value in arrays.items()})

    def leaves(self) -> list[Module]:
        """The members with parameters of their own, in order."""
        return [leaf for _, layer in self._members for leaf in layer.leaves()]

    def state_dict(self) -> dict[str, Array]:
        """Copies of the parameters by name."""
        return {prefix + name: value for prefix, layer in self._members for name, value in layer.state_dict().items()}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Takes over all parameters, once all of them have been checked.

        Raises:
            TypeError: an array isn't one, or not of the model's dtype.
            ValueError: a name is missing or unknown, or a shape is wrong. Nothing is changed then.
        """
        _check_arrays("state_dict", state, self.params)
        load_all((layer, {name: state[prefix + name] for name in layer.params}) for prefix, layer in self._members)

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._layers)

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Module:
        chosen = self._layers[index]
        return Sequential(*chosen) if isinstance(chosen, tuple) else chosen

    def __repr__(self) -> str:
        lines = "".join(f"{layer!r},\n" for layer in self._layers)
        return "Sequential(\n" + "".join(f"    {line}\n" for line in lines.splitlines()) + ")"

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def as_model(model: Any) -> Any:
    """A layer as a Sequential of itself; a model, which has `forward`, `backward` and `run` like one, as it is."""
    if isinstance(model, Module) and not isinstance(model, Sequential):
        return Sequential(model)
    if not all(callable(getattr(model, name, None)) for name in ("forward", "backward", "run")):
        raise TypeError(f"model: expected a layer or a Sequential, got {shown(model)}")
    return model


def _flatten(layers: Sequence[Module]) -> Iterator[tuple[str, Any]]:
    """Every layer, those of a Sequential within instead of itself, with the prefix of its parameters' names."""
    for i, layer in enumerate(layers):
        if isinstance(layer, Sequential):
            yield from ((f"{i}.{prefix}", member) for prefix, member in layer._members)
        else:
            yield f"{i}.", layer


def _check_gradient(gradient: State, like: State) -> None:
    """One member's dstate: None, or an array like its state; of an LSTM, None or a pair of such."""
    if gradient is None:
        return
    if isinstance(like, tuple):
        if not isinstance(gradient, (list, tuple)) or len(gradient) != len(like):
            raise TypeError(f"dstate: expected a pair (dh_n, dc_n) for an LSTM, got {shown(gradient)}")
        for one, array in zip(gradient, like, strict=True):
            _check_gradient(one, array)
        return
    check_array("dstate", gradient, like.dtype)
    if gradient.shape != like.shape:
        raise ValueError(f"dstate: expected the state's shape {like.shape}, got {gradient.shape}")


def _check_arrays(what: str, given: Mapping[str, Array], params: Mapping[str, Array]) -> None:
    """Arrays by exactly the parameters' names, of their dtype and shapes; to be written to, if they are gradients."""
    if not hasattr(given, "keys"):
        raise TypeError(f"{what}: expected a dict of arrays by the parameters' names, got {type(given).__name__}")
    missing = ["no " + name for name in params if name not in given]
    surplus = ["also " + shown(name) for name in given if name not in params]
    if missing or surplus:
        raise ValueError(f"{what}: expected the names of the parameters, got {', '.join(missing + surplus)}")
    for name, like in params.items():
        array = given[name]
        check_array(name, array, like.dtype)
        if array.shape != like.shape:
            raise ValueError(f"{name}: expected {like.shape}, got {array.shape}")
        flags = array.flags
        if what == "grads" and not (flags.writeable and flags.c_contiguous and flags.aligned):
            kind = "one of other strides" if flags.writeable else "a read-only one"
            raise ValueError(f"grads['{name}']: expected a writeable C-contiguous array, got {kind}")
