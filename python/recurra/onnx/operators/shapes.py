"""Operators that only move elements: views of the arrays that they are given, wherever NumPy can make one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.onnx.nodes import Computation, Node, operator, simple

from .constants import check_made, vector
from .elementwise import same_dtype

if TYPE_CHECKING:
    from recurra.module import Array


@operator("Reshape", "allowzero", bounded=True)
def _reshape(node: Node) -> Computation:
    keeps_zero = bool(node.attributes.get("allowzero", 0))

    def run(v: Array, shape: Array) -> Any:
        sizes = vector("shape", shape)
        if not keeps_zero:
            if any(n == 0 and i >= v.ndim for i, n in enumerate(sizes)):
                raise ValueError(f"shape: expected 0 only where the input has an axis, got {sizes} for {v.shape}")
            sizes = [v.shape[i] if n == 0 else n for i, n in enumerate(sizes)]
        return v.reshape(sizes)

    return Computation(run)


def _axes_of(node: Node) -> tuple[int, ...] | None:
    """The attribute `axes`, which later versions have as an input."""
    axes = node.attributes.get("axes")
    return None if axes is None else tuple(axes)


@operator("Squeeze", "axes", bounded=True)
def _squeeze(node: Node) -> Computation:
    given = _axes_of(node)

    def run(v: Array, axes: Array | None = None) -> Any:
        wanted = given if axes is None else tuple(vector("axes", axes))
        if wanted is None:
            wanted = tuple(i for i, n in enumerate(v.shape) if n == 1)
        return np.squeeze(v, wanted)

    return Computation(run)


@operator("Unsqueeze", "axes", bounded=True)
def _unsqueeze(node: Node) -> Computation:
    given = _axes_of(node)

    def run(v: Array, axes: Array | None = None) -> Any:
        return np.expand_dims(v, tuple(vector("axes", axes)) if axes is not None else given or ())

    return Computation(run)


@operator("Transpose", "perm", bounded=True)
def _transpose(node: Node) -> Computation:
    perm = node.attributes.get("perm")
    return Computation(lambda v: np.transpose(v, perm))


@operator("Flatten", "axis", bounded=True)
def _flatten(node: Node) -> Computation:
    axis = node.attributes["axis"]

    def run(v: Array) -> Any:
        if not -v.ndim <= axis <= v.ndim:
            raise ValueError(f"axis: expected one in {-v.ndim}..{v.ndim}, got {axis}")
        at = axis + v.ndim if axis < 0 else axis
        return v.reshape(math.prod(v.shape[:at]), math.prod(v.shape[at:]))

    return Computation(run)


@operator("Shape", "start end", bounded=True)
def _shape(node: Node) -> Computation:
    start, end = node.attributes.get("start", 0), node.attributes.get("end")
    return Computation(lambda v: np.array(v.shape[slice(start, end)], np.int64))


simple("Size", lambda v: np.array(v.size, np.int64))


@operator("Concat", "axis", bounded=True)
def _concat(node: Node) -> Computation:
    axis = node.attributes["axis"]

    def run(*values: Array) -> Any:
        same_dtype(*values)
        return np.concatenate(values, axis)

    return Computation(run)


@operator("Split", "axis split num_outputs", bounded=True)
def _split(node: Node) -> Computation:
    axis, given = node.attributes["axis"], node.attributes.get("split")
    number = node.attributes.get("num_outputs", len(node.outputs))
    if number != len(node.outputs):
        node.refuse(f"{number} outputs", f"{len(node.outputs)}")

    def run(v: Array, split: Array | None = None) -> Any:
        total = v.shape[axis]
        if split is not None or given is not None:
            sizes = vector("split", split) if split is not None else list(given or ())
            if len(sizes) != number or any(n < 0 for n in sizes) or sum(sizes) != total:
                raise ValueError(f"split: expected {number} sizes that add up to {total}, got {sizes}")
        else:
            each = -(-total // number)
            sizes = [min(each, max(total - i * each, 0)) for i in range(number)]
            if node.version < 18 and total % number:
                raise ValueError(f"axis: expected a multiple of {number} elements, got {total}")
        return tuple(np.split(v, np.cumsum(sizes)[:-1], axis))

    return Computation(run)


def _expand(v: Array, shape: Array) -> Any:
    return np.broadcast_to(v, check_made(np.broadcast_shapes(v.shape, tuple(vector("shape", shape)))))


simple("Expand", _expand)


def _tile(v: Array, repeats: Array) -> Any:
    numbers = vector("repeats", repeats)
    if len(numbers) != v.ndim or any(n < 0 for n in numbers):
        raise ValueError(f"repeats: expected {v.ndim} numbers from 0, got {numbers[:40]}")
    check_made([size * n for size, n in zip(v.shape, numbers, strict=True)])
    return np.tile(v, numbers)


simple("Tile", _tile)


@operator("Pad", "mode pads value")
def _pad(node: Node) -> Computation:
    mode, given = node.attributes["mode"], node.attributes.get("pads")
    value = node.attributes.get("value", 0.0)
    if mode not in {"constant", "edge", "reflect", "wrap"}:
        node.refuse("mode 'constant', 'edge', 'reflect' or 'wrap'", repr(mode))

    def run(v: Array, pads: Array | None = None, fill: Array | None = None, axes: Array | None = None) -> Any:
        numbers = vector("pads", pads) if pads is not None else list(given or ())
        places = range(v.ndim) if axes is None else vector("axes", axes)
        half = len(places)
        if len(numbers) != 2 * half:
            raise ValueError(f"pads: expected {2 * half} numbers, got {len(numbers)}")
        around = [(0, 0)] * v.ndim
        for i, place in enumerate(places):
            around[place] = numbers[i], numbers[i + half]
        check_made([n + max(a, 0) + max(b, 0) for n, (a, b) in zip(v.shape, around, strict=True)])
        cut = tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(v.shape, around, strict=True))
        options: dict[str, Any] = {}
        if mode == "constant":
            options["constant_values"] = value if fill is None else fill.reshape(())
        return np.pad(v[cut], [(max(a, 0), max(b, 0)) for a, b in around], mode, **options)

    return Computation(run)
