"""The table, a row as soon as it is measured, and the line of progress above which it grows."""

from __future__ import annotations

import shutil
import sys
import time
from math import ceil, exp, log
from typing import TYPE_CHECKING

from .race import OURS, Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .problem import Shape


SHORT = {"ONNX Runtime": "ORT"}  # at the head of a column


class Progress:
    """One line on standard error, rewritten in place; silent unless that is a terminal."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.start = total, 0, time.monotonic()
        self.end: float | None = None  # when it will be done, on that clock, where somebody knows
        self.live = sys.stderr is not None and sys.stderr.isatty()  # None: closed

    def show(self, text: str) -> None:
        """Replaces what the line says."""
        if self.live:
            now = time.monotonic()
            when = f"{now - self.start:.0f} s" if self.end is None else f"{ceil(max(self.end - now, 1))} s left"
            line = f"[{self.done + 1}/{self.total}, {when}] {text}"
            width = shutil.get_terminal_size().columns - 1  # a line that wraps couldn't be erased
            print(f"\r\x1b[K{line[:width]}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Leaves nothing of it."""
        if self.live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class Table:
    """Columns as wide as their content will be, known before the first row: 74 characters, with all peers 120.

    Args:
        others: the contestants beside recurra, NumPy first.
        shapes: those of the rows to come.
    """

    def __init__(self, others: Sequence[str], shapes: Sequence[Shape]) -> None:
        self.others = list(others)
        self.peers = len(self.others) > 1
        heads = ["cell", "mode", "BxTxIxH", OURS, *(SHORT.get(name, name) for name in self.others)]
        heads += ["× NumPy"] + (["× best", "best"] if self.peers else ["GFLOP/s"]) + ["turns"]
        least = [4, 9, max(len(str(shape)) for shape in shapes)] + [7] * (len(self.others) + 1)
        least += [7] + ([6, 8] if self.peers else [7]) + [5]
        self.widths = [max(len(head), width) for head, width in zip(heads, least, strict=True)]
        self.heads = heads

    def line(self, cells: Sequence[str]) -> str:
        """Words to the left, numbers to the right."""
        left = {0, 1, 2} | ({len(self.heads) - 2} if self.peers else set())
        aligned = (
            cell.ljust(width) if k in left else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(cells, self.widths, strict=True))
        )
        return "  ".join(aligned).rstrip()

    def head(self) -> str:
        """The names of the columns."""
        return self.line(self.heads)

    def row(self, result: Result) -> str:
        """One result; times in µs a call."""
        spec = result.spec
        cells = [spec.cell, spec.mode, str(spec.shape)]
        cells += [microseconds(result.median(name)) for name in [OURS, *self.others]]
        cells += [times(result.speedup("NumPy"))]
        if self.peers:
            cells += [times(result.speedup(result.best_other)), SHORT.get(result.best_other, result.best_other)]
        else:
            cells += [f"{result.gflops:.1f}"]
        return self.line([*cells, str(result.rounds)])


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
    """The largest difference of all answers, then geometric means of the speed-ups, a line a mode."""
    worst = max(r.differences[name] for r in results for name in others if name in r.seconds and name in r.differences)
    whose = "NumPy's" if len(others) == 1 else "everybody's"
    lines = [f"answers: recurra's are within {worst:.1e} of {whose} in all rows"]
    for mode in ("inference", "training"):
        means = []
        for name in others:
            factors = [f for r in results if r.spec.mode == mode and (f := r.speedup(name)) is not None]
            if factors:
                means.append(f"{times(exp(sum(map(log, factors)) / len(factors)))} over {name}")
        lines.append(f"{mode}: geometric mean of the speed-ups " + ", ".join(means))
    return lines
