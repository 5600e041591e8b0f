"""The table, a row as soon as it is measured, and the line of progress above which it grows."""

from __future__ import annotations

import shutil
import sys
import time
from math import exp, log
from typing import TYPE_CHECKING

from .race import OURS, Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .problem import Shape


class Progress:
    """One line on standard error, rewritten in place; silent unless that is a terminal."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.start = total, 0, time.monotonic()
        self.live = sys.stderr.isatty()

    def show(self, text: str) -> None:
        """Replaces what the line says."""
        if self.live:
            line = f"[{self.done + 1}/{self.total}, {time.monotonic() - self.start:.0f} s] {text}"
            width = shutil.get_terminal_size().columns - 1  # a line that wraps couldn't be erased
            print(f"\r\x1b[K{line[:width]}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Leaves nothing of it."""
        if self.live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class Table:
    """Columns as wide as their content will be, known before the first row.

    Args:
        others: the contestants beside recurra, NumPy first.
        shapes: those of the rows to come.
    """

    def __init__(self, others: Sequence[str], shapes: Sequence[Shape]) -> None:
        self.others = list(others)
        self.peers = len(self.others) > 1
        heads = [
            "cell",
            "mode",
            "BxTxIxH",
            "difference",
            f"{OURS} µs",
            "GFLOP/s",
            *(f"{n} µs" for n in others),
            "× NumPy",
            "rounds",
        ]
        if self.peers:
            heads += ["× best", "best other"]
        least = [4, 9, max(len(str(shape)) for shape in shapes), 10, 9, 7] + [9] * len(self.others) + [7, 6, 7, 12]
        self.widths = [max(len(head), width) for head, width in zip(heads, least, strict=False)]
        self.heads = heads

    def line(self, cells: Sequence[str]) -> str:
        """Words to the left, numbers to the right."""
        left = {0, 1, 2, len(self.heads) - 1 if self.peers else 0}
        aligned = (
            cell.ljust(width) if k in left else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(cells, self.widths, strict=True))
        )
        return "  ".join(aligned).rstrip()

    def head(self) -> str:
        """The names of the columns."""
        return self.line(self.heads)

    def row(self, result: Result) -> str:
        """One result."""
        spec = result.spec
        cells = [spec.cell, spec.mode, str(spec.shape), f"{max(result.differences.values()):.1e}"]
        cells += [microseconds(result.median(OURS)), f"{result.gflops:.1f}"]
        cells += [microseconds(result.median(name)) for name in self.others]
        cells += [times(result.speedup("NumPy")), str(result.rounds)]
        if self.peers:
            cells += [times(result.speedup(result.best_other)), result.best_other]
        return self.line(cells)


def microseconds(seconds: float | None) -> str:
    """Three digits or more; a dash for none."""
    if seconds is None:
        return "–"
    value = seconds * 1e6
    return f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def times(factor: float | None) -> str:
    """A speed-up."""
    return "–" if factor is None else f"{factor:.2f}" if factor < 10 else f"{factor:.1f}"


def summary(results: Sequence[Result], others: Sequence[str]) -> list[str]:
    """Geometric means of the speed-ups, a line a mode."""
    lines = []
    for mode in ("inference", "training"):
        means = []
        for name in others:
            factors = [f for r in results if r.spec.mode == mode and (f := r.speedup(name)) is not None]
            if factors:
                means.append(f"{times(exp(sum(map(log, factors)) / len(factors)))} over {name}")
        lines.append(f"{mode}: geometric mean of the speed-ups " + ", ".join(means))
    return lines
