"""History: what a training run tells about itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import os


@dataclass
class History:
    """What `fit` returns and hands to its callback.

    A dataclass, whose arguments are its attributes. The lists have one number for each whole epoch.

    Args:
        losses: the mean of the batches' losses, each before the step it led to, and each weighted with the number of
            elements of its prediction that count. So it is the mean of the samples' losses, also where the last batch
            is smaller, or of the steps' if sequences have lengths.
        validation: the same over the validation batches after the epoch, or over the training batches if there is
            patience and no validation; else empty.
        seconds: how long the epoch took, validation included.
        norms: the mean of the gradient's norms before clipping; empty without clip_norm.
        stopped: why it ended: "epochs", "patience", "callback", "interrupted" or "nonfinite"; "" meanwhile.
        best: with patience, the loss of the weights that are kept, the smallest in `validation`; else None.
        skipped: how many batches were skipped as something wasn't finite, with nonfinite="skip".
        metrics: of each metric by name, the mean over the training batches, of predictions made before their steps and
            with dropout, weighted by the prediction's elements or by what the metric says.
        validation_metrics: the same over what `validation` is of, after the epoch; without anything validated empty.
        rates: the learning rate of the epoch's last step, of the optimizer's first group; empty if it has none.

    Example:
        >>> x, target = np.zeros((6, 4, 3), np.float32), np.ones((6, 4, 1), np.float32)
        >>> model = recurra.Sequential(recurra.GRU(3, 8, seed=0), recurra.Linear(8, 1, seed=1))
        >>> history = recurra.fit(model, [(x, target)], recurra.mse, recurra.Adam(model, lr=0.01), epochs=5)
        >>> history
        History(epochs=5, losses 1.101 to 0.7817, stopped='epochs')
    """

    losses: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    stopped: str = ""
    best: float | None = None
    skipped: int = 0
    metrics: dict[str, list[float]] = field(default_factory=dict)
    validation_metrics: dict[str, list[float]] = field(default_factory=dict)
    rates: list[float] = field(default_factory=list)

    def __repr__(self) -> str:
        """In a line, however many epochs there were."""
        lists = {"losses": self.losses, "validation": self.validation, **self.metrics}
        lists |= {f"validation {name}": values for name, values in self.validation_metrics.items()}
        ends = [f"{name} {values[0]:.4g} to {values[-1]:.4g}" for name, values in lists.items() if values]
        return f"History({', '.join([f'epochs={len(self.losses)}', *ends, f'stopped={self.stopped!r}'])})"

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended it."""
        return self.stopped == "interrupted"

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draws the losses into a file, and below them metrics, norms and rates, as far as there are any.

        Rates are drawn if they change.

        Args:
            path: the file, whose ending says which kind it is: .png, .svg, .pdf or another that matplotlib knows.

        Raises:
            ImportError: matplotlib is missing.
            ValueError: there is no epoch to draw.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError("plot: expected matplotlib, which is missing: pip install 'recurra[plot]'") from error
        if not self.losses:
            raise ValueError("history: expected at least one epoch, got none")
        panels = self._panels()
        figure = Figure(figsize=(7, 1.5 + 2.8 * len(panels)), dpi=120, layout="constrained")
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for one, (label, curves) in zip(axes, panels.items(), strict=True):
            _draw(one, label, {name: values for name, values in curves.items() if values})
        axes[-1].set_xlabel("epoch")
        figure.savefig(path)

    def _panels(self) -> dict[str, dict[str, list[float]]]:
        """Curves by name, for each label."""
        panels = {"loss": {"training": self.losses, "validation": self.validation}}
        for name, values in self.metrics.items():
            panels[name] = {"training": values, "validation": self.validation_metrics.get(name, [])}
        if self.norms:
            panels["norm of the gradient"] = {"before clipping": self.norms}
        if len(set(self.rates)) > 1:
            panels["learning rate"] = {"of the last step": self.rates}
        return panels


def _draw(axes: Any, label: str, curves: dict[str, list[float]]) -> None:
    """Curves over epochs 1, 2, …; logarithmic if they span more than a factor of 30."""
    for name, values in curves.items():
        axes.plot(range(1, len(values) + 1), values, label=name, marker="o" if len(values) < 30 else "", markersize=4)
    every = np.concatenate([np.asarray(values) for values in curves.values()])
    every = every[np.isfinite(every)]
    if every.size and every.min() > 0 and every.max() > 30 * every.min():
        axes.set_yscale("log")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    axes.legend()
