"""The program of a formula as C: the instructions that a call without a tape needs, stage by stage, as statements.

Those are all but the copies to the tape, since a formula keeps nothing that it doesn't compute for its states.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from recurra.formula.operations import Kind, Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from recurra.formula.program import Program

    Place = tuple[Kind, int]

EXPRESSIONS = {
    Operation.NEGATE: "-{0}",
    Operation.ADD: "{0} + {1}",
    Operation.SUBTRACT: "{0} - {1}",
    Operation.MULTIPLY: "{0} * {1}",
    Operation.DIVIDE: "{0} / {1}",
    Operation.FMA: "%%_MULTIPLY_ADD({0}, {1}, {2})",
    Operation.FMS: "%%_MULTIPLY_ADD({0}, {1}, -{2})",
    Operation.FNMA: "%%_MULTIPLY_ADD(-{0}, {1}, {2})",
    Operation.LESS: "{0} < {1} ? 1.0f : 0.0f",
    Operation.LESS_EQUAL: "{0} <= {1} ? 1.0f : 0.0f",
    Operation.EQUAL: "{0} == {1} ? 1.0f : 0.0f",
    Operation.NOT_EQUAL: "{0} != {1} ? 1.0f : 0.0f",
    Operation.SELECT: "{0} != 0.0f ? {1} : {2}",
}
FUNCTIONS = {
    Operation.ABSOLUTE: "absolute",
    Operation.MINIMUM: "minimum",
    Operation.MAXIMUM: "maximum",
    Operation.SQUARE_ROOT: "sqrt",
    Operation.EXP: "exp",
    Operation.EXPM1: "expm1",
    Operation.LOG: "log",
    Operation.LOG1P: "log1p",
    Operation.SIGMOID: "sigmoid",
    Operation.TANH: "tanh",
    Operation.SIN: "sin",
    Operation.COS: "cos",
    Operation.ERF: "erf",
}
LASTING = (Kind.HELD, Kind.STAGED, Kind.NEW)  # what a later stage may read


@dataclass(frozen=True)
class Step:
    """An instruction, with operands as kind and index."""

    operation: Operation
    to: Place
    args: tuple[Place, ...]


@dataclass
class Forward:
    """The forward stages of a program without what only a tape needs.

    `stored` are the vectors that a later stage, a product or a mean reads, and so need a place in memory. `late` are
    states that are still read when their new value is there, which needs a place of its own for so long.
    """

    stages: list[list[Step]] = field(default_factory=list)
    means: list[list[int]] = field(default_factory=list)  # of each stage, staged vectors
    stored: set[Place] = field(default_factory=set)
    late: set[int] = field(default_factory=set)


def forward_of(program: Program) -> Forward:
    """What a step of a program has to do."""
    found = Forward()
    for stage in program.stages:
        chosen = (program.instructions[n] for n in stage.instructions)
        steps = [Step(i.operation, program.operands[i.to], tuple(program.operands[n] for n in i.args)) for i in chosen]
        found.stages.append([step for step in steps if step.to[0] != Kind.KEPT])
        found.means.append([program.means[n] for n in stage.means])
    written: dict[Place, int] = {}
    for at, (stage, steps) in enumerate(zip(program.stages, found.stages, strict=True)):
        sources = {program.products[n].source for n in stage.products}
        read = {(Kind.STAGED, s - program.states) for s in sources if s >= program.states}
        read |= {(Kind.STAGED, staged) for staged in found.means[at]}
        old = {s for s in sources if s < program.states} | {p[1] for s in steps for p in s.args if p[0] == Kind.OLD}
        read |= {place for step in steps for place in step.args}
        found.stored |= {place for place in read if written.get(place, at) < at}
        found.late |= {state for state in old if written.get((Kind.NEW, state), at) < at}
        written.update({step.to: at for step in steps if step.to[0] in LASTING})
    return found


def statements(
    steps: list[Step],
    place: Callable[[Place], str],
    stored: Callable[[Place], str | None],
    use: Callable[[str], str],
) -> list[str]:
    """The body of the loop over the units of a stage.

    Args:
        steps: its instructions.
        place: the expression that reads a place which this stage hasn't written.
        stored: where a value is to be written, if anywhere.
        use: of a function, its name in C.
    """
    lines: list[str] = []
    values: dict[Place, str] = {}
    stores: list[str] = []
    for step in steps:
        args = [values.get(arg) or place(arg) for arg in step.args]
        if step.operation == Operation.MOVE and step.args[0] in values:
            value = args[0]
        else:
            value = f"t{len(lines)}"
            lines.append(f"const float {value} = {_expression(step.operation, args, use)};")
        values[step.to] = value
        to = stored(step.to)
        if to is not None:
            stores.append(f"{to} = {value};")  # in the end, as what was there may still be read
    return lines + stores


def _expression(operation: Operation, args: list[str], use: Callable[[str], str]) -> str:
    if operation == Operation.MOVE:
        return args[0]
    if operation in EXPRESSIONS:
        return EXPRESSIONS[operation].format(*args)
    return f"{use(FUNCTIONS[operation])}({', '.join(args)})"
