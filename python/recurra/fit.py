"""fit: the loop over epochs and batches that most training is.

What it does for a batch, without the options:

    y, tape = model.forward(x)
    value, gradient = loss(y, target)
    model.zero_grad()
    model.backward(tape, gradient, need_dx=False)
    optimizer.step()

The parts are in `recurra.training`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Protocol

from ._checks import check_flag, check_rng, check_size
from .sequential import as_model
from .training.arguments import (
    check_batches,
    check_callable,
    check_joint,
    check_layout,
    check_metrics,
    check_optimizer,
    check_options,
)
from .training.best import Best
from .training.measures import Criterion
from .training.run import Run
from .training.saving import Saving
from .training.scheduling import Scheduling
from .training.steps import NonfiniteError, Training

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping

    from .history import History
    from .module import Array
    from .recurrent import Seed

    Batches = Iterable[tuple[Any, ...]] | Callable[[int], Iterable[tuple[Any, ...]]]
    Loss = Callable[..., tuple[Any, ...]]
    Path = str | os.PathLike[str]


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
    metrics: Mapping[str, Callable[..., float | tuple[float, float]]] | None = None,
    schedule: Any = None,
    schedule_every: str = "epoch",
    accumulate: int = 1,
    reduce: Callable[[Array], Array | None] | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: int = 1,
    resume: bool | Path = False,
) -> History:
    """Trains a model: for every batch of every epoch `forward`, the loss, `zero_grad`, `backward` and `step`.

    Ctrl-C doesn't raise: it ends the training, and the history comes back with what has been reached.

    Args:
        model: a `Sequential` or a layer, or what has `forward`, `backward`, `run` and `zero_grad` like a Sequential;
            `leaves` too for clip_norm, and `state_dict` and `load_state_dict` for patience.
        batches: (x, target), (x, target, lengths) or (x, target, lengths, options) each: an iterable that begins anew
            every epoch, or a function of the epoch, 0, 1, …, that returns an iterable, such as `recurra.batches`. What
            else the model is to be called with is in options, a dict, such as {"resets": resets}; lengths may be None.
            An epoch without batches is a ValueError.
        loss: (prediction, target) -> (value, gradient), such as `recurra.mse`. If it has an argument `lengths`, it is
            given those of a batch where the prediction has x's steps, three axes or more of which the first two are
            x's, so that padding doesn't count (behind a `Last` it hasn't); and `batch_first=True` beside them, if the
            model's sequences are (B, T, …). A third result says what the value is a mean of, its weight beside other
            batches'; else that is the number of the prediction's elements, those of real steps where the loss is given
            `lengths`.
        optimizer: of the model's parameters: anything with `step()`.
        epochs: how many at most.
        validation: batches too, to be predicted after every epoch, without dropout.
        clip_norm: how large the norm of the gradient may be: a larger gradient is scaled down, as by `clip_grad_norm`.
        carry_state: each batch begins in the state in which the last one ended, and an epoch in zeros: truncated
            back-propagation through time, for a stream cut into batches. Gradients don't cross the cuts. All batches
            then have as many sequences, and all layers one direction.
        patience: after this many epochs in a row without a smaller loss of validation it ends. The weights of the best
            epoch, whose loss is `history.best`, are loaded at the end, however it comes. Without validation the
            training batches are predicted after every epoch in its place, as the losses before an epoch's steps say
            nothing of the weights after them: a function is called a second time with the same epoch. NaN is no smaller
            loss; if there is no other, the weights stay as they are.
        callback: called with the history after every epoch; if what it returns is true, that was the last.
        progress: shows a bar, which needs tqdm.
        nonfinite: what a loss, a gradient's norm or weights that are infinite or NaN lead to: "stop" ends the training
            with the weights from before that batch, "skip" goes on with them and the next batch, "raise" raises. Of a
            model of your own without `leaves` only the loss is looked at.
        rng: where dropout's masks come from, an integer or a generator; needed if there is dropout.
        metrics: functions by name, (prediction, target) -> number, such as `recurra.accuracy`, called beside the loss,
            with `lengths` like it, and averaged like it: `history.metrics` and `history.validation_metrics`. One that
            returns (number, count) says what the number is a mean of; of nothing, it has no part in the epoch's.
        schedule: of the optimizer's learning rate, such as those of `recurra.schedules`: an object with `step()`. Where
            `step` takes an argument, as that of ReduceLROnPlateau, it is the validation's loss, or without one the
            training's.
        schedule_every: whether it takes a step after each "epoch" or after each "step" of the optimizer. A batch that
            is skipped is none.
        accumulate: of how many batches the gradient of a step is: that of their joined mean. The last step of an epoch
            may be of fewer. If something in one of them isn't finite, all of them count as such.
        reduce: adds a flat array up over processes that train the same model together, each with batches of its own: a
            function that changes it in place, or returns another one like it. It is called once a step with all
            gradients, in the order of `leaves()` and `grads`, then the loss and each metric, each times the number of
            elements that it is a mean of, and behind each of the latter that number. So the step is that of the joined
            batch, also where sizes differ, and whether the function adds or averages; clipping and what isn't finite
            come after it and are the same in all processes. It is also called once for what is validated, with loss and
            metrics. All processes begin with the same weights, have as many batches and the same options; the losses in
            the history are those of all.
        checkpoint: a file to which everything is written that training needs to go on to the bit: weights, the best
            ones, optimizer, schedule, history, and the position of rng. What draws or shuffles batches should be a
            function of the epoch. After every `checkpoint_every` epochs and after the last; the new file takes the old
            one's place at once. It is in the safetensors format. Model, optimizer and schedule need `state_dict` and
            `load_state_dict`.
        checkpoint_every: how many epochs that is.
        resume: True to go on from `checkpoint`, if there is that file, and to begin anew if not; or a file to go on
            from, which has to be there. `epochs` counts those before, too. The arguments are to be as they were.

    Returns:
        The `History`, `history.stopped` saying what ended it.

    Raises:
        TypeError, ValueError: of an argument, before anything is done, or of a batch when its turn comes. A checkpoint
            of another kind of model, optimizer, schedule or generator is a ValueError that says what differs.
        FormatError: the file to resume from is damaged or no checkpoint.
        OSError: a checkpoint can't be read or written.
        FloatingPointError: something isn't finite, with nonfinite="raise"; the weights are those from before.
        ImportError: progress without tqdm, checkpoints without safetensors.

    Example:
        Whether the sum of a sequence is above 0:

        >>> x = np.random.default_rng(0).standard_normal((10, 64, 1), np.float32)  # (T, B, features)
        >>> target = (x.sum(axis=(0, 2)) > 0).astype(int)
        >>> model = recurra.Sequential(recurra.GRU(1, 8, seed=0), recurra.Last(), recurra.Linear(8, 2, seed=1))
        >>> adam = recurra.Adam(model, lr=0.04)
        >>> metrics = {"accuracy": recurra.accuracy}
        >>> history = recurra.fit(model, [(x, target)], recurra.cross_entropy, adam, epochs=20, metrics=metrics)
        >>> round(history.losses[0], 1), round(history.metrics["accuracy"][-1], 2)
        (0.7, 0.95)
    """
    model = as_model(model)
    check_size("epochs", epochs)
    check_optimizer(optimizer, model)
    check_callable("loss", loss)
    if callback is not None:
        check_callable("callback", callback)
    judged = validation if validation is not None else batches if patience is not None else None
    check_batches("batches", batches, epochs * (2 if judged is batches else 1))
    if validation is not None:
        check_batches("validation", validation, epochs)
    check_layout("batches", batches, model)
    check_layout("validation", validation, model)
    check_options(model, clip_norm, carry_state, nonfinite)
    first = bool(getattr(model, "batch_first", None))
    scheduling = Scheduling(schedule, schedule_every, optimizer)
    generator = None if rng is None else check_rng("rng", rng)
    best = Best(model, None if patience is None else check_size("patience", patience))
    training = Training(
        model,
        Criterion("loss", loss, first),
        check_metrics(metrics, first),
        optimizer,
        scheduling,
        check_joint(model, accumulate, reduce),
        accumulate=accumulate,
        clip_norm=clip_norm,
        carry_state=carry_state,
        nonfinite=nonfinite,
        generator=generator,
    )
    saving = Saving(checkpoint, checkpoint_every, resume)
    bar = _import_tqdm() if check_flag("progress", progress) else None
    measured = {"validation": judged is not None, "clip_norm": clip_norm is not None}
    run = Run(model, optimizer, schedule, generator, best, measured)
    history = saving.begin(run, list(training.metrics))
    try:
        ended = _reason(history, epochs, best)
        while not ended:
            epoch = len(history.losses)
            items = _of_epoch(batches, epoch)
            if bar is not None:
                items = bar(items, desc=f"epoch {epoch + 1}/{epochs}{_reached(history)}", unit="batch")
            after = None if judged is None else lambda epoch=epoch: _of_epoch(judged, epoch)
            training.epoch(items, after, "batches" if validation is None else "validation", history)
            best.note(history)
            scheduling.after_epoch(history)
            stop = callback is not None and callback(history)
            ended = "callback" if stop else _reason(history, epochs, best)
            saving.after_epoch(run, history, last=bool(ended))
        history.stopped = ended
    except KeyboardInterrupt:
        history.stopped = "interrupted"
    except NonfiniteError:
        if nonfinite == "raise":
            raise
        history.stopped = "nonfinite"
    best.restore()
    return history


def _reason(history: History, epochs: int, best: Best) -> str:
    """Why no other epoch follows, or ""."""
    if not best.patient:
        return "patience"
    return "epochs" if len(history.losses) >= epochs else ""


def _reached(history: History) -> str:
    """What a bar says of the last epoch."""
    if not history.losses:
        return ""
    latest = {"loss": history.losses} | (history.validation_metrics or history.metrics)
    return "".join(f", {name} {values[-1]:.4g}" for name, values in latest.items())


def _of_epoch(batches: Batches, epoch: int) -> Iterable[Any]:
    return batches if hasattr(batches, "__iter__") else batches(epoch)  # pyright: ignore[reportCallIssue, reportReturnType]


def _import_tqdm() -> Any:
    try:
        return importlib.import_module("tqdm").tqdm
    except ImportError as error:
        raise ImportError("progress: expected tqdm, which is missing: pip install tqdm") from error
