"""Graphs of what a step computes: one node for each different value."""

from collections.abc import Hashable, Iterable
from typing import Any

from .operations import Kind, Operation, Special


class Node:
    """A value: an operation on other nodes, or a leaf. Two nodes of a graph are never of the same value's making."""

    __slots__ = ("args", "data", "op", "serial")

    def __init__(self, op: Operation | Special, args: "tuple[Node, ...]", data: Any, serial: int) -> None:
        self.op: Operation | Special = op
        self.args: tuple[Node, ...] = args
        self.data: Any = data
        self.serial: int = serial

    def __repr__(self) -> str:
        inner = ", ".join(map(repr, self.args))
        return f"{self.op.name.lower()}{'' if self.data is None else self.data}({inner})"


class Graph:
    """Makes nodes, each once. Factors have no order; what is added has, since contraction tells the sides."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[Hashable, ...], Node] = {}

    def node(self, op: Operation | Special, *args: Node, data: Hashable = None) -> Node:
        """The node of this operation; an equal one, where there is one."""
        serials = [a.serial for a in args]
        if op == Operation.MULTIPLY:
            serials.sort()
        key = (op, data, *serials)
        found = self._nodes.get(key)
        if found is None:
            found = self._nodes[key] = Node(op, args, data, len(self._nodes))
        return found

    def operand(self, kind: Kind, index: int) -> Node:
        """The leaf of what is in memory."""
        return self.node(Special.OPERAND, data=(int(kind), index))

    def constant(self, value: float) -> Node:
        """The leaf of a number; -0.0 isn't 0.0."""
        return self.node(Special.CONSTANT, data=float(value).hex())


def in_order(roots: Iterable[Node]) -> list[Node]:
    """All nodes that `roots` are made of, arguments before what reads them."""
    order: list[Node] = []
    seen: set[Node] = set()
    waiting = [(root, False) for root in roots][::-1]
    while waiting:
        node, expanded = waiting.pop()
        if expanded:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            waiting.append((node, True))
            waiting.extend((arg, False) for arg in node.args if arg not in seen)
    return order


def canonical_numbers(nodes: Iterable[Node]) -> dict[Node, int]:
    """Numbers that don't depend on the order in which independent lines were written.

    By level (leaves are level 0), then by the arguments' numbers, operation and data. `nodes` is as of `in_order`.
    """
    level: dict[Node, int] = {}
    levels: list[list[Node]] = []
    for node in nodes:
        level[node] = at = 1 + max((level[a] for a in node.args), default=-1)
        if at == len(levels):
            levels.append([])
        levels[at].append(node)
    numbers: dict[Node, int] = {}
    for members in levels:
        members.sort(key=lambda node: ([numbers[a] for a in ordered(node, numbers)], int(node.op), node.data or ()))
        for node in members:
            numbers[node] = len(numbers)
    return numbers


def ordered(node: Node, numbers: dict[Node, int]) -> tuple[Node, ...]:
    """The arguments of a node, factors in the order of their numbers."""
    if node.op in {Operation.MULTIPLY, Operation.FMA, Operation.FMS, Operation.FNMA}:
        first, second, *rest = node.args
        if numbers[first] > numbers[second]:
            return (second, first, *rest)
    return node.args


def rewritten(graph: Graph, nodes: Iterable[Node], replace: dict[Node, Node]) -> dict[Node, Node]:
    """Each of `nodes` (as of `in_order`) made anew in `graph` of its arguments' successors; `replace` has precedence.

    Returns:
        The successor of each node, those in `replace` among them.
    """
    made = dict(replace)
    for node in nodes:
        if node not in made:
            made[node] = graph.node(node.op, *(made[a] for a in node.args), data=node.data)
    return made
