"""Operators along axes: sums, means, softmax, and the normalisations made of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.onnx.nodes import Computation, Node, operator

from .constants import vector

if TYPE_CHECKING:
    from collections.abc import Callable

    from recurra.module import Array


def _reduction(name: str, reduce: Callable[..., Any]) -> None:
    @operator(name, "axes keepdims noop_with_empty_axes")
    def rule(node: Node) -> Computation:
        given, keep = node.attributes.get("axes"), bool(node.attributes["keepdims"])
        idle = bool(node.attributes.get("noop_with_empty_axes", 0))

        def run(v: Array, axes: Array | None = None) -> Any:
            wanted = tuple(vector("axes", axes)) if axes is not None else tuple(given or ())
            if not wanted and idle:
                return v
            return reduce(v, axis=wanted or None, keepdims=keep).astype(v.dtype, copy=False)

        return Computation(run)


def _extreme(reduce: Callable[..., Any], sign: int) -> Callable[..., Any]:
    """The greatest or smallest element, of none the other end of what there is."""

    def run(v: Array, **options: Any) -> Any:
        if v.dtype.kind == "f":
            return reduce(v, initial=-sign * np.inf, **options)
        ends = (False, True) if v.dtype.kind == "b" else (np.iinfo(v.dtype).min, np.iinfo(v.dtype).max)
        return reduce(v, initial=ends[0] if sign > 0 else ends[1], **options)

    return run


REDUCTIONS: dict[str, Callable[..., Any]] = {
    "ReduceMean": np.mean,
    "ReduceSum": np.sum,
    "ReduceMax": _extreme(np.max, 1),
    "ReduceMin": _extreme(np.min, -1),
    "ReduceProd": np.prod,
    "ReduceSumSquare": lambda v, **options: np.sum(np.square(v), **options),
    "ReduceL2": lambda v, **options: np.sqrt(np.sum(np.square(v), **options)),
}
for _name, _function in REDUCTIONS.items():
    _reduction(_name, _function)


def _chosen(name: str, choose: Callable[..., Any]) -> None:
    @operator(name, "axis keepdims select_last_index")
    def rule(node: Node) -> Computation:
        axis, keep = node.attributes["axis"], bool(node.attributes["keepdims"])
        last = bool(node.attributes.get("select_last_index", 0))

        def run(v: Array) -> Any:
            at = choose(np.flip(v, axis) if last else v, axis=axis, keepdims=keep)
            return v.shape[axis] - 1 - at if last else at

        return Computation(run)


_chosen("ArgMax", np.argmax)
_chosen("ArgMin", np.argmin)


def _softmax(v: Array, axis: int, logarithm: bool) -> Any:
    shifted = v - v.max(axis, keepdims=True, initial=-np.inf)
    exponentials = np.exp(shifted)
    total = exponentials.sum(axis, keepdims=True)
    return shifted - np.log(total) if logarithm else exponentials / total


def _softmax_rule(logarithm: bool) -> Callable[[Node], Computation]:
    def rule(node: Node) -> Computation:
        axis = node.attributes["axis"]
        if node.version >= 13:
            return Computation(lambda v: _softmax(v, axis, logarithm))

        def run(v: Array) -> Any:  # over all axes from this one on
            at = axis + v.ndim if axis < 0 else axis
            if not 0 <= at <= v.ndim:
                raise ValueError(f"axis: expected one in {-v.ndim}..{v.ndim}, got {axis}")
            return _softmax(v.reshape(math.prod(v.shape[:at]), math.prod(v.shape[at:])), 1, logarithm).reshape(v.shape)

        return Computation(run)

    return rule


operator("Softmax", "axis")(_softmax_rule(logarithm=False))
operator("LogSoftmax", "axis")(_softmax_rule(logarithm=True))


@operator("LayerNormalization", "axis epsilon")
def _layer_normalization(node: Node) -> Computation:
    axis, epsilon = node.attributes["axis"], node.attributes["epsilon"]

    def run(v: Array, scale: Array, shift: Array | None = None) -> Any:
        axes = tuple(range(axis % v.ndim, v.ndim))
        mean = v.mean(axes, keepdims=True)
        centred = v - mean
        inverse = 1 / np.sqrt(np.square(centred).mean(axes, keepdims=True) + v.dtype.type(epsilon))
        y = centred * inverse * scale
        return (y if shift is None else y + shift, mean, inverse)[: len(node.outputs)]

    return Computation(run)


@operator("BatchNormalization", "epsilon momentum")
def _batch_normalization(node: Node) -> Computation:
    """With the mean and variance that it is given."""
    if len(node.outputs) > 1:
        node.refuse("one output, as in a network that runs", f"{len(node.outputs)}")
    epsilon = node.attributes["epsilon"]

    def run(v: Array, scale: Array, shift: Array, mean: Array, variance: Array) -> Any:
        shape = (-1,) + (1,) * (v.ndim - 2)
        factor = scale / np.sqrt(variance + variance.dtype.type(epsilon))
        return v * factor.reshape(shape) + (shift - mean * factor).reshape(shape)

    return Computation(run)
