"""Contraction: a product that only one sum or difference reads becomes part of it, rounded once.

It is a part of what a formula means, so it happens here and by this rule alone: of two such products in one sum, the
left one is contracted.
"""

from collections import Counter
from collections.abc import Sequence

from .graph import Graph, Node, in_order
from .operations import Operation


def contract(graph: Graph, roots: Sequence[Node]) -> dict[Node, Node]:
    """The successors, in `graph`, of all nodes that `roots` are made of."""
    nodes = in_order(roots)
    uses = Counter(arg for node in nodes for arg in node.args)
    uses.update(roots)
    made: dict[Node, Node] = {}

    def once(node: Node) -> bool:
        return node.op == Operation.MULTIPLY and uses[node] == 1

    for node in nodes:
        args = [made[a] for a in node.args]
        if node.op in {Operation.ADD, Operation.SUBTRACT}:
            add = node.op == Operation.ADD
            left, right = node.args
            if once(left):
                operation = Operation.FMA if add else Operation.FMS
                made[node] = graph.node(operation, *(made[a] for a in left.args), args[1])
                continue
            if once(right):
                operation = Operation.FMA if add else Operation.FNMA
                made[node] = graph.node(operation, *(made[a] for a in right.args), args[0])
                continue
        made[node] = graph.node(node.op, *args, data=node.data)
    return made
