"""The cells that are raced as formulas: names and shapes of their weights, and a row of the table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.bench.problem import Array, Spec

if TYPE_CHECKING:
    from collections.abc import Mapping

LEAK = 0.2  # α of the leaky network: a step of 20 ms at a time constant of 100
EPSILON = 1e-5  # of layer normalisation


@dataclass(frozen=True)
class Cell:
    """What is declared of a formula.

    Args:
        formula: its name in `recurra.cells`; "leaky" is in `layers` beside this file.
        gates, states: their names, in order.
        units: trained vectors (H,), without "_l0". One whose name begins with "gain" is about 1, others about 0.
        heads: blocks on the diagonal of weight_hh.
        recurrent: whether gates read h.
        joined: what the others keep as one array: its name -> those of the units in it, one after the other.
    """

    formula: str
    gates: str
    states: str = "h"
    units: str = ""
    heads: int = 1
    recurrent: bool = True
    joined: Mapping[str, str] = field(default_factory=dict)

    def shapes(self, inputs: int, hidden: int) -> dict[str, tuple[int, ...]]:
        """Of all parameters, by recurra's names."""
        rows = len(self.gates.split()) * hidden
        shapes: dict[str, tuple[int, ...]] = {"weight_ih_l0": (rows, inputs)}
        if self.recurrent:
            shapes["weight_hh_l0"] = (rows, hidden // self.heads)
        shapes["bias_ih_l0"] = (rows,)
        if self.recurrent:
            shapes["bias_hh_l0"] = (rows,)
        return shapes | {f"{unit}_l0": (hidden,) for unit in self.units.split()}

    def joined_shapes(self, inputs: int, hidden: int) -> dict[str, tuple[int, ...]]:
        """Of what the others keep."""
        separate = {name: np.empty(shape) for name, shape in self.shapes(inputs, hidden).items()}
        return {name: value.shape for name, value in self.join(separate).items()}

    def join(self, weights: Mapping[str, Array]) -> dict[str, Array]:
        """With the units joined, each under the name of what it has become a part of."""
        joined = {f"{name}_l0": [f"{part}_l0" for part in parts.split()] for name, parts in self.joined.items()}
        gone = {part for parts in joined.values() for part in parts}
        rest = {name: value for name, value in weights.items() if name not in gone}
        return rest | {name: np.concatenate([weights[part] for part in parts]) for name, parts in joined.items()}

    def split(self, answers: Mapping[str, Array]) -> dict[str, Array]:
        """The other way round, for gradients, which may be among other answers or missing."""
        result = dict(answers)
        for name, parts in self.joined.items():
            if (whole := result.pop(f"{name}_l0", None)) is not None:
                names = [f"{part}_l0" for part in parts.split()]
                result |= dict(zip(names, np.split(whole, len(names)), strict=True))
        return result


FORMULAS = {
    "peephole": Cell("PeepholeLSTM", "i f g o", "h c", "p_i p_f p_o", joined={"p_if": "p_i p_f"}),
    "layernorm": Cell(
        "LayerNormLSTM",
        "i f g o",
        "h c",
        "gain_xi gain_xf gain_xg gain_xo gain_hi gain_hf gain_hg gain_ho"
        " shift_i shift_f shift_g shift_o gain_c shift_c",
        joined={
            "gain_x": "gain_xi gain_xf gain_xg gain_xo",
            "gain_h": "gain_hi gain_hf gain_hg gain_ho",
            "shift": "shift_i shift_f shift_g shift_o",
        },
    ),
    "leaky": Cell("leaky", "n"),
    "mingru": Cell("MinGRU", "z n", recurrent=False),
    "slstm": Cell("SLSTM", "i f z o", "h c n m", heads=4),
}


@dataclass(frozen=True)
class CellSpec(Spec):
    """One row: `cell` is a key of FORMULAS; one layer, one direction, from zeros."""

    @property
    def formula(self) -> Cell:
        """What is declared of its cell."""
        return FORMULAS[self.cell]

    @property
    def tolerance(self) -> float:
        """As for other cells; but a layer norm's rounding errors grow, to 5e-4 after 100 steps of 256 units."""
        return super().tolerance * (100 if self.cell == "layernorm" else 1)

    @property
    def gates(self) -> int:
        """How many blocks of H rows weight_ih has."""
        return len(self.formula.gates.split())

    @property
    def states(self) -> tuple[str, ...]:
        """What goes from step to step."""
        return tuple(self.formula.states.split())

    @property
    def flops(self) -> int:
        """Two for each weight that a product reads, at every step of every sequence; three times that for training."""
        shapes = self.formula.shapes(self.shape.inputs, self.shape.hidden)
        products = sum(shape[0] * shape[1] for name, shape in shapes.items() if name.startswith("weight"))
        return (6 if self.training else 2) * self.rows * products

    def weights(self) -> dict[str, Array]:
        """By recurra's names: uniform in ±1/√H, but gains in 1 ± 1/√H. The same in every process."""
        rng, bound = np.random.default_rng(0), self.shape.hidden**-0.5
        values: dict[str, Any] = {}
        for name, shape in self.formula.shapes(self.shape.inputs, self.shape.hidden).items():
            values[name] = rng.uniform(-bound, bound, shape) + name.startswith("gain")
        if self.cell == "mingru":  # away from the candidate's kink at 0, where rounding would decide on the slope
            values["bias_ih_l0"][self.shape.hidden :] += 4
        return {name: value.astype(self.dtype) for name, value in values.items()}
