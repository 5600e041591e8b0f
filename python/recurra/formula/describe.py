"""What an expert wants to see of a formula: parameters, stages, programs, the tape, the work of a step."""

from collections import Counter

from .layout import HALF, INPUT, Layout
from .operations import DeltaOf, InputShape, Kind, Operation, Role
from .program import Program, Stage
from .stages import Column

LINE = 112  # characters of a docstring's line
_SIGNS = {
    Operation.ADD: "{0} + {1}",
    Operation.SUBTRACT: "{0} - {1}",
    Operation.MULTIPLY: "{0} * {1}",
    Operation.DIVIDE: "{0} / {1}",
    Operation.NEGATE: "-{0}",
    Operation.MOVE: "{0}",
    Operation.ABSOLUTE: "|{0}|",
    Operation.LESS: "{0} < {1}",
    Operation.LESS_EQUAL: "{0} <= {1}",
    Operation.EQUAL: "{0} == {1}",
    Operation.NOT_EQUAL: "{0} != {1}",
    Operation.SELECT: "{0} ? {1} : {2}",
    Operation.SQUARE_ROOT: "sqrt({0})",
}

_MEMORY = {Kind.OLD: "{}", Kind.NEW: "{}'", Kind.INCOMING: "d{}'", Kind.OUTGOING: "d{}"}  # of states
_SLOTS = {Kind.TEMPORARY: "t", Kind.KEPT: "kept", Kind.HELD: "held"}


class _Names:
    """The names of operands, as a reader of the formula knows them."""

    def __init__(self, layout: Layout, program: Program) -> None:
        self._layout = layout
        self._program = program
        declared = layout.declared
        self._states = [declared.states[k] for k in program.order]
        self._units, self._scalars, self._inputs = map(list, (declared.units, declared.scalars, declared.inputs))

    def column(self, column: Column) -> str:
        gates = self._layout.declared.gates
        if column.gate == len(gates):
            return "projection"
        name = f"a.{gates[column.gate]}"
        if column.part == INPUT:
            return f"{name}.x"
        return name if column.part < HALF else f"{name}.{self._layout.declared.states[column.part - HALF]}"

    def source(self, source: int) -> str:
        staged = source - len(self._states)
        return self._states[source] if staged < 0 else f"v{staged}"

    def number(self, index: int) -> str:
        if index < len(self._scalars):
            return f"u.{self._scalars[index]}"
        return f"{self._program.constants[index - len(self._scalars)]:.9g}"

    def delta(self, index: int) -> str:
        of, which = self._program.deltas[index]
        if of == DeltaOf.COLUMN:
            return f"δ {self.column(self._program.columns[which])}"
        if of == DeltaOf.RAW:
            return "δ x.x"
        letter, names = {
            DeltaOf.UNIT: ("u", self._units),
            DeltaOf.SCALAR: ("u", self._scalars),
            DeltaOf.INPUT: ("x", self._inputs),
        }[of]
        return f"δ {letter}.{names[which]}"

    def operand(self, operand: tuple[Kind, int], stage: Stage, back: bool) -> str:
        kind, index = operand
        if kind in _MEMORY:
            return _MEMORY[kind].format(self._states[index])
        if kind in _SLOTS:
            return f"{_SLOTS[kind]}{index}"
        staged = "w" if back else "v"
        if kind == Kind.STAGED:
            return f"{staged}{index}"
        if kind == Kind.MEAN:
            return f"mean({staged}{self._program.means[stage.means.start + index]})"
        return self._given(kind, index)

    def _given(self, kind: Kind, index: int) -> str:
        """What no instruction of the pass has computed, and what is written for others."""
        if kind == Kind.COLUMN:
            return self.column(self._program.columns[index])
        if kind == Kind.GRADIENT:
            return f"d{self.source(index)}"
        if kind == Kind.NUMBER:
            return self.number(index)
        if kind == Kind.DELTA:
            return self.delta(index)
        if kind == Kind.UNIT:
            return f"u.{self._units[index]}"
        return "x.x" if kind == Kind.RAW else f"x.{self._inputs[index]}"


def summary(layout: Layout) -> str:
    """What a layer of the formula has and needs, in the words of its docstring; nothing is compiled for it."""
    declared, states = layout.declared, layout.declared.states
    lines = [f"State: ({', '.join(states)})" if len(states) > 1 else f"State: {states[0]}"]
    lines[0] += f"; y holds {declared.output}.".replace("y holds y", "the output is y")
    if declared.inputs:
        axes = {InputShape.PER_UNIT: "(T, B, H)", InputShape.PER_STEP: "(T, B)", InputShape.PER_ROW: "(B, H)"}
        inputs = [f"{name} {axes[kind]}" for name, kind in declared.inputs.items()]
        lines.append(f"Inputs of a call: {', '.join(inputs)}.")
    if layout.projects:
        lines.append("h has proj_size = P features, which has to be given.")
    lines.append("Parameters of each layer:")
    for number, parameter in enumerate(layout.parameters, 1):
        item = f"{parameter.name} {_shape(layout, parameter.name)}{',.'[number == len(layout.parameters)]}"
        if len(lines[-1]) + len(item) < LINE:
            lines[-1] += f" {item}"
        else:
            lines.append(item)
    return "\n".join(lines)


def describe_lines(layout: Layout, program: Program) -> list[str]:
    """Parameters, stages with their programs, what is kept and the work of a step, as text."""
    names = _Names(layout, program)
    declared = layout.declared
    lines = [f"{declared.name}: states {', '.join(declared.states)}; output {declared.output}"]
    lines += [f"  {p.name} {_shape(layout, p.name)}" for p in layout.parameters]
    for at, stage in enumerate(program.stages):
        lines.append(f"stage {at + 1} of {len(program.stages)}")
        for product in (program.products[n] for n in stage.products):
            columns = [names.column(c) for c in program.columns[product.column :][: len(product.blocks)]]
            weight = layout.parameters[product.parameter].name
            lines.append(f"  {', '.join(columns)} += {weight} {names.source(product.source)}")
        lines += _instructions(program, names, stage, back=False)
    for at, stage in enumerate(program.back_stages):
        lines.append(f"reverse, stage {at + 1} of {len(program.back_stages)}")
        sources = [names.source(program.sources[n]) for n in stage.products]
        if sources:
            lines.append(f"  d{', d'.join(sources)} of the products that read them")
        lines += _instructions(program, names, stage, back=True)
    lines.append(f"kept on the tape, beside the states: {len(program.forward.kept)} H numbers a step and sequence")
    lines.append(f"FLOPs a step, sequence and unit: {_work(layout, program)}")
    return lines


def _instructions(program: Program, names: _Names, stage: Stage, back: bool) -> list[str]:
    lines = []
    for instruction in (program.instructions[n] for n in stage.instructions):
        to, *args = (names.operand(program.operands[n], stage, back) for n in (instruction.to, *instruction.args))
        form = _SIGNS.get(instruction.operation)
        value = form.format(*args) if form else f"{instruction.operation.name.lower()}({', '.join(args)})"
        lines.append(f"  {to} = {value}")
    return lines


def _shape(layout: Layout, name: str) -> str:
    """The shape of a parameter in terms of I, H and P."""
    parameter = layout.parameters[layout.number[name]]
    rows = "H" if parameter.blocks == 1 else f"{parameter.blocks} H"
    if parameter.role == Role.INPUT_WEIGHT:
        return f"({rows}, I)"
    if parameter.role == Role.RECURRENT_WEIGHT:
        width = "P" if layout.reads_projected(name) else "H"
        return f"({rows}, {width}{f' / {parameter.heads}' if parameter.heads > 1 else ''})"
    return {Role.PROJECTION: "(P, H)", Role.SCALAR: "()"}.get(parameter.role, f"({rows})")


def _work(layout: Layout, program: Program) -> str:
    """Two for each weight of a unit and one for each instruction that isn't a move, two for those of three operands."""
    terms: Counter[str] = Counter()
    for parameter in layout.parameters:
        if parameter.role == Role.INPUT_WEIGHT:
            terms["I"] += 2 * parameter.blocks
        elif parameter.role == Role.RECURRENT_WEIGHT:
            width = "P" if layout.reads_projected(parameter.name) else "H"
            terms[width if parameter.heads == 1 else f"{width} / {parameter.heads}"] += 2 * parameter.blocks
        elif parameter.role == Role.PROJECTION:
            terms["P"] += 2
    return " + ".join([f"{count} {size}" for size, count in terms.items()] + [str(element_work(program))])


def element_work(program: Program) -> int:
    """FLOPs of a step, sequence and unit without the products."""
    cost = {Operation.MOVE: 0, Operation.FMA: 2, Operation.FMS: 2, Operation.FNMA: 2}
    forward = program.instructions[: program.back_stages[0].instructions.start]
    return sum(cost.get(instruction.operation, 1) for instruction in forward)
