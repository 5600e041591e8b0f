"""Attention: what a decoder's queries take from a memory, and what a whole sequence comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import _core
from ._attend import attend, attend_back, by_layout, by_sequence, product, within
from ._checks import check_array, check_dtype, check_flag, check_lengths, check_rng, check_size, shown
from ._quiet import quiet
from ._tapes import PartsTape, check_tape, versions_of
from .composite import Composite, check_arrays
from .linear import Linear
from .module import Module

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .module import Array
    from .recurrent import Seed

F32 = np.dtype(np.float32)


class AttentionTape(PartsTape):
    """What `forward` of an attention keeps; `weights` is what it attended to."""

    __slots__ = ("weights",)

    weights: Array


class Attending(Composite):
    """What both have in common: named parts, options that stay, and tapes."""

    kind: str
    dtype: np.dtype[Any]
    _parts_key: object

    __repr__ = Module.__repr__

    def _attribute_names(self) -> set[str]:
        return {*super()._attribute_names(), "hidden", "memory", "query", "score"}

    def _check_options(self, kind: object, kinds: tuple[str, ...], hidden_size: object, default: int) -> int | None:
        """How many features scores are computed from, where that is to be chosen."""
        expected = ", ".join(map(repr, kinds[:-1])) + f" or {kinds[-1]!r}"
        if not isinstance(kind, str):
            raise TypeError(f"kind: expected {expected}, got {shown(kind)}")
        if kind not in kinds:
            raise ValueError(f"kind: expected {expected}, got {shown(kind)}")
        self.kind = kind
        if kind == "additive":
            return default if hidden_size is None else check_size("hidden_size", hidden_size)
        if hidden_size is not None:
            raise ValueError(f"hidden_size: expected None, as only kind='additive' has it, got {shown(hidden_size)}")
        return None

    def _check_backward(self, tape: Any, grads: Mapping[str, Array] | None, **flags: object) -> None:
        check_tape(tape, AttentionTape, self._parts_key, versions_of(self.leaves()), "layer")
        for name, value in flags.items():
            check_flag(name, value)
        if grads is not None:
            check_arrays("grads", grads, self.params)

    def _check_gradient(self, name: str, gradient: Array, shape: tuple[int, ...]) -> Array:
        gradient = check_array(name, gradient, self.dtype)
        if gradient.shape != shape:
            raise ValueError(f"{name}: expected {shape}, got {gradient.shape}")
        return gradient


class AttentionPooling(Attending):
    """What a sequence comes to, for many-to-one: the mean of its steps, weighted by a learned score.

        y = Σ α_t x_t        α = softmax(e), over the steps of the sequence
        e_t = score · tanh(hidden x_t + b)      kind "additive" (Bahdanau, Cho & Bengio 2015; Yang et al. 2016)
        e_t = score · x_t                       kind "dot" (Luong, Pham & Manning 2015)
        e_t = score · x_t / √features           kind "scaled_dot" (Vaswani et al. 2017)

    In a `Sequential` it takes the place of `Last`.

    Args:
        features: F of x.
        kind: how scores are computed, as above.
        hidden_size: rows of `hidden`; None is F. Only additive scores have it.
        batch_first: x is (B, T, F).
        dtype: float32 or float64.
        seed: of the weights, drawn as those of a `Linear`.

    Parameters: score.weight (1, hidden_size or features), and of an additive one hidden.weight (hidden_size, features)
    and hidden.bias.
    """

    _options: ClassVar[Mapping[str, object]] = {
        "features": ...,
        "kind": "additive",
        "hidden_size": None,
        "batch_first": False,
        "dtype": F32,
    }

    def __init__(
        self,
        features: int,
        kind: str = "additive",
        hidden_size: int | None = None,
        batch_first: bool = False,
        dtype: object = np.float32,
        seed: Seed = None,
    ) -> None:
        super().__init__()
        self.features = check_size("features", features)
        self.hidden_size = self._check_options(kind, ("additive", "dot", "scaled_dot"), hidden_size, self.features)
        self.batch_first = check_flag("batch_first", batch_first)
        self.dtype = check_dtype(dtype)
        rng = check_rng("seed", seed)
        if self.hidden_size is not None:
            self.hidden = Linear(self.features, self.hidden_size, dtype=self.dtype, seed=rng)
        self.score = Linear(self.hidden_size or self.features, 1, bias=False, dtype=self.dtype, seed=rng)
        self._scale = self.features**-0.5 if kind == "scaled_dot" else 1.0
        self._parts_key = object()

    def __call__(self, x: Array, *, lengths: Array | None = None) -> Array:
        """X (T, B, F), with `batch_first` (B, T, F), or (T, F) -> y (B, F) or (F,).

        Args:
            x: the sequences; T isn't 0 without lengths. What stands beyond a sequence's end is never read.
            lengths: (B,) integers in 0..T; y is zeros for length 0.
        """
        return self.forward(x, lengths=lengths)[0]

    @quiet
    def forward(self, x: Array, *, lengths: Array | None = None) -> tuple[Array, AttentionTape]:
        """The same, and the tape for `backward`; `tape.weights` is α, (T, B) as x is, 0 beyond an end."""
        versions = versions_of(self.leaves())
        x = check_array("x", x, self.dtype)
        if x.ndim not in {2, 3} or x.shape[-1] != self.features:
            expected = f"({'B, T' if self.batch_first else 'T, B'}, F) or (T, F), F = {self.features}"
            raise ValueError(f"x: expected {expected}, got {x.shape}")
        steps = by_sequence(x, self.batch_first)
        if lengths is None and not steps.shape[1]:
            raise ValueError(f"x: expected at least one step, got {x.shape}")
        if lengths is not None:
            lengths = check_lengths(lengths, steps.shape[1], *([len(steps)] if x.ndim == 3 else []))
        steps, ends = within(steps, lengths)
        if steps is x or np.shares_memory(steps, x):
            steps = steps.copy()  # so that the tape outlives changes to x
        hidden_tape, hidden = None, steps
        if self.hidden_size is not None:
            hidden, hidden_tape = self.hidden.forward(steps)
            hidden = _core.tanh(hidden)
        scores, score_tape = self.score.forward(hidden)
        if self.kind == "scaled_dot":
            scores *= self.dtype.type(self._scale)
        y = np.zeros((len(steps), self.features), self.dtype)
        weights = np.zeros(steps.shape[:2], self.dtype)
        for b, end in enumerate(ends):
            if end:
                weights[b : b + 1, :end], y[b : b + 1] = attend(scores[b, :end].T, steps[b, :end])
        kept = x.shape, steps, ends, hidden, hidden_tape, score_tape, weights
        tape = AttentionTape(self._parts_key, versions, kept)
        batched = x.ndim == 3
        tape.weights = weights[0] if not batched else weights if self.batch_first else weights.T.copy()
        return y if batched else y[0], tape

    @quiet
    def backward(
        self,
        tape: AttentionTape,
        dy: Array,
        *,
        need_dx: bool = True,
        grads: Mapping[str, Array] | None = None,
        retain: bool = False,
    ) -> Array | None:
        """From dy, of y's shape, the gradient of x (None without need_dx), exactly 0 beyond a sequence's end.

        Adds to `grads` or `self.grads`. Raises what a recurrent layer's does.
        """
        self._check_backward(tape, grads, need_dx=need_dx, retain=retain)
        shape, steps, ends, hidden, hidden_tape, score_tape, weights = tape.kept
        batched = len(shape) == 3
        dy = self._check_gradient("dy", dy, (len(steps), self.features) if batched else (self.features,))
        dy = dy.reshape(-1, self.features)
        dx, dscores = np.zeros_like(steps), np.zeros((*steps.shape[:2], 1), self.dtype)
        for b, end in enumerate(ends):
            if end:
                dscore, dx[b, :end] = attend_back(weights[b : b + 1, :end], steps[b, :end], dy[b : b + 1], None)
                dscores[b, :end, 0] = dscore[0]
        if self.kind == "scaled_dot":
            dscores *= self.dtype.type(self._scale)
        direct = hidden_tape is None
        own = self.grads_of("score", grads)
        dhidden = self.score.backward(score_tape, dscores, need_dx=need_dx or not direct, grads=own, retain=retain)
        if not direct:
            dhidden *= 1 - hidden * hidden
            own = self.grads_of("hidden", grads)
            dhidden = self.hidden.backward(hidden_tape, dhidden, need_dx=need_dx, grads=own, retain=retain)
        tape.done(retain)
        if not need_dx:
            return None
        dx += dhidden
        return by_layout(dx, self.batch_first, batched)


class Attention(Attending):
    """What queries, such as a decoder's states, take from a memory, such as an encoder's outputs.

        context = Σ_s α_s m_s        α = softmax(e) over the steps s of the memory
        e_s = score · tanh(query q + memory m_s + b)    kind "additive" (Bahdanau, Cho & Bengio 2015)
        e_s = q · m_s                                   kind "dot" (Luong, Pham & Manning 2015)
        e_s = q · m_s / √query_size                     kind "scaled_dot" (Vaswani et al. 2017)
        e_s = (query q) · m_s                           kind "general" (Luong, Pham & Manning 2015)

    Args:
        query_size: Q, features of a query.
        memory_size: M, features of memory; the two dot products need M = Q.
        kind: how scores are computed, as above.
        hidden_size: rows of `query` and `memory` in additive scores; None is Q.
        batch_first: queries are (B, Tq, Q) and memory (B, Tk, M).
        dtype: float32 or float64.
        seed: of the weights, drawn as those of a `Linear`.

    Parameters: of an additive one query.weight (hidden_size, Q), memory.weight (hidden_size, M), memory.bias and
    score.weight (1, hidden_size); of a general one query.weight (M, Q); of the others none.
    """

    _options: ClassVar[Mapping[str, object]] = {
        "query_size": ...,
        "memory_size": ...,
        "kind": "additive",
        "hidden_size": None,
        "batch_first": False,
        "dtype": F32,
    }

    def __init__(
        self,
        query_size: int,
        memory_size: int,
        kind: str = "additive",
        hidden_size: int | None = None,
        batch_first: bool = False,
        dtype: object = np.float32,
        seed: Seed = None,
    ) -> None:
        super().__init__()
        self.query_size = check_size("query_size", query_size)
        self.memory_size = check_size("memory_size", memory_size)
        kinds = ("additive", "dot", "scaled_dot", "general")
        self.hidden_size = self._check_options(kind, kinds, hidden_size, self.query_size)
        if kind in {"dot", "scaled_dot"} and self.memory_size != self.query_size:
            raise ValueError(
                f"memory_size: expected query_size = {self.query_size}, as kind={kind!r} multiplies the two, got "
                f"{self.memory_size}"
            )
        self.batch_first = check_flag("batch_first", batch_first)
        self.dtype = check_dtype(dtype)
        rng = check_rng("seed", seed)
        if self.hidden_size is not None:
            self.query = Linear(self.query_size, self.hidden_size, bias=False, dtype=self.dtype, seed=rng)
            self.memory = Linear(self.memory_size, self.hidden_size, dtype=self.dtype, seed=rng)
            self.score = Linear(self.hidden_size, 1, bias=False, dtype=self.dtype, seed=rng)
        elif kind == "general":
            self.query = Linear(self.query_size, self.memory_size, bias=False, dtype=self.dtype, seed=rng)
        self._parts_key = object()

    def __call__(self, queries: Array, memory: Array, *, lengths: Array | None = None) -> tuple[Array, Array]:
        """The context of each query, and what it attended to.

        Args:
            queries: (Tq, B, Q), with `batch_first` (B, Tq, Q), or (Tq, Q).
            memory: (Tk, B, M), (B, Tk, M) or (Tk, M). What stands beyond a sequence's end is never read.
            lengths: (B,) integers in 0..Tk, how many steps each memory has; None for Tk. For length 0 all is zeros.

        Returns:
            context (Tq, B, M) and weights (Tq, B, Tk), laid out as the queries; weights beyond an end are exactly 0.
        """
        context, weights, _ = self.forward(queries, memory, lengths=lengths)
        return context, weights

    def forward(
        self, queries: Array, memory: Array, *, lengths: Array | None = None
    ) -> tuple[Array, Array, AttentionTape]:
        """The same, and the tape for `backward`."""
        return self._attend(queries, self._remember(memory, lengths), taped=True)

    def _remember(self, memory: Array, lengths: Array | None) -> Any:
        """What is computed of a memory once, for however many queries."""
        memory = check_array("memory", memory, self.dtype)
        if memory.ndim not in {2, 3} or memory.shape[-1] != self.memory_size:
            raise ValueError(f"memory: expected {self._expected('Tk', 'M', self.memory_size)}, got {memory.shape}")
        steps = by_sequence(memory, self.batch_first)
        if lengths is not None:
            lengths = check_lengths(lengths, steps.shape[1], *([len(steps)] if memory.ndim == 3 else []))
        steps, ends = within(steps, lengths)
        if np.shares_memory(steps, memory):
            steps = steps.copy()  # so that the tape outlives changes to it
        keys, tape = (steps, None) if self.kind != "additive" else self.memory.forward(steps)
        return memory.ndim, steps, ends, keys, tape, versions_of(self.leaves())

    @quiet
    def _attend(
        self,
        queries: Array,
        remembered: Any,
        taped: bool = False,
    ) -> tuple[Array, Array, Any]:
        ndim, steps, ends, keys, keys_tape, versions = remembered
        queries = check_array("queries", queries, self.dtype)
        if queries.ndim != ndim or queries.shape[-1] != self.query_size:
            raise ValueError(f"queries: expected {self._expected('Tq', 'Q', self.query_size)}, got {queries.shape}")
        asked = by_sequence(queries, self.batch_first)
        if len(asked) != len(steps):
            raise ValueError(f"queries: expected memory's batch of {len(steps)}, got {len(asked)} in {queries.shape}")
        query_tape = None
        if self.kind in {"additive", "general"}:
            asked, query_tape = self.query.forward(asked)
        elif taped and np.shares_memory(asked, queries):
            asked = asked.copy()
        context = np.zeros((*asked.shape[:2], self.memory_size), self.dtype)
        weights = np.zeros((*asked.shape[:2], steps.shape[1]), self.dtype)
        hidden: list[Any] = []
        for b, end in enumerate(ends):
            if not end:
                hidden.append(None)
                continue
            scores, own = self._scores(asked[b], keys[b, :end])
            hidden.append(own if taped else None)
            weights[b, :, :end], context[b] = attend(scores, steps[b, :end])
        kept = queries.shape, ndim, asked, query_tape, steps, ends, keys, keys_tape, hidden, weights
        tape = AttentionTape(self._parts_key, versions, kept) if taped else None
        out = by_layout(weights, self.batch_first, ndim == 3)
        if tape is not None:
            tape.weights = out
        return by_layout(context, self.batch_first, ndim == 3), out, tape

    def _scores(self, asked: Array, keys: Array) -> tuple[Array, Any]:
        """Of one sequence, (Tq, end); and, of additive ones, tanh(…), (Tq, end, hidden_size)."""
        if self.kind == "additive":
            hidden = _core.tanh(asked[:, None] + keys)
            return self.score(hidden)[..., 0], hidden
        scores = product(asked, keys)
        if self.kind == "scaled_dot":
            scores *= self.dtype.type(self.query_size**-0.5)
        return scores, None

    @quiet
    def backward(
        self,
        tape: AttentionTape,
        dcontext: Array | None,
        dweights: Array | None = None,
        *,
        need_dx: bool = True,
        grads: Mapping[str, Array] | None = None,
        retain: bool = False,
    ) -> tuple[Array | None, Array | None]:
        """The gradients of queries and memory (None without need_dx) from those of context and weights.

        A gradient of None is zeros. Memory's is exactly 0 beyond an end. Adds to `grads` or `self.grads`. Raises what a
        recurrent layer's does.
        """
        self._check_backward(tape, grads, need_dx=need_dx, retain=retain)
        shape, ndim, asked, query_tape, steps, ends, keys, keys_tape, hidden, weights = tape.kept
        leading = shape[:-1]
        if dcontext is None:
            dcontext = np.zeros((*leading, self.memory_size), self.dtype)
        dcontext = self._check_gradient("dcontext", dcontext, (*leading, self.memory_size))
        dcontext = by_sequence(dcontext, self.batch_first)
        if dweights is not None:
            dweights = self._check_gradient("dweights", dweights, (*leading, steps.shape[1]))
            dweights = by_sequence(dweights, self.batch_first)
        dasked, dkeys, dmemory = np.zeros_like(asked), np.zeros_like(keys), np.zeros_like(steps)
        score_grads = self.grads_of("score", grads)
        for b, end in enumerate(ends):
            if end:
                along = None if dweights is None else dweights[b, :, :end]
                dscores, dmemory[b, :end] = attend_back(weights[b, :, :end], steps[b, :end], dcontext[b], along)
                dasked[b], dkeys[b, :end] = self._scores_back(asked[b], keys[b, :end], hidden[b], dscores, score_grads)
        dqueries, dkeys = self._project_back(dasked, dkeys, query_tape, keys_tape, need_dx, grads, retain)
        tape.done(retain)
        if not need_dx:
            return None, None
        dmemory += dkeys
        batched = ndim == 3
        return by_layout(dqueries, self.batch_first, batched), by_layout(dmemory, self.batch_first, batched)

    def _scores_back(
        self, asked: Array, keys: Array, hidden: Any, dscores: Array, grads: dict[str, Array] | None
    ) -> tuple[Array, Array]:
        if self.kind == "additive":
            _, tape = self.score.forward(hidden)  # a row of products: less than to keep a second copy of hidden
            slopes: Any = self.score.backward(tape, dscores[..., None], grads=grads)
            slopes *= 1 - hidden * hidden
            return np.add.reduce(slopes, axis=1), np.add.reduce(slopes, axis=0)
        if self.kind == "scaled_dot":
            dscores = dscores * self.dtype.type(self.query_size**-0.5)
        return product(dscores, keys.T), product(dscores.T, asked.T)

    def _project_back(
        self,
        dasked: Array,
        dkeys: Array,
        query_tape: Any,
        keys_tape: Any,
        need_dx: bool,
        grads: Mapping[str, Array] | None,
        retain: bool,
    ) -> tuple[Any, Any]:
        options = {"need_dx": need_dx, "retain": retain}
        dqueries: Any = dasked
        dsteps: Any = dkeys
        if query_tape is not None:
            dqueries = self.query.backward(query_tape, dasked, grads=self.grads_of("query", grads), **options)
        if keys_tape is not None:
            dsteps = self.memory.backward(keys_tape, dkeys, grads=self.grads_of("memory", grads), **options)
        return dqueries, dsteps

    def _expected(self, steps: str, letter: str, size: int) -> str:
        first = f"(B, {steps}" if self.batch_first else f"({steps}, B"
        return f"{first}, {letter}) or ({steps}, {letter}), both or neither with B, {letter} = {size}"
