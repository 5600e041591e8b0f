"""Parallel: several layers of one input, joined or as several heads."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ._branches import as_branch, branch_grads
from ._checks import check_array, check_flag, check_rng, shown
from ._members import batch_first_of, check_kind, check_parameters
from ._own_layer import as_member
from ._quiet import quiet
from ._tapes import PartsTape, check_tape, versions_of
from .composite import Composite, check_arrays

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .module import Array
    from .recurrent import Seed
    from .sequential import States

JOINS = ("concat", "sum", "tuple")


class ParallelTape(PartsTape):
    """What `Parallel.forward` keeps for `backward`: the branches' tapes, and their outputs' shapes."""

    __slots__ = ()


class Parallel(Composite):
    """Several layers of the same x, whose outputs are joined: two views of a sequence, or several heads.

    States are one list for all recurrent members, branch after branch. Parameters have the layers' numbers in front:
    "0.weight", "1.0.weight_ih_l0" of a `Sequential` within. `len`, iteration and `model[i]` give the layers.

    Args:
        *layers: at least one, such as a `Sequential` may have, with states or without, all of one dtype; two of them
            may share layers. A `Last` isn't told what is before the Parallel: after a bidirectional layer it is to be
            told `bidirectional`.
        join: "concat" puts their outputs in a row, along the last axis; "sum" adds them; "tuple" returns a tuple with
            one for each, several heads, and `backward` takes one.

    Raises:
        TypeError, ValueError: for layers that don't go together, or another join.

    Example:
        Two heads, with a loss that returns a pair of gradients:

        >>> heads = recurra.Parallel(recurra.Linear(16, 5, seed=1), recurra.Linear(16, 3, seed=2), join="tuple")
        >>> tagger = recurra.Sequential(recurra.Embedding(50, 8, seed=0), recurra.GRU(8, 16, seed=0), heads)
        >>> def loss(y, targets):
        ...     (one, first), (two, second) = map(recurra.cross_entropy, y, targets)
        ...     return one + two, (first, second)
        >>> words = np.arange(12).reshape(6, 2)  # (T, B)
        >>> one, two = tagger(words)
        >>> one.shape, two.shape
        ((6, 2, 5), (6, 2, 3))
        >>> history = recurra.fit(tagger, [(words, (words % 5, words % 3))], loss, recurra.Adam(tagger))
        >>> round(history.losses[0], 1)  # log 5 + log 3 is 2.7
        2.8
    """

    def __init__(self, *layers: Any, join: str = "concat") -> None:
        super().__init__()
        if not isinstance(join, str):
            raise TypeError(f"join: expected 'concat', 'sum' or 'tuple', got {shown(join)}")
        if join not in JOINS:
            raise ValueError(f"join: expected 'concat', 'sum' or 'tuple', got {shown(join)}")
        if not layers:
            raise ValueError("layers: expected at least one, got none")
        for layer in layers:
            check_kind(layer)
        self._layers, self._join = layers, join
        self._branches = tuple(as_branch(layer) for layer in layers)
        check_parameters(self._branches)
        self._batch_first = batch_first_of(self._branches)
        counts = [branch._state_count for branch in self._branches]
        ends = np.cumsum([0, *counts]).tolist()
        self._places = [slice(*pair) for pair in pairwise(ends)]
        self._state_count = ends[-1]

    @property
    def join(self) -> str:
        """How outputs are joined: "concat", "sum" or "tuple"."""
        return self._join

    @property
    def batch_first(self) -> bool | None:
        """Whether sequences are (B, T, …); None if no layer says so or otherwise."""
        return self._batch_first

    def __call__(self, x: Any, *, lengths: Array | None = None, resets: Array | None = None) -> Any:
        """x -> y, joined; from the initial states, without dropout.

        Args:
            x: what each layer takes.
            lengths: (B,) integers in 0..T, steps of each sequence; None is T for all.
            resets: (T, B) of bool, laid out as x: before which steps the recurrent members' states become zero.

        Returns:
            One array, or with `join="tuple"` one for each layer.
        """
        return self.run(x, None, lengths=lengths, resets=resets)[0]

    def run(
        self, x: Any, state: States = None, *, lengths: Array | None = None, resets: Array | None = None
    ) -> tuple[Any, list[Any]]:
        """x -> y and the final states; without dropout, keeping nothing.

        Args:
            x: what each layer takes.
            state: the initial states, a list with one entry for each recurrent member, branch after branch; None, or
                None for one, is zeros, or what it has learned.
            lengths: (B,) integers in 0..T, steps of each sequence; None is T for all.
            resets: (T, B) of bool, laid out as x: before which steps the recurrent members' states become zero.

        Returns:
            y, joined, and the final states, a list like `state`.
        """
        states = self._check(x, state, lengths, resets)
        pairs = [
            branch.run(x, own, lengths=lengths, **({} if resets is None else {"resets": resets}))
            for branch, own in zip(self._branches, states, strict=True)
        ]
        return self._joined([y for y, _ in pairs]), [one for _, final in pairs for one in final]

    def forward(
        self,
        x: Any,
        state: States = None,
        *,
        lengths: Array | None = None,
        rng: Seed = None,
        resets: Array | None = None,
    ) -> tuple[Any, ParallelTape]:
        """x -> y and the tape for `backward`; with dropout.

        Args:
            x: what each layer takes.
            state: the initial states, as for `run`.
            lengths: (B,) integers in 0..T, steps of each sequence; None is T for all.
            rng: where dropout's masks come from, an integer or a generator, one branch's after another's; needed if
                there is dropout.
            resets: (T, B) of bool, before which steps states become zero.

        Returns:
            y, joined, and the tape; `tape.state` has the final states.
        """
        states = self._check(x, state, lengths, resets)
        for branch in self._branches:
            branch._arguments.check_rng(rng)
        versions = versions_of(self.leaves())
        options: dict[str, Any] = {} if rng is None else {"rng": check_rng("rng", rng)}
        options |= {} if resets is None else {"resets": resets}
        pairs = [
            branch.forward(x, own, lengths=lengths, **options)
            for branch, own in zip(self._branches, states, strict=True)
        ]
        outputs, tapes = [y for y, _ in pairs], [tape for _, tape in pairs]
        likes = [(y.shape, y.dtype) if isinstance(y, np.ndarray) else None for y in outputs]
        final = [one for tape in tapes for one in tape.state]
        return self._joined(outputs), ParallelTape(self._branches, versions, (tapes, likes), final)

    @quiet
    def backward(
        self,
        tape: ParallelTape,
        dy: Any,
        dstate: States = None,
        *,
        need_dx: bool = True,
        grads: Mapping[str, Array] | None = None,
        retain: bool = False,
    ) -> Any:
        """From dy the gradient of x, the sum of the branches'; `tape.dstate` is then that of the initial states.

        Args:
            tape: from `forward` of this model; it serves once, unless `retain` is set.
            dy: the gradient of y, of its shape; with `join="tuple"` a tuple or a list, whose entries may be None for
                zeros.
            dstate: gradients of the final states, like `tape.state`; None, or None for one, is zeros.
            need_dx: whether to compute the gradient of x.
            grads: what the gradients of the parameters are added to, arrays by the names of `params`; the layers' own
                if None.
            retain: keep the tape for another backward.

        Returns:
            The gradient of x; None without need_dx, and if x was tokens.

        Raises:
            RuntimeError: the tape is of another model, has been consumed, or is from before the weights changed.
            TypeError, ValueError: a gradient has a wrong dtype or shape. Nothing is changed then.
        """
        check_tape(tape, ParallelTape, self._branches, versions_of(self.leaves()), "model")
        need_dx, retain = check_flag("need_dx", need_dx), check_flag("retain", retain)
        if grads is not None:
            check_arrays("grads", grads, self.params)
        tapes, likes = tape.kept
        parts = self._parted(dy, likes)
        dstates = self._states("dstate", dstate)
        for branch, own, one in zip(self._branches, dstates, tapes, strict=True):
            branch._arguments.check_gradients(own, one.state)
        aliases = self._aliases()
        dx: Any = None
        for i, branch in enumerate(self._branches):
            own_grads = branch_grads(self._layers[i], branch, f"{i}.", grads, aliases)
            options: dict[str, Any] = {"need_dx": need_dx, "grads": own_grads, "retain": retain}
            one = branch.backward(tapes[i], parts[i], dstates[i], **options)
            dx = one if dx is None else dx if one is None else dx + one
        tape.dstate = [one for own in tapes for one in own.dstate]
        tape.done(retain)
        return dx if need_dx else None

    def _check(self, x: Any, state: States, lengths: Array | None, resets: Array | None) -> list[Any]:
        """The branches' states; raises what a branch would before the first one runs."""
        states = self._states("state", state)
        for branch, own in zip(self._branches, states, strict=True):
            branch._arguments.check(x, own, lengths, resets, ahead=True)
        return states

    def _states(self, name: str, state: States) -> list[Any]:
        if state is None:
            return [None] * len(self._branches)
        if not isinstance(state, (list, tuple)):
            raise TypeError(f"{name}: expected a list, one for each recurrent member, got {type(state).__name__}")
        if len(state) != self._state_count:
            raise ValueError(
                f"{name}: expected one for each of {self._state_count} recurrent members, got {len(state)}"
            )
        return [state[place] for place in self._places]

    def _joined(self, outputs: list[Any]) -> Any:
        if self._join == "tuple":
            return tuple(outputs)
        shapes = [np.shape(y) if isinstance(y, np.ndarray) else type(y).__name__ for y in outputs]
        alike = {shape[:-1] if self._join == "concat" else shape for shape in shapes}
        if len(alike) > 1 or any(isinstance(shape, str) for shape in shapes):
            what = "of the same shape, but for the last axis" if self._join == "concat" else "of one shape"
            raise ValueError(f"layers: expected outputs {what}, for join={self._join!r}, got {shapes}")
        if self._join == "concat":
            return np.concatenate(outputs, axis=-1)
        with np.errstate(all="ignore"):
            y = outputs[0].copy()
            for one in outputs[1:]:
                y += one
        return y

    def _parted(self, dy: Any, likes: list[Any]) -> list[Any]:
        """The gradient of each branch's output."""
        if dy is None:
            return [None if like is None else np.zeros(*like) for like in likes]
        if self._join != "tuple":
            shape, dtype = likes[0]
            if self._join == "concat":
                shape = (*shape[:-1], sum(own[-1] for own, _ in likes))
            dy = check_array("dy", dy, dtype)
            if dy.shape != shape:
                raise ValueError(f"dy: expected y's shape {shape}, got {dy.shape}")
            if self._join == "sum":
                return [dy] * len(likes)
            return np.split(dy, np.cumsum([own[-1] for own, _ in likes])[:-1].tolist(), axis=-1)
        if not isinstance(dy, (tuple, list)) or len(dy) != len(likes):
            got = f"{len(dy)}" if isinstance(dy, (tuple, list)) else shown(dy)
            raise TypeError(f"dy: expected a tuple of {len(likes)}, one for each output, got {got}")
        parts = []
        for i, (one, like) in enumerate(zip(dy, likes, strict=True)):
            if like is None:
                parts.append(one)
            elif one is None:
                parts.append(np.zeros(*like))
            else:
                parts.append(check_array(f"dy[{i}]", one, like[1]))
                if one.shape != like[0]:
                    raise ValueError(f"dy[{i}]: expected the output's shape {like[0]}, got {one.shape}")
        return parts

    def _parts(self) -> Iterator[tuple[str, Any]]:
        return ((f"{i}.", as_member(layer)) for i, layer in enumerate(self._layers))

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._layers)

    def __getitem__(self, index: int) -> Any:
        return self._layers[index]

    def __repr__(self) -> str:
        lines = "".join(f"{layer!r},\n" for layer in self._layers) + f"join={self._join!r},\n"
        return f"{type(self).__name__}(\n" + "".join(f"    {line}\n" for line in lines.splitlines()) + ")"
