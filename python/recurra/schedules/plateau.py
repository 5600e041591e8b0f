"""The schedule that looks at a metric instead of counting."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any

from recurra._checks import check_number, shown

from .schedule import FROM_0, RateSetter, check_count, per_group

if TYPE_CHECKING:
    from collections.abc import Sequence


class ReduceLROnPlateau(RateSetter):
    """Multiplies the rates by `factor` when a metric hasn't become better for more than `patience` steps.

    Args:
        optimizer: whose rates.
        mode: whether a smaller metric is better, "min", or a larger one, "max".
        factor: in [0, 1).
        patience: how many steps in a row may bring nothing better, from 0 up.
        threshold: how much better counts: with threshold_mode "rel" than best * (1 - threshold), or (1 + threshold) of
            the larger ones, with "abs" than best - threshold, or best + threshold.
        threshold_mode: "rel" or "abs".
        cooldown: steps after a reduction that aren't counted.
        min_lr: what no rate goes below, a number or a list of one for each group.
        eps: a rate that would change by no more than that stays.

    Attributes:
        optimizer: the same.
        last_epoch: how many steps there were.

    Raises:
        TypeError, ValueError: an argument out of its range.

    Example:
        >>> adam = recurra.Adam(recurra.Linear(2, 1, seed=0), lr=0.1)
        >>> schedule = recurra.schedules.ReduceLROnPlateau(adam, factor=0.5, patience=1)
        >>> for loss in [1.0, 0.8, 0.8, 0.9, 0.7]:
        ...     schedule.step(loss)
        ...     print(loss, adam.lr)
        1.0 0.1
        0.8 0.1
        0.8 0.1
        0.9 0.05
        0.7 0.05
    """

    __slots__ = (
        "_best", "_cooldown", "_eps", "_factor", "_least", "_mode", "_patience", "_relative", "_threshold", "_waited",
        "_waits",
    )  # fmt: skip

    def __init__(
        self,
        optimizer: Any,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(optimizer)
        self._mode = _check_choice("mode", mode, ("min", "max"))
        self._relative = _check_choice("threshold_mode", threshold_mode, ("rel", "abs")) == "rel"
        self._factor = check_number("factor", factor, "a number in [0, 1)", 0, 1)
        self._patience, self._cooldown = check_count("patience", patience), check_count("cooldown", cooldown)
        self._threshold = check_number("threshold", threshold, FROM_0, 0, math.inf)
        self._eps = check_number("eps", eps, FROM_0, 0, math.inf)
        self._least = per_group(
            "min_lr", min_lr, optimizer, lambda one: check_number("min_lr", one, FROM_0, 0, math.inf)
        )
        self._best, self._waited, self._waits = math.inf if mode == "min" else -math.inf, 0, 0

    def step(self, metrics: float) -> None:
        """Takes note of a metric, and sets the rates.

        Args:
            metrics: a number, such as a validation's loss; NaN is never better.

        Raises:
            TypeError: it is no number.
        """
        if isinstance(metrics, bool) or not isinstance(metrics, Real):
            raise TypeError(f"metrics: expected a number, got {shown(metrics)}")
        metric = float(metrics)
        if self._is_better(metric):
            self._best, self._waited = metric, 0
        else:
            self._waited += 1
        if self._waits > 0:
            self._waits, self._waited = self._waits - 1, 0
        rates = self._rates()
        if self._waited > self._patience:
            lower = [max(rate * self._factor, least) for rate, least in zip(rates, self._least, strict=True)]
            rates = [new if old - new > self._eps else old for old, new in zip(rates, lower, strict=True)]
            self._waits, self._waited = self._cooldown, 0
        self._set(rates, "lr", self.last_epoch + 1)

    def _is_better(self, metric: float) -> bool:
        if self._relative:
            low, high = self._best * (1 - self._threshold), self._best * (1 + self._threshold)
        else:
            low, high = self._best - self._threshold, self._best + self._threshold
        return metric < low if self._mode == "min" else metric > high

    def _numbers(self) -> dict[str, Any]:
        return {"best": self._best, "num_bad_epochs": self._waited, "cooldown_counter": self._waits}

    def _take(self, numbers: dict[str, Any]) -> None:
        self._best, self._waited = numbers["best"], numbers["num_bad_epochs"]
        self._waits = numbers["cooldown_counter"]


def _check_choice(name: str, value: object, choices: tuple[str, str]) -> str:
    expected = " or ".join(repr(choice) for choice in choices)
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected {expected}, got {shown(value)}")
    if value not in choices:
        raise ValueError(f"{name}: expected {expected}, got {shown(value)}")
    return value
