"""The speed-ups as a picture to hand on: a dot a row and contestant, NumPy the line at 1, and what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .race import OURS, Result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# Okabe and Ito's colours, which the colour-blind tell apart, and a shape each for prints in grey.
MARKS = {
    OURS: ("#0072b2", "o"),
    "PyTorch": ("#d55e00", "s"),
    "ONNX Runtime": ("#009e73", "^"),
    "OpenVINO": ("#cc79a7", "D"),
    "JAX": ("#e69f00", "v"),
}
WIDTH, DPI = 12.8, 150  # inches: shown 1280 pixels wide, a point of a font is 1.4 pixels
MODES = {"inference": "forward", "training": "training (forward and backward)"}
GREY, FAINT = "#4d4d4d", "#e3e3e3"


def plot(results: Sequence[Result], path: Path, about: Mapping[str, Any]) -> None:
    """Draws how many times as fast as NumPy everyone is.

    Args:
        results: the rows.
        path: the file, whose ending chooses the format.
        about: the facts of the run, as the JSON file has them.
    """
    from matplotlib.figure import Figure

    modes = [mode for mode in MODES if any(result.spec.mode == mode for result in results)]
    cells = list(dict.fromkeys(result.spec.cell for result in results))
    names = [name for name in MARKS if any(name in result.seconds for result in results)]
    rows = max(sum(result.spec.mode == mode for result in results) for mode in modes) + 0.7 * (len(cells) - 1)
    height = 2.35 + 0.34 * rows
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    figure.subplots_adjust(0.2, 1.05 / height, 0.975, 1 - 1.2 / height, wspace=0.06)
    panels = figure.subplots(1, len(modes), squeeze=False, sharex=True, sharey=True)[0]
    for panel, mode in zip(panels, modes, strict=True):
        draw(panel, [result for result in results if result.spec.mode == mode], names, panel is panels[0])
        panel.set_title(MODES[mode], fontsize=13, loc="left", color=GREY)
    title = "recurra: times as fast as NumPy" if len(names) == 1 else "Times as fast as NumPy"
    figure.text(0.022, 1 - 0.42 / height, title, fontsize=19, weight="bold")
    figure.text(0.022, 1 - 0.72 / height, machine(about), fontsize=11.5, color=GREY)
    figure.text(0.022, 0.14 / height, "\n".join(versions(about)), fontsize=10.5, color=GREY)
    if len(names) > 1:
        handles, labels = (part[::-1] for part in panels[0].get_legend_handles_labels())
        corner = {"loc": "upper right", "bbox_to_anchor": (0.98, 1 - 0.12 / height), "ncols": len(labels)}
        figure.legend(handles, labels, **corner, frameon=False, fontsize=12, handletextpad=0.2, columnspacing=1.2)
    figure.savefig(path, dpi=DPI)


def draw(panel: Any, results: Sequence[Result], names: Sequence[str], named: bool) -> None:
    """One mode: a line of dots a row, in groups of a cell each, `named` at the left, on a logarithmic scale."""
    places, labels, y, last = [], [], 0.0, None
    for result in results:
        y += 1.0 if result.spec.cell == last or last is None else 1.7
        places.append(y)
        labels.append(str(result.spec.shape))
        if result.spec.cell != last and named:
            at: dict[str, Any] = {
                "xycoords": panel.get_yaxis_transform(),
                "textcoords": "offset points",
                "va": "center",
            }
            panel.annotate(result.spec.cell.upper(), (0, y), (-162, 0), **at, fontsize=13, weight="bold")
        last = result.spec.cell
    for name in reversed(names):  # recurra's above the others
        colour, mark = MARKS[name]
        factors = [factor(result, name) for result in results]
        there = [(f, place) for f, place in zip(factors, places, strict=True) if f is not None]
        size = 95 if name == OURS else 55
        xs, ys = [f for f, _ in there], [place for _, place in there]  # of none, too, for the legend
        panel.scatter(xs, ys, s=size, marker=mark, color=colour, label=name, zorder=3, linewidths=0)
        if name == OURS:
            for f, place in there:
                panel.plot([1, f], [place, place], color=colour, linewidth=3, zorder=2, alpha=0.45)
                panel.annotate(
                    f"{f:.1f}",
                    (f, place),
                    (8 if f >= 1 else -8, 0),
                    textcoords="offset points",
                    va="center",
                    ha="left" if f >= 1 else "right",
                    fontsize=11.5,
                    color=colour,
                    weight="bold",
                )
    panel.axvline(1, color=GREY, linewidth=1.2)
    panel.set_xscale("log")
    panel.margins(x=0.12)
    panel.set_yticks(places, labels, fontsize=11)
    if not panel.yaxis_inverted():
        panel.set_ylim(places[-1] + 0.7, places[0] - 0.7)
    panel.xaxis.set_major_formatter("{x:g}")
    panel.xaxis.set_major_locator(ticks())
    panel.xaxis.set_minor_formatter("")
    panel.tick_params(axis="x", labelsize=11.5)
    panel.tick_params(axis="both", length=0, which="both")
    panel.grid(axis="x", color=FAINT)
    panel.set_axisbelow(True)
    panel.spines[["top", "right", "left", "bottom"]].set_visible(False)


def ticks() -> Any:
    """1, 2, 5 and their tenfolds."""
    from matplotlib.ticker import LogLocator

    return LogLocator(subs=(1, 2, 5), numticks=20)


def factor(result: Result, name: str) -> float | None:
    """How many times as fast as NumPy a contestant is; None if it has no time."""
    own, numpy = result.median(name), result.median("NumPy")
    return numpy / own if own and numpy else None


def machine(about: Mapping[str, Any]) -> str:
    """ "AMD EPYC (family 25, model 1) · avx2 · 1 thread · float32"."""
    cpu, model = about["machine"]["cpu"], about["machine"]["model"]
    threads = "1 thread" if about["threads"] == 1 else f"{about['threads']} threads"
    return " · ".join(
        [cpu + (f" ({model})" if model else ""), about["build"]["isa"], f"{threads} each", about["dtype"]]
    )


def versions(about: Mapping[str, Any]) -> list[str]:
    """Two lines: what BxTxIxH means, and the day; the versions."""
    names = dict(about["versions"])
    numpy = f"NumPy {names.pop('NumPy')}" + (f" ({about['blas']})" if about["blas"] else "")
    said = [f"{name} {version}" for name, version in names.items()]
    said[1:1] = [numpy, f"Python {about['python']}"]
    shape = f"BxTxIxH: B sequences of T steps, I inputs, H hidden units · medians · {about['date'][:10]}"
    return [shape, " · ".join(said)]
