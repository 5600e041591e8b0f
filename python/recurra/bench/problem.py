"""What a contestant is asked to compute, and whether two did the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recurra.definitions import FORMULAS

if TYPE_CHECKING:
    from collections.abc import Mapping

Array = NDArray[Any]

# What the package says of each cell, by the name that the race gives it.
CELLS = {name: FORMULAS[cell] for name, cell in {"rnn": "rnn_tanh", "lstm": "lstm", "gru": "gru"}.items()}

# Measured differences stay below 1e-5 and 1e-13, and a wrong gate order or equation shows as about 1e-1.
TOLERANCE = {"float32": 1e-4, "float64": 1e-10}


class Shape(NamedTuple):
    """B sequences of T steps with I inputs, into H hidden units; written BxTxIxH."""

    batch: int
    steps: int
    inputs: int
    hidden: int

    @classmethod
    def parse(cls, text: str) -> Shape:
        """Raises ValueError unless text is four positive integers, as in "16x50x128x128"."""
        parts = text.strip().split("x")
        if len(parts) != 4 or not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
            raise ValueError(f"expected BxTxIxH, four positive integers such as 16x50x128x128, got {text!r}")
        return cls(*map(int, parts))

    def __str__(self) -> str:
        return "x".join(map(str, self))


@dataclass(frozen=True)
class Spec:
    """One row of the table.

    Args:
        cell: "rnn" (tanh), "lstm" or "gru" (reset after the product).
        training: forward, then backward to the input and every weight; else forward alone, keeping nothing.
        shape: B, T, I, H.
        dtype: "float32" or "float64".
        threads: how many a contestant may use.
        layers, directions: how many are stacked, and whether each runs both ways (2).
        ragged: sequences of different length, uniform in 1..T.
        carried: the state is passed in and out, as when streaming, instead of zeros.
    """

    cell: str
    training: bool
    shape: Shape
    dtype: str = "float32"
    threads: int = 1
    layers: int = 1
    directions: int = 1
    ragged: bool = False
    carried: bool = False

    @property
    def tolerance(self) -> float:
        """What differences count as wrong."""
        return TOLERANCE[self.dtype]

    @property
    def mode(self) -> str:
        """ "inference" or "training"."""
        return "training" if self.training else "inference"

    def __str__(self) -> str:
        return f"{self.cell} {self.mode} {self.shape}"

    @property
    def gates(self) -> int:
        """How many blocks of H rows each weight has."""
        return len(CELLS[self.cell].gates)

    @property
    def states(self) -> tuple[str, ...]:
        """What goes from step to step: h, or h and c."""
        return tuple(CELLS[self.cell].states)

    @property
    def plain(self) -> bool:
        """One layer in one direction over sequences of one length, from zeros: what every contestant can do."""
        return (self.layers, self.directions, self.ragged, self.carried) == (1, 1, False, False)

    @property
    def widths(self) -> list[int]:
        """Features that each layer reads."""
        return [self.shape.inputs] + [self.directions * self.shape.hidden] * (self.layers - 1)

    def lengths(self) -> Array | None:
        """(B,) steps of each sequence, None for T; the same in every process."""
        batch, steps = self.shape[:2]
        return np.random.default_rng(2).integers(1, steps + 1, batch) if self.ragged else None

    @property
    def rows(self) -> int:
        """(time, sequence) pairs that exist."""
        lengths = self.lengths()
        return self.shape.batch * self.shape.steps if lengths is None else int(lengths.sum())

    @property
    def flops(self) -> int:
        """2·T·B·G·H·(I+H), what the products of one call take; three times that for training (forward, dx and dW)."""
        hidden = self.shape.hidden
        products = sum(self.directions * self.gates * hidden * (width + hidden) for width in self.widths)
        return (6 if self.training else 2) * self.rows * products

    def weights(self) -> dict[str, Array]:
        """PyTorch's names, shapes and initialisation: uniform in ±1/√H. The same in every process."""
        hidden = self.shape.hidden
        rows, rng = self.gates * hidden, np.random.default_rng(0)
        shapes: dict[str, tuple[int, ...]] = {}
        for layer, width in enumerate(self.widths):
            for suffix in (f"_l{layer}", f"_l{layer}_reverse")[: self.directions]:
                shapes |= {"weight_ih" + suffix: (rows, width), "weight_hh" + suffix: (rows, hidden)}
                shapes |= {"bias_ih" + suffix: (rows,), "bias_hh" + suffix: (rows,)}
        bound = hidden**-0.5
        return {name: rng.uniform(-bound, bound, shape).astype(self.dtype) for name, shape in shapes.items()}

    def data(self) -> Data:
        """Standard normal x and dy, the same in every process."""
        batch, steps, inputs, hidden = self.shape
        rng = np.random.default_rng(1)
        x = rng.standard_normal((steps, batch, inputs)).astype(self.dtype)
        dy = rng.standard_normal((steps, batch, self.directions * hidden)).astype(self.dtype)
        lengths = self.lengths()
        if lengths is not None:
            dy[np.arange(steps)[:, None] >= lengths] = 0
        return Data(x, dy)

    def state(self) -> Any:
        """The initial state where it is carried: h or (h, c), each (L·D, B, H); None for zeros."""
        if not self.carried:
            return None
        batch, _, _, hidden = self.shape
        rng, shape = np.random.default_rng(3), (self.layers * self.directions, batch, hidden)
        arrays = tuple(rng.standard_normal(shape).astype(self.dtype) for _ in self.states)
        return arrays if len(arrays) > 1 else arrays[0]


class Data(NamedTuple):
    """The input x (T, B, I), and the gradient of the loss dy (T, B, H) for training."""

    x: Array
    dy: Array


def difference(ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> float:
    """The largest |ours − theirs| of all arrays, relative to max(1, the largest |theirs|) of that array; NaN if any is.

    Raises ValueError if they don't hold the same names and shapes.
    """
    shapes = [{name: value.shape for name, value in answers.items()} for answers in (ours, theirs)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"answers of different names or shapes: {shapes[0]} and {shapes[1]}")
    worst = [np.abs(ours[name] - value).max() / max(1.0, float(np.abs(value).max())) for name, value in theirs.items()]
    return float(np.max(worst))
