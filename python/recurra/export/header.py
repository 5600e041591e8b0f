"""A header while it is written: constants, the state, functions, and the step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from .products import FULL, INT8, TYPES, Matrix
from .text import array, literal

if TYPE_CHECKING:
    from recurra.module import Array


@dataclass(frozen=True)
class Value:
    """Where a vector is in C while a step runs."""

    at: str
    size: int
    scratch: bool = False  # whether it may be overwritten


@dataclass
class Header:
    """What is written. In its texts %_ stands for the header's name, and %%_ for that of its macros."""

    inputs: dict[str, str] = field(default_factory=dict)  # of the step, beside x: names and types
    used: list[str] = field(default_factory=list)  # functions
    constants: list[str] = field(default_factory=list)
    constant_bytes: int = 0
    fields: list[tuple[str, int, str]] = field(default_factory=list)  # of the state: name, size, what it is
    resets: list[str] = field(default_factory=list)
    layers: list[str] = field(default_factory=list)  # functions of layers
    steps: list[str] = field(default_factory=list)  # statements
    work: int = 0  # numbers of a layer's own, while it computes
    quantised: int = 0
    buffers: list[int] = field(default_factory=lambda: [0, 0])  # between layers without states
    turn: int = 0
    taken: set[str] = field(default_factory=set)  # names of constants and of parts of the state

    def fresh(self, name: str) -> str:
        """The name, or one like it that isn't taken."""
        chosen, number = name, 1
        while chosen in self.taken:
            number += 1
            chosen = f"{name}_{number}"
        self.taken.add(chosen)
        return chosen

    def use(self, function: str) -> str:
        """The name of a function, which the header will have."""
        if function not in self.used:
            self.used.append(function)
        return f"%_{function}"

    def constant(self, name: str, values: Array, kind: str = FULL) -> str:
        """A constant array, and its name."""
        name = self.fresh(name)
        self.constants.append(array(TYPES[kind], f"%_{name}", values))
        self.constant_bytes += values.nbytes
        return f"%_{name}"

    def state(self, name: str, size: int, what: str, initial: Array | None) -> str:
        """A part of the state that lasts from step to step."""
        name = self.fresh(name)
        self.fields.append((name, size, what))
        value = "0.0f" if initial is None else f"{self.constant(f'initial_{name}', initial)}[i]"
        self.resets.append(f"for (i = 0; i < {size}; ++i) state->{name}[i] = {value};")
        return f"state->{name}"

    def buffer(self, size: int) -> Value:
        """A vector between two layers, in another place than the last one."""
        self.turn ^= 1
        self.buffers[self.turn] = max(self.buffers[self.turn], size)
        return Value(f"state->{'ab'[self.turn]}", size, scratch=True)

    def matrix(self, name: str, matrix: Matrix, values: Array) -> list[str]:
        """The constant arrays of a matrix laid out as `values`: its numbers and, of int8, its scales."""
        values = values.view(np.uint16) if values.dtype == np.float16 else values
        names = [self.constant(name, values, matrix.kind)]
        return names if matrix.scale is None else [*names, self.constant(f"{name}_scale", matrix.scale)]

    def quantise(self, source: Value, floor: float) -> str:
        """The statement that makes integers of a vector."""
        self.quantised = max(self.quantised, source.size + 1)
        return f"scale = {self.use('quantise')}({source.at}, {source.size}, {literal(floor)}, state->q);"

    def multiply(self, name: str, matrix: Matrix, source: Value, to: str) -> list[str]:
        """The statements of to += W source, which `quantise` has made integers for an int8 W."""
        arrays = self.matrix(name, matrix, matrix.packed())
        given = [source.at] if matrix.kind != INT8 else ["state->q", "scale"]
        rows, depth = matrix.values.shape
        return [f"{self.use(matrix.multiply)}({', '.join([*arrays, str(rows), str(depth), *given, to])});"]

    def multiply_heads(self, name: str, matrix: Matrix, source: Value, to: str, heads: int, rows: int) -> list[str]:
        """The same of a W whose blocks of so many rows read the source's parts in turn, one for each head."""
        blocks, depth = len(matrix.values) // rows, matrix.values.shape[1]
        packed = [matrix.parts([slice(i * rows, (i + 1) * rows)]).packed() for i in range(blocks)]
        arrays = self.matrix(name, matrix, np.concatenate(packed))
        arrays = [f"{text} + i * {size}" for text, size in zip(arrays, (packed[0].size, rows), strict=False)]
        part = f" + i % {heads} * {depth}"
        given = [f"{source.at}{part}"] if matrix.kind != INT8 else [f"state->q{part}", "scale"]
        call = ", ".join([*arrays, str(rows), str(depth), *given, f"{to} + i * {rows}"])
        return [f"for (i = 0; i < {blocks}; ++i) {self.use(matrix.multiply)}({call});"]
