"""How long rows take, guessed from their operations, and what each may take of the time that is left."""

from __future__ import annotations

from time import monotonic, perf_counter
from typing import TYPE_CHECKING

import numpy as np

import recurra

from .contestants import HOME
from .problem import Shape, Spec
from .race import FEWEST, REST

if TYPE_CHECKING:
    from collections.abc import Sequence

COMPILING = 0.25  # seconds of each peer and row to convert and compile, a guess
ANSWERS = 2  # rounds: making weights and data and comparing the answers of the largest shapes took about as long


class Budget:
    """The time of a run.

    Args:
        seconds: what it should take in all, from now on.
        rounds, turn: how many are wanted in a row, and the seconds of a turn at least.
        contestants: how many there are; may be set again once it is known who is there.
        pace: seconds an operation of a contestant's call, as a guess.
    """

    def __init__(self, seconds: float, rounds: int, turn: float, contestants: int, pace: float) -> None:
        self.end = monotonic() + seconds
        self.seconds, self.rounds, self.turn = seconds, rounds, turn
        self.contestants = contestants
        self.flops = 1e8  # of the calls known, and below their seconds; the guess counts as one of this size
        self.known = pace * self.flops

    def cost(self, spec: Spec, rounds: int) -> float:
        """Seconds of a row of so many rounds, about."""
        turn = max(1.25 * self.turn, spec.flops * self.known / self.flops) + REST * (spec.threads > 1)
        return (rounds + ANSWERS) * self.contestants * turn + COMPILING * (self.contestants - len(HOME))

    def costs(self, specs: Sequence[Spec]) -> tuple[list[float], list[float]]:
        """Seconds of each row, at least and at most."""
        least, most = (
            [self.cost(spec, rounds) for spec in specs] for rounds in (min(FEWEST, self.rounds), self.rounds)
        )
        return least, most

    def estimate(self, specs: Sequence[Spec]) -> float:
        """Seconds of all rows, about."""
        least, most = map(sum, self.costs(specs))
        return max(least, min(most, self.seconds))

    def left(self, specs: Sequence[Spec]) -> float:
        """Seconds of the rows that are left, about."""
        least, most = map(sum, self.costs(specs))
        return max(least, min(most, self.end - monotonic()))

    def deadline(self, specs: Sequence[Spec]) -> float:
        """When the first of the rows that are left should be done, on the clock of time.monotonic."""
        now = monotonic()
        return now + share(*self.costs(specs), self.end - now)

    def learn(self, spec: Spec, seconds: Sequence[float]) -> None:
        """From each contestant's seconds a call. The longest calls say most, and matter most."""
        self.known += sum(seconds) / len(seconds)
        self.flops += spec.flops


def share(least: Sequence[float], most: Sequence[float], total: float) -> float:
    """What each row may take of a total, if none takes less than its `least` or more than its `most`: short rows have
    all their rounds, and the longest give way.
    """
    low, high = 0.0, max(most)
    for _ in range(40):
        level = (low + high) / 2
        fits = sum(max(a, min(b, level)) for a, b in zip(least, most, strict=True)) <= total
        low, high = (level, high) if fits else (low, level)
    return low


def guess_pace(cell: str, dtype: str) -> float:
    """Seconds an operation in a contestant's call, guessed from some ms of this package's own, on one thread."""
    batch, steps, inputs, hidden = shape = Shape(16, 10, 128, 128)
    layer = getattr(recurra, cell.upper())(inputs, hidden, dtype=np.dtype(dtype), seed=0)
    x = np.zeros((steps, batch, inputs), dtype)
    threads, times = recurra.get_num_threads(), []
    recurra.set_num_threads(1)  # on two, on a busy machine, a guess was once some eighty times too long
    for _ in range(9):
        start = perf_counter()
        layer(x)
        times.append(perf_counter() - start)
    recurra.set_num_threads(threads)
    # NumPy took two to three times as long, and the largest networks, which leave the caches, longer still.
    return 2.5 * min(times) / Spec(cell, False, shape).flops
