"""Traced values: the function of a formula is called with them once, and what it does to them becomes a graph."""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from .expression import Expression
from .graph import Graph, Node


class Traced(Expression):
    """A value that isn't known yet: a node of a graph."""

    __slots__ = ("condition", "graph", "node")

    def __init__(self, graph: Graph, node: Node, condition: bool = False) -> None:
        self.graph = graph
        self.node = node
        self.condition = condition  # 1 or 0, made by a comparison

    def __repr__(self) -> str:
        return "a value of a formula"


class Gate(Expression):
    """`a.g`: itself the whole sum; `.x` and `.h` are its halves; called with what is multiplied instead of h.

    A half is one too, without parts of its own: `a.g.h(v)` is W_hh v + b_hh.
    """

    __slots__ = ("_compute", "_name", "_part", "_parts", "_sum")

    def __init__(self, name: str, parts: Sequence[str], compute: Callable[[str, Any], Any], part: str = "") -> None:
        self._name = name
        self._parts = parts
        self._compute = compute  # of "" (the sum) or a part, and of what is multiplied, if that isn't the state
        self._part = part
        self._sum: Any = None

    def _value(self) -> Any:
        """The sum of all its parts, or the half that it is."""
        if self._sum is None:
            self._sum = self._compute(self._part, None)
        return self._sum

    def __call__(self, v: Any) -> Any:
        """The sum, or the half, with v in the place of the state."""
        if self._part == "x":
            raise TypeError(f"a.{self._name}: expected to be read only, since it is the product with x, got a call")
        return self._compute(self._part, v._value() if isinstance(v, Expression) else v)

    def __getattr__(self, part: str) -> Any:
        if part.startswith("_"):
            raise AttributeError(part)  # Python's own questions, asked before there are parts too
        if part not in self._parts:
            expected = f"one of the parts {', '.join(self._parts)}" if self._parts else "no part"
            raise AttributeError(f"a.{self._name}: expected {expected}, got {part}")
        return Gate(f"{self._name}.{part}", (), self._compute, part)


class Names:
    """`a`, `s`, `u` or `x`: the values of declared names."""

    _letter: str
    _what: str
    _names: Sequence[str]
    _value: Callable[[str], Any]

    def __init__(self, letter: str, what: str, names: Sequence[str], value: Callable[[str], Any]) -> None:
        vars(self).update(_letter=letter, _what=what, _names=names, _value=value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._names:
            declared = ", ".join(self._names) or "none"
            raise AttributeError(f"{self._letter}.{name}: expected one of the declared {self._what} ({declared})")
        return self._value(name)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise TypeError(f"{self._letter}.{name}: expected to be read only; give the new value a name and return it")


def constant(value: object) -> float | None:
    """The Python number that a value is; None if it is none."""
    if isinstance(value, (bool, int, float, np.number, np.bool_)) and not isinstance(value, complex):
        try:
            return float(value)
        except OverflowError:
            raise ValueError("a formula: expected numbers that float64 can hold, got a larger integer") from None
    if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "fiub":
        return float(value)
    return None


def node_of(graph: Graph, value: object) -> Node:
    """The node of a traced value or of a constant; a TypeError that says what to write for anything else."""
    value = value._value() if isinstance(value, Expression) else value
    if isinstance(value, Traced):
        if value.graph is not graph:
            raise TypeError("a formula: expected values of this formula, got one that another formula's trace made")
        return value.node
    number = constant(value)
    if number is not None:
        return graph.constant(number)
    if isinstance(value, np.ndarray):
        got = f"an array of shape {value.shape}; declare it in units= (trained) or inputs= (given to each call)"
    else:
        got = type(value).__name__
    raise TypeError(f"a formula: expected values of the formula and numbers, got {got}")
