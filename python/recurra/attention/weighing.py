"""What attention computes for one sequence: scores, their softmax, the weighted mean of a memory, and all of it back.

Sequences are done one by one, each over its own steps alone: so neither padding nor the rest of a batch can change a
bit, and what isn't attended to has weights and gradients of exactly 0. Products are `Linear`'s, one chain a number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recurra import _core
from recurra.linear import CORES

if TYPE_CHECKING:
    from recurra.module import Array


def product(x: Array, w: Array) -> Array:
    """X wᵀ: (n, k) and (m, k) -> (n, m)."""
    if not x.size or not w.size:
        return np.zeros((len(x), len(w)), x.dtype)
    core = CORES[x.dtype](w.shape[1], w.shape[0], False)  # with what it packs 2 µs, less than a call of NumPy's matmul
    core.parameters.load({"weight": w})
    y: Array = core.call(x)
    return y


def attend(scores: Array, memory: Array) -> tuple[Array, Array]:
    """Weights (n, S), the softmax of the scores (n, S), and the mean of memory's rows (S, M) that they make (n, M)."""
    weights: Array = _core.softmax(np.ascontiguousarray(scores)) if scores.size else scores
    return weights, product(weights, memory.T)


def attend_back(weights: Array, memory: Array, dcontext: Array, dweights: Array | None) -> tuple[Array, Array]:
    """The gradients of the scores and of memory from those of the mean and of the weights."""
    along = product(dcontext, memory)
    if dweights is not None:
        along += dweights
    dscores: Array = weights * (along - np.add.reduce(weights * along, axis=-1, keepdims=True))
    return dscores, product(weights.T, dcontext.T)


def by_sequence(array: Array, batch_first: bool) -> Array:
    """(T, B, F) -> (B, T, F), contiguous; (T, F) -> (1, T, F)."""
    if array.ndim == 2:
        array = array[None]
    elif not batch_first:
        array = array.swapaxes(0, 1)
    return np.ascontiguousarray(array)


def by_layout(array: Array, batch_first: bool, batched: bool) -> Array:
    """The way back."""
    if not batched:
        one: Array = array[0]
        return one
    return array if batch_first else array.swapaxes(0, 1).copy()


def within(memory: Array, lengths: Array | None) -> tuple[Array, list[Any]]:
    """Memory (B, T, M) with zeros beyond the ends, a copy where there is a beyond, and how long each sequence is."""
    steps = memory.shape[1]
    if lengths is None:
        return memory, [steps] * len(memory)
    beyond = np.arange(steps) >= lengths[:, None]
    if beyond.any():
        memory = memory.copy()
        memory[beyond] = 0
    return memory, lengths.tolist()
