"""AttentionPooling: what a whole sequence comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from recurra import _core
from recurra._checks import check_array, check_dtype, check_flag, check_lengths, check_rng, check_size, taken
from recurra._quiet import quiet
from recurra._tapes import versions_of
from recurra.linear import Linear

from .base import Attending, AttentionTape
from .weighing import attend, attend_back, by_layout, by_sequence, within

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recurra.module import Array, ArrayIn, NumbersIn
    from recurra.recurrent import Seed

F32 = np.dtype(np.float32)


class AttentionPooling(Attending):
    """What a sequence comes to, for many-to-one: the mean of its steps, weighted by a learned score.

    (T, B, F) becomes (B, F), and (T, F) becomes (F,), as::

        y = Σ_t α_t x_t      α = softmax(e), over the steps of the sequence
        e_t = score · tanh(hidden x_t + b)      kind "additive" (Bahdanau, Cho & Bengio 2015; Yang et al. 2016)
        e_t = score · x_t                       kind "dot" (Luong, Pham & Manning 2015)
        e_t = score · x_t / √F                  kind "scaled_dot" (Vaswani et al. 2017)

    In a `Sequential` it takes the place of `Last`. Parameters: score.weight (1, `hidden_size` or F), and of an additive
    one hidden.weight (`hidden_size`, F) and hidden.bias (`hidden_size`,), drawn as a `Linear`'s.

    Args:
        features: F of x.
        kind: how scores are computed: "additive", "dot" or "scaled_dot".
        hidden_size: rows of `hidden`, F if None. Only additive scores have it.
        batch_first: x is (B, T, F).
        dtype: float32 or float64.
        seed: of the weights; see `RNN`.

    Attributes:
        score: the `Linear` that scores.
        hidden: of an additive one, the `Linear` before it.

    Example:
        >>> pooling = recurra.AttentionPooling(4, seed=0)
        >>> x = np.random.default_rng(0).standard_normal((6, 2, 4)).astype(np.float32)
        >>> y, tape = pooling.forward(x, lengths=np.array([6, 3]))
        >>> y.shape, tape.weights[:, 1].round(2)  # what counted in the shorter sequence
        ((2, 4), array([0.43, 0.31, 0.26, 0.  , 0.  , 0.  ], dtype=float32))
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
        self.features: int = check_size("features", features)
        self.hidden_size: int | None = self._check_options(
            kind, ("additive", "dot", "scaled_dot"), hidden_size, self.features
        )
        self.batch_first: bool = check_flag("batch_first", batch_first)
        self.dtype: np.dtype[Any] = check_dtype(dtype)
        rng = check_rng("seed", seed)
        if self.hidden_size is not None:
            self.hidden: Linear = Linear(self.features, self.hidden_size, dtype=self.dtype, seed=rng)
        self.score: Linear = Linear(self.hidden_size or self.features, 1, bias=False, dtype=self.dtype, seed=rng)
        self._scale = self.features**-0.5 if kind == "scaled_dot" else 1.0
        self._parts_key = object()

    def __call__(self, x: ArrayIn, *, lengths: NumbersIn | None = None) -> Array:
        """y of x, and keeps nothing.

        Args:
            x: (T, B, F), with `batch_first` (B, T, F), or (T, F), in the layer's dtype. What stands beyond a sequence's
                end is never read. Without lengths T isn't 0.
            lengths: (B,) integers in 0..T, steps of each sequence; None for T.

        Returns:
            y, (B, F) or (F,), zeros for length 0.

        Raises:
            TypeError: x isn't an array, or has another dtype, or lengths aren't integers.
            ValueError: A shape or a length is wrong.
        """
        return self.forward(x, lengths=lengths)[0]

    @quiet
    def forward(self, x: ArrayIn, *, lengths: NumbersIn | None = None) -> tuple[Array, AttentionTape]:
        """y of x, and the tape of what `backward` needs.

        Args:
            x: as for a plain call. The tape has a copy.
            lengths: steps of each sequence.

        Returns:
            y and the tape. `tape.weights` is α, (T, B) laid out as x, exactly 0 beyond a sequence's end.
        """
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
        dy: ArrayIn,
        *,
        need_dx: bool = True,
        grads: Mapping[str, Array] | None = None,
        retain: bool = False,
    ) -> Array | None:
        """The gradient of x from that of y; adds to those of the parameters.

        Args:
            tape: from `forward` of this layer; it serves once, unless `retain` is set.
            dy: the gradient of the loss with respect to y, of its shape.
            need_dx: False spares the gradient of x.
            grads: a dict by the parameters' names of writeable C-contiguous arrays that gradients are added to; None
                for the layer's `grads`.
            retain: keep the tape for another call.

        Returns:
            dx, of x's shape and exactly 0 beyond a sequence's end; None without `need_dx`.

        Raises:
            RuntimeError: The tape is of another layer, has been consumed, or was made before the weights changed.
            TypeError: A gradient isn't an array, or has another dtype. Nothing is changed then, here and below.
            ValueError: A gradient has a wrong shape or name.
        """
        dy = taken("dy", dy)  # which may use the tape itself
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
