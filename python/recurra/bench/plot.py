"""The speed-ups as bars: one panel a cell and mode, one group a shape, NumPy the line at 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .race import OURS, Result

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# Dark for recurra, muted for the others, told apart by lightness as well as hue.
COLOURS = {OURS: "#1f5fa8", "PyTorch": "#e08a5b", "ONNX Runtime": "#8fb8a0", "OpenVINO": "#b9a3cf", "JAX": "#d9c46c"}


def plot(results: Sequence[Result], path: Path, title: str) -> None:
    """Draws how many times as fast as NumPy everyone is, and writes it to `path`, whose ending chooses the format."""
    from matplotlib.figure import Figure

    cells = list(dict.fromkeys(result.spec.cell for result in results))
    modes = list(dict.fromkeys(result.spec.mode for result in results))
    shapes = list(dict.fromkeys(result.spec.shape for result in results))
    names = [name for name in COLOURS if any(name in result.seconds for result in results)]
    width = max(3.2, 0.9 + len(shapes) * (0.3 + 0.22 * len(names)))
    figure = Figure(figsize=(width * len(cells) + 0.6, 3.3 * len(modes) + 0.8), layout="constrained", facecolor="white")
    panels = figure.subplots(len(modes), len(cells), squeeze=False, sharey=True)
    for mode, row in zip(modes, panels, strict=True):
        for cell, panel in zip(cells, row, strict=True):
            rows = [result for result in results if (result.spec.cell, result.spec.mode) == (cell, mode)]
            draw(panel, rows, names)
            panel.set_title(f"{cell.upper()}, {mode}", fontsize=11)
        row[0].set_ylabel("times as fast as NumPy")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=150)


def draw(panel: Any, results: Sequence[Result], names: Sequence[str]) -> None:
    """One panel: bars from 1, up for faster and down for slower, on a logarithmic scale."""
    share = 0.8 / len(names)
    for k, name in enumerate(names):
        factors = [numpy / own if (own := r.median(name)) and (numpy := r.median("NumPy")) else 1.0 for r in results]
        centres = [j + (k - (len(names) - 1) / 2) * share for j in range(len(results))]
        bars = panel.bar(centres, [f - 1 for f in factors], 0.92 * share, bottom=1, color=COLOURS[name], label=name)
        if name == OURS:
            panel.bar_label(bars, [f"{factor:.1f}" for factor in factors], fontsize=8, padding=2)
    panel.axhline(1, color="#444444", linewidth=1)
    panel.set_yscale("log")
    panel.margins(y=0.12)
    panel.yaxis.set_major_formatter("{x:g}")
    panel.yaxis.set_minor_formatter("")
    panel.set_xticks(range(len(results)), [str(r.spec.shape) for r in results], rotation=30, ha="right", fontsize=8)
    panel.grid(axis="y", color="#dddddd")
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
