"""Operators that make arrays of little: constants, ranges, and casts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.onnx.limits import MOST_MADE
from recurra.onnx.nodes import Computation, Node, operator, simple
from recurra.onnx.tensors import dtype_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recurra.module import Array


def check_made(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape that an array may be made in; ValueError if it has a negative size, or too many elements in all."""
    sizes = tuple(int(n) for n in shape)
    if any(n < 0 for n in sizes) or math.prod(sizes) > MOST_MADE:
        raise ValueError(f"shape: expected sizes from 0 of at most {MOST_MADE:,} elements, got {sizes[:40]}")
    return sizes


def vector(name: str, value: Array) -> list[int]:
    """An input that holds a list of integers."""
    if value.ndim > 1 or value.dtype.kind not in "iu":
        raise ValueError(f"{name}: expected a vector of integers, got {value.dtype} of shape {value.shape}")
    return [int(n) for n in value.reshape(-1)]


@operator("Constant", "value value_float value_floats value_int value_ints", bounded=True)
def _constant(node: Node) -> Computation:
    if len(node.attributes) != 1:
        node.refuse("one value", f"{len(node.attributes)}")
    ((name, value),) = node.attributes.items()
    if name != "value":
        value = np.array(value, np.float32 if "float" in name else np.int64)
        value.flags.writeable = False
    return Computation(lambda: value)


@operator("ConstantOfShape", "value")
def _constant_of_shape(node: Node) -> Computation:
    value = node.attributes.get("value", np.zeros(1, np.float32))
    if value.size != 1:
        node.refuse("a value of one element", f"shape {value.shape}")
    return Computation(lambda shape: np.full(check_made(vector("shape", shape)), value.reshape(()), value.dtype))


@operator("Cast", "to", bounded=True)
def _cast(node: Node) -> Computation:
    dtype = dtype_of(node.attributes["to"], f"{node.label}: to")
    return Computation(lambda v: v.astype(dtype, copy=False))


simple("CastLike", lambda v, like: v.astype(like.dtype, copy=False))


def _range(start: Array, limit: Array, delta: Array) -> Any:
    if not start.size == limit.size == delta.size == 1 or start.dtype.kind not in "iuf" or delta == 0:
        raise ValueError("start, limit, delta: expected a number each, and a delta other than 0, got others")
    first, last, step = (value.reshape(()).item() for value in (start, limit, delta))
    count = (last - first) / step
    if not count < MOST_MADE:
        raise ValueError(f"limit: expected at most {MOST_MADE:,} numbers, got {count}")
    return first + np.arange(max(math.ceil(count), 0), dtype=start.dtype) * start.dtype.type(step)


simple("Range", lambda *values: _range(*values).astype(values[0].dtype))


@operator("OneHot", "axis")
def _one_hot(node: Node) -> Computation:
    axis = node.attributes["axis"]

    def run(indices: Array, depth: Array, values: Array) -> Any:
        if depth.size != 1 or values.shape != (2,):
            raise ValueError(f"depth, values: expected one number and two, got shapes {depth.shape}, {values.shape}")
        number = int(depth.reshape(()))
        check_made((*indices.shape, number))
        wrapped = np.where(indices < 0, indices + number, indices)
        hot = wrapped[..., None] == np.arange(number)
        return np.moveaxis(np.where(hot, values[1], values[0]), -1, axis)

    return Computation(run)
