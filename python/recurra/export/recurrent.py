"""Recurrent layers of any cell as C: a function for each layer of a stack."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.formula.layout import HALF, INPUT, SUM
from recurra.formula.operations import InputShape, Kind, Role, Size

from .header import Header, Value
from .products import INT8, matrix_of
from .programs import forward_of, statements
from .text import comment, identifier, literal

if TYPE_CHECKING:
    from recurra.module import Array

    from .programs import Place

BOUNDED = frozenset({"rnn_tanh", "lstm", "gru", "gru_reset_before"})  # compiled cells whose h is in [-1, 1]


def write_recurrent(header: Header, layer: Any, params: dict[str, Array], label: str, value: Value | None) -> Value:
    """Adds all layers of a stack; a value of None is a token."""
    for number in range(layer.num_layers):
        own = {}
        for name, array in params.items():
            base, dot, scale = name.partition(".")
            if base.endswith(f"_l{number}"):
                own[base.removesuffix(f"_l{number}") + dot + scale] = array
        initial = {s: params[f"{s}0"][number] for s in layer.formula.states} if layer.learned_state else {}
        name = f"{label}_l{number}" if label else f"l{number}"
        value = _Layer(header, layer, own, initial, name, value).write()
    assert value is not None
    return value


class _Layer:
    """One layer of a stack."""

    def __init__(
        self,
        header: Header,
        layer: Any,
        params: dict[str, Array],
        initial: dict[str, Array],
        label: str,
        x: Value | None,
    ) -> None:
        self.header, self.layer, self.params, self.x = header, layer, params, x
        self.formula = layer.formula
        self.program, self.declared = self.formula.program, self.formula.declared
        self.forward = forward_of(self.program)
        self.hidden: int = layer.hidden_size
        self.projected: int = layer.proj_size or layer.hidden_size
        self.end = f"_{label}"
        self.names = [self.declared.states[k] for k in self.program.order]
        self.states = [self._state(k, name, initial.get(name)) for k, name in enumerate(self.names)]
        self.offset = 0
        self.columns = [self._take(self._units(column.size)) for column in self.program.columns]
        self.count = self.offset
        places = sorted(place for place in self.forward.stored if place[0] != Kind.NEW)
        self.places = {place: self._take(self.hidden) for place in places}
        self.new = {k: self._take(self._state_size(k)) for k in sorted(self.forward.late)}
        self.units = list(self.declared.units)
        self.scalars = list(self.declared.scalars)
        self.inputs = [self._input(k, *item) for k, item in enumerate(self.declared.inputs.items())]
        self.unit_arrays: dict[str, str] = {}
        self.lines: list[str] = []

    def _take(self, size: int) -> int:
        """A place in the memory that all layers share."""
        self.offset += size
        return self.offset - size

    def _units(self, size: int) -> int:
        return self.projected if size == Size.PROJECTED else self.hidden

    def _state_size(self, k: int) -> int:
        return self.projected if k == 0 and self.program.projects else self.hidden

    def _state(self, k: int, name: str, initial: Array | None) -> str:
        own = f"{identifier(name, f'state{k}')}{self.end}"
        return self.header.state(own, self._state_size(k), comment(name), initial)

    def _input(self, k: int, name: str, shape: InputShape) -> str:
        """The parameter of the step for an input of the formula."""
        own = f"x_{identifier(name, f'input{k}')}"
        self.header.inputs[own] = "float" if shape == InputShape.PER_STEP else "const float *"
        return own if shape == InputShape.PER_STEP else f"{own}[j]"

    def write(self) -> Value:
        """Adds the layer's function, and its call to the step."""
        header = self.header
        token = self.x is None
        self._biases()
        self._input_product()
        for at in range(len(self.program.stages)):
            self._stage(at)
        for k, at in self.new.items():
            self.lines.append(f"for (j = 0; j < {self._state_size(k)}; ++j) {self.states[k]}[j] = work[{at} + j];")
        header.work = max(header.work, self.offset)
        names = ["token" if token else "x", *header.inputs]
        text = "\n".join(self.lines)
        self.lines += [f"(void){name};" for name in names if not re.search(rf"\b{name}\b", text)]
        body = "\n".join(f"  {line}" for line in self._declarations(text) + self.lines)
        given = [f"{kind}{' ' * (not kind.endswith('*'))}{name}" for name, kind in header.inputs.items()]
        parameters = ", ".join(["%_state *state", "int token" if token else "const float *x", *given])
        columns = comment(", ".join(self._column_name(n) for n in range(len(self.columns))))
        header.layers.append(
            f"/* {comment(self.declared.name)}, {self.hidden} units; work begins with {columns} */\n"
            f"static inline void %_layer{self.end}({parameters})\n{{\n{body}\n}}\n"
        )
        x = "token" if self.x is None else self.x.at
        header.steps.append(f"%_layer{self.end}({', '.join(['state', x, *header.inputs])});")
        return Value(self.states[0], self._state_size(0))

    @staticmethod
    def _declarations(text: str) -> list[str]:
        lines = ["float *const work = state->work;"] if "work" in text else []
        if "scale = " in text:
            lines.append("float scale;")
        names = [name for name in "ij" if f"({name} = 0" in text]
        return [*lines, f"int {', '.join(names)};"] if names else lines

    def _column_name(self, n: int) -> str:
        column, declared = self.program.columns[n], self.declared
        if column.gate == len(declared.gates):
            return "projection"
        parts = {SUM: "", INPUT: ".x"} | {HALF + k: f".{name}" for k, name in enumerate(declared.states)}
        return f"{declared.gates[column.gate]}{parts[column.part]}"

    def _block(self, number: int) -> slice:
        return slice(number * self.hidden, (number + 1) * self.hidden)

    def _biases(self) -> None:
        """What the chains begin with: both biases, rounded once."""
        if not self.columns:
            return
        bias = np.zeros(self.count, np.float32)
        for column, at in zip(self.program.columns, self.columns, strict=True):
            for name, block in (("bias_ih", column.input_block), ("bias_hh", column.recurrent_bias)):
                if block >= 0 and name in self.params:
                    bias[at : at + self.hidden] += self.params[name][self._block(block)]
        value = f"{self.header.constant(f'bias{self.end}', bias)}[j]" if bias.any() else "0.0f"
        self.lines.append(f"for (j = 0; j < {self.count}; ++j) work[j] = {value};")

    def _input_product(self) -> None:
        """W_ih x, of the columns that have it, which come first."""
        columns = [column for column in self.program.columns if column.input_block >= 0]
        if not columns:
            return
        matrix = matrix_of(self.params, "weight_ih").parts([self._block(c.input_block) for c in columns])
        name, rows = f"weight_ih{self.end}", len(matrix.values)
        if self.x is None:
            arrays = self.header.matrix(name, matrix, matrix.by_column())
            arrays[0] += f" + token * {rows}"
            self.lines.append(f"{self.header.use(f'add_{matrix.kind}')}({', '.join(arrays)}, {rows}, work);")
            return
        x = Value("x", self.x.size)
        if matrix.kind == INT8:
            self.lines.append(self.header.quantise(x, 0))
        self.lines += self.header.multiply(name, matrix, x, "work")

    def _stage(self, at: int) -> None:
        """Products, means, then the program."""
        stage, steps = self.program.stages[at], self.forward.stages[at]
        quantised = None
        for product in (self.program.products[n] for n in stage.products):
            parameter = self.formula.layout.parameters[product.parameter]
            parts = [slice(None) if parameter.role == Role.PROJECTION else self._block(b) for b in product.blocks]
            matrix = matrix_of(self.params, parameter.name).parts(parts)
            source = self._source(product.source)
            if matrix.kind == INT8 and quantised != product.source:
                self.lines.append(self.header.quantise(source, self._floor(product.source)))
                quantised = product.source
            to = f"work + {self.columns[product.column]}" if self.columns[product.column] else "work"
            name = f"{identifier(parameter.name, f'weight{product.parameter}')}{self.end}"
            if parameter.heads == 1:
                self.lines += self.header.multiply(name, matrix, source, to)
            else:
                rows = self.hidden // parameter.heads
                self.lines += self.header.multiply_heads(name, matrix, source, to, parameter.heads, rows)
        means: dict[int, str] = {}
        read = {place[1] for step in steps for place in step.args if place[0] == Kind.MEAN}
        body: list[str] = []
        for n in sorted(read):
            staged = self.places[Kind.STAGED, self.forward.means[at][n]]
            means[n] = f"m{n}"
            body.append(f"const float m{n} = {self.header.use('mean')}(work + {staged}, {self.hidden});")
        inner = statements(steps, lambda place: self._read(place, means), self._stored, self.header.use)
        if inner:
            body.append(f"for (j = 0; j < {self._units(stage.size)}; ++j) {{")
            body += [f"  {line}" for line in inner] + ["}"]
        self.lines += ["{", *(f"  {line}" for line in body), "}"] if means else body

    def _source(self, source: int) -> Value:
        staged = source - self.program.states
        if staged < 0:
            return Value(self.states[source], self._state_size(source))
        return Value(f"work + {self.places[Kind.STAGED, staged]}", self.hidden)

    def _floor(self, source: int) -> float:
        """What the largest number of a source is taken to be at least: 1 of an h that can't be larger."""
        return float(source == 0 and not self.layer.proj_size and self.formula.core.compiled in BOUNDED)

    def _read(self, place: Place, means: dict[int, str]) -> str:
        """The expression for what isn't a local variable."""
        kind, index = place
        match kind:
            case Kind.OLD | Kind.NEW:
                late = kind == Kind.NEW and index in self.new
                text = _work(self.new[index]) if late else f"{self.states[index]}[j]"
            case Kind.COLUMN:
                text = _work(self.columns[index])
            case Kind.MEAN:
                text = means[index]
            case Kind.UNIT:
                text = f"{self._unit(self.units[index])}[j]"
            case Kind.NUMBER:
                text = self._number(index)
            case Kind.INPUT:
                text = self.inputs[index]
            case Kind.RAW:
                text = "x[j]"
            case _:
                text = _work(self.places[place])
        return text

    def _unit(self, name: str) -> str:
        if name not in self.unit_arrays:
            own = identifier(name, f"unit{self.units.index(name)}")
            self.unit_arrays[name] = self.header.constant(f"unit_{own}{self.end}", self.params[name])
        return self.unit_arrays[name]

    def _number(self, index: int) -> str:
        if index < len(self.scalars):
            return literal(float(self.params[self.scalars[index]]))
        return literal(self.program.constants[index - len(self.scalars)])

    def _stored(self, place: Place) -> str | None:
        if place[0] == Kind.NEW:
            return self._read(place, {})
        return _work(self.places[place]) if place in self.places else None


def _work(at: int) -> str:
    return f"work[{at} + j]" if at else "work[j]"
