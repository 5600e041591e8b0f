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
from typing import TYPE_CHECKING, Any, Protocol

from ._checks import check_flag, check_number, check_size, shown
from ._training import NONFINITE, Criterion, NonfiniteError, Training, reverse_of
from .history import History
from .module import Module
from .optim import Optimizer
from .optim.leaves import identity_of
from .sequential import as_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ._training import Loss
    from .module import Array
    from .recurrent import Seed

    Batches = Iterable[tuple[Array, ...]] | Callable[[int], Iterable[tuple[Array, ...]]]


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
    nonfinite: str = "stop",
    rng: Seed = None,
) -> History:
    """Trains a model; Ctrl-C ends it with what has been reached.

    Args:
        model: a Sequential or a layer, or what has `forward`, `backward`, `run` and `zero_grad` like a Sequential;
            `leaves` too for clip_norm, and `state_dict` and `load_state_dict` for patience.
        batches: (x, target) or (x, target, lengths) each: an iterable that begins anew every epoch, or a function of
            the epoch, 0, 1, …, that returns an iterable.
        loss: (prediction, target) -> (value, gradient), such as `recurra.mse`. If it takes an argument `lengths`, it is
            given those of a batch where the prediction has x's steps, (T, B, …), so that padding doesn't count; and
            `batch_first=True` beside them, if the model's sequences are (B, T, …).
        optimizer: of the model's parameters.
        epochs: how many at most.
        validation: batches too, to be predicted after every epoch, without dropout.
        clip_norm: how large the norm of the gradient may be: a larger gradient is scaled down.
        carry_state: each batch begins in the state in which the last one ended, and an epoch in zeros: truncated
            back-propagation through time, for a stream cut into batches. Gradients don't cross the cuts.
        patience: after this many epochs in a row without a smaller loss of validation it ends. The weights of the best
            epoch are loaded at the end, however it comes. Without validation the training batches are predicted after
            every epoch in its place, as the losses before an epoch's steps say nothing of the weights after them.
        callback: called with the history after every epoch; if what it returns is true, that was the last.
        progress: shows a bar, which needs tqdm.
        nonfinite: what a loss, a gradient's norm or weights that are infinite or NaN lead to: "stop" ends the training
            with the weights from before that batch, "skip" goes on with them and the next batch, "raise" raises.
        rng: where dropout's masks come from, an integer or a generator; needed if there is dropout.

    Returns:
        The history, `history.stopped` saying what ended it.

    Raises:
        TypeError, ValueError: of an argument, before anything is done, or of a batch when its turn comes.
        FloatingPointError: something isn't finite, with nonfinite="raise"; the weights are those from before.
        ImportError: progress without tqdm.
    """
    model = as_model(model)
    check_size("epochs", epochs)
    _check_optimizer(optimizer, model)
    _check_callable("loss", loss)
    if callback is not None:
        _check_callable("callback", callback)
    judged = validation if validation is not None else batches if patience is not None else None
    _check_batches("batches", batches, epochs * (2 if judged is batches else 1))
    if validation is not None:
        _check_batches("validation", validation, epochs)
    _check_options(model, clip_norm, carry_state, nonfinite)
    criterion = Criterion(loss, bool(getattr(model, "batch_first", None)))
    best = _Best(model, None if patience is None else check_size("patience", patience))
    training = Training(model, criterion, optimizer, clip_norm, carry_state, nonfinite, rng)
    bar = _import_tqdm() if check_flag("progress", progress) else None
    history = History()
    try:
        for epoch in range(epochs):
            items = _of_epoch(batches, epoch)
            if bar is not None:
                reached = f", loss {history.losses[-1]:.4g}" if epoch else ""
                items = bar(items, desc=f"epoch {epoch + 1}/{epochs}{reached}", unit="batch")
            after = None if judged is None else lambda epoch=epoch: _of_epoch(judged, epoch)
            training.epoch(items, after, "batches" if validation is None else "validation", history)
            patient = best.note(history)
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
    except NonfiniteError:
        if nonfinite == "raise":
            raise
        history.stopped = "nonfinite"
    best.restore()
    return history


class _Best:
    """The weights at the smallest loss so far, and for how many epochs it has been that."""

    def __init__(self, model: Any, patience: int | None) -> None:
        self.model, self.patience = model, patience
        self.loss, self.weights, self.waited = math.inf, None, 0

    def note(self, history: History) -> bool:
        """Takes note of an epoch's loss; whether there is patience for another epoch."""
        if self.patience is None:
            return True
        loss = history.validation[-1]
        if loss < self.loss:
            self.loss, self.weights, self.waited = loss, self.model.state_dict(), 0
            history.best = loss
        else:
            self.waited += 1
        return self.waited < self.patience

    def restore(self) -> None:
        """Loads those weights, if there are any."""
        if self.weights is not None:
            self.model.load_state_dict(self.weights)


def _of_epoch(batches: Batches, epoch: int) -> Iterable[Any]:
    return batches if hasattr(batches, "__iter__") else batches(epoch)


def _check_optimizer(optimizer: Any, model: Any) -> None:
    if not callable(getattr(optimizer, "step", None)) or isinstance(optimizer, type):
        raise TypeError(f"optimizer: expected one such as recurra.Adam(model), got {shown(optimizer)}")
    if isinstance(model, Module) and isinstance(optimizer, Optimizer):
        own = {identity_of(layer) for layer in model.leaves()}
        if any(identity_of(layer) not in own for layer in optimizer.layers):
            raise ValueError(
                "optimizer: expected one of the model's parameters, got one of another model's: a model and its "
                "optimizer stay together if they are copied or pickled in one call, pickle.dumps((model, optimizer))"
            )


def _check_options(model: Any, clip_norm: object, carry_state: object, nonfinite: object) -> None:
    if clip_norm is not None:
        check_number("clip_norm", clip_norm, "a number above 0", 5e-324, math.inf)
    if not isinstance(nonfinite, str):
        raise TypeError(f"nonfinite: expected 'stop', 'skip' or 'raise', got {shown(nonfinite)}")
    if nonfinite not in NONFINITE:
        raise ValueError(f"nonfinite: expected 'stop', 'skip' or 'raise', got {shown(nonfinite)}")
    if check_flag("carry_state", carry_state) and (layer := reverse_of(model)) is not None:
        raise ValueError(
            f"carry_state: expected layers of one direction, forward, as a reverse one ends where a batch begins, got "
            f"{shown(layer)}"
        )


def _check_batches(name: str, batches: object, passes: int) -> None:
    if not hasattr(batches, "__iter__") and not callable(batches):
        raise TypeError(f"{name}: expected an iterable or a function of the epoch, got {shown(batches)}")
    if passes > 1 and hasattr(batches, "__next__"):
        raise TypeError(
            f"{name}: expected an iterable that can begin anew, as there are {passes} passes, or a function of the "
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
