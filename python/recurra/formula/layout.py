"""Which parts of gates a formula uses, and so which rows of weights and biases there are."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .declaration import Declaration
from .graph import Graph, Node
from .operations import Kind, Operation, Role, Special

# Parts of a gate, as GATE and COLUMN nodes have them: the sum, W_ih x, and from HALF on the products with states.
SUM, INPUT, HALF = 0, 1, 2


class Parameter(NamedTuple):
    """A parameter, by its name without layer and direction."""

    name: str
    role: Role
    blocks: int = 1
    heads: int = 1
    gates: Sequence[int] = ()  # whose rows it has, hidden_size each


@dataclass(eq=False, repr=False)
class GateUse:
    """How the function uses one gate."""

    parts: set[int] = field(default_factory=set)
    called: Node | None = None  # what it is called with, if that isn't the state that it reads


class Layout:
    """Blocks of weights and biases of a formula."""

    def __init__(self, declared: Declaration, uses: dict[int, GateUse], projects: bool) -> None:
        self.declared = declared
        self.uses = uses
        self.projects = projects
        self.parameters: list[Parameter] = []
        gates = range(len(declared.gates))
        inputs = [g for g in gates if any(self.has_input(part) for part in self.columns(g))]
        recurrent = {g: self._halves(g) for g in gates}
        with_halves = [g for g in gates if recurrent[g]]
        if inputs:
            self._add("weight_ih", Role.INPUT_WEIGHT, inputs)
        names = ["weight_hh", *(f"weight_{z}h" for z in declared.states[1:])]
        for name in names:
            reading = [g for g in gates if any(self.weight(g, half) == name for half in recurrent[g])]
            if reading:
                self._add(name, Role.RECURRENT_WEIGHT, reading, declared.heads)
        if inputs:
            self._add("bias_ih", Role.INPUT_BIAS, inputs)
        if with_halves:
            self._add("bias_hh", Role.RECURRENT_BIAS, with_halves)
        if projects:
            self.parameters.append(Parameter("weight_hr", Role.PROJECTION))
        self.parameters += [Parameter(name, Role.UNIT_VECTOR) for name in declared.units]
        self.parameters += [Parameter(name, Role.SCALAR) for name in declared.scalars]
        self.number: dict[str, int] = {p.name: n for n, p in enumerate(self.parameters)}

    def _add(self, name: str, role: Role, gates: list[int], heads: int = 1) -> None:
        self.parameters.append(Parameter(name, role, len(gates), heads, gates))

    @property
    def order(self) -> tuple[int, ...]:
        """The declared states' numbers as the compiled half has them: the output first."""
        output = self.declared.states.index(self.declared.output)
        return (output, *(k for k in range(len(self.declared.states)) if k != output))

    def columns(self, gate: int) -> list[int]:
        """The parts of a gate that are columns: the sum, or the parts that the program adds."""
        parts = self.uses[gate].parts
        reads = self.declared.reads[gate]
        if not reads:
            return [INPUT]
        if parts == {SUM}:
            return [SUM]
        return [part for part in (INPUT, *(HALF + k for k in reads)) if part in parts or SUM in parts]

    @staticmethod
    def has_input(part: int) -> bool:
        """Whether W_ih x is in a column of this part."""
        return part in {SUM, INPUT}

    def halves(self, gate: int, part: int) -> list[int]:
        """The states whose products are in the column of a part."""
        if part == SUM:
            return list(self.declared.reads[gate])
        return [] if part == INPUT else [part - HALF]

    def _halves(self, gate: int) -> list[int]:
        return [half for part in self.columns(gate) for half in self.halves(gate, part)]

    def weight(self, gate: int, half: int) -> str:
        """The name of the weight of a gate's product with a state, or with what stands for it."""
        if half == 0 or self.uses[gate].called is not None:
            return "weight_hh"
        return f"weight_{self.declared.states[half]}h"

    def reads_projected(self, name: str) -> bool:
        """Whether a recurrent weight's products read the first state where that has a size of its own."""
        gates = self.parameters[self.number[name]].gates
        called = [self.uses[g].called for g in gates]
        of_h = all(v is None or (is_old_state(v) and v.data[1] == 0) for v in called)
        return self.projects and name == "weight_hh" and of_h

    def block(self, name: str, gate: int) -> int:
        """Which block of a parameter's rows is a gate's; -1 if none is."""
        number = self.number.get(name)
        gates = [] if number is None else self.parameters[number].gates
        return gates.index(gate) if gate in gates else -1

    def recurrent_bias(self, gate: int, part: int) -> int:
        """The block of bias_hh in the column of a part; -1 if it is in another part or nowhere."""
        if part == INPUT or part != next(p for p in self.columns(gate) if p != INPUT):
            return -1
        return self.block("bias_hh", gate)


def gate_uses(declared: Declaration, nodes: list[Node]) -> dict[int, GateUse]:
    """How all gates are used in a traced graph.

    Raises:
        ValueError: A gate isn't used, or its product would have to read two different vectors.
    """
    uses = {g: GateUse() for g in range(len(declared.gates))}
    for node in nodes:
        if node.op != Special.GATE:
            continue
        gate, part = node.data
        use = uses[gate]
        use.parts.add(part)
        source = node.args[0] if node.args else None
        if part == SUM or part >= HALF:
            others = {n.args for n in nodes if n.op == Special.GATE and n.data[0] == gate and n.data[1] != INPUT}
            if len(others) > 1:
                raise ValueError(
                    f"a.{declared.gates[gate]}: expected one vector that its product reads, got {len(others)} "
                    f"different ones; declare a gate for each {declared.place}"
                )
            use.called = source
    for gate, use in uses.items():
        if not use.parts:
            raise ValueError(
                f"gates: expected gates that the returned values depend on, got {declared.gates[gate]}; "
                f"use it or leave it out {declared.place}"
            )
    return uses


def resolved(graph: Graph, layout: Layout, nodes: list[Node]) -> dict[Node, Node]:
    """The successors of traced nodes: columns, and sums of them where a gate is used whole and in parts."""
    made: dict[Node, Node] = {}

    def column(gate: int, part: int) -> Node:
        called = layout.uses[gate].called
        args = () if called is None or part == INPUT else (made[called],)
        return graph.node(Special.COLUMN, *args, data=(gate, part))

    for node in nodes:
        if node.op != Special.GATE:
            made[node] = graph.node(node.op, *(made[a] for a in node.args), data=node.data)
            continue
        gate, part = node.data
        columns = layout.columns(gate)
        if part in columns or (part == SUM and len(columns) == 1):
            made[node] = column(gate, columns[0] if part not in columns else part)
        else:
            total = column(gate, columns[0])
            for other in columns[1:]:
                total = graph.node(Operation.ADD, total, column(gate, other))
            made[node] = total
    return made


def is_old_state(node: Node) -> bool:
    """Whether a node is a state before the step, which products can read where it is."""
    return node.op == Special.OPERAND and node.data[0] == Kind.OLD


def part_names(declared: Declaration, gate: int) -> list[str]:
    """What a gate's parts are called: x and the states that it reads; the first state is h too, whatever its name."""
    reads = declared.reads[gate]
    alias = ["h"] if 0 in reads and declared.states[0] != "h" else []
    return ["x", *(declared.states[k] for k in reads), *alias]


def half_part(declared: Declaration, name: str) -> int:
    """The part of a name as of `part_names`; SUM of ""."""
    if name in {"", "x"}:
        return INPUT if name else SUM
    return HALF + (declared.states.index(name) if name in declared.states else 0)
