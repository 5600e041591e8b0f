"""Recurrent layers and single steps: their states, and each layer of a stack as a node or a Scan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.single_step import SingleStep

from .writing_nodes import NATIVE, write_node
from .writing_scan import write_scan

if TYPE_CHECKING:
    from .writing import Flow


def write_recurrent(flow: Flow, layer: Any, prefix: str) -> None:
    """Adds a layer, or a single step as a layer of one step."""
    graph, formula = flow.graph, layer.formula
    cell = isinstance(layer, SingleStep)
    stack = _stack_of(layer) if cell else layer
    directions = 2 if stack.bidirectional else 1
    count = stack.num_layers * directions
    if layer.tokens is True:
        hot = graph.weight(np.array([0, 1], graph.dtype), "off_on")
        flow.value = graph.node("OneHot", flow.value, graph.integer(layer.input_size), hot, axis=-1)
    params = {name: value.astype(graph.dtype) for name, value in stack.state_dict().items()}
    features = [layer.hidden_size] * len(formula.states)
    features[0] = layer.proj_size or layer.hidden_size
    initial = [
        flow.initial_state(name, count, size, params.get(f"{name}0") if stack.learned_state else None)
        for name, size in zip(formula.states, features, strict=True)
    ]
    native = formula in NATIVE
    if not native:
        batch = graph.size(flow.value, 1)
        for k, size in enumerate(features):
            if initial[k] is None:
                shape = graph.node("Concat", graph.integers(count), batch, graph.integers(size), axis=0)
                initial[k] = graph.node("Expand", graph.number(0), shape)
    pieces = [
        [""] * stack.num_layers if state is None else graph.parted(state, [directions] * stack.num_layers, 0)
        for state in initial
    ]
    finals = []
    for number in range(stack.num_layers):
        own = [part[number] for part in pieces]
        if native:
            finals.append(write_node(flow, number, params, prefix, own, stack))
        else:
            finals.append(write_scan(flow, stack, number, params, prefix, own))
    flow.features = directions * features[formula.states.index(formula.declared.output)]
    for k, (name, size) in enumerate(zip(formula.states, features, strict=True)):
        flow.final_state(graph.joined([states[k] for states in finals], 0), name, count, size)
    flow.recurrent += 1


def _stack_of(cell: Any) -> Any:
    """A single step as a layer of its kind with its weights."""
    options = {name: getattr(cell, name) for name in type(cell)._options if name not in {"input_size", "hidden_size"}}
    if cell.proj_size:
        options["proj_size"] = cell.proj_size
    layer = type(cell)._layer_type(cell.input_size, cell.hidden_size, seed=0, **options)
    layer.load_state_dict({f"{name}_l0": value for name, value in cell.state_dict().items()})
    return layer
