"""The functions of a formula on traced values: operations, and what is composed of them."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from .activations import sigmoid, tanh
from .functions import erf, exp, expm1, log1p, maximum, minimum, sqrt
from .graph import Graph, Node
from .operations import Operation, Special
from .trace import Traced, constant, node_of

_SQRT_HALF = math.sqrt(0.5)
_TANH_GELU = math.sqrt(2 / math.pi)


def _graph_of(values: Sequence[Any]) -> Graph:
    return next(v.graph for v in values if isinstance(v, Traced))


def _numbers(graph: Graph, values: Sequence[Any]) -> list[Node]:
    for v in values:
        if isinstance(v, Traced) and v.condition:
            raise TypeError(
                "a condition: expected to be used in where(), &, |, ~ or as one factor of a product, "
                "got other arithmetic; write recurra.formula.where(condition, 1.0, 0.0)"
            )
    return [node_of(graph, v) for v in values]


def _simple(operation: Operation) -> Callable[..., Traced]:
    def call(*values: Any) -> Traced:
        graph = _graph_of(values)
        return Traced(graph, graph.node(operation, *_numbers(graph, values)))

    return call


def _comparison(operation: Operation, swap: bool = False) -> Callable[..., Traced]:
    def call(v: Any, w: Any) -> Traced:
        graph = _graph_of((v, w))
        nodes = _numbers(graph, (v, w))
        return Traced(graph, graph.node(operation, *(nodes[::-1] if swap else nodes)), condition=True)

    return call


def _multiply(v: Any, w: Any) -> Traced:
    graph = _graph_of((v, w))
    # A condition may be a factor of a value. NumPy and torch differ on what it is with a constant or another condition.
    if getattr(v, "condition", False) and isinstance(w, Traced) and not w.condition:
        return Traced(graph, graph.node(Operation.MULTIPLY, v.node, w.node))
    if getattr(w, "condition", False) and isinstance(v, Traced) and not v.condition:
        return Traced(graph, graph.node(Operation.MULTIPLY, v.node, w.node))
    return Traced(graph, graph.node(Operation.MULTIPLY, *_numbers(graph, (v, w))))


def _condition(name: str, *values: Any) -> list[Node]:
    for v in values:
        if not (isinstance(v, Traced) and v.condition):
            raise TypeError(f"{name}: expected conditions (comparisons), got a value; compare it first")
    return [v.node for v in values]


def _logical(name: str, operation: Operation) -> Callable[..., Traced]:
    def call(v: Any, w: Any) -> Traced:
        graph = _graph_of((v, w))
        return Traced(graph, graph.node(operation, *_condition(name, v, w)), condition=True)

    return call


def _not(v: Traced) -> Traced:
    graph = v.graph
    (node,) = _condition("~", v)
    return Traced(graph, graph.node(Operation.SUBTRACT, graph.constant(1), node), condition=True)


def _where(condition: Any, v: Any, w: Any) -> Traced:
    graph = _graph_of((condition, v, w))
    return Traced(graph, graph.node(Operation.SELECT, node_of(graph, condition), *_numbers(graph, (v, w))))


def _power(v: Any, exponent: Any) -> Any:
    n = constant(exponent)
    if n == 0.5:
        return sqrt(v)
    if not isinstance(v, Traced) or n is None or not 1 <= abs(n) <= 16 or n != int(n):
        raise TypeError(
            f"**: expected a whole exponent from -16 to 16 or 0.5, got {exponent!r}; "
            "write recurra.formula.exp(n * log(v))"
        )
    result: Any = v
    for _ in range(int(abs(n)) - 1):
        result = result * v
    return result if n > 0 else 1 / result


def _derived(rule: str, value: Any, *of: Any, numbers: tuple[float, ...] = ()) -> Traced:
    """`value`, whose gradient a rule gives to the values that it is a function of."""
    graph = _graph_of((value, *of))
    nodes = [node_of(graph, v) for v in (value, *of)]
    return Traced(graph, graph.node(Special.DERIVED, *nodes, data=(rule, *numbers)))


def _clip(v: Any, lo: Any, hi: Any) -> Traced:
    if any(b is not None and constant(b) is None for b in (lo, hi)):
        raise TypeError("clip: expected bounds that are numbers or None, got a value; write minimum and maximum")
    low, high = -math.inf if lo is None else float(lo), math.inf if hi is None else float(hi)
    value = v if lo is None else maximum(v, low)
    value = value if hi is None else minimum(value, high)
    return _derived("between", value, v, numbers=(low, high))


def _gelu(v: Any, approximate: str) -> Any:
    if approximate == "tanh":
        return 0.5 * v * (1 + tanh(_TANH_GELU * (v + 0.044715 * (v * v * v))))
    return 0.5 * v * (1 + erf(v * _SQRT_HALF))


def _leaky_relu(v: Any, slope: float) -> Traced:
    return _derived("leaky", _where(v > 0, v, slope * v), v, numbers=(float(slope),))


def _elu(v: Any, alpha: float) -> Traced:
    if not alpha > 0:
        raise ValueError(f"alpha: expected a positive number, got {alpha}")
    return _derived("elu", _where(v > 0, v, alpha * expm1(minimum(v, 0))), v, numbers=(float(alpha),))


def _given_slope(value: Any, slope_of: Any) -> Any:
    _numbers(_graph_of((value, slope_of)), (slope_of,))
    return _derived("given", value, slope_of)


def _unary(name: str) -> Callable[[Any], Traced]:
    """A special node of one argument, mean or projection."""
    special = Special.MEAN if name == "mean" else Special.PROJECTION

    def call(v: Traced) -> Traced:
        return Traced(v.graph, v.graph.node(special, *_numbers(v.graph, (v,))))

    return call


def _identity(v: Traced) -> Traced:
    return v


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "identity": _identity,
    "negate": _simple(Operation.NEGATE),
    "add": _simple(Operation.ADD),
    "subtract": _simple(Operation.SUBTRACT),
    "multiply": _multiply,
    "divide": _simple(Operation.DIVIDE),
    "power": _power,
    "less": _comparison(Operation.LESS),
    "less_equal": _comparison(Operation.LESS_EQUAL),
    "greater": _comparison(Operation.LESS, swap=True),
    "greater_equal": _comparison(Operation.LESS_EQUAL, swap=True),
    "equal": _comparison(Operation.EQUAL),
    "not_equal": _comparison(Operation.NOT_EQUAL),
    "logical_and": _logical("&", Operation.MULTIPLY),
    "logical_or": _logical("|", Operation.MAXIMUM),
    "logical_not": _not,
    "where": _where,
    "abs": _simple(Operation.ABSOLUTE),
    "minimum": _simple(Operation.MINIMUM),
    "maximum": _simple(Operation.MAXIMUM),
    "clip": _clip,
    "square": lambda v: v * v,
    "sqrt": _simple(Operation.SQUARE_ROOT),
    "exp": _simple(Operation.EXP),
    "expm1": _simple(Operation.EXPM1),
    "log": _simple(Operation.LOG),
    "log1p": _simple(Operation.LOG1P),
    "sin": _simple(Operation.SIN),
    "cos": _simple(Operation.COS),
    "erf": _simple(Operation.ERF),
    "sigmoid": _simple(Operation.SIGMOID),
    "tanh": _simple(Operation.TANH),
    "relu": lambda v: _derived("leaky", maximum(v, 0), v, numbers=(0.0,)),
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "softplus": lambda v: _derived("softplus", maximum(v, 0) + log1p(exp(-abs(v))), v),
    "log_sigmoid": lambda v: _derived("log_sigmoid", minimum(v, 0) - log1p(exp(-abs(v))), v),
    "silu": lambda v: v * sigmoid(v),
    "gelu": _gelu,
    "hard_sigmoid": lambda v: _derived("inside", minimum(maximum(v + 3, 0), 6), v + 3, numbers=(0.0, 6.0)) * (1 / 6),
    "hard_tanh": lambda v: _derived("inside", minimum(maximum(v, -1), 1), v, numbers=(-1.0, 1.0)),
    "given_slope": _given_slope,
    "mean": _unary("mean"),
    "project": _unary("projection"),
}

Traced.functions = FUNCTIONS
