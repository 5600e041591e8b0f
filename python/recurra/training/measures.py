"""Losses and metrics as `fit` calls them, and the means of what they say over an epoch."""

from __future__ import annotations

import contextlib
import inspect
import math
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra._checks import check_number, is_masked, shown, taken

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from recurra.module import Array


class Mean:
    """The mean of the batches' values, each with the number of elements that it is a mean of itself.

    A value that is a mean of none, which may be NaN, has no part in it.
    """

    def __init__(self) -> None:
        self.values: list[float] = []
        self.counts: list[float] = []

    def add(self, value: float, count: float) -> None:
        """One batch more."""
        self.values.append(value)
        self.counts.append(count)

    def sums(self) -> tuple[float, float]:
        """The sum of all values, each times its count, and that of the counts."""
        pairs = zip(self.values, self.counts, strict=True)
        return sum(value * count for value, count in pairs if count), sum(self.counts)

    def value(self) -> float:
        """Of all batches; NaN if there are none."""
        if not self.values:
            return math.nan
        if len(set(self.counts)) == 1:  # so that it is the plain mean to the bit
            return sum(self.values) / len(self.values)
        total, count = self.sums()
        return total / count if count else math.nan


class Measure:
    """A function of prediction and target, which is given `lengths` if there are any and it takes them."""

    def __init__(self, name: str, function: Callable[..., Any], batch_first: bool) -> None:
        self.name, self.function = name, function
        names = _keywords(function)
        self.takes_lengths = "lengths" in names
        self.options = {"batch_first": True} if batch_first and self.takes_lengths else {}
        if self.options and "batch_first" not in names:
            raise TypeError(
                f"{name}: expected an argument batch_first beside lengths, as the model's sequences are (B, T, …), "
                f"got {shown(function)}"
            )

    def call(self, y: Any, target: Any, x: Any, lengths: Array | None) -> tuple[Any, int]:
        """What it returns, and how many elements of y count."""
        count = _elements(y)
        if lengths is None or not self.takes_lengths or not _has_steps(y, x):
            return self.function(y, target), count
        result = self.function(y, target, lengths=lengths, **self.options)
        return result, y[0, 0].size * int(np.sum(taken("lengths", lengths))) if y.size else 0


def _elements(y: Any) -> int:
    """How many numbers a prediction has, all of several together; of what isn't arrays, 1."""
    if isinstance(y, (tuple, list)):
        return sum(_elements(one) for one in y)
    return y.size if isinstance(y, np.ndarray) else 1


class Metric(Measure):
    """A function that returns a number, or that and what it is a mean of."""

    def __call__(self, y: Any, target: Any, x: Any, lengths: Array | None) -> tuple[float, float]:
        """That number, and of how many elements of y, or of what else, it is a mean."""
        result, count = self.call(y, target, x, lengths)
        own: float = count
        if isinstance(result, (tuple, list)) and len(result) == 2:
            result, own = result[0], _count(self.name, result[1], "second")
        return _number(self.name, result, "a number, or (number, count), as its result"), own


class Criterion(Measure):
    """A loss."""

    def __call__(self, y: Any, target: Any, x: Any, lengths: Array | None) -> tuple[float, Any, float]:
        """The value, the gradient with respect to y, and of how many elements of y the value is a mean."""
        result, count = self.call(y, target, x, lengths)
        if not isinstance(result, (tuple, list)) or len(result) not in {2, 3}:
            raise TypeError(
                f"loss: expected to return (value, gradient), the gradient being that with respect to the prediction, "
                f"got {shown(result)}"
            )
        value, gradient = result[:2]
        if gradient is None:
            raise TypeError("loss: expected an array as the gradient of (value, gradient), got None")
        value = _number("loss", value, "a number as the value of (value, gradient)")
        own: float = count
        if len(result) == 3:
            own = _count("loss", result[2], "third")
        return value, gradient, own


class Scores:
    """The means of a loss and of metrics over the batches of an epoch."""

    def __init__(self, count: int) -> None:
        self.means = [Mean() for _ in range(count)]

    def add(self, values: Sequence[tuple[float, float]]) -> None:
        """A batch's values, each with its count."""
        for mean, (value, count) in zip(self.means, values, strict=True):
            mean.add(value, count)

    def values(self) -> list[float]:
        """The means."""
        return [mean.value() for mean in self.means]


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, np.ndarray) and value.shape == () else value


def _count(name: str, value: Any, place: str) -> float:
    """Of elements, whatever they are."""
    return check_number(name, _scalar(value), f"a number from 0 up as the {place} result", 0, math.inf)


def _number(name: str, value: Any, what: str) -> float:
    """A real number, an array of no axes included."""
    scalar = isinstance(value, np.ndarray) and value.shape == () and value.dtype.kind in "fiu" and not is_masked(value)
    if isinstance(value, Real) or scalar:
        with contextlib.suppress(OverflowError):  # of an integer beyond all floats
            return float(value)
    raise TypeError(f"{name}: expected {what}, got {shown(value)}")


def _has_steps(y: Any, x: Any) -> bool:
    """Whether there is a prediction for each step of x, so that lengths are the prediction's too."""
    x = taken("x", x) if isinstance(y, np.ndarray) else None
    return isinstance(x, np.ndarray) and y.ndim >= 3 and y.shape[:2] == x.shape[:2]


def _keywords(function: Callable[..., Any]) -> set[str]:
    """Names that a function takes as keywords; those that `fit` may give if it takes any."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return set()
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return {"lengths", "batch_first"}
    return {one.name for one in parameters if one.kind in {one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD}}
