"""Sequences as the estimators hold them, whatever form they came in: all steps in one table, cut into sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from recurra._checks import Array


@dataclass
class Sequences:
    """Sequence i is the rows starts[i] .. starts[i] + lengths[i] - 1 of `flat`.

    Attributes:
        flat: (N, features), the steps of all sequences.
        starts: (n,), where each begins.
        lengths: (n,), how many steps each has, from 1 up.
        form: what X was: "table" (n, time), "array" (n, time, features), "list", or "rows" of a table by groups.
        order: for "rows", which row of X each of `flat` was; else None.
        labels: for "rows", (n,), the label of each sequence; else None.
    """

    flat: Array
    starts: Array
    lengths: Array
    form: str
    order: Array | None = None
    labels: Array | None = None

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def ends(self) -> Array:
        """(n,), the last row of each."""
        ends: Array = self.starts + self.lengths - 1
        return ends

    def rows(self, chosen: Array) -> tuple[Array, Array | None]:
        """Where the steps of a batch are in `flat`, (T, B), and its lengths; None if all are equal.

        Beyond a sequence's end its last step comes again, which no layer reads and no loss counts.
        """
        lengths = self.lengths[chosen]
        steps = np.arange(lengths.max())[:, None]
        rows: Array = np.minimum(self.starts[chosen] + steps, self.ends[chosen])
        return rows, None if (lengths == len(steps)).all() else lengths

    def chunks(self, size: int) -> list[Array]:
        """All sequences in batches of similar length, so that little memory is padding."""
        by_length = np.argsort(self.lengths, kind="stable")
        return [by_length[begin : begin + size] for begin in range(0, len(self), size)]

    def as_given(self, steps: Array) -> Any:
        """What there is for each step, (N, …), in the form of X."""
        if self.order is not None:
            rows = np.empty_like(steps)
            rows[self.order] = steps
            return rows
        if self.form == "list":
            return [steps[start : start + length] for start, length in zip(self.starts, self.lengths, strict=True)]
        return steps.reshape(len(self), -1, *steps.shape[1:])


def of_lengths(flat: Array, lengths: Array, form: str, order: Array | None = None) -> Sequences:
    """Sequences that follow each other without gaps."""
    return Sequences(flat, np.cumsum(lengths) - lengths, lengths, form, order)


@dataclass
class Samples:
    """Sequences with their targets and weights, from which batches are taken.

    Attributes:
        sequences: the inputs.
        targets: (n, …), one for each sequence, or (N, …), one for each step.
        weights: (n,) or (N,), with a mean of 1; None if all count the same.
        steps: whether it is one for each step.
    """

    sequences: Sequences
    targets: Array
    weights: Array | None
    steps: bool

    def batch(self, chosen: Array) -> tuple[Any, ...]:
        """(x, (targets, weights), lengths) of these sequences, time-major."""
        rows, lengths = self.sequences.rows(chosen)
        own = rows if self.steps else chosen
        weights = None if self.weights is None else self.weights[own]
        return self.sequences.flat[rows], (self.targets[own], weights), lengths
