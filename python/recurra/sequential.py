"""Sequential: layers one after another, as one model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np

from ._arguments import MODEL, PLAIN, RECURRENT, SOME, Arguments, kind_of, options_of
from ._checks import check_flag, check_rng, converter, shown
from ._members import (
    batch_first_of,
    check_features,
    check_kind,
    check_last,
    check_parameters,
    resolve_last,
)
from ._own_layer import as_member, is_layer
from ._tapes import PartsTape, check_tape, versions_of
from .composite import Composite, check_arrays
from .embedding import Embedding
from .recurrent import is_layer_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .module import Array, ArrayIn, NumbersIn
    from .recurrent import Seed, State

    States = Sequence[State] | None  # one for each member that has some; None, or None for one, is zeros


class SequentialTape(PartsTape):
    """What `Sequential.forward` keeps for `backward`: a tape for each member.

    Attributes:
        state: the final state of every recurrent member, a list.
        dstate: after `backward`, the gradient of the initial one of each.
    """

    __slots__ = ("beyond",)

    beyond: Array | None  # of a Residual: which positions are beyond their sequences' ends


class Sequential(Composite):
    """Layers one after another: x goes through them, each one's y being the next one's x.

    Members' parameters have their numbers in front: "0.weight_ih_l0", "1.weight", and, of a Sequential within,
    "2.0.weight". `params` and `grads` are read-only mappings of the members' own arrays. `len(model)`, iteration and
    `model[i]` give the layers; a slice is a Sequential that shares them.

    An `Embedding` with a recurrent layer after it, both first, is computed as one where x has at least as many tokens
    as the table has rows: W_ih meets every row once instead of every token. Outputs and states are the same bits as
    those of the members one by one; gradients are summed in another order, which is the same on every run.

    Of a subclass of a layer only its public methods are called. A subclass of Sequential within a Sequential is one
    member, whose state is a list.

    Args:
        *layers: at least one, of any kind, a Sequential or layers of your own included, but no cells and no formula's
            layer that needs `inputs`. All are of one dtype, none with parameters is there twice, though what they are
            made of may share some, which then have one name, the first's, and one gradient. All that have
            `batch_first`, `Last` included, agree on it, and nothing recurrent stands after a `Last` or an
            `AttentionPooling`. A `Last()` after a bidirectional layer, and layers that act element by element, becomes
            `Last(bidirectional=True)`; after one and something else between, such as a `Linear`, a `Last` is to be told
            `bidirectional`, and so it is after a layer with `reverse=True`, which ends at step 0.

    Raises:
        TypeError, ValueError: for layers that don't go together.

    Example:
        >>> model = recurra.Sequential(
        ...     recurra.GRU(3, 8, bidirectional=True, seed=0), recurra.Last(), recurra.Linear(16, 2, seed=1)
        ... )
        >>> x = np.zeros((5, 4, 3), np.float32)  # (T, B, features)
        >>> y, tape = model.forward(x, lengths=np.array([5, 3, 2, 4]))
        >>> y.shape, model.backward(tape, np.ones_like(y)).shape
        ((4, 2), (5, 4, 3))
        >>> list(model.grads)[-2:], model.grads["2.bias"]
        (['2.weight', '2.bias'], array([4., 4.], dtype=float32))
    """

    def __init__(self, *layers: Any) -> None:
        super().__init__()
        if not layers:
            raise ValueError("layers: expected at least one, got none")
        for layer in layers:
            check_kind(layer)
        resolved = resolve_last([layer for _, layer in _flatten(layers)])
        self._layers = _replaced(layers, resolved)
        check_parameters([layer for _, layer in _flatten(self._layers)])
        self._members = tuple((prefix, as_member(layer)) for prefix, layer in _flatten(self._layers))
        inside = [layer for _, layer in self._members]
        self._shared = super()._aliases()
        check_last(inside)
        check_features(inside)
        self._batch_first = batch_first_of(inside)
        self._arguments = Arguments(inside, self._batch_first)
        self._kinds = tuple((kind_of(layer), layer) for layer in inside)
        self._options_of = {i: options_of(layer) for i, (kind, layer) in enumerate(self._kinds) if kind == SOME}
        self._embeds = len(inside) > 1 and type(inside[0]) is Embedding and is_layer_type(type(inside[1]))
        self._first = next((i for i, layer in enumerate(inside) if layer.leaves()), len(inside))

    @property
    def _state_count(self) -> int:
        """How many members have states."""
        return len(self._arguments.stateful)

    def _aliases(self) -> Mapping[str, str]:
        return self._shared

    @property
    def batch_first(self) -> bool | None:
        """Whether sequences are (B, T, …); None if no member says so or otherwise."""
        return self._batch_first

    def __call__(self, x: ArrayIn, *, lengths: NumbersIn | None = None, resets: NumbersIn | None = None) -> Array:
        """x -> y, from the initial states; without dropout, keeping nothing.

        Args:
            x: what the first member takes: features (T, B, …), or (B, T, …) if the members are `batch_first`; or
                tokens.
            lengths: (B,) integers in 0..T, steps of each sequence, for the recurrent members and `Last`; None is T for
                all.
            resets: (T, B) of bool, laid out as x: before which steps the recurrent members' states become zero.

        Returns:
            What the last member returns.
        """
        if type(self).run is not Sequential.run:
            return self.run(x, None, lengths=lengths, **({} if resets is None else {"resets": resets}))[0]
        return self._run(x, None, lengths, resets, plain=True)[0]

    def run(
        self, x: ArrayIn, state: States = None, *, lengths: NumbersIn | None = None, resets: NumbersIn | None = None
    ) -> tuple[Array, list[State]]:
        """x -> y and the final states; without dropout, keeping nothing.

        Args:
            x: what the first member takes: features (T, B, …), or (B, T, …) if the members are `batch_first`; or
                tokens.
            state: the initial states, a list with one entry for each recurrent member, as that member takes it: h, or
                (h, c) of an LSTM. None, or None for one, is zeros, or what the member has learned (`learned_state`).
            lengths: (B,) integers in 0..T, steps of each sequence, for the recurrent members, `Last` and
                `AttentionPooling`; None is T for all.
            resets: (T, B) of bool, laid out as x: before which steps the recurrent members' states become zero.

        Returns:
            What the last member returns, and the final states, a list like `state`.

        Raises:
            TypeError, ValueError: an argument doesn't fit. States, lengths and resets are looked at before the first
                member runs.
        """
        return self._run(x, state, lengths, resets, plain=False)

    def _run(
        self, x: ArrayIn, state: States, lengths: NumbersIn | None, resets: NumbersIn | None, plain: bool
    ) -> tuple[Array, list[State]]:
        """With `plain`, members of your own are called without `run`, and their states are left out."""
        if type(x) is not np.ndarray:
            x = self._arguments.own(x)
        initial = iter(self._arguments.check(x, state, lengths, resets))
        options: dict[str, Any] = {} if lengths is None else {"lengths": lengths}  # members of your own may go without
        if resets is not None:
            options["resets"] = resets
        final: list[State] = []
        y: Any = x
        table = self._table(x)
        for i, (kind, layer) in enumerate(self._kinds):
            if i == 0 and table is not None:
                continue
            if table is not None:
                y, h = layer._call(y, next(initial), lengths, None, table, None, resets)
                final.append(h)
                table = None
            elif kind == PLAIN:
                y = layer(y)
            elif kind == RECURRENT:
                y, h = layer(y, next(initial), **options)
                final.append(h)
            elif kind == SOME:
                y = layer(y, **{name: options[name] for name in self._options_of[i][0] if name in options})
            elif plain:
                y = layer(y, **options)
            elif kind == MODEL:
                y, h = layer.run(y, next(initial), **options)
                final.append(h)
            else:
                y, _ = layer.run(y, None, **options)
        return y, final

    def forward(
        self,
        x: ArrayIn,
        state: States = None,
        *,
        lengths: NumbersIn | None = None,
        rng: Seed = None,
        resets: NumbersIn | None = None,
    ) -> tuple[Array, SequentialTape]:
        """x -> y and the tape for `backward`; with dropout.

        Args:
            x: as for `run`.
            state: the initial states, as for `run`.
            lengths: (B,) integers in 0..T, steps of each sequence; None is T for all.
            rng: where dropout's masks come from, an integer or a `numpy.random.Generator`, from which member after
                member draws; needed if there is any dropout, ignored else.
            resets: (T, B) of bool, before which steps states become zero.

        Returns:
            y and the tape; `tape.state` has the final states.

        Raises:
            TypeError, ValueError: an argument doesn't fit, or `rng` is missing.
        """
        if type(x) is not np.ndarray:
            x = self._arguments.own(x)
        initial = iter(self._arguments.check(x, state, lengths, resets))
        self._arguments.check_rng(rng)
        versions = self._versions()
        options: dict[str, Any] = {} if rng is None else {"rng": check_rng("rng", rng)}
        options |= ({} if lengths is None else {"lengths": lengths}) | ({} if resets is None else {"resets": resets})
        tapes: list[Any] = []
        final: list[State] = []
        y: Any = x
        tape: Any
        table = self._table(x)
        if table is not None:
            tapes.append(None)  # what Embedding.backward would need, the recurrent layer does
        for i, (kind, layer) in enumerate(self._kinds):
            if i == 0 and table is not None:
                continue
            if table is not None:
                y, h, tape = layer._forward(y, next(initial), lengths, options.get("rng"), table, None, resets)
                final.append(h)
                table = None
            elif kind == PLAIN:
                y, tape = layer.forward(y)
            elif kind == RECURRENT:
                y, h, tape = layer.forward(y, next(initial), **options)
                final.append(h)
            elif kind == SOME:
                own = {name: options[name] for name in self._options_of[i][1] if name in options}
                y, tape = layer.forward(y, **own)
            elif kind == MODEL:
                y, tape = layer.forward(y, next(initial), **options)
                final.append(tape.state)
            else:
                y, tape = layer.forward(y, None, **options)
            tapes.append(tape)
        return y, SequentialTape(self._members, versions, tapes, final)

    def backward(
        self,
        tape: SequentialTape,
        dy: ArrayIn | None,
        dstate: States = None,
        *,
        need_dx: bool = True,
        grads: Mapping[str, Array] | None = None,
        retain: bool = False,
    ) -> Array | None:
        """Back through the members, last to first; `tape.dstate` is then the gradient of the initial states, a list.

        Args:
            tape: from `forward` of this model; it serves once, unless `retain` is set.
            dy: gradient of y, of its shape and dtype; None for zeros, if the last member is recurrent.
            dstate: gradients of the final states, like `tape.state`; None, or None for one, is zeros.
            need_dx: whether to compute the gradient of x. Without it, nothing is computed for the layers before the
                first with parameters.
            grads: what the gradients of the parameters are added to, arrays by the names of `params`; the members' own
                if None.
            retain: keep the tape for another backward.

        Returns:
            The gradient of x; None without need_dx, and if x was tokens.

        Raises:
            RuntimeError: the tape is of another model, has been consumed, or is from before the weights changed.
            TypeError, ValueError: a gradient has a wrong dtype or shape. Nothing is changed then.
            KeyboardInterrupt, MemoryError: the last members' gradients may have been added, and their tapes consumed.

        Example:
            >>> model = recurra.Sequential(recurra.LSTM(3, 8, seed=0), recurra.Linear(8, 2, seed=1))
            >>> y, tape = model.forward(np.ones((5, 4, 3), np.float32))
            >>> dx = model.backward(tape, y)
            >>> [(dh0, dc0)] = tape.dstate  # one for each recurrent member
            >>> dx.shape, dh0.shape
            ((5, 4, 3), (1, 4, 8))
        """
        check_tape(tape, SequentialTape, self._members, self._versions(), "model")
        given = self._arguments.check_gradients(dstate, tape.state)
        need_dx, retain = check_flag("need_dx", need_dx), check_flag("retain", retain)
        check_arrays("grads", self.grads if grads is None else grads, self.params)
        after, before = iter(reversed(given)), []
        dx: Any = dy
        for i in reversed(range(0 if need_dx else self._first, len(self._members))):
            (prefix, layer), (kind, _) = self._members[i], self._kinds[i]
            own = None if grads is None else self._grads_of_member(prefix, layer, grads)
            options: dict[str, Any] = {"need_dx": need_dx or i > self._first, "grads": own, "retain": retain}
            if kind == RECURRENT:
                dx, dprevious = layer.backward(tape.kept[i], dx, next(after), **options)
                before.append(dprevious)
            elif i == 0 and tape.kept[i] is None and self._embeds:
                if layer.padding_idx is not None:
                    dx[layer.padding_idx] = 0
                with np.errstate(all="ignore"):
                    (layer.grads if own is None else own)["weight"] += dx
                dx = None
            elif kind == MODEL:
                dx = layer.backward(tape.kept[i], dx, next(after), **options)
                before.append(tape.kept[i].dstate)
            else:
                dx = layer.backward(tape.kept[i], dx, **options)
        tape.dstate = before[::-1]
        tape.done(retain)
        return dx if need_dx else None

    def _table(self, x: Any) -> Array | None:
        """The vectors of an Embedding before a recurrent layer, if projecting each once is less work than by token.

        So it is where tokens come more than once on average: the products with W_ih, there and back, are then over the
        table's rows instead of x's. Forward, the numbers are the same to the bit.
        A subclass may compute something else.
        """
        if not self._embeds or not isinstance(x, np.ndarray) or x.dtype.kind not in "iu" or x.ndim not in {1, 2}:
            return None
        embedding = self._members[0][1]
        if embedding.sparse:  # the gradient of a projected table is of all its rows
            return None
        return embedding._parameters.snapshot()["weight"] if x.size >= embedding.num_embeddings else None

    def _grads_of_member(self, prefix: str, layer: Any, grads: Mapping[str, Array]) -> dict[str, Array]:
        names = {name: prefix + name for name in layer.params}
        return {name: grads[self._shared.get(known, known)] for name, known in names.items()}

    def _versions(self) -> list[int]:
        return versions_of(self.leaves())

    def _parts(self) -> Iterator[tuple[str, Any]]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._layers)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Any:
        chosen = self._layers[index]
        return Sequential(*chosen) if isinstance(chosen, tuple) else chosen

    def __repr__(self) -> str:
        lines = "".join(f"{layer!r},\n" for layer in self._layers)
        return f"{type(self).__name__}(\n" + "".join(f"    {line}\n" for line in lines.splitlines()) + ")"


def as_model(model: Any) -> Any:
    """A layer as a Sequential of itself; a model, which has `forward`, `backward` and `run` like one, as it is."""
    methods = ("forward", "backward", "run")
    able = not isinstance(model, type) and all(callable(getattr(model, name, None)) for name in methods)
    if able and (hasattr(model, "zero_grad") or not is_layer(model)):
        return model
    if is_layer(model):
        return Sequential(model)
    raise TypeError(f"model: expected a layer or a Sequential, got {shown(model)}{converter(model)}")


def _flatten(layers: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Every layer, those of a Sequential within instead of itself, with the prefix of its parameters' names.

    Of a subclass of Sequential itself, as that may do something else with its layers.
    """
    for i, layer in enumerate(layers):
        if type(layer) is Sequential:
            yield from ((f"{i}.{prefix}", member) for prefix, member in layer._members)
        else:
            yield f"{i}.", layer


def _replaced(layers: Sequence[Any], resolved: Sequence[Any]) -> tuple[Any, ...]:
    """The layers with those of `resolved`, their flattened members, in the places of members that are other ones."""
    members, result = iter(resolved), []
    for layer in layers:
        if type(layer) is not Sequential:
            result.append(next(members))
            continue
        inside = [next(members) for _ in layer._members]
        same = all(one is member for one, (_, member) in zip(inside, layer._members, strict=True))
        result.append(layer if same else Sequential(*_replaced(layer._layers, inside)))
    return tuple(result)
