"""What `fit` does in an epoch: a step for each batch, the losses of predictions, and what isn't finite."""

from __future__ import annotations

import contextlib
import inspect
import math
import sys
import time
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from ._checks import check_rng, is_masked, shown
from .optim import clip_grad_norm
from .optim.undo import Undo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .history import History
    from .module import Array, Module
    from .recurrent import Seed

    Loss = Callable[..., tuple[float, Array]]

NONFINITE = ("stop", "skip", "raise")


class NonfiniteError(FloatingPointError):
    """A loss, gradient or weight that isn't finite; the weights are those from before."""


class Mean:
    """The mean of the batches' losses, each with the number of elements that its own mean is of."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self.counts: list[int] = []

    def add(self, value: float, count: int) -> None:
        """One batch more."""
        self.values.append(value)
        self.counts.append(count)

    def value(self) -> float:
        """Of all batches; NaN if there are none."""
        if not self.values:
            return math.nan
        if len(set(self.counts)) == 1:  # so that it is the plain mean to the bit
            return sum(self.values) / len(self.values)
        total = sum(value * count for value, count in zip(self.values, self.counts, strict=True))
        return total / sum(self.counts)


class Criterion:
    """A loss as `fit` calls it: with `lengths`, if there are any and it takes them."""

    def __init__(self, loss: Loss, batch_first: bool) -> None:
        self.loss = loss
        names = _keywords(loss)
        self.takes_lengths = "lengths" in names
        self.options = {"batch_first": True} if batch_first and self.takes_lengths else {}
        if self.options and "batch_first" not in names:
            raise TypeError(
                f"loss: expected an argument batch_first beside lengths, as the model's sequences are (B, T, …), "
                f"got {shown(loss)}"
            )

    def __call__(self, y: Any, target: Any, x: Any, lengths: Array | None) -> tuple[float, Any, int]:
        """The value, the gradient with respect to y, and of how many elements of y the value is a mean."""
        of_steps = lengths is not None and self.takes_lengths and _has_steps(y, x)
        result = self.loss(y, target, **({"lengths": lengths} | self.options if of_steps else {}))
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            raise TypeError(
                f"loss: expected to return (value, gradient), the gradient being that with respect to the prediction, "
                f"got {shown(result)}"
            )
        value, gradient = result
        if gradient is None:
            raise TypeError("loss: expected an array as the gradient of (value, gradient), got None")
        count = y.size if isinstance(y, np.ndarray) else 1
        if of_steps and lengths is not None:
            count = y[0, 0].size * int(lengths.sum()) if y.size else 0
        return _number(value), gradient, count


def _number(value: Any) -> float:
    """A loss's value: a real number, an array of no axes included."""
    scalar = isinstance(value, np.ndarray) and value.shape == () and value.dtype.kind in "fiu" and not is_masked(value)
    if isinstance(value, Real) or scalar:
        with contextlib.suppress(OverflowError):  # of an integer beyond all floats
            return float(value)
    raise TypeError(f"loss: expected a number as the value of (value, gradient), got {shown(value)}")


class Training:
    """What stays the same from batch to batch."""

    def __init__(
        self,
        model: Any,
        criterion: Criterion,
        optimizer: Any,
        clip_norm: float | None,
        carry_state: bool,
        nonfinite: str,
        rng: Seed,
    ) -> None:
        self.model, self.criterion, self.optimizer = model, criterion, optimizer
        self.clip_norm, self.carry_state, self.nonfinite = clip_norm, carry_state, nonfinite
        self.batch_first = bool(getattr(model, "batch_first", None))
        self.options = {} if rng is None else {"rng": check_rng("rng", rng)}

    def epoch(
        self, batches: Iterable[Any], judged: Callable[[], Iterable[Any]] | None, name: str, history: History
    ) -> None:
        """Trains with all batches, then predicts those that `judged` returns; what it found out goes into the history.

        Raises:
            NonfiniteError: something isn't finite; there is nothing of this epoch in the history then.
        """
        begin = time.perf_counter()
        losses, norms = self._train(batches, history)
        if judged is not None:
            history.validation.append(self._predict(name, judged()).value())
        history.losses.append(losses.value())
        if self.clip_norm is not None:
            history.norms.append(sum(norms) / len(norms) if norms else math.nan)
        history.seconds.append(time.perf_counter() - begin)

    def _train(self, batches: Iterable[Any], history: History) -> tuple[Mean, list[float]]:
        """A step for each batch; their losses and the gradients' norms.

        Raises:
            NonfiniteError: something isn't finite, unless such batches are to be skipped.
        """
        losses, norms = Mean(), []
        state, rows = None, None
        for i, (x, target, lengths) in enumerate(unpacked("batches", batches)):
            options = self._options(x, lengths, state, rows)
            y, tape = self.model.forward(x, **options, **self.options)
            value, gradient, count = self.criterion(y, target, x, lengths)
            try:
                norm = self._step(value, tape, gradient)
            except NonfiniteError as error:
                if self.nonfinite != "skip":
                    raise NonfiniteError(f"{error} in batch {i} of epoch {len(history.losses)}") from None
                history.skipped += 1
                continue  # with the state from before it
            losses.add(value, count)
            norms.append(norm)
            if self.carry_state:
                state, rows = tape.state, self._rows(x)
        return losses, norms

    def _step(self, value: float, tape: Any, gradient: Any) -> float:
        """Changes the weights, and returns the gradient's norm before clipping (0 for a model without leaves)."""
        if not math.isfinite(value):
            raise NonfiniteError(f"loss: expected a finite value, got {value}")
        self.model.zero_grad()
        self.model.backward(tape, gradient, need_dx=False)
        if not hasattr(self.model, "leaves"):
            self.optimizer.step()
            return 0.0
        leaves = self.model.leaves()
        try:  # without clip_norm at a norm that none exceeds
            norm = clip_grad_norm(leaves, self.clip_norm or sys.float_info.max, error_if_nonfinite=True)
        except FloatingPointError as error:
            raise NonfiniteError(str(error)) from None
        undo = Undo(leaves, self.optimizer)
        finite = False
        try:
            self.optimizer.step()
        finally:  # also where Ctrl-C came during the step, which is done then
            finite = undo.finite()
            if not finite:
                undo.restore()
        if not finite:
            raise NonfiniteError("weights: expected finite ones after the optimizer's step, got others")
        return norm

    def _predict(self, name: str, batches: Iterable[Any]) -> Mean:
        """The losses of predictions."""
        losses = Mean()
        state, rows = None, None
        for x, target, lengths in unpacked(name, batches):
            y, state = self.model.run(x, **self._options(x, lengths, state, rows))
            value, _, count = self.criterion(y, target, x, lengths)
            losses.add(value, count)
            rows = self._rows(x)
        return losses

    def _options(self, x: Any, lengths: Any, state: Any, rows: int | None) -> dict[str, Any]:
        """What the model is called with, besides x; `rows` are the sequences that the state is of."""
        options = {} if lengths is None else {"lengths": lengths}
        if not self.carry_state:
            return options
        if state is not None and self._rows(x) != rows:
            raise ValueError(
                f"batches: expected as many sequences in each, as carry_state hands the states of one on to the next, "
                f"got {self._rows(x)} after {rows}: leave a smaller last batch out, or cut the stream evenly"
            )
        return options | {"state": state}

    def _rows(self, x: Any) -> int | None:
        """How many sequences a batch has; None if it is one, without an axis for them, or no array."""
        leading = () if not isinstance(x, np.ndarray) else x.shape if x.dtype.kind in "iu" else x.shape[:-1]
        return leading[0 if self.batch_first else 1] if len(leading) == 2 else None


def unpacked(name: str, items: Iterable[Any]) -> Iterator[tuple[Any, Any, Any]]:
    """x, target and lengths, or None, of each batch."""
    empty = True
    for item in items:
        if not isinstance(item, (tuple, list)) or len(item) not in {2, 3}:
            raise TypeError(f"{name}: expected items (x, target) or (x, target, lengths), got {shown(item)}")
        yield item[0], item[1], item[2] if len(item) == 3 else None
        empty = False
    if empty:
        raise ValueError(f"{name}: expected at least one in an epoch, got none")


def reverse_of(model: Any) -> Module | None:
    """A layer that reads sequences from their ends, or both ways, if there is one."""
    leaves = model.leaves() if hasattr(model, "leaves") else []
    return next(
        (leaf for leaf in leaves if any(getattr(leaf, name, False) for name in ("bidirectional", "reverse"))), None
    )


def _has_steps(y: Any, x: Any) -> bool:
    """Whether there is a prediction for each step of x, so that lengths are the prediction's too."""
    arrays = isinstance(y, np.ndarray) and isinstance(x, np.ndarray)
    return arrays and y.ndim >= 3 and y.shape[:2] == x.shape[:2]


def _keywords(function: Callable[..., Any]) -> set[str]:
    """Names that a function takes as keywords; those that `fit` may give if it takes any."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return set()
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return {"lengths", "batch_first"}
    return {one.name for one in parameters if one.kind in {one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD}}
