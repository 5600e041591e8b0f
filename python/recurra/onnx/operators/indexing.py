"""Operators that pick elements: slices, rows of tables, and sequences turned round."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import recurra
from recurra.onnx.nodes import Computation, Node, operator

from .constants import vector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recurra.module import Array


def sliced(v: Array, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int], steps: Sequence[int]) -> Any:
    """Of each axis the elements from start to before end, by steps; what lies outside is cut off."""
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise ValueError("starts, ends, axes, steps: expected as many of each, and no step of 0, got others")
    cut = [slice(None)] * v.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = v.shape[axis]
        first = start + size if start < 0 else start
        last = end + size if end < 0 else end
        if step > 0:
            cut[axis] = slice(min(max(first, 0), size), min(max(last, 0), size), step)
        else:
            last = min(max(last, -1), size - 1)
            cut[axis] = slice(min(max(first, 0), size - 1), None if last < 0 else last, step) if size else slice(0)
    return v[tuple(cut)]


@operator("Slice", "axes starts ends", bounded=True)
def _slice(node: Node) -> Computation:
    if node.version < 10:
        starts, ends = node.attributes["starts"], node.attributes["ends"]
        axes = node.attributes.get("axes", range(len(starts)))
        return Computation(lambda v: sliced(v, starts, ends, axes, [1] * len(starts)))

    def run(v: Array, starts: Array, ends: Array, axes: Array | None = None, steps: Array | None = None) -> Any:
        first = vector("starts", starts)
        places = range(len(first)) if axes is None else vector("axes", axes)
        strides = [1] * len(first) if steps is None else vector("steps", steps)
        return sliced(v, first, vector("ends", ends), places, strides)

    return Computation(run)


@operator("Gather", "axis")
def _gather(node: Node) -> Computation:
    """Rows by their numbers, negative ones from the end; an Embedding where it looks up vectors in a table."""
    axis, table = node.attributes["axis"], node.constant(0)

    def run(v: Array, indices: Array) -> Any:
        if indices.dtype.kind not in "iu":
            raise ValueError(f"indices: expected integers, got {indices.dtype}")
        return np.take(v, indices, axis)

    is_table = table is not None and axis == 0 and table.ndim == 2 and table.size and table.dtype.name in FLOATS
    if not is_table or node.constant(1) is not None or table is None:
        return Computation(run)
    embedding = _embedding(node, table)
    number = embedding.num_embeddings

    def look_up(_: Array, tokens: Array) -> Any:
        return embedding(np.where(tokens < 0, tokens + number, tokens) if tokens.size and tokens.min() < 0 else tokens)

    return Computation(look_up, (embedding,))


FLOATS = {"float32", "float64"}


def _embedding(node: Node, table: Array) -> recurra.Embedding:
    key = "Embedding", node.inputs[0]
    made = node.reading.made
    if key not in made:
        node.reading.budget.spend(table.nbytes, node.label)
        made[key] = recurra.Embedding(table.shape[0], table.shape[1], dtype=table.dtype, seed=0)
        made[key].load_state_dict({"weight": np.ascontiguousarray(table)})
    layer: recurra.Embedding = made[key]
    return layer


@operator("GatherElements", "axis")
def _gather_elements(node: Node) -> Computation:
    axis = node.attributes["axis"]

    def run(v: Array, indices: Array) -> Any:
        own = list(indices.shape)
        own[axis] = v.shape[axis]
        if indices.ndim != v.ndim or any(n > size for n, size in zip(own, v.shape, strict=True)):
            raise ValueError(f"indices: expected a shape within {v.shape} but for axis {axis}, got {indices.shape}")
        wrapped = np.where(indices < 0, indices + v.shape[axis], indices)
        return np.take_along_axis(v[tuple(map(slice, own))], wrapped, axis)

    return Computation(run)


@operator("ReverseSequence", "batch_axis time_axis")
def _reverse_sequence(node: Node) -> Computation:
    """Of each sequence the first steps, as many as it has, the other way round."""
    batch, time = node.attributes["batch_axis"], node.attributes["time_axis"]
    if {batch, time} != {0, 1}:
        node.refuse("axes 0 and 1 of batch and time, one each", f"{batch} and {time}")

    def run(v: Array, lengths: Array) -> Any:
        steps = np.arange(v.shape[time])
        lengths = lengths.reshape(-1, 1)
        if lengths.size != v.shape[batch] or ((lengths < 0) | (lengths > steps.size)).any():
            raise ValueError(f"sequence_lens: expected {v.shape[batch]} in 0..{steps.size}, got others")
        order = np.where(steps < lengths, lengths - 1 - steps, steps)  # (B, T)
        order = order if batch == 0 else order.T
        return np.take_along_axis(v, order.reshape(order.shape + (1,) * (v.ndim - 2)), time)

    return Computation(run)
