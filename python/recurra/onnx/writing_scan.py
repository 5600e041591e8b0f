"""Layers of formulas as a Scan: the function is called once, and what it does becomes the body of the loop.

The input's products are outside of the loop, where one MatMul does those of all steps, as in recurra itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.formula.expression import Expression
from recurra.formula.layout import SUM, half_part, part_names
from recurra.formula.operations import InputShape
from recurra.formula.trace import Gate, Names
from recurra.formula.tracing import call

from .symbols import Symbol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recurra.module import Array
    from recurra.recurrent import Recurrent

    from .building import Builder
    from .writing import Flow


class Body:
    """The body of one direction of one layer: what the function's arguments are within it."""

    def __init__(self, outer: Builder, layer: Recurrent, params: dict[str, Array], prefix: str) -> None:
        self.outer, self.graph = outer, outer.body()
        self.layout, self.hidden = layer.formula.layout, layer.hidden_size
        self.declared = self.layout.declared
        self.params, self.prefix = params, prefix
        self.states: list[Symbol] = []
        self.scanned: dict[str, Symbol] = {}  # "" the products with x, "x" x itself, and inputs by name
        self.given: dict[str, Symbol] = {}  # inputs that stay the same
        self.projection = None
        if self.layout.projects:
            self.projection = outer.weight(params["weight_hr"].T, f"{prefix}weight_hr")
        self._parts: dict[Any, dict[int, str]] = {}
        own = [*self.declared.units, *self.declared.scalars]
        self._units = {name: outer.weight(params[name], f"{prefix}{name}") for name in own}

    def symbol(self, name: str, full: bool = True) -> Symbol:
        """A value of the body."""
        return Symbol(self.graph, name, full, projection=self.projection)

    def arguments(self) -> dict[str, Any]:
        """What the formula's function is called with."""
        declared = self.declared

        def given(name: str) -> Symbol:
            return self.scanned[name] if name in self.scanned else self.given[name]

        return {
            "a": Names("a", "gates", declared.gates, self._gate),
            "s": Names("s", "states", declared.states, lambda name: self.states[declared.states.index(name)]),
            "u": Names("u", "names", list(self._units), lambda name: self.symbol(self._units[name], full=False)),
            "x": Names("x", "names", [*declared.inputs, "x"], given),
        }

    def _gate(self, name: str) -> Gate:
        number = self.declared.gates.index(name)

        def compute(part: str, v: Any) -> Any:
            code = half_part(self.declared, part)
            columns = self.layout.columns(number) if code == SUM else [code]
            total = self._column(number, columns[0], v)
            for column in columns[1:]:
                total = total + self._column(number, column, v)
            return total

        return Gate(name, part_names(self.declared, number), compute)

    def _column(self, gate: int, part: int, v: Any) -> Any:
        layout, total = self.layout, None
        if layout.has_input(part):
            blocks = layout.parameters[layout.number["weight_ih"]].gates
            total = self._part(("weight_ih",), self.scanned[""].name, blocks, gate)
        for half in layout.halves(gate, part):
            product = self._product(layout.weight(gate, half), gate, self.states[half], v)
            total = product if total is None else total + product
        return total if layout.recurrent_bias(gate, part) < 0 else total + self._bias(gate)

    def _part(self, key: Any, value: str, gates: Sequence[int], gate: int) -> Symbol:
        """The block of one gate of a value that has the blocks of several."""
        if key not in self._parts:
            pieces = self.graph.parted(value, [self.hidden] * len(gates), -1)
            self._parts[key] = dict(zip(gates, pieces, strict=True))
        return self.symbol(self._parts[key][gate])

    def _product(self, weight: str, gate: int, state: Symbol, v: Any) -> Symbol:
        """Rows of a weight times a state, for all gates that read it at once, or times what is in its place."""
        layout = self.layout
        if v is not None:
            source = self.full(v, state)
            rows = self.outer.weight(self._rows(weight, [gate]).T, f"{self.prefix}{weight}")
            return self.symbol(self.graph.node("MatMul", source, rows))
        gates = [
            g
            for g in layout.parameters[layout.number[weight]].gates
            if layout.uses[g].called is None and layout.weight(g, self._half(state)) == weight
        ]
        key = weight, state.name
        if key not in self._parts:
            rows = self.outer.weight(self._rows(weight, gates).T, f"{self.prefix}{weight}")
            return self._part(key, self.graph.node("MatMul", state.name, rows), gates, gate)
        return self._part(key, "", gates, gate)

    def _half(self, state: Symbol) -> int:
        return next(k for k, own in enumerate(self.states) if own is state)

    def _rows(self, weight: str, gates: list[int]) -> Array:
        """The rows of some gates, with zeros between the blocks of heads."""
        heads, hidden = self.declared.heads, self.hidden
        found = []
        for gate in gates:
            block = self.layout.block(weight, gate)
            rows = self.params[weight][block * hidden : (block + 1) * hidden]
            if heads > 1:
                size = hidden // heads
                dense = np.zeros((hidden, hidden), rows.dtype)
                for k in range(heads):
                    dense[k * size : (k + 1) * size, k * size : (k + 1) * size] = rows[k * size : (k + 1) * size]
                rows = dense
            found.append(rows)
        return np.concatenate(found)

    def _bias(self, gate: int) -> Any:
        if "bias_hh" not in self.params:
            return 0.0
        key = ("bias_hh",)
        if key not in self._parts:
            gates = self.layout.parameters[self.layout.number["bias_hh"]].gates
            pieces = np.split(self.params["bias_hh"], len(gates))
            names = [self.outer.weight(piece, f"{self.prefix}bias_hh") for piece in pieces]
            self._parts[key] = dict(zip(gates, names, strict=True))
        return self.symbol(self._parts[key][gate], full=False)

    def full(self, value: Any, like: Symbol) -> str:
        """A value as the name of one that has the shape of another."""
        graph = self.graph
        if isinstance(value, Expression):
            value = value._value()
        if isinstance(value, Symbol):
            if value.full:
                return value.name
            value = value.name
        else:
            value = graph.number(float(value))
        return graph.node("Expand", value, graph.once("Shape", like.name))


def write_scan(
    flow: Flow, layer: Recurrent, number: int, params: dict[str, Array], prefix: str, initial: list[str]
) -> list[str]:
    """Adds the Scans of one layer of a stack, as `writing_nodes.write_node` adds its node."""
    graph, outputs, finals = flow.graph, [], []
    directions = 2 if layer.bidirectional else 1
    parts = [graph.parted(state, [1] * directions, 0) for state in initial]
    for d in range(directions):
        end = f"_l{number}" + "_reverse" * d
        own = {name.removesuffix(end): value for name, value in params.items() if name.endswith(end)}
        states = [graph.node("Squeeze", pieces[d], graph.integers(0)) for pieces in parts]
        y, final = _direction(flow, layer, own, f"{prefix}l{number}{'_reverse' * d}.", states, bool(d or layer.reverse))
        outputs.append(y)
        finals.append([graph.node("Unsqueeze", state, graph.integers(0)) for state in final])
    flow.value = graph.joined(outputs, 2)
    return [graph.joined(states, 0) for states in zip(*finals, strict=True)]


def _direction(
    flow: Flow, layer: Recurrent, params: dict[str, Array], prefix: str, initial: list[str], reverse: bool
) -> tuple[str, list[str]]:
    """One Scan: the outputs (T, B, features), and the states (B, features) after its last step."""
    outer, declared = flow.graph, layer.formula.declared
    body = Body(outer, layer, params, prefix)
    inner, dtype = body.graph, outer.dtype
    scanned: list[str] = []  # values of the outer graph, whose first axis is time

    def entering(name: str, value_dtype: Any = dtype) -> str:
        own = outer.fresh(f"{prefix}{name}")
        inner.inputs.append(inner.info(own, value_dtype, None))
        return own

    body.states = [body.symbol(entering(name)) for name in declared.states]
    if "weight_ih" in params:
        product = outer.node("MatMul", flow.value, outer.weight(params["weight_ih"].T, f"{prefix}weight_ih"))
        if "bias_ih" in params:
            product = outer.node("Add", product, outer.weight(params["bias_ih"], f"{prefix}bias_ih"))
        scanned.append(product)
        body.scanned[""] = body.symbol(entering("W_x"))
    if layer.formula.reads_input_itself:
        scanned.append(flow.value)
        body.scanned["x"] = body.symbol(entering("x"))
    for name, shape in declared.inputs.items():
        value = flow.inputs[name]
        if shape == InputShape.PER_ROW:
            body.given[name] = body.symbol(value)
            continue
        scanned.append(value)
        body.scanned[name] = body.symbol(entering(name), full=shape == InputShape.PER_UNIT)
    mask = ""
    if flow.lengths:
        scanned.append(flow.mask())
        mask = entering("running", np.bool_)
    results = call(declared, body.arguments())
    final = [body.full(value, like) for value, like in zip(results, body.states, strict=True)]
    if mask:
        final = [inner.node("Where", mask, new, old.name) for new, old in zip(final, body.states, strict=True)]
    y = inner.node("Identity", final[declared.states.index(declared.output)])
    if mask:
        y = inner.node("Where", mask, y, inner.number(0))
    final = [inner.node("Identity", value) for value in final]  # a body's output may not be its input
    for value in (*final, y):
        inner.outputs.append(inner.info(value, dtype, None))
    helper = outer.onnx.helper
    made = outer.several(
        "Scan",
        len(final) + 1,
        *initial,
        *scanned,
        name=f"{prefix}{declared.name}",
        body=helper.make_graph(inner.nodes, f"{prefix}step", inner.inputs, inner.outputs),
        num_scan_inputs=len(scanned),
        scan_input_directions=[int(reverse)] * len(scanned),
        scan_output_directions=[int(reverse)],
    )
    return made[-1], made[:-1]
