"""The reverse of a step, as a graph: gradients of columns, states, parameters and inputs."""

from typing import NamedTuple

from .graph import Graph, Node
from .layout import Layout, is_old_state
from .operations import DeltaOf, Kind, Operation, Special
from .rules import DERIVED_RULES, RULES, Gradient
from .stages import Stages


class Contribution(NamedTuple):
    """A part of a value's gradient, and where it stands in the sum."""

    order: tuple[int, ...]
    negative: bool
    gradient: Node


class Reverse(NamedTuple):
    """What the reverse computes: deltas in order, with what each is of, and gradients of old states."""

    deltas: list[tuple[DeltaOf, int, Node]]
    outgoing: list[tuple[int, Node]]


def differentiate(
    graph: Graph, layout: Layout, stages: Stages, roots: list[Node], low: dict[Node, Node], staged: dict[Node, int]
) -> Reverse:
    """Derive the reverse of the step whose new states are `roots`.

    The gradients are made of `low`, the computed values, uncontracted. The parts of a sum are in the order of the
    stages of what they come through, the last one first, since its gradients are the first to be known.
    """
    parts: dict[Node, list[Contribution]] = {}
    for state, root in enumerate(roots):
        order: tuple[int, ...] = (-stages.count - 1, 0, state)
        parts.setdefault(root, []).append(Contribution(order, False, graph.operand(Kind.INCOMING, state)))
    states = len(layout.declared.states)
    for source in stages.sources:
        at = max(stages.stage[source], 0)
        gradient = graph.operand(Kind.GRADIENT, states + staged[source])
        parts.setdefault(source, []).append(Contribution((-at - 1, 0, -1), False, gradient))
    total: dict[Node, Node] = {}
    for node in sorted(stages.nodes, key=stages.numbers.__getitem__, reverse=True):
        if node not in parts:
            continue
        total[node] = gradient = _sum(graph, parts[node])
        for position, (argument, negative, part) in enumerate(_gradients(graph, node, gradient, low)):
            if argument.op != Special.CONSTANT:
                order = (-stages.stage[node], int(negative), stages.numbers[node], position)
                parts.setdefault(argument, []).append(Contribution(order, negative, part))
    return _collect(graph, layout, stages, total)


def _sum(graph: Graph, parts: list[Contribution]) -> Node:
    first, *others = sorted(parts, key=lambda part: part.order)
    total = graph.node(Operation.NEGATE, first.gradient) if first.negative else first.gradient
    for part in others:
        total = graph.node(Operation.SUBTRACT if part.negative else Operation.ADD, total, part.gradient)
    return total


def _gradients(graph: Graph, node: Node, gradient: Node, low: dict[Node, Node]) -> list[Gradient]:
    """What the gradient of a value adds to those of its arguments: (argument, whether to subtract, how much)."""
    if node.op == Special.MEAN:
        return [(node.args[0], False, graph.node(Special.MEAN, gradient))]
    if node.op == Special.DERIVED:
        name, *numbers = node.data
        argument = node.args[1]
        return [(argument, False, DERIVED_RULES[name](graph, low[argument], low[node], gradient, *numbers))]
    rule = RULES.get(node.op)
    return [] if rule is None else rule(graph, node.args, [low[a] for a in node.args], low[node], gradient)


def _collect(graph: Graph, layout: Layout, stages: Stages, total: dict[Node, Node]) -> Reverse:
    zero = graph.constant(0)
    declared = layout.declared
    deltas = [(DeltaOf.COLUMN, n, total.get(node, zero)) for n, node in enumerate(stages.column_nodes)]
    for of, kind, declarations in (
        (DeltaOf.UNIT, Kind.UNIT, declared.units),
        (DeltaOf.SCALAR, Kind.NUMBER, declared.scalars),
        (DeltaOf.INPUT, Kind.INPUT, declared.inputs),
    ):
        deltas += [(of, n, total.get(graph.operand(kind, n), zero)) for n in range(len(declarations))]
    raw = graph.operand(Kind.RAW, 0)
    if raw in stages.numbers:
        deltas.append((DeltaOf.RAW, 0, total.get(raw, zero)))
    outgoing = [(node.data[1], total[node]) for node in total if is_old_state(node)]
    return Reverse(deltas, sorted(outgoing, key=lambda pair: pair[0]))
