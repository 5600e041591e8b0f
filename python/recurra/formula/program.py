"""A formula as plain data, and its encoding for the compiled half."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .operations import Kind, Size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .operations import DeltaOf, InputShape, Operation
    from .schedule import Place, Programs
    from .stages import Column, Product

VERSION = 1

# What csrc/cells.h allows.
LIMITS = {
    "states": 8,
    "columns": 32,
    "stages": 32,
    "deltas": 64,
    "parameters": 64,
    "operands": 512,
    "instructions": 4096,
}
MAX_SOURCES = 16
MAX_SLOTS = 256

# The kinds of memory with a vector for each state; in GRADIENT those of staged vectors follow.
OF_STATES = frozenset({Kind.OLD, Kind.NEW, Kind.INCOMING, Kind.OUTGOING, Kind.GRADIENT})


class Instruction(NamedTuple):
    """An operation, with numbers of operands."""

    operation: Operation
    to: int
    args: tuple[int, ...]


class Stage(NamedTuple):
    """Products (backward: sources), means of staged vectors, and a program."""

    size: Size
    products: range
    means: range
    instructions: range


@dataclass(eq=False, repr=False)
class Program:
    """What csrc/cells.h calls a cell."""

    states: int
    projects: bool
    raw: bool
    parameters: list[tuple[int, int, int]]  # role, blocks, heads
    unit_count: int
    scalar_count: int
    columns: list[Column]
    inputs: list[InputShape]
    deltas: list[tuple[DeltaOf, int]]
    forward: Programs
    backward: Programs
    staged_kept: list[int]
    order: tuple[int, ...]  # which declared state each one is: the output comes first
    products: list[Product] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)
    means: list[int] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    back_stages: list[Stage] = field(default_factory=list)
    constants: list[float] = field(default_factory=list)
    operands: list[tuple[Kind, int]] = field(default_factory=list)
    instructions: list[Instruction] = field(default_factory=list)

    def assemble(self, products: Sequence[Sequence[Product]], sources: Sequence[Sequence[int]]) -> None:
        """Put the stages of both passes one after another, with shared tables of operands and constants."""
        steps = [step for programs in (self.forward, self.backward) for part in programs.steps for step in part]
        places = {place for step in steps for place in (step.to, *step.args)}
        numbers = sorted(
            (place for place in places if isinstance(place[1], str)),
            key=lambda place: (str(place[1]) == "nan", float.fromhex(str(place[1])), str(place[1])),
        )
        self.constants = [float.fromhex(str(text)) for _, text in numbers]
        known: dict[Place, tuple[Kind, int]] = {
            place: (Kind.NUMBER, self.scalar_count + n) for n, place in enumerate(numbers)
        }
        known.update({place: (place[0], self._index(*place)) for place in places if place not in known})
        self.operands = sorted(set(known.values()))
        position = {operand: n for n, operand in enumerate(self.operands)}
        number_of = {place: position[operand] for place, operand in known.items()}
        last = len(self.forward.steps) - 1
        for stage, run in enumerate(products):
            size = Size.PROJECTED if self.projects and stage == last else Size.HIDDEN
            first = len(self.products)
            numbered = (product._replace(source=self._source(product.source)) for product in run)
            self.products += sorted(numbered, key=lambda product: (product.source, product.column))
            self._add(self.stages, self.forward, stage, size, range(first, len(self.products)), number_of)
        for stage, read in enumerate(sources):
            size = Size.PROJECTED if self.projects and stage == 0 else Size.HIDDEN
            first = len(self.sources)
            # State 0 comes last, since the program is the epilogue of the last one.
            self.sources += sorted(map(self._source, read), key=lambda source: (source == 0, source))
            self._add(self.back_stages, self.backward, stage, size, range(first, len(self.sources)), number_of)

    def _source(self, source: int) -> int:
        """The number of a source, whose states have been in the order of their declaration."""
        return self.order.index(source) if source < self.states else source

    def _index(self, kind: Kind, index: int | str) -> int:
        """The same of an operand."""
        return self._source(int(index)) if kind in OF_STATES else int(index)

    def _add(
        self, to: list[Stage], programs: Programs, stage: int, size: Size, products: range, number_of: dict[Place, int]
    ) -> None:
        means, first = len(self.means), len(self.instructions)
        self.means += programs.means[stage]
        self.instructions += [
            Instruction(step.operation, number_of[step.to], tuple(number_of[place] for place in step.args))
            for step in programs.steps[stage]
        ]
        to.append(Stage(size, products, range(means, len(self.means)), range(first, len(self.instructions))))

    def check_limits(self, name: str) -> None:
        """Refuse what the compiled half has no room for.

        Raises:
            ValueError: The formula is too large.
        """
        counts = {
            "states": self.states,
            "columns": len(self.columns),
            "stages": len(self.stages),
            "deltas": len(self.deltas),
            "parameters": len(self.parameters),
            "operands": len(self.operands),
            "instructions": len(self.instructions),
        }
        limits = dict(LIMITS)
        counts["vectors that products read"] = self.states + sum(kept >= 0 for kept in self.staged_kept)
        limits["vectors that products read"] = MAX_SOURCES
        passes = (self.forward, self.backward)
        counts["intermediate values"] = max(
            len(self.forward.kept), *(max(p.held, p.staged, p.temporaries) for p in passes), len(self.constants)
        )
        limits["intermediate values"] = MAX_SLOTS
        for what, count in counts.items():
            if count > limits[what]:
                raise ValueError(f"{name}: expected at most {limits[what]} {what}, got {count}")

    def encode(self) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """The program as (code, constants): a header of counts, then the arrays of csrc/cells.h one after another."""
        blocks = [block for product in self.products for block in product.blocks]
        header = [
            VERSION, self.states, self.projects, self.raw, len(self.parameters), len(self.columns),
            sum(column.input_block >= 0 for column in self.columns), len(self.products), len(blocks),
            self.forward.staged, len(self.inputs), len(self.stages), len(self.forward.kept), self.forward.held,
            self.forward.temporaries, len(self.deltas), len(self.back_stages), len(self.sources),
            self.backward.staged, self.backward.held, self.backward.temporaries, len(self.means),
            len(self.operands), len(self.instructions), len(self.constants), self.unit_count, self.scalar_count,
        ]  # fmt: skip
        code: list[int] = [*map(int, header)]
        for parameter in self.parameters:
            code += parameter
        for column in self.columns:
            # bias_ih has the blocks of weight_ih.
            code += (column.size, column.input_block, column.input_block, column.recurrent_bias)
        first_block = 0
        for product in self.products:
            code += (product.source, product.parameter, product.column, len(product.blocks), first_block)
            first_block += len(product.blocks)
        code += blocks
        code += self.staged_kept
        code += self.inputs
        self._encode_stages(code, self.stages)
        for of, index in self.deltas:
            code += (of, index)
        self._encode_stages(code, self.back_stages)
        code += self.sources
        code += self.means
        for operand in self.operands:
            code += operand
        for instruction in self.instructions:
            padding = (0,) * (3 - len(instruction.args))
            code += (instruction.operation, instruction.to, *instruction.args, *padding)
        return np.array(code, np.int32), np.array(self.constants, np.float64)

    @staticmethod
    def _encode_stages(code: list[int], stages: list[Stage]) -> None:
        for stage in stages:
            code.append(stage.size)
            for part in (stage.products, stage.means, stage.instructions):
                code += (part.start, len(part))
