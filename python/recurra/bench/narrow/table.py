"""The rows of single steps and sequences, and ratios between contestants as geometric means."""

from __future__ import annotations

from math import exp, log
from statistics import median
from typing import TYPE_CHECKING, Any

from recurra.bench.race import OURS
from recurra.bench.table import times

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from recurra.bench.problem import Spec
    from recurra.bench.race import Result

# Who is compared with whom at the end: the second's time over the first's.
RATIOS = {
    "step": [
        ("Stream", "ORT"),
        ("Stream", "torch"),
        ("Stream", "tract"),
        ("Stream", OURS),
        ("Stream int8", "ORT int8"),
        ("Stream int8", "torch int8"),
        ("Stream int8", "Stream"),
        (OURS, "ORT"),
    ],
    "narrow": [
        ("int8", OURS),
        ("bfloat16", OURS),
        ("float16", OURS),
        ("int8", "ORT int8"),
        ("int8", "ORT"),
        ("int8", "torch int8"),
        (OURS, "ORT"),
        (OURS, "torch"),
    ],
}


class Table:
    """Microseconds a step, a row as soon as it is measured.

    Args:
        names: the contestants, recurra's layer first.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self.widths = [max(7, len(name)) for name in names]

    def head(self) -> str:
        """The names of the columns."""
        return f"{'cell':4}  layers  {'BxTxIxH':14}" + "".join(
            f"  {name:>{width}}" for name, width in zip(self.names, self.widths, strict=True)
        )

    def row(self, result: Result) -> str:
        """Medians; a dash where a contestant takes no part."""
        spec = result.spec
        cells = (
            "–" if (value := result.median(name)) is None else f"{value * 1e6 / spec.shape.steps:.2f}"
            for name in self.names
        )
        return f"{spec.cell:4}  {spec.layers:6}  {spec.shape!s:14}" + "".join(
            f"  {cell:>{width}}" for cell, width in zip(cells, self.widths, strict=True)
        )


def differences(results: Sequence[Result], names: Sequence[str]) -> list[str]:
    """The largest of each contestant over the rows of a cell, and the median row's."""
    cells = list(dict.fromkeys(result.spec.cell for result in results))
    lines = [f"{'difference in y':15}" + "".join(f"  {cell:>4}: most  median row" for cell in cells)]
    for name in names:
        line = f"{name:15}"
        for cell in cells:
            found = [r.differences[name] for r in results if r.spec.cell == cell and name in r.differences]
            line += f"  {max(found):10.1e}  {median(found):10.1e}" if found else f"  {'–':>10}  {'–':>10}"
        lines.append(line)
    return lines


def ratios(part: str, results: Sequence[Result]) -> dict[str, dict[str, list[float]]]:
    """What is compared in which rows -> H, or "all" -> the geometric mean over cells, by medians and by minima."""
    found: dict[str, dict[str, list[float]]] = {}
    for where in dict.fromkeys(group(result.spec) for result in results):
        rows = [result for result in results if group(result.spec) == where]
        for ours, theirs in RATIOS[part]:
            both = [result for result in rows if ours in result.seconds and theirs in result.seconds]
            columns = {str(h): [r for r in both if r.spec.shape.hidden == h] for h in sizes(results)} | {"all": both}
            means = {
                size: [mean(some, ours, theirs, of) for of in (median, min)] for size, some in columns.items() if some
            }
            if means:
                found[f"{ours} over {theirs}, {where}"] = means
    return found


def ratio_lines(part: str, results: Sequence[Result]) -> list[str]:
    """The same as a table; by minima in brackets."""
    heads = [*map(str, sizes(results)), "all"]
    found = ratios(part, results)
    width = max(map(len, found), default=0)
    lines = [" " * width + "".join(f"  {head:>13}" for head in heads)]
    for name, means in found.items():
        cells = ("–" if head not in means else "{} ({})".format(*map(times, means[head])) for head in heads)
        lines.append(f"{name:{width}}" + "".join(f"  {cell:>13}" for cell in cells))
    return lines if found else []


def group(spec: Spec) -> str:
    """What rows a geometric mean is taken over: those of so many sequences, or layers."""
    return f"{spec.layers} layer" + "s" * (spec.layers > 1) if spec.shape.steps == 1 else f"B={spec.shape.batch}"


def sizes(results: Sequence[Result]) -> list[int]:
    """Every H, in order."""
    return sorted({result.spec.shape.hidden for result in results})


def mean(results: Sequence[Result], ours: str, theirs: str, of: Callable[[Sequence[float]], float]) -> float:
    """The geometric mean of their time over ours."""
    logs = [log(of(result.seconds[theirs]) / of(result.seconds[ours])) for result in results]
    return exp(sum(logs) / len(logs))


def record(part: str, results: Sequence[Result]) -> dict[str, Any]:
    """For JSON."""
    rows = [{**result.record(), "layers": result.spec.layers} for result in results]
    return {"results": rows, "ratios": ratios(part, results)}
