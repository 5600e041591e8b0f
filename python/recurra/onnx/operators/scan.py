"""Scan: a loop over the steps of sequences, whose body is run node by node: slow, and for any cell there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.onnx.graph import check_different, initializers_of, port_of, steps_of
from recurra.onnx.limits import MOST_NODES, MOST_SCANS
from recurra.onnx.network import compute, plan_of
from recurra.onnx.nodes import Computation, Node, Scope, operator

if TYPE_CHECKING:
    from recurra.module import Array
    from recurra.onnx.network import Step


class Body:
    """The graph within a Scan: its steps, and which values of the graph around it they read."""

    def __init__(self, node: Node) -> None:
        graph, reading = node.attributes["body"], node.reading
        if reading.inside:
            node.refuse("no Scan within a Scan", "one")
        if len(graph.node) > MOST_NODES:
            node.refuse(f"a body of at most {MOST_NODES:,} nodes", f"{len(graph.node):,}")
        reading.made["scans"] = reading.made.get("scans", 0) + 1
        if reading.made["scans"] > MOST_SCANS:
            node.refuse(f"at most {MOST_SCANS} Scans in a model", "another one")
        outer = node.scope
        own = initializers_of(graph, reading.files, reading.budget)
        self.inputs = [port_of(value, optional=False).name for value in graph.input]
        self.outputs = [port_of(value, optional=False).name for value in graph.output]
        check_different([*self.inputs, *own], f"a body of {node.label}")
        if not reading.names.isdisjoint((*self.inputs, *own)):
            node.refuse("a body whose values have names of their own", "one of another graph")
        reading.names.update(self.inputs, own)
        scope = Scope(outer.known | set(self.inputs) | own.keys(), outer.constants | own)
        self.steps: list[Step] = steps_of(graph, reading._replace(inside=True), scope)
        made = {name for step in self.steps for name in step.node.outputs}
        read = {name for step in self.steps for name in step.inputs if name} | set(self.outputs)
        unknown = read - scope.known
        if unknown:
            node.refuse("a body whose outputs are made in it", ", ".join(sorted(unknown))[:200])
        rest = read - made - set(self.inputs)
        self.constants = {name: scope.constants[name] for name in rest if name in scope.constants}
        self.outer = tuple(sorted(rest - self.constants.keys()))
        self.plan = plan_of(self.steps, self.outputs)

    def run(self, values: dict[str, Array]) -> list[Array]:
        """The outputs of one step, from its inputs and what it reads besides."""
        for step, last in self.plan:
            compute(step, values)
            for name in last:
                del values[name]
        return [values[name] for name in self.outputs]


@operator("Scan", "body num_scan_inputs scan_input_axes scan_input_directions scan_output_axes scan_output_directions")
def _scan(node: Node) -> Computation:
    if node.version < 9:
        node.refuse("Scan as of opset 9", node.version)
    count = node.attributes["num_scan_inputs"]
    body = Body(node)
    states, results = len(node.inputs) - count, len(node.outputs) - (len(node.inputs) - count)
    if not 0 < count <= len(node.inputs) or results < 0:
        node.refuse(f"num_scan_inputs in 1..{len(node.inputs)} and an output for each state", count)
    if len(body.inputs) != len(node.inputs) or len(body.outputs) != len(node.outputs):
        counts = f"{len(body.inputs)} and {len(body.outputs)}"
        node.refuse(f"a body of {len(node.inputs)} inputs and {len(node.outputs)} outputs", counts)

    def several(name: str, number: int) -> tuple[int, ...]:
        given = node.attributes.get(name, (0,) * number)
        if len(given) != number:
            node.refuse(f"{number} numbers in {name}", f"{len(given)}")
        return tuple(given)

    axes, backwards = several("scan_input_axes", count), several("scan_input_directions", count)
    result_axes, result_backwards = several("scan_output_axes", results), several("scan_output_directions", results)
    if not {*backwards, *result_backwards} <= {0, 1}:
        node.refuse("directions of 0 or 1", (*backwards, *result_backwards))

    def run(*arrays: Array) -> tuple[Any, ...]:
        current, scanned = list(arrays[:states]), arrays[states : states + count]
        around = body.constants | dict(zip(body.outer, arrays[states + count :], strict=True))
        sequences = [np.moveaxis(v, axis, 0) for v, axis in zip(scanned, axes, strict=True)]
        sequences = [v[::-1] if back else v for v, back in zip(sequences, backwards, strict=True)]
        lengths = {len(v) for v in sequences}
        if len(lengths) != 1 or lengths == {0}:
            raise ValueError(f"scan inputs: expected as many steps in each, at least one, got {sorted(lengths)}")
        collected: list[list[Array]] = [[] for _ in range(results)]
        for step in zip(*sequences, strict=True):
            own = dict(zip(body.inputs, (*current, *map(np.asarray, step)), strict=True))
            outputs = body.run(around | own)
            current = outputs[:states]
            for values, value in zip(collected, outputs[states:], strict=True):
                values.append(value)
        stacked = [
            np.stack(values[::-1] if back else values, axis)
            for values, axis, back in zip(collected, result_axes, result_backwards, strict=True)
        ]
        return *current, *stacked

    layers = tuple(layer for step in body.steps for layer in step.computation.layers)
    return Computation(run, layers, body.outer)
