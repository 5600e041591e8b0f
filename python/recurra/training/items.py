"""The batches that `fit` reads: what an item consists of, and what the model is called with for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recurra._checks import is_listed, shown, taken

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from recurra.module import Array, Module

TAKEN = ("state", "lengths", "rng")  # what `fit` gives itself


class Item(NamedTuple):
    """A batch."""

    x: Any
    target: Any
    lengths: Array | None
    options: Mapping[str, Any]


class Carried(NamedTuple):
    """The state in which a batch ended, and how many sequences it is of."""

    state: Any = None
    rows: int | None = None


def unpacked(name: str, items: Iterable[Any]) -> Iterator[Item]:
    """Each batch in its parts."""
    if not is_listed(items):
        raise TypeError(f"{name}: expected an iterable of batches for each epoch, got {shown(items)}")
    empty = True
    for item in items:
        parts = len(item) if isinstance(item, (tuple, list)) else 0
        if parts not in {2, 3, 4} or (parts == 4 and not isinstance(item[3], Mapping)):
            hint = (
                ": a single batch is [(x, target)]; several are recurra.batches(sequences, targets), of sequences "
                "(N, t, features)"
            )
            raise TypeError(
                f"{name}: expected items (x, target), (x, target, lengths) or (x, target, lengths, options), options "
                f"being a dict, got {shown(item)}{hint if hasattr(item, 'shape') else ''}"
            )
        options = item[3] if parts == 4 else {}
        for given in TAKEN:
            if given in options:
                raise ValueError(f"{name}: expected options without {given}, which fit gives itself, got it")
        yield Item(item[0], item[1], item[2] if parts > 2 else None, options)
        empty = False
    if empty:
        raise ValueError(f"{name}: expected at least one in an epoch, got none")


class Calls:
    """What a model is called with, besides x."""

    def __init__(self, carry_state: bool, batch_first: bool) -> None:
        self.carry_state, self.batch_first = carry_state, batch_first

    def options(self, item: Item, before: Carried) -> dict[str, Any]:
        """Arguments by name.

        Raises:
            ValueError: the state from before is one of another number of sequences.
        """
        options = dict(item.options) if item.lengths is None else {**item.options, "lengths": item.lengths}
        if not self.carry_state:
            return options
        rows = self._rows(item.x)
        if before.state is not None and rows != before.rows:
            raise ValueError(
                f"batches: expected as many sequences in each, as carry_state hands the states of one on to the next, "
                f"got {rows} after {before.rows}: leave a smaller last batch out, or cut the stream evenly"
            )
        return options | {"state": before.state}

    def after(self, item: Item, state: Any) -> Carried:
        """What the next batch begins with."""
        return Carried(state, self._rows(item.x))

    def _rows(self, x: Any) -> int | None:
        """How many sequences a batch has; None if it is one, without an axis for them, or no array."""
        x = taken("x", x)
        leading = () if not isinstance(x, np.ndarray) else x.shape if x.dtype.kind in "iu" else x.shape[:-1]
        return leading[0 if self.batch_first else 1] if len(leading) == 2 else None


def reverse_of(model: Any) -> Module | None:
    """A layer that reads sequences from their ends, or both ways, if there is one."""
    leaves = model.leaves() if hasattr(model, "leaves") else []
    return next(
        (leaf for leaf in leaves if any(getattr(leaf, name, False) for name in ("bidirectional", "reverse"))), None
    )
