"""Calls the function of a formula with values that note what is done with them."""

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from .declaration import Declaration
from .expression import Expression
from .graph import Graph, Node, in_order
from .layout import INPUT, SUM, half_part, part_names
from .operations import Kind, Operation, Special
from .trace import Gate, Names, Traced, node_of


def call(declared: Declaration, given: Mapping[str, Any]) -> tuple[Any, ...]:
    """The function's results, as many as there are states."""
    result = declared.function(*(given[name] for name in declared.arguments))
    results = tuple(result) if isinstance(result, (tuple, list)) else () if result is None else (result,)
    if len(results) != len(declared.states):
        states = ", ".join(declared.states)
        expected = f"{len(declared.states)} returned values ({states}), the states after the step"
        raise ValueError(f"{declared.name}: expected {expected}, got {len(results)}; write return {states}")
    return tuple(value._value() if isinstance(value, Expression) else value for value in results)


def _gate(graph: Graph, declared: Declaration, name: str) -> Gate:
    number = declared.gates.index(name)
    reads = declared.reads[number]

    def masked(source: Node) -> Node:
        mask = graph.operand(Kind.INPUT, list(declared.inputs).index(str(declared.recurrent_mask)))
        return graph.node(Operation.MULTIPLY, mask, source)

    def compute(part: str, v: Any) -> Traced:
        code = half_part(declared, part)
        if v is None:
            code = INPUT if code == SUM and not reads else code
            if declared.recurrent_mask and code != INPUT:
                if reads != (0,):
                    raise ValueError(
                        f"recurrent_dropout: expected a cell whose gates read {declared.states[0]} alone, got one "
                        f"whose gate {name} reads {', '.join(declared.states[k] for k in reads)}"
                    )
                source = masked(graph.operand(Kind.OLD, 0))
                return Traced(graph, graph.node(Special.GATE, source, data=(number, code)))
            return Traced(graph, graph.node(Special.GATE, data=(number, code)))
        if len(reads) != 1:
            raise TypeError(f"a.{name}(v): expected a gate that reads one state, got one that reads {len(reads)}")
        if isinstance(v, Traced) and v.condition:
            raise TypeError(f"a.{name}(v): expected a value, got a condition; write where(condition, 1.0, 0.0)")
        source = node_of(graph, v)
        own = graph.operand(Kind.OLD, reads[0])
        if declared.recurrent_mask:
            return Traced(graph, graph.node(Special.GATE, masked(source), data=(number, code)))
        return Traced(graph, graph.node(Special.GATE, *(() if source is own else (source,)), data=(number, code)))

    return Gate(name, part_names(declared, number), compute)


def trace(graph: Graph, declared: Declaration) -> list[Node]:
    """The states after the step, as nodes of `graph`."""
    units, scalars, inputs = list(declared.units), list(declared.scalars), list(declared.inputs)

    def operand(kind: Kind, names: Sequence[str]) -> Callable[[str], Traced]:
        return lambda name: Traced(graph, graph.operand(kind, names.index(name)))

    def parameter(name: str) -> Traced:
        return operand(Kind.UNIT, units)(name) if name in units else operand(Kind.NUMBER, scalars)(name)

    def given(name: str) -> Traced:
        return Traced(graph, graph.operand(Kind.RAW, 0)) if name == "x" else operand(Kind.INPUT, inputs)(name)

    arguments = {
        "a": Names("a", "gates", declared.gates, lambda name: _gate(graph, declared, name)),
        "s": Names("s", "states", declared.states, operand(Kind.OLD, declared.states)),
        "u": Names("u", "units and scalars", units + scalars, parameter),
        "x": Names("x", "inputs, and x itself", [*inputs, "x"], given),
    }
    try:
        results = call(declared, arguments)
        for name, value in zip(declared.states, results, strict=True):
            if isinstance(value, Traced) and value.condition:
                raise TypeError(f"{name}: expected a value, got a condition; write where(condition, 1.0, 0.0)")
        roots = [node_of(graph, value) for value in results]
    except (TypeError, AttributeError, ValueError) as error:
        error.args = (f"{error} {_place(error.__traceback__, declared)}",)
        raise
    _check_used(graph, declared, roots)
    return roots


def _place(traceback: TracebackType | None, declared: Declaration) -> str:
    """The line of the function where an error came up; its first one, if it came up elsewhere."""
    while traceback is not None:
        if traceback.tb_frame.f_code is declared.code:
            return f'(file "{declared.code.co_filename}", line {traceback.tb_lineno})'
        traceback = traceback.tb_next
    return declared.place


def _check_used(graph: Graph, declared: Declaration, roots: list[Node]) -> None:
    used = set(in_order(roots))
    for what, kind, names in (
        ("units", Kind.UNIT, declared.units),
        ("scalars", Kind.NUMBER, declared.scalars),
        ("inputs", Kind.INPUT, declared.inputs),
    ):
        for index, name in enumerate(names):
            if graph.operand(kind, index) not in used:
                raise ValueError(
                    f"{what}: expected names that the returned values depend on, got {name}; "
                    f"use it or leave it out {declared.place}"
                )
