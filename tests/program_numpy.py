"""Runs encoded programs of formulas with NumPy: what csrc/program.h and csrc/cells.h say, without speed.

It knows nothing but the encoding, and refuses to read what wasn't written and to write anything twice.
"""

import math
from dataclasses import dataclass

import numpy as np

from recurra.formula.operations import DeltaOf, InputShape, Kind, Operation, Role, Size

HEADER = [
    "version", "states", "projects", "raw", "parameter_count", "column_count", "input_columns", "product_count",
    "block_count", "staged", "input_count", "stage_count", "kept", "held", "temporaries", "delta_count",
    "back_stage_count", "source_count", "back_staged", "back_held", "back_temporaries", "mean_count", "operand_count",
    "instruction_count", "constant_count", "unit_count", "scalar_count",
]  # fmt: skip

OF_TWO = [
    Operation.ADD, Operation.SUBTRACT, Operation.MULTIPLY, Operation.DIVIDE, Operation.MINIMUM, Operation.MAXIMUM,
    Operation.LESS, Operation.LESS_EQUAL, Operation.EQUAL, Operation.NOT_EQUAL,
]  # fmt: skip
OF_THREE = [Operation.FMA, Operation.FMS, Operation.FNMA, Operation.SELECT]
ARITY = dict.fromkeys(Operation, 1) | dict.fromkeys(OF_TWO, 2) | dict.fromkeys(OF_THREE, 3)

FUNCTIONS = {
    Operation.MOVE: lambda a: a,
    Operation.NEGATE: lambda a: -a,
    Operation.ABSOLUTE: np.abs,
    Operation.ADD: np.add,
    Operation.SUBTRACT: np.subtract,
    Operation.MULTIPLY: np.multiply,
    Operation.DIVIDE: np.divide,
    Operation.FMA: lambda a, b, c: a * b + c,
    Operation.FMS: lambda a, b, c: a * b - c,
    Operation.FNMA: lambda a, b, c: c - a * b,
    Operation.MINIMUM: np.minimum,
    Operation.MAXIMUM: np.maximum,
    Operation.LESS: lambda a, b: (a < b) * 1.0,
    Operation.LESS_EQUAL: lambda a, b: (a <= b) * 1.0,
    Operation.EQUAL: lambda a, b: (a == b) * 1.0,
    Operation.NOT_EQUAL: lambda a, b: (a != b) * 1.0,
    Operation.SELECT: lambda a, b, c: np.where(a != 0, b, c),
    Operation.SQUARE_ROOT: np.sqrt,
    Operation.EXP: np.exp,
    Operation.EXPM1: np.expm1,
    Operation.LOG: np.log,
    Operation.LOG1P: np.log1p,
    Operation.SIGMOID: lambda a: np.exp(np.minimum(a, 0)) / (1 + np.exp(-np.abs(a))),
    Operation.TANH: np.tanh,
    Operation.SIN: np.sin,
    Operation.COS: np.cos,
    Operation.ERF: np.vectorize(math.erf, otypes=[np.float64]),
}


@dataclass
class Stage:
    size: int
    products: range
    means: range
    instructions: range


class Code:
    """A decoded program."""

    def __init__(self, code, constants):
        self.rest = [int(n) for n in code]
        self.constants = [float(c) for c in constants]
        self.count = dict(zip(HEADER, self._take(len(HEADER)), strict=True))
        count = self.count
        assert count["version"] == 1
        assert count["constant_count"] == len(self.constants)
        self.parameters = self._rows(count["parameter_count"], 3)
        self.columns = self._rows(count["column_count"], 4)
        self.products = self._rows(count["product_count"], 5)
        self.blocks = self._take(count["block_count"])
        self.staged_kept = self._take(count["staged"])
        self.inputs = self._take(count["input_count"])
        self.stages = self._stages(count["stage_count"])
        self.deltas = self._rows(count["delta_count"], 2)
        self.back_stages = self._stages(count["back_stage_count"])
        self.sources = self._take(count["source_count"])
        self.means = self._take(count["mean_count"])
        self.operands = [(Kind(kind), index) for kind, index in self._rows(count["operand_count"], 2)]
        self.instructions = self._rows(count["instruction_count"], 5)
        assert not self.rest
        self._check()

    def _take(self, n):
        taken, self.rest = self.rest[:n], self.rest[n:]
        assert len(taken) == n
        return taken

    def _rows(self, count, width):
        return [tuple(self._take(width)) for _ in range(count)]

    def _stages(self, count):
        def part(first, length):
            return range(first, first + length)

        return [Stage(size, part(a, b), part(c, d), part(e, f)) for size, a, b, c, d, e, f in self._rows(count, 7)]

    def _check(self):
        input_blocks = [column[1] >= 0 for column in self.columns]
        assert input_blocks == sorted(input_blocks, reverse=True)
        assert sum(input_blocks) == self.count["input_columns"]
        assert [of for of, _ in self.deltas[: len(self.columns)]] == [DeltaOf.COLUMN] * len(self.columns)
        assert len(set(self.operands)) == len(self.operands)
        ends = 0
        for stage in (*self.stages, *self.back_stages):
            assert stage.instructions.start == ends
            ends = stage.instructions.stop
        assert ends == len(self.instructions)
        for *_, count, _ in self.products:
            assert 1 <= count <= 4
        done = set()  # columns whose gradients are complete
        states = self.count["states"]
        for stage in self.back_stages:
            for source in (self.sources[n] for n in stage.products):
                read = {c for s, _, first, n, _ in self.products for c in range(first, first + n) if s == source}
                assert source < states or read <= done, "a source whose columns aren't done"
            for n in stage.instructions:
                kind, index = self.operands[self.instructions[n][1]]
                if kind == Kind.DELTA:
                    done.add(index)


class Machine:
    """Runs steps of a program; all arrays are float64.

    Args:
        code: A `Code`.
        params: The parameters in the program's order.
        hidden: hidden_size.
    """

    def __init__(self, code, params, hidden):
        self.code = code
        self.params = params
        self.hidden = hidden
        roles = [role for role, _, _ in code.parameters]
        self.units = [p for p, role in zip(params, roles, strict=True) if role == Role.UNIT_VECTOR]
        self.scalars = [p for p, role in zip(params, roles, strict=True) if role == Role.SCALAR]
        self.numbers = [*self.scalars, *code.constants]
        self.role = {role: n for n, role in reversed(list(enumerate(roles)))}

    def rows(self, parameter, block):
        return self.params[parameter][block * self.hidden : (block + 1) * self.hidden]

    def weight(self, parameter, block):
        """A block of rows, as a full matrix where it is block-diagonal."""
        role, _, heads = self.code.parameters[parameter]
        if role == Role.PROJECTION:
            return self.params[parameter]
        rows = self.rows(parameter, block)
        full = np.zeros((self.hidden, rows.shape[1] * heads))
        for head in range(heads):
            mine = slice(head * self.hidden // heads, (head + 1) * self.hidden // heads)
            full[mine, head * rows.shape[1] : (head + 1) * rows.shape[1]] = rows[mine]
        return full

    def with_product(self, total, vector, source, parameter, block):  # noqa: ARG002 (source: None of x)
        """A column with one more product of a block of weights."""
        return total + vector @ self.weight(parameter, block).T

    def run(self, stage, memory, readable, writable):
        for n in stage.instructions:
            operation, to, *args = self.code.instructions[n]
            arity = ARITY[Operation(operation)]
            assert not any(args[arity:])
            values = []
            for operand in args[:arity]:
                kind, index = self.code.operands[operand]
                assert kind in readable, f"{kind.name} isn't readable"
                values.append(memory[kind, index])
            kind, index = self.code.operands[to]
            assert kind in writable, f"{kind.name} isn't writable"
            assert kind == Kind.TEMPORARY or (kind, index) not in memory, f"{kind.name} {index} is written twice"
            size = self.params[self.role[Role.PROJECTION]].shape[0] if stage.size == Size.PROJECTED else self.hidden
            result = FUNCTIONS[Operation(operation)](*values)
            memory[kind, index] = np.broadcast_to(result, (memory["batch"], size))
            limit = memory["limits"].get(kind)
            assert limit is None or 0 <= index < limit, f"{kind.name} {index} of {limit}"

    def constants(self, x, inputs):
        memory = {(Kind.UNIT, n): unit for n, unit in enumerate(self.units)}
        memory |= {(Kind.NUMBER, n): number for n, number in enumerate(self.numbers)}
        for n, (shape, value) in enumerate(zip(self.code.inputs, inputs, strict=True)):
            memory[Kind.INPUT, n] = value[:, None] if shape == InputShape.PER_STEP else value
        if self.code.count["raw"]:
            memory[Kind.RAW, 0] = x
        memory["batch"] = x.shape[0]
        return memory

    def forward(self, x, states, inputs):
        """One step: (states after it, what the tape keeps)."""
        code = self.code
        count = code.count
        memory = self.constants(x, inputs) | {(Kind.OLD, k): state for k, state in enumerate(states)}
        memory["limits"] = {
            Kind.KEPT: count["kept"], Kind.HELD: count["held"], Kind.TEMPORARY: count["temporaries"],
            Kind.STAGED: count["staged"], Kind.NEW: count["states"],
        }  # fmt: skip
        columns = []
        for size, input_block, input_bias, recurrent_bias in code.columns:
            units = self.hidden if size == Size.HIDDEN else self.params[self.role[Role.PROJECTION]].shape[0]
            total = np.zeros((x.shape[0], units))
            if input_bias >= 0:
                total = total + self.rows(self.role[Role.INPUT_BIAS], input_bias)
            if recurrent_bias >= 0:
                total = total + self.rows(self.role[Role.RECURRENT_BIAS], recurrent_bias)
            if input_block >= 0:
                total = self.with_product(total, x, None, self.role[Role.INPUT_WEIGHT], input_block)
            columns.append(total)
        waiting = {c for _, _, first, n, _ in code.products for c in range(first, first + n)}
        left = {c: sum(f <= c < f + n for _, _, f, n, _ in code.products) for c in waiting}
        for stage in code.stages:
            readable = {c for c in range(len(columns)) if c not in waiting}
            for n in stage.products:
                source, parameter, first, length, first_block = code.products[n]
                staged = source - count["states"]
                vector = states[source] if staged < 0 else memory[Kind.STAGED, staged]
                for i in range(length):
                    block = code.blocks[first_block + i]
                    columns[first + i] = self.with_product(columns[first + i], vector, source, parameter, block)
                    left[first + i] -= 1
                    if not left[first + i]:
                        readable.add(first + i)
            memory = {key: v for key, v in memory.items() if key[0] not in {Kind.COLUMN, Kind.MEAN, Kind.TEMPORARY}}
            memory |= {(Kind.COLUMN, c): columns[c] for c in readable}
            for n, staged in enumerate(code.means[m] for m in stage.means):
                memory[Kind.MEAN, n] = memory[Kind.STAGED, staged].mean(1, keepdims=True)
            self.run(stage, memory, set(Kind) - {Kind.KEPT, Kind.GRADIENT, Kind.INCOMING, Kind.OUTGOING, Kind.DELTA},
                     {Kind.TEMPORARY, Kind.NEW, Kind.KEPT, Kind.HELD, Kind.STAGED})  # fmt: skip
        kept = {key: v for key, v in memory.items() if key[0] == Kind.KEPT}
        assert len(kept) == count["kept"]
        return [memory[Kind.NEW, k] for k in range(count["states"])], kept

    def through_products(self, source, deltas, like):
        """The gradient of a source: the sum over all columns that read it."""
        total = np.zeros_like(like)
        for s, parameter, first, length, first_block in self.code.products:
            if s == source:
                for i in range(length):
                    total = total + deltas[first + i] @ self.weight(parameter, self.code.blocks[first_block + i])
        return total

    def backward(self, x, old, new, kept, inputs, incoming):
        """One step back: (deltas, element-wise gradients of the states before the step)."""
        code, count = self.code, self.code.count
        memory = self.constants(x, inputs) | kept
        memory |= {(Kind.OLD, k): v for k, v in enumerate(old)} | {(Kind.NEW, k): v for k, v in enumerate(new)}
        memory["limits"] = {
            Kind.HELD: count["back_held"], Kind.TEMPORARY: count["back_temporaries"], Kind.STAGED: count["back_staged"],
            Kind.DELTA: count["delta_count"], Kind.OUTGOING: count["states"],
        }  # fmt: skip
        first_hidden = next(n for n, stage in enumerate(code.back_stages) if stage.size == Size.HIDDEN)
        for at, stage in enumerate(code.back_stages):
            gone = {Kind.MEAN, Kind.TEMPORARY, Kind.GRADIENT, Kind.INCOMING}
            memory = {key: v for key, v in memory.items() if key[0] not in gone}
            for k, gradient in enumerate(incoming):
                if at == (0 if k == 0 else first_hidden):
                    memory[Kind.INCOMING, k] = gradient
            sources = [code.sources[n] for n in stage.products]
            if at == 0:
                assert sources == sorted(sources, key=lambda s: (s == 0, s))
                assert all(s < count["states"] for s in sources)
            else:
                deltas = {index: v for (kind, index), v in _slots(memory) if kind == Kind.DELTA}
                for source in sources:
                    like = np.zeros((x.shape[0], self.hidden))
                    memory[Kind.GRADIENT, source] = self.through_products(source, deltas, like)
            for n, staged in enumerate(code.means[m] for m in stage.means):
                memory[Kind.MEAN, n] = memory[Kind.STAGED, staged].mean(1, keepdims=True)
            self.run(stage, memory, set(Kind) - {Kind.COLUMN, Kind.DELTA},
                     {Kind.TEMPORARY, Kind.HELD, Kind.STAGED, Kind.OUTGOING, Kind.DELTA})  # fmt: skip
        deltas = [memory[Kind.DELTA, n] for n in range(count["delta_count"])]
        return deltas, [memory.get((Kind.OUTGOING, k)) for k in range(count["states"])]

    def train(self, xs, states, inputs, douts):
        """Several steps forward and back.

        Args:
            xs: (T, B, I).
            states: Those before the first step.
            inputs: (T, B, H), (T, B) or (B, H), by declared shape.
            douts: The gradient of each step's states, lists of (B, H).

        Returns:
            (all states, gradients of: parameters, states, inputs, x)
        """
        code = self.code
        trail, tapes = [list(states)], []

        def at(t):
            return [v if s == InputShape.PER_ROW else v[t] for s, v in zip(code.inputs, inputs, strict=True)]

        for t, x in enumerate(xs):
            new, kept = self.forward(x, trail[-1], at(t))
            trail.append(new)
            tapes.append(kept)
        dparams = [np.zeros_like(p, dtype=float) for p in self.params]
        dinputs = [np.zeros_like(v) for v in inputs]
        dxs = np.zeros_like(xs)
        carried = [np.zeros_like(s) for s in states]
        for t in reversed(range(len(xs))):
            incoming = [c + d for c, d in zip(carried, douts[t], strict=True)]
            old, kept = trail[t], tapes[t]
            deltas, outgoing = self.backward(xs[t], old, trail[t + 1], kept, at(t), incoming)
            columns = dict(enumerate(deltas[: len(code.columns)]))
            carried = [self.through_products(k, columns, s) for k, s in enumerate(states)]
            carried = [c if o is None else c + o for c, o in zip(carried, outgoing, strict=True)]
            self._accumulate(t, xs[t], old, kept, deltas, dparams, dinputs, dxs)
        return trail[1:], dparams, carried, dinputs, dxs

    def _accumulate(self, t, x, old, kept, deltas, dparams, dinputs, dxs):
        self._accumulate_inputs(x, deltas, dparams, dxs[t])
        self._accumulate_products(old, kept, deltas, dparams)
        self._accumulate_others(t, deltas, dparams, dinputs, dxs)

    def _accumulate_inputs(self, x, deltas, dparams, dx):
        code, hidden = self.code, self.hidden

        def rows(parameter, block):
            return dparams[parameter][block * hidden : (block + 1) * hidden]

        for (_, input_block, input_bias, recurrent_bias), delta in zip(code.columns, deltas, strict=False):
            if input_block >= 0:
                parameter = self.role[Role.INPUT_WEIGHT]
                rows(parameter, input_block)[...] += delta.T @ x
                dx += delta @ self.rows(parameter, input_block)
            if input_bias >= 0:
                rows(self.role[Role.INPUT_BIAS], input_bias)[...] += delta.sum(0)
            if recurrent_bias >= 0:
                rows(self.role[Role.RECURRENT_BIAS], recurrent_bias)[...] += delta.sum(0)

    def _accumulate_products(self, old, kept, deltas, dparams):
        code, hidden = self.code, self.hidden
        for source, parameter, first, length, first_block in code.products:
            staged = source - code.count["states"]
            vector = old[source] if staged < 0 else kept[Kind.KEPT, code.staged_kept[staged]]
            role, _, heads = code.parameters[parameter]
            for i in range(length):
                full = deltas[first + i].T @ vector
                if role == Role.PROJECTION:
                    dparams[parameter] += full
                    continue
                block = code.blocks[first_block + i]
                mine = dparams[parameter][block * hidden : (block + 1) * hidden]
                for head in range(heads):
                    part = slice(head * hidden // heads, (head + 1) * hidden // heads)
                    width = mine.shape[1]
                    mine[part] += full[part, head * width : (head + 1) * width]

    def _accumulate_others(self, t, deltas, dparams, dinputs, dxs):
        code = self.code
        units = [n for n, (role, _, _) in enumerate(code.parameters) if role == Role.UNIT_VECTOR]
        scalars = [n for n, (role, _, _) in enumerate(code.parameters) if role == Role.SCALAR]
        for (of, index), delta in zip(code.deltas, deltas, strict=True):
            if of == DeltaOf.UNIT:
                dparams[units[index]] += delta.sum(0)
            elif of == DeltaOf.SCALAR:
                dparams[scalars[index]] += delta.sum()
            elif of == DeltaOf.INPUT:
                shape = code.inputs[index]
                if shape == InputShape.PER_ROW:
                    dinputs[index] += delta
                else:
                    dinputs[index][t] += delta.sum(1) if shape == InputShape.PER_STEP else delta
            elif of == DeltaOf.RAW:
                dxs[t] += delta


def _slots(memory):
    return [(key, value) for key, value in memory.items() if isinstance(key, tuple)]
