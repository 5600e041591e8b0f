"""Layers without states: Linear, Embedding, Last, and those that act element by element."""

from __future__ import annotations

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
    if flow.lengths is None:
        last = graph.node("Gather", value, graph.integer(-1), axis=0)
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
    if flow.lengths is not None:
        some = graph.node("Greater", graph.once("Cast", flow.lengths, to=7), graph.integer(0))
        last = graph.node("Where", graph.node("Unsqueeze", some, graph.integers(1)), last, graph.number(0))
    flow.value, flow.by_time = last, False


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
}
