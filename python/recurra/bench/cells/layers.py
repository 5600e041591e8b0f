"""recurra: the cells as formulas, those of `recurra.cells`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recurra import cells
from recurra.bench.contestants import Recurra
from recurra.formula import formula, tanh

from .problem import FORMULAS, LEAK

if TYPE_CHECKING:
    from recurra.bench.problem import Spec


def leaky(a: Any, s: Any) -> Any:
    """`LeakyRNN` of the library has a rate of another shape, and noise."""
    return (1 - LEAK) * s.h + LEAK * a.n(tanh(s.h))


class RecurraCells(Recurra):
    """As Recurra, for the cells of FORMULAS."""

    def layer(self, spec: Spec) -> Any:
        """Defined anew in each row, so that the time before its first call has everything that a user waits for."""
        cell = FORMULAS[spec.cell]
        function = leaky if spec.cell == "leaky" else getattr(cells, cell.formula).function
        define = formula(
            gates=cell.gates,
            states=cell.states,
            units=dict.fromkeys(cell.units.split(), 0.0),
            heads=cell.heads,
        )
        return define(function)(spec.shape.inputs, spec.shape.hidden, dtype=np.dtype(spec.dtype))
