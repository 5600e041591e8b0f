"""One step of any formula with int8 weights: its program in float32 NumPy, its products those of `reference.narrow`."""

from __future__ import annotations

import numpy as np

from program_numpy import Code, Machine
from recurra.formula.operations import Role
from recurra.reference import narrow


class NarrowMachine(Machine):
    """Args: a compressed layer of one layer and direction, of int8, whose state isn't one with a scale that stays."""

    def __init__(self, layer):
        formula, state = layer.formula, layer.state_dict()
        names = [p.name for p in formula.layout.parameters]
        super().__init__(Code(*formula.program.encode()), [state[f"{name}_l0"] for name in names], layer.hidden_size)
        self.scales = {n: state[f"{name}_l0.scale"] for n, name in enumerate(names) if f"{name}_l0.scale" in state}

    def with_product(self, total, vector, source, parameter, block):  # noqa: ARG002
        scale = self.scales[parameter]
        if self.code.parameters[parameter][0] != Role.PROJECTION:
            scale = scale[block * self.hidden : (block + 1) * self.hidden]
        rows = narrow.Matrix(self.weight(parameter, block).astype(np.int8), scale)
        return narrow.product(rows, np.asarray(vector, np.float32), np.asarray(total, np.float32))

    def run(self, stage, memory, readable, writable):
        super().run(stage, memory, readable, writable)
        for key, value in memory.items():
            if isinstance(key, tuple) and isinstance(value, np.ndarray):
                memory[key] = value.astype(np.float32)
