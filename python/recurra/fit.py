"""fit: the loop over epochs and batches that most training is.

What it does for a batch, without the options:

    y, tape = model.forward(x)
    value, gradient = loss(y, target)
    model.zero_grad()
    model.backward(tape, gradient, need_dx=False)
    optimizer.step()
"""

from __future__ import annotations

import importlib
import math
import time
from typing import TYPE_CHECKING, Any, Protocol

from ._checks import check_flag, check_number, check_rng, check_size, shown
from .history import History
from .module import Module
from .optim import Optimizer, clip_grad_norm
from .sequential import as_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .layers import Seed
    from .module import Array

    Batches = Iterable[tuple[Array, ...]] | Callable[[int], Iterable[tuple[Array, ...]]]
    Loss = Callable[[Array, Any], tuple[float, Array]]


class CanStep(Protocol):
    """What `fit` asks of one."""

    def step(self) -> None:
        """Changes the parameters by their gradients."""


def fit(
    model: Any,
    batches: Batches,
    loss: Loss,
    optimizer: CanStep,
    *,
    epochs: int = 1,
    validation: Batches | None = None,
    clip_norm: float | None = None,
    carry_state: bool = False,
    patience: int | None = None,
    callback: Callable[[History], object] | None = None,
    progress: bool = False,
    rng: Seed = None,
) -> History:
    """Trains a model; Ctrl-C ends it with what has been reached.

    Args:
        model: a Sequential or a layer, or what has `forward`, `backward`, `run` and `zero_grad` like a Sequential;
            also `leaves` for clip_norm, and `state_dict` and `load_state_dict` for patience.
        batches: (x, target) or (x, target, lengths) each: an iterable that begins anew every epoch, or a function of
            the epoch, 0, 1, …, that returns an iterable.
        loss: (prediction, target) -> (value, gradient), such as `recurra.mse`.
        optimizer: of the model's parameters.
        epochs: how many at most.
        validation: batches too, to be predicted after every epoch, without dropout.
        clip_norm: how large the norm of the gradient may be: a larger gradient is scaled down.
        carry_state: each batch begins in the state in which the last one ended, and an epoch in zeros: truncated
            back-propagation through time, for a stream cut into batches. Gradients don't cross the cuts.
        patience: after this many epochs in a row without a smaller loss, of validation if there is any, it ends. The
            weights of the best epoch are loaded at the end, however it comes.
        callback: called with the history after every epoch; if what it returns is true, that was the last.
        progress: shows a bar, which needs tqdm.
        rng: where dropout's masks come from, an integer or a generator; needed if there is dropout.

    Returns:
        The history, `history.stopped` saying what ended it.

    Raises:
        TypeError, ValueError: of an argument, before anything is done, or of a batch when its turn comes.
        ImportError: progress without tqdm.
    """
    model = as_model(model)
    check_size("epochs", epochs)
    if isinstance(model, Module) and isinstance(optimizer, Optimizer):
        own = {id(layer._parameters) for layer in model.leaves()}
        if any(id(layer._parameters) not in own for layer in optimizer.layers):
            raise ValueError("optimizer: expected one of the model's parameters, got one of another model's")
    _check_batches("batches", batches, epochs)
    if validation is not None:
        _check_batches("validation", validation, epochs)
    if callback is not None:
        _check_callable("callback", callback)
    best = _Best(model, None if patience is None else check_size("patience", patience))
    training = _Training(model, loss, optimizer, clip_norm, carry_state, rng)
    bar = _import_tqdm() if check_flag("progress", progress) else None
    history = History()
    try:
        for epoch in range(epochs):
            items = _of_epoch(batches, epoch)
            if bar is not None:
                reached = f", loss {history.losses[-1]:.4g}" if epoch else ""
                items = bar(items, desc=f"epoch {epoch + 1}/{epochs}{reached}", unit="batch")
            training.epoch(items, None if validation is None else _of_epoch(validation, epoch), history)
            patient = best.note((history.validation or history.losses)[-1])
            if callback is not None and callback(history):
                history.stopped = "callback"
            elif not patient:
                history.stopped = "patience"
            if history.stopped:
                break
        else:
            history.stopped = "epochs"
    except KeyboardInterrupt:
        history.stopped = "interrupted"
    best.restore()
    return history


class _Training:
    """What stays the same from batch to batch."""

    def __init__(
        self, model: Any, loss: Loss, optimizer: CanStep, clip_norm: float | None, carry_state: bool, rng: Seed
    ) -> None:
        _check_callable("loss", loss)
        if not callable(getattr(optimizer, "step", None)):
            raise TypeError(f"optimizer: expected one such as recurra.Adam(model), got {shown(optimizer)}")
        if clip_norm is not None:
            check_number("clip_norm", clip_norm, "a number above 0", 5e-324, math.inf)
        self.model, self.loss, self.optimizer, self.clip_norm = model, loss, optimizer, clip_norm
        self.carry_state = check_flag("carry_state", carry_state)
        self.options = {} if rng is None else {"rng": check_rng("rng", rng)}

    def epoch(self, batches: Iterable[Any], validation: Iterable[Any] | None, history: History) -> None:
        """Trains with all batches, then predicts the validation; what it found out goes into the history."""
        begin = time.perf_counter()
        losses, norms = self.train(batches)
        if validation is not None:
            history.validation.append(_mean(self.validate(validation)))
        history.losses.append(_mean(losses))
        if norms:
            history.norms.append(_mean(norms))
        history.seconds.append(time.perf_counter() - begin)

    def train(self, batches: Iterable[Any]) -> tuple[list[float], list[float]]:
        """A step for each batch; their losses and, with clip_norm, the gradients' norms."""
        losses, norms = [], []
        state = None
        for x, target, options in _unpacked("batches", batches):
            if self.carry_state:
                options["state"] = state
            y, tape = self.model.forward(x, **options, **self.options)
            value, gradient = self.loss(y, target)
            self.model.zero_grad()
            self.model.backward(tape, gradient, need_dx=False)
            if self.clip_norm is not None:
                norms.append(clip_grad_norm(self.model.leaves(), self.clip_norm))
            self.optimizer.step()
            losses.append(float(value))
            if self.carry_state:
                state = tape.state
        return losses, norms

    def validate(self, batches: Iterable[Any]) -> list[float]:
        """The losses of predictions."""
        losses = []
        state = None
        for x, target, options in _unpacked("validation", batches):
            if self.carry_state:
                options["state"] = state
            y, state = self.model.run(x, **options)
            losses.append(float(self.loss(y, target)[0]))
        return losses


class _Best:
    """The weights at the smallest loss so far, and for how many epochs it has been that."""

    def __init__(self, model: Any, patience: int | None) -> None:
        self.model, self.patience = model, patience
        self.loss, self.weights, self.waited = math.inf, None, 0

    def note(self, loss: float) -> bool:
        """Takes note of an epoch's loss; whether there is patience for another epoch."""
        if self.patience is None:
            return True
        if loss < self.loss:
            self.loss, self.weights, self.waited = loss, self.model.state_dict(), 0
        else:
            self.waited += 1
        return self.waited < self.patience

    def restore(self) -> None:
        """Loads those weights, if there are any."""
        if self.weights is not None:
            self.model.load_state_dict(self.weights)


def _of_epoch(batches: Batches, epoch: int) -> Iterable[Any]:
    return batches if hasattr(batches, "__iter__") else batches(epoch)


def _unpacked(name: str, items: Iterable[Any]) -> Iterator[tuple[Any, Any, dict[str, Any]]]:
    """x, target and, if they are given, lengths as an option of the model."""
    empty = True
    for item in items:
        if not isinstance(item, (tuple, list)) or len(item) not in {2, 3}:
            raise TypeError(f"{name}: expected items (x, target) or (x, target, lengths), got {shown(item)}")
        yield item[0], item[1], {"lengths": item[2]} if len(item) == 3 else {}
        empty = False
    if empty:
        raise ValueError(f"{name}: expected at least one in an epoch, got none")


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _check_batches(name: str, batches: object, epochs: int) -> None:
    if not hasattr(batches, "__iter__") and not callable(batches):
        raise TypeError(f"{name}: expected an iterable or a function of the epoch, got {shown(batches)}")
    if epochs > 1 and hasattr(batches, "__next__"):
        raise TypeError(
            f"{name}: expected an iterable that can begin anew, as there are {epochs} epochs, or a function of the "
            f"epoch, got an iterator, {shown(batches)}"
        )


def _check_callable(name: str, value: object) -> None:
    if not callable(value):
        raise TypeError(f"{name}: expected a function, got {shown(value)}")


def _import_tqdm() -> Any:
    try:
        return importlib.import_module("tqdm").tqdm
    except ImportError as error:
        raise ImportError("progress: expected tqdm, which is missing: pip install tqdm") from error
