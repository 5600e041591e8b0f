"""Layers without states: Linear, Embedding, Last, and those that act element by element."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import recurra

if TYPE_CHECKING:
    from collections.abc import Callable

    from .writing import Flow


def _write_linear(flow: Flow, layer: Any, prefix: str) -> None:
    graph, params = flow.graph, layer.state_dict()
    weight = graph.weight(params["weight"].T.astype(graph.dtype), f"{prefix}weight")
    flow.value = graph.node("MatMul", flow.value, weight, name=f"{prefix}MatMul")
    if layer.bias:
        bias = graph.weight(params["bias"].astype(graph.dtype), f"{prefix}bias")
        flow.value = graph.node("Add", flow.value, bias, name=f"{prefix}Add")
    flow.features = layer.out_features


def _write_embedding(flow: Flow, layer: Any, prefix: str) -> None:
    graph = flow.graph
    table = graph.weight(layer.state_dict()["weight"].astype(graph.dtype), f"{prefix}weight")
    flow.value = graph.node("Gather", table, flow.value, axis=0, name=f"{prefix}Gather")
    flow.features = layer.embedding_dim


def _write_last(flow: Flow, layer: Any, _: str) -> None:
    """The last step: of each sequence its own, if there are lengths; of the reverse direction step 0."""
    graph, value = flow.graph, flow.value
    if flow.lengths is None or layer.reverse:
        last = graph.node("Gather", value, graph.integer(0 if layer.reverse else -1), axis=0)
    else:
        lengths = graph.once("Cast", flow.lengths, to=7)
        at = graph.node("Max", graph.node("Sub", lengths, graph.integer(1)), graph.integer(0))
        index = graph.node("Unsqueeze", at, graph.integers(0, 2))
        one_step = graph.node("Concat", graph.integers(1), graph.size(value, 1), graph.size(value, 2), axis=0)
        picked = graph.node("GatherElements", value, graph.node("Expand", index, one_step), axis=0)
        last = graph.node("Squeeze", picked, graph.integers(0))
    if layer.bidirectional:
        first = graph.node("Gather", value, graph.integer(0), axis=0)
        half = graph.node("Div", graph.size(value, 2), graph.integers(2))
        end = graph.integers(2**62)
        left = graph.node("Slice", last, graph.integers(0), half, graph.integers(1))
        last = graph.joined([left, graph.node("Slice", first, half, end, graph.integers(1))], 1)
    flow.value, flow.by_time = _of_some_steps(flow, last), False


def _write_pooling(flow: Flow, layer: Any, prefix: str) -> None:
    """The mean of a sequence's steps, weighted by the softmax of their scores."""
    graph, params = flow.graph, layer.state_dict()
    x = flow.value if flow.lengths is None else graph.node("Where", flow.mask(), flow.value, graph.number(0))
    hidden = x
    if layer.hidden_size is not None:
        rows = graph.weight(params["hidden.weight"].T.astype(graph.dtype), f"{prefix}hidden.weight")
        bias = graph.weight(params["hidden.bias"].astype(graph.dtype), f"{prefix}hidden.bias")
        hidden = graph.node("Tanh", graph.node("Add", graph.node("MatMul", x, rows), bias))
    score = params["score.weight"].T * (layer.features**-0.5 if layer.kind == "scaled_dot" else 1)
    scores = graph.node("MatMul", hidden, graph.weight(score.astype(graph.dtype), f"{prefix}score.weight"))
    if flow.lengths is not None:
        scores = graph.node("Where", flow.mask(), scores, graph.number(-math.inf))
    weighted = graph.node("Mul", graph.node("Softmax", scores, axis=0), x)
    pooled = graph.node("ReduceSum", weighted, graph.integers(0), keepdims=0)
    flow.value, flow.by_time = _of_some_steps(flow, pooled), False


def _of_some_steps(flow: Flow, value: str) -> str:
    """(B, features), and zeros for sequences of length 0."""
    graph = flow.graph
    if flow.lengths is None:
        return value
    some = graph.node("Greater", graph.once("Cast", flow.lengths, to=7), graph.integer(0))
    return graph.node("Where", graph.node("Unsqueeze", some, graph.integers(1)), value, graph.number(0))


def _write_norm(flow: Flow, layer: Any, prefix: str) -> None:
    """By an operator as of opset 17, before by its parts."""
    graph, x = flow.graph, flow.value
    params = layer.state_dict()
    weight, bias = (graph.weight(params[n].astype(graph.dtype), f"{prefix}{n}") for n in ("weight", "bias"))
    if graph.opset >= 17:
        flow.value = graph.node("LayerNormalization", x, weight, bias, axis=-1, epsilon=layer.eps)
        return
    centred = graph.node("Sub", x, graph.node("ReduceMean", x, axes=[-1]))
    variance = graph.node("ReduceMean", graph.node("Mul", centred, centred), axes=[-1])
    deviation = graph.node("Sqrt", graph.node("Add", variance, graph.number(layer.eps)))
    flow.value = graph.node("Add", graph.node("Mul", graph.node("Div", centred, deviation), weight), bias)


def _element_wise(op_type: str) -> Callable[[Flow, Any, str], None]:
    def write(flow: Flow, _: Any, prefix: str) -> None:
        flow.value = flow.graph.node(op_type, flow.value, name=f"{prefix}{op_type}")

    return write


def _write_nothing(flow: Flow, _: Any, prefix: str) -> None: ...


WRITERS: dict[type, Callable[[Flow, Any, str], None]] = {
    recurra.Linear: _write_linear,
    recurra.Embedding: _write_embedding,
    recurra.Tanh: _element_wise("Tanh"),
    recurra.ReLU: _element_wise("Relu"),
    recurra.Sigmoid: _element_wise("Sigmoid"),
    recurra.Dropout: _write_nothing,
    recurra.Last: _write_last,
    recurra.AttentionPooling: _write_pooling,
    recurra.LayerNorm: _write_norm,
}
