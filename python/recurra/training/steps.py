"""What `fit` does in an epoch: steps, the losses of predictions, and what is done where something isn't finite."""

from __future__ import annotations

import itertools
import math
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra import _core
from recurra.optim import clip_grad_norm
from recurra.optim.leaves import Leaf, leaves_of
from recurra.optim.undo import Undo

from .items import Calls, Carried, Item, unpacked
from .measures import Scores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from recurra.history import History

    from .measures import Criterion, Metric
    from .reduction import Reduction
    from .scheduling import Scheduling

    Values = list[tuple[float, float]]  # a loss and metrics, each with the number of elements it is a mean of

NONFINITE = ("stop", "skip", "raise")


class NonfiniteError(FloatingPointError):
    """A loss, gradient or weight that isn't finite; the weights are those from before."""


class Training:
    """What stays the same from batch to batch."""

    def __init__(
        self,
        model: Any,
        criterion: Criterion,
        metrics: Mapping[str, Metric],
        optimizer: Any,
        scheduling: Scheduling,
        reduction: Reduction | None,
        *,
        accumulate: int,
        clip_norm: float | None,
        carry_state: bool,
        nonfinite: str,
        generator: np.random.Generator | None,
    ) -> None:
        self.model, self.criterion, self.metrics, self.optimizer = model, criterion, metrics, optimizer
        self.scheduling, self.reduction, self.accumulate = scheduling, reduction, accumulate
        self.clip_norm, self.nonfinite = clip_norm, nonfinite
        self.calls = Calls(carry_state, bool(getattr(model, "batch_first", None)))
        self.random = {} if generator is None else {"rng": generator}

    def epoch(
        self, batches: Iterable[Any], judged: Callable[[], Iterable[Any]] | None, name: str, history: History
    ) -> None:
        """Trains with all batches, then predicts those that `judged` returns; what it found out goes into the history.

        Raises:
            NonfiniteError: something isn't finite; there is nothing of this epoch in the history then.
        """
        begin = time.perf_counter()
        scores, norms, rate = self._train(batches, history)
        validated = [] if judged is None else self._predict(name, judged())
        losses, *measured = scores.values()
        history.losses.append(losses)
        history.validation += validated[:1]
        for lists, values in ((history.metrics, measured), (history.validation_metrics, validated[1:])):
            for metric, value in zip(self.metrics, values, strict=False):
                lists.setdefault(metric, []).append(value)
        if self.clip_norm is not None:
            history.norms.append(sum(norms) / len(norms) if norms else math.nan)
        if rate is not None:
            history.rates.append(rate)
        history.seconds.append(time.perf_counter() - begin)

    def _train(self, batches: Iterable[Any], history: History) -> tuple[Scores, list[float], float | None]:
        """A step for every `accumulate` batches; their values, the gradients' norms, the last rate.

        Raises:
            NonfiniteError: something isn't finite, unless such batches are to be skipped.
        """
        scores, norms, rate = Scores(1 + len(self.metrics)), [], self.scheduling.rate()
        before, first = Carried(), 0
        items = unpacked("batches", batches)
        while group := list(itertools.islice(items, self.accumulate)):
            now = self.scheduling.rate()
            try:
                values, norm, after = self._update(group, before)
            except NonfiniteError as error:
                if self.nonfinite != "skip":
                    which = f"batch {first}" if len(group) == 1 else f"batches {first} to {first + len(group) - 1}"
                    raise NonfiniteError(f"{error} in {which} of epoch {len(history.losses)}") from None
                history.skipped += len(group)
            else:
                for batch in values:
                    scores.add(batch)
                norms.append(norm)
                before, rate = after, now
                self.scheduling.after_step()
            first += len(group)
        return scores, norms, rate

    def _update(self, group: list[Item], before: Carried) -> tuple[list[Values], float, Carried]:
        """One step; the values of its batches, or their means over processes, the norm, and the state after it."""
        values, after, trouble = self._gradients(group, before)
        if self.reduction is not None:
            values = [self._reduced(values, trouble)]
        elif trouble:
            raise NonfiniteError(trouble)
        elif len(group) > 1:
            count = sum(batch[0][1] for batch in values)
            leaves = [(leaf.parameters, leaf.layer.grads) for leaf in map(Leaf, leaves_of(self.model))]
            _core.scale_gradients(leaves, (values[0][0][1] or 1) / (count or 1))
        return values, self._step(), after

    def _gradients(self, group: list[Item], before: Carried) -> tuple[list[Values], Carried, str]:
        """Sums the batches' gradients, each weighted as if the first one's mean were all; also says what isn't finite.

        The sum is the gradient of the mean over all elements times the number of all over that of the first batch's.
        """
        values: list[Values] = []
        unit: float = 1
        for item in group:
            y, tape = self.model.forward(item.x, **self.calls.options(item, before), **self.random)
            value, gradient, count = self.criterion(y, item.target, item.x, item.lengths)
            if not math.isfinite(value):
                return values, before, f"loss: expected a finite value, got {value}"
            if not values:
                self.model.zero_grad()
                unit = count or 1
            if count != unit:
                gradient = _scaled(gradient, count / unit)
            measured = [metric(y, item.target, item.x, item.lengths) for metric in self.metrics.values()]
            self.model.backward(tape, gradient, need_dx=False)
            values.append([(value, count), *measured])
            if self.calls.carry_state:
                before = self.calls.after(item, tape.state)
        return values, before, ""

    def _reduced(self, values: list[Values], trouble: str) -> Values:
        """Gradients and values as means over all processes; whether they are finite is the same for all of them."""
        assert self.reduction is not None
        if trouble:
            means = self.reduction.gradients(leaves_of(self.model), 1, [(math.nan, 1.0)] * (1 + len(self.metrics)))
        else:
            scores = Scores(1 + len(self.metrics))
            for batch in values:
                scores.add(batch)
            own = [(mean.value(), mean.sums()[1]) for mean in scores.means]
            means = self.reduction.gradients(leaves_of(self.model), values[0][0][1] or 1, own)
        if not math.isfinite(means[0][0]):
            raise NonfiniteError(trouble or f"loss: expected a finite value in all processes, got {means[0][0]}")
        return means

    def _step(self) -> float:
        """Changes the weights, and returns the gradient's norm before clipping (0 for a model without leaves)."""
        if not hasattr(self.model, "leaves"):
            self.optimizer.step()
            return 0.0
        leaves = leaves_of(self.model)
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

    def _predict(self, name: str, batches: Iterable[Any]) -> list[float]:
        """The means of loss and metrics of predictions, over all processes if there are several."""
        scores, before = Scores(1 + len(self.metrics)), Carried()
        for item in unpacked(name, batches):
            y, state = self.model.run(item.x, **self.calls.options(item, before))
            value, _, count = self.criterion(y, item.target, item.x, item.lengths)
            measured = [metric(y, item.target, item.x, item.lengths) for metric in self.metrics.values()]
            scores.add([(value, count), *measured])
            before = self.calls.after(item, state)
        values = scores.values()
        if self.reduction is None:
            return values
        counts = [mean.sums()[1] for mean in scores.means]
        return [value for value, _ in self.reduction.values(list(zip(values, counts, strict=True)))]


def _scaled(gradient: Any, factor: float) -> Any:
    """The same times a number: an array, or, of several outputs, a tuple or list of such and of None."""
    if isinstance(gradient, (tuple, list)):
        return [_scaled(one, factor) for one in gradient]
    with np.errstate(all="ignore"):
        return None if gradient is None else gradient * factor
