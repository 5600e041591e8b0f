"""Values of a formula as values of an ONNX graph: calling its function with them writes the nodes that compute it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from recurra.formula import erf, exp, log, maximum, minimum, tanh, where
from recurra.formula.expression import Expression

from .building import BOOL

if TYPE_CHECKING:
    from collections.abc import Callable

    from .building import Builder

SQRT_HALF = math.sqrt(0.5)
TANH_GELU = math.sqrt(2 / math.pi)


class Symbol(Expression):
    """A value in a body: (B, H) if it is full, else one that broadcasts to that."""

    __slots__ = ("condition", "full", "graph", "name", "projection")

    def __init__(
        self, graph: Builder, name: str, full: bool, condition: bool = False, projection: str | None = None
    ) -> None:
        self.graph, self.name, self.full = graph, name, full
        self.condition = condition  # of bools
        self.projection = projection  # the name of weight_hr transposed, where the formula projects


def _written(op_type: str, *values: Any, condition: bool = False, **attributes: Any) -> Symbol:
    """The symbol of a new node of values, which are symbols and numbers."""
    symbols = [v for v in values if isinstance(v, Symbol)]
    graph, like = symbols[0].graph, symbols[0]
    names = [v.name if isinstance(v, Symbol) else graph.number(float(v)) for v in values]
    full = any(v.full for v in symbols)
    return Symbol(graph, graph.node(op_type, *names, **attributes), full, condition, like.projection)


def _number(v: Any) -> Any:
    """A condition as 1 or 0; all else as it is."""
    if isinstance(v, Symbol) and v.condition:
        return _written("Cast", v, to=v.graph.onnx.helper.np_dtype_to_tensor_dtype(v.graph.dtype))
    return v


def _simple(op_type: str) -> Callable[..., Symbol]:
    return lambda *values: _written(op_type, *map(_number, values))


def _comparison(op_type: str, negated: bool = False) -> Callable[..., Symbol]:
    def call(v: Any, w: Any) -> Symbol:
        found = _written(op_type, _number(v), _number(w), condition=True)
        return _written("Not", found, condition=True) if negated else found

    return call


def _logical(op_type: str) -> Callable[..., Symbol]:
    return lambda *values: _written(op_type, *values, condition=True)


def _where(condition: Any, v: Any, w: Any) -> Any:
    if not isinstance(condition, Symbol):
        return v if condition else w
    if not condition.condition:
        condition = _written("Cast", condition, condition=True, to=BOOL)
    return _written("Where", condition, _number(v), _number(w))


def _power(v: Any, exponent: Any) -> Any:
    number = float(exponent)
    if number == 0.5:
        return _written("Sqrt", v)
    result = v
    for _ in range(int(abs(number)) - 1):
        result = result * v
    return result if number > 0 else 1 / result


def _expm1(v: Symbol) -> Any:
    """By tanh where e^v - 1 would cancel: 2 t / (1 - t) of t = tanh(v / 2)."""
    t = tanh(0.5 * v)
    return where(abs(v) < 1, 2 * t / (1 - t), exp(v) - 1)


def _log1p(v: Symbol) -> Any:
    """W. Kahan's: log(u) v / (u - 1) of u = 1 + v, whose rounding error cancels; v where u is 1."""
    u = 1 + v
    rest = u - 1
    safe = where(abs(rest) > 0, rest, 1.0)
    return where(abs(rest) > 0, where(u < math.inf, log(u) * (v / safe), u), v)


def _mean(v: Symbol) -> Symbol:
    graph = v.graph
    if graph.opset < 18:
        name = graph.node("ReduceMean", v.name, axes=[-1], keepdims=1)
    else:
        name = graph.node("ReduceMean", v.name, graph.integers(-1), keepdims=1)
    return Symbol(graph, name, full=False, projection=v.projection)


def _project(v: Symbol) -> Symbol:
    return Symbol(v.graph, v.graph.node("MatMul", v.name, str(v.projection)), full=True)


def _gelu(v: Any, approximate: str) -> Any:
    if approximate == "tanh":
        return 0.5 * v * (1 + tanh(TANH_GELU * (v + 0.044715 * (v * v * v))))
    return 0.5 * v * (1 + erf(v * SQRT_HALF))


def _clip(v: Any, lo: float | None, hi: float | None) -> Any:
    v = v if lo is None else maximum(v, lo)
    return v if hi is None else minimum(v, hi)


def _softplus(v: Symbol) -> Any:
    return _written("Softplus", v)


Symbol.functions = {
    "identity": lambda v: v,
    "negate": _simple("Neg"),
    "add": _simple("Add"),
    "subtract": _simple("Sub"),
    "multiply": _simple("Mul"),
    "divide": _simple("Div"),
    "power": _power,
    "less": _comparison("Less"),
    "less_equal": _comparison("LessOrEqual"),
    "greater": _comparison("Greater"),
    "greater_equal": _comparison("GreaterOrEqual"),
    "equal": _comparison("Equal"),
    "not_equal": _comparison("Equal", negated=True),
    "logical_and": _logical("And"),
    "logical_or": _logical("Or"),
    "logical_not": _logical("Not"),
    "where": _where,
    "abs": _simple("Abs"),
    "minimum": _simple("Min"),
    "maximum": _simple("Max"),
    "clip": _clip,
    "square": lambda v: v * v,
    "sqrt": _simple("Sqrt"),
    "exp": _simple("Exp"),
    "expm1": _expm1,
    "log": _simple("Log"),
    "log1p": _log1p,
    "sin": _simple("Sin"),
    "cos": _simple("Cos"),
    "erf": _simple("Erf"),
    "sigmoid": _simple("Sigmoid"),
    "tanh": _simple("Tanh"),
    "relu": lambda v: maximum(v, 0.0),
    "leaky_relu": lambda v, slope: where(v > 0, v, slope * v),
    "elu": lambda v, alpha: where(v > 0, v, alpha * _expm1(minimum(v, 0.0))),
    "softplus": _softplus,
    "log_sigmoid": lambda v: -_softplus(-v),
    "silu": lambda v: v * _written("Sigmoid", v),
    "gelu": _gelu,
    "hard_sigmoid": lambda v: _clip(v + 3, 0.0, 6.0) * (1 / 6),
    "hard_tanh": lambda v: _clip(v, -1.0, 1.0),
    "given_slope": lambda value, _: value,
    "mean": _mean,
    "project": _project,
}
