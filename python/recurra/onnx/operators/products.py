"""Products of matrices; those with constant weights are `recurra.Linear` layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import recurra
from recurra.onnx.nodes import Computation, Node, operator

from .elementwise import same_dtype
from .indexing import FLOATS

if TYPE_CHECKING:
    from recurra.module import Array


def _is_weight(value: Array | None) -> bool:
    return value is not None and value.ndim == 2 and value.size > 0 and value.dtype.name in FLOATS


def _linear(node: Node, weight: Array, bias: Array | None, key: object) -> recurra.Linear:
    """The layer of a weight (out, in); of the same tensors always the same one."""
    made = node.reading.made
    if key not in made:
        node.reading.budget.spend(weight.nbytes, node.label)
        outputs, inputs = weight.shape
        layer = recurra.Linear(inputs, outputs, bias is not None, weight.dtype, seed=0)
        state = {"weight": np.ascontiguousarray(weight)}
        layer.load_state_dict(state if bias is None else state | {"bias": np.ascontiguousarray(bias)})
        made[key] = layer
    found: recurra.Linear = made[key]
    return found


@operator("MatMul")
def _matmul(node: Node) -> Computation:
    """The bias of a MatMul and an Add that are one is its third input: see `recurra.onnx.fusing`."""
    weight = node.constant(1)
    if weight is None or not _is_weight(weight):

        def run(v: Array, w: Array) -> Any:
            same_dtype(v, w)
            return v @ w

        return Computation(run)
    bias = node.constant(2)  # of an addition after it
    linear = _linear(node, weight.T, bias, ("MatMul", *node.inputs[1:]))
    return Computation(lambda v, *_: linear(v), (linear,))


@operator("Gemm", "alpha beta transA transB")
def _gemm(node: Node) -> Computation:
    alpha, beta = node.attributes["alpha"], node.attributes["beta"]
    turned_a, turned_b = node.attributes["transA"], node.attributes["transB"]
    weight, bias = node.constant(1), node.constant(2)
    has_bias = node.has_input(2)
    plain = not turned_a and alpha == 1 and beta == 1
    if weight is not None and plain and _is_weight(weight) and (bias is not None or not has_bias):
        weight = weight if turned_b else weight.T
        fits = bias is None or (bias.dtype == weight.dtype and bias.ndim <= 1 and bias.size in {1, len(weight)})
        if fits:
            shift = None if bias is None else np.broadcast_to(bias, len(weight))
            linear = _linear(node, weight, shift, ("Gemm", *node.inputs[1:], turned_b))
            return Computation(lambda v, *_: linear(_matrix(v)), (linear,))

    def run(v: Array, w: Array, shift: Array | None = None) -> Any:
        same_dtype(*(value for value in (v, w, shift) if value is not None))
        kind = v.dtype.type
        product = (_matrix(v).T if turned_a else _matrix(v)) @ (_matrix(w).T if turned_b else _matrix(w))
        product = product if alpha == 1 else kind(alpha) * product
        return product if shift is None else product + (shift if beta == 1 else kind(beta) * shift)

    return Computation(run)


def _matrix(v: Array) -> Array:
    if v.ndim != 2:
        raise ValueError(f"matrix: expected two axes, got shape {v.shape}")
    return v
