"""Attention: what a decoder's queries take from a memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from recurra import _core
from recurra._checks import all_taken, check_array, check_dtype, check_flag, check_lengths, check_rng, check_size
from recurra._quiet import quiet
from recurra._tapes import versions_of
from recurra.linear import Linear

from .base import Attending, AttentionTape
from .weighing import attend, attend_back, by_layout, by_sequence, product, within

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recurra.module import Array, ArrayIn, NumbersIn
    from recurra.recurrent import Seed

F32 = np.dtype(np.float32)


class Attention(Attending):
    """What queries, such as a decoder's states, take from a memory, such as an encoder's outputs.

    The context of each query q is the weighted mean of the memory's steps m_s::

        context = Σ_s α_s m_s        α = softmax(e), over the steps s of the memory
        e_s = score · tanh(query q + memory m_s + b)    kind "additive" (Bahdanau, Cho & Bengio 2015)
        e_s = q · m_s                                   kind "dot" (Luong, Pham & Manning 2015)
        e_s = q · m_s / √Q                              kind "scaled_dot" (Vaswani et al. 2017)
        e_s = (query q) · m_s                           kind "general" (Luong, Pham & Manning 2015)

    Parameters, drawn as a `Linear`'s: of an additive one query.weight (`hidden_size`, Q), memory.weight (`hidden_size`,
    M), memory.bias (`hidden_size`,) and score.weight (1, `hidden_size`); of a general one query.weight (M, Q); of the
    two dot products none. Scaled dots of what `Linear` layers project are a head of torch.nn.MultiheadAttention whose
    keys and values are the same.

    Args:
        query_size: Q, features of a query.
        memory_size: M, features of a step of the memory; the two dot products need M = Q.
        kind: how scores are computed: "additive", "dot", "scaled_dot" or "general".
        hidden_size: features of an additive score, Q if None. The other kinds have none.
        batch_first: queries are (B, Tq, Q) and memory (B, Tk, M) instead of (Tq, B, Q) and (Tk, B, M).
        dtype: float32 or float64.
        seed: of the weights; see `RNN`.

    Attributes:
        query: of an additive or a general one, the `Linear` of the queries.
        memory: of an additive one, the `Linear` of the memory.
        score: of an additive one, the `Linear` that scores.

    Example:
        >>> attention = recurra.Attention(4, 4, kind="scaled_dot")
        >>> memory = 4 * np.eye(4, dtype=np.float32)[:, None]  # 4 steps of one sequence
        >>> context, weights = attention(memory[[2, 0]], memory)
        >>> context.shape, weights[:, 0].round(2).tolist()  # each query finds the step that it equals
        ((2, 1, 4), [[0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
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
        self.query_size: int = check_size("query_size", query_size)
        self.memory_size: int = check_size("memory_size", memory_size)
        kinds = ("additive", "dot", "scaled_dot", "general")
        self.hidden_size: int | None = self._check_options(kind, kinds, hidden_size, self.query_size)
        if kind in {"dot", "scaled_dot"} and self.memory_size != self.query_size:
            raise ValueError(
                f"memory_size: expected query_size = {self.query_size}, as kind={kind!r} multiplies the two, got "
                f"{self.memory_size}"
            )
        self.batch_first: bool = check_flag("batch_first", batch_first)
        self.dtype: np.dtype[Any] = check_dtype(dtype)
        rng = check_rng("seed", seed)
        if self.hidden_size is not None:
            self.query: Linear = Linear(self.query_size, self.hidden_size, bias=False, dtype=self.dtype, seed=rng)
            self.memory: Linear = Linear(self.memory_size, self.hidden_size, dtype=self.dtype, seed=rng)
            self.score: Linear = Linear(self.hidden_size, 1, bias=False, dtype=self.dtype, seed=rng)
        elif kind == "general":
            self.query = Linear(self.query_size, self.memory_size, bias=False, dtype=self.dtype, seed=rng)
        self._parts_key = object()

    def __call__(self, queries: ArrayIn, memory: ArrayIn, *, lengths: NumbersIn | None = None) -> tuple[Array, Array]:
        """The context of each query, and what it attended to.

        Args:
            queries: (Tq, B, Q), with `batch_first` (B, Tq, Q), or (Tq, Q) without a batch, in the layer's dtype.
            memory: (Tk, B, M), (B, Tk, M) or (Tk, M). What stands beyond a sequence's end is never read.
            lengths: (B,) integers in 0..Tk, steps of each memory; None for Tk. For length 0 all is zeros.

        Returns:
            context (Tq, B, M) and weights α (Tq, B, Tk), laid out as the queries; weights beyond an end are exactly 0.

        Raises:
            TypeError: An argument isn't an array, or has another dtype, or lengths aren't integers.
            ValueError: A shape or a length is wrong.
        """
        context, weights, _ = self.forward(queries, memory, lengths=lengths)
        return context, weights

    def forward(
        self, queries: ArrayIn, memory: ArrayIn, *, lengths: NumbersIn | None = None
    ) -> tuple[Array, Array, AttentionTape]:
        """The same, and the tape of what `backward` needs.

        Args:
            queries: as for a plain call. The tape has copies.
            memory: what they attend to.
            lengths: steps of each memory.

        Returns:
            context, weights, and the tape.
        """
        return self._attend(queries, self._remember(memory, lengths), taped=True)

    def _remember(self, memory: ArrayIn, lengths: NumbersIn | None) -> Any:
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
        queries: ArrayIn,
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
            tape.weights = out = out.copy() if np.shares_memory(out, weights) else out  # the caller's to change
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
        dcontext: ArrayIn | None,
        dweights: ArrayIn | None = None,
        *,
        need_dx: bool = True,
        grads: Mapping[str, Array] | None = None,
        retain: bool = False,
    ) -> tuple[Array | None, Array | None]:
        """The gradients of queries and memory from those of context and weights; adds to those of the parameters.

        Args:
            tape: from `forward` of this layer; it serves once, unless `retain` is set.
            dcontext: the gradient of the loss with respect to the context, of its shape; None is zeros.
            dweights: that with respect to the weights, of their shape; None is zeros.
            need_dx: False spares both gradients that are returned.
            grads: a dict by the parameters' names of writeable C-contiguous arrays that gradients are added to; None
                for the layer's `grads`.
            retain: keep the tape for another call.

        Returns:
            dqueries and dmemory, laid out as queries and memory; dmemory is exactly 0 beyond an end. None and None
            without `need_dx`.

        Raises:
            RuntimeError: The tape is of another layer, has been consumed, or was made before the weights changed.
            TypeError: A gradient isn't an array, or has another dtype. Nothing is changed then, here and below.
            ValueError: A gradient has a wrong shape or name.
        """
        dcontext, dweights = all_taken(dcontext=dcontext, dweights=dweights)  # which may use the tape themselves
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
