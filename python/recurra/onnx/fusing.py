"""A product with a constant weight and the addition of a constant bias after it, which are one `recurra.Linear`."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recurra.module import Array

    from .nodes import Node


class Biases:
    """The additions that products take over: where nothing else reads the product."""

    def __init__(self, graph: Any) -> None:
        uses = Counter(name for node in graph.node for name in node.input)
        uses.update(value.name for value in graph.output)
        bodies = [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
        for body in bodies:  # which read values of the graph by their names
            uses.update(name for node in body.node for name in node.input)
            uses.update(value.name for value in body.output)
        self._adders = {
            name: node
            for node in graph.node
            if node.op_type == "Add" and len(node.input) == 2 and len(node.output) == 1
            for name in node.input
            if uses[name] == 1
        }
        self._taken: set[str] = set()  # the outputs of additions

    def joined(self, node: Node, constants: Mapping[str, Array]) -> Node:
        """A MatMul with the bias as a third input and the sum as its output, if there is one; else the same node."""
        if node.op_type != "MatMul":  # others may have no outputs at all
            return node
        weight, adder = node.constant(1), self._adders.get(node.outputs[0])
        if weight is None or weight.ndim != 2 or adder is None:
            return node
        (name,) = (other for other in adder.input if other != node.outputs[0])
        bias = constants.get(name)
        if bias is None or bias.shape != weight.shape[1:] or bias.dtype != weight.dtype:
            return node
        self._taken.add(adder.output[0])
        constant = (*node.constants, bias)
        return replace(node, inputs=(*node.inputs, name), outputs=tuple(adder.output), constants=constant)

    def is_taken(self, node: Node) -> bool:
        """Whether it is an addition that a product has taken over."""
        return node.op_type == "Add" and node.outputs[0] in self._taken
