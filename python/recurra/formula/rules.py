"""Derivatives of operations, as torch's autograd has them."""

import math
from collections.abc import Callable, Sequence

from .graph import Graph, Node
from .operations import Operation, Special

# (argument, whether to subtract, how much)
Gradient = tuple[Node, bool, Node]
Rule = Callable[[Graph, Sequence[Node], Sequence[Node], Node, Node], list[Gradient]]

_ERF_SLOPE = 2 / math.sqrt(math.pi)


def _multiply(graph: Graph, args: Sequence[Node], values: Sequence[Node], _result: Node, g: Node) -> list[Gradient]:
    return [
        (args[0], False, graph.node(Operation.MULTIPLY, g, values[1])),
        (args[1], False, graph.node(Operation.MULTIPLY, g, values[0])),
    ]


def _divide(graph: Graph, args: Sequence[Node], values: Sequence[Node], result: Node, g: Node) -> list[Gradient]:
    share = graph.node(Operation.DIVIDE, g, values[1])
    return [(args[0], False, share), (args[1], True, graph.node(Operation.MULTIPLY, share, result))]


def _absolute(graph: Graph, args: Sequence[Node], values: Sequence[Node], _result: Node, g: Node) -> list[Gradient]:
    zero = graph.constant(0)
    positive = graph.node(Operation.LESS, zero, values[0])
    sign = graph.node(Operation.SUBTRACT, positive, graph.node(Operation.LESS, values[0], zero))
    return [(args[0], False, graph.node(Operation.MULTIPLY, g, sign))]


def _extreme(maximum: bool) -> Rule:
    def rule(graph: Graph, args: Sequence[Node], values: Sequence[Node], _result: Node, g: Node) -> list[Gradient]:
        v, w = values
        tie = graph.node(Operation.EQUAL, v, w)
        less = [graph.node(Operation.LESS, v, w), graph.node(Operation.LESS, w, v)]
        shares = [graph.node(Operation.SELECT, tie, graph.constant(0.5), chosen) for chosen in less]
        if maximum:
            shares.reverse()
        return [(arg, False, graph.node(Operation.MULTIPLY, g, share)) for arg, share in zip(args, shares, strict=True)]

    return rule


def _select(graph: Graph, args: Sequence[Node], values: Sequence[Node], _result: Node, g: Node) -> list[Gradient]:
    zero = graph.constant(0)
    return [
        (args[1], False, graph.node(Operation.SELECT, values[0], g, zero)),
        (args[2], False, graph.node(Operation.SELECT, values[0], zero, g)),
    ]


def _slope(make: Callable[[Graph, Node, Node], Node]) -> Rule:
    """The rule of a function whose slope is made of its argument and its result."""

    def rule(graph: Graph, args: Sequence[Node], values: Sequence[Node], result: Node, g: Node) -> list[Gradient]:
        return [(args[0], False, graph.node(Operation.MULTIPLY, g, make(graph, values[0], result)))]

    return rule


def _over(make: Callable[[Graph, Node, Node], Node]) -> Rule:
    """The rule of a function whose slope is the inverse of something."""

    def rule(graph: Graph, args: Sequence[Node], values: Sequence[Node], result: Node, g: Node) -> list[Gradient]:
        return [(args[0], False, graph.node(Operation.DIVIDE, g, make(graph, values[0], result)))]

    return rule


def _less_square(of: Callable[[Graph, Node], Node]) -> Callable[[Graph, Node, Node], Node]:
    def make(graph: Graph, _v: Node, r: Node) -> Node:
        return graph.node(Operation.SUBTRACT, of(graph, r), graph.node(Operation.MULTIPLY, r, r))

    return make


def _erf_slope(graph: Graph, v: Node, _r: Node) -> Node:
    square = graph.node(Operation.MULTIPLY, v, v)
    bell = graph.node(Operation.EXP, graph.node(Operation.NEGATE, square))
    return graph.node(Operation.MULTIPLY, graph.constant(_ERF_SLOPE), bell)


def _cos(graph: Graph, args: Sequence[Node], values: Sequence[Node], _result: Node, g: Node) -> list[Gradient]:
    return [(args[0], True, graph.node(Operation.MULTIPLY, g, graph.node(Operation.SIN, values[0])))]


RULES: dict[Operation | Special, Rule] = {
    Operation.NEGATE: lambda _graph, args, _values, _result, g: [(args[0], True, g)],
    Operation.ABSOLUTE: _absolute,
    Operation.ADD: lambda _graph, args, _values, _result, g: [(args[0], False, g), (args[1], False, g)],
    Operation.SUBTRACT: lambda _graph, args, _values, _result, g: [(args[0], False, g), (args[1], True, g)],
    Operation.MULTIPLY: _multiply,
    Operation.DIVIDE: _divide,
    Operation.MINIMUM: _extreme(maximum=False),
    Operation.MAXIMUM: _extreme(maximum=True),
    Operation.SELECT: _select,
    Operation.SQUARE_ROOT: _over(lambda graph, _v, r: graph.node(Operation.MULTIPLY, graph.constant(2), r)),
    Operation.EXP: _slope(lambda _graph, _v, r: r),
    Operation.EXPM1: _slope(lambda graph, _v, r: graph.node(Operation.ADD, r, graph.constant(1))),
    Operation.LOG: _over(lambda _graph, v, _r: v),
    Operation.LOG1P: _over(lambda graph, v, _r: graph.node(Operation.ADD, v, graph.constant(1))),
    Operation.SIGMOID: _slope(_less_square(lambda _graph, r: r)),
    Operation.TANH: _slope(_less_square(lambda graph, _r: graph.constant(1))),
    Operation.SIN: _slope(lambda graph, v, _r: graph.node(Operation.COS, v)),
    Operation.COS: _cos,
    Operation.ERF: _slope(_erf_slope),
}


def _between(graph: Graph, less: Operation, bounds: Sequence[float], value: Node, g: Node) -> Node:
    """`g` where the value is between the bounds, else 0."""
    conditions = []
    if bounds[0] > -math.inf:
        conditions.append(graph.node(less, graph.constant(bounds[0]), value))
    if bounds[1] < math.inf:
        conditions.append(graph.node(less, value, graph.constant(bounds[1])))
    if not conditions:
        return g
    both = conditions[0] if len(conditions) == 1 else graph.node(Operation.MULTIPLY, *conditions)
    return graph.node(Operation.SELECT, both, g, graph.constant(0))


def _softplus(graph: Graph, v: Node, _result: Node, g: Node) -> Node:
    return graph.node(Operation.MULTIPLY, g, graph.node(Operation.SIGMOID, v))


def _log_sigmoid(graph: Graph, v: Node, _result: Node, g: Node) -> Node:
    return graph.node(Operation.MULTIPLY, g, graph.node(Operation.SIGMOID, graph.node(Operation.NEGATE, v)))


def _leaky(graph: Graph, v: Node, result: Node, g: Node, slope: float) -> Node:
    # A result is positive where its argument is, unless the slope turns the negative ones round.
    positive = graph.node(Operation.LESS, graph.constant(0), result if slope >= 0 else v)
    # 0 · g isn't 0 where g isn't finite.
    below = graph.node(Operation.MULTIPLY, g, graph.constant(slope)) if slope else graph.constant(0)
    return graph.node(Operation.SELECT, positive, g, below)


def _elu(graph: Graph, _v: Node, result: Node, g: Node, alpha: float) -> Node:
    slope = graph.node(Operation.ADD, result, graph.constant(alpha))
    positive = graph.node(Operation.LESS, graph.constant(0), result)
    return graph.node(Operation.SELECT, positive, g, graph.node(Operation.MULTIPLY, g, slope))


# Of DERIVED nodes. Where they can, they look at the result, which is often there in the reverse.
DERIVED_RULES: dict[str, Callable[..., Node]] = {
    "given": lambda _graph, _v, _result, g: g,
    "softplus": _softplus,
    "log_sigmoid": _log_sigmoid,
    "leaky": _leaky,
    "elu": _elu,
    "between": lambda graph, v, _result, g, *bounds: _between(graph, Operation.LESS_EQUAL, bounds, v, g),
    "inside": lambda graph, _v, result, g, *bounds: _between(graph, Operation.LESS, bounds, result, g),
}
