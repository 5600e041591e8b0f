"""What the classifier and the regressor share: the training loop, held-out sequences, raw predictions."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from recurra._checks import caller_level, check_dtype
from recurra.fit import fit
from recurra.history import History

from .inputs import read
from .network import check_parameters, make_model, make_optimizer
from .objective import Weighted
from .scaling import scaling_of
from .sequences import Samples, Sequences
from .targets import weights_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from recurra._checks import Array

CHUNK = 256  # sequences that are predicted at once


class RecurrentEstimator(BaseEstimator):  # type: ignore[misc]
    """Base class. A subclass encodes targets, has a loss, and makes predictions of the network's raw outputs."""

    def _encode(self, y: Any, sequences: Sequences, reset: bool) -> Array:
        """Targets for each sequence or step: classes (…), or numbers (…, k)."""
        raise NotImplementedError

    def _outputs(self) -> int:
        """How many the network has."""
        raise NotImplementedError

    def _loss(self) -> Any:
        """Such as `recurra.mse`."""
        raise NotImplementedError

    def _reweighted(self, weights: Array | None, targets: Array) -> Array | None:  # noqa: ARG002
        """The samples' weights, with those of their targets."""
        return weights

    def _scale_targets(self, targets: Array, weights: Array | None) -> None:
        """Takes note of where the targets lie."""

    def _scaled_targets(self, targets: Array) -> Array:
        """Targets as the network learns them."""
        return targets

    def _held_out(self, samples: Samples, chosen: Array, count: int, rng: np.random.Generator) -> Array:  # noqa: ARG002
        """Which `count` of the chosen sequences are kept from training."""
        return rng.permutation(chosen)[:count]

    def _fit(self, X: Any, y: Any, sample_weight: Any, groups: Any) -> None:
        """Trains a new network."""
        check_parameters(self)
        with _unchanged_by_errors(self):
            samples, chosen = self._samples(X, y, sample_weight, groups, reset=True)
            self._begin(samples)
            held_out = chosen[:0]
            if self.early_stopping:
                count = round(len(chosen) * float(self.validation_fraction))
                if not 0 < count < len(chosen):
                    raise ValueError(
                        f"validation_fraction: expected one that leaves a sequence or more to train with and to hold "
                        f"out, got {self.validation_fraction} of {len(chosen)}"
                    )
                held_out = np.sort(self._held_out(samples, chosen, count, self._rng))
                chosen = np.setdiff1d(chosen, held_out)
            self._train(samples, chosen, held_out, int(self.max_epochs))

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, groups: Any) -> None:
        """Trains the network for an epoch more; a new one for its first."""
        check_parameters(self)
        if self.early_stopping:
            raise ValueError("early_stopping: expected False, as partial_fit has no epochs to stop between, got True")
        first = not hasattr(self, "model_")
        with _unchanged_by_errors(self):
            samples, chosen = self._samples(X, y, sample_weight, groups, reset=first)
            if first:
                self._begin(samples)
            self._train(samples, chosen, chosen[:0], 1)

    def _samples(self, X: Any, y: Any, sample_weight: Any, groups: Any, reset: bool) -> tuple[Samples, Array]:
        """What is trained with, and which of the sequences: those of weight 0 have no part in anything but classes."""
        sequences = read(self, X, groups, reset=reset)
        if y is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None.")
        if reset:  # as these may be set anew before predictions
            self._steps, self._dtype = self.output == "steps", check_dtype(self.dtype)
        steps = self._steps
        targets = self._encode(y, sequences, reset)
        given = weights_of(sample_weight, sequences, steps)
        weights = self._reweighted(given, targets)
        kept = np.ones(len(sequences), bool)
        if weights is not None:
            kept = np.maximum.reduceat(weights, sequences.starts) > 0 if steps else weights > 0
            if not kept.any():
                raise ValueError("class_weight: expected one above 0 for a class of y, got weights that are all zero")
        rows = np.repeat(kept, sequences.lengths)
        own = rows if steps else kept
        if weights is not None:
            weights = weights / weights[own].mean()
        if reset:
            shares = None if given is None or steps else np.repeat(given, sequences.lengths)[rows]  # all steps are read
            self._input_scaling = scaling_of(sequences.flat[rows], shares, bool(self.standardize))
            self._scale_targets(targets[own], None if given is None else given[own])
        return Samples(self._scaled(sequences), self._scaled_targets(targets), weights, steps), np.flatnonzero(kept)

    def _scaled(self, sequences: Sequences) -> Sequences:
        flat = self._input_scaling.apply(sequences.flat, self._dtype)
        return Sequences(flat, sequences.starts, sequences.lengths, sequences.form, sequences.order, sequences.labels)

    def _begin(self, samples: Samples) -> None:
        """A new network, its optimizer, and the generator that everything random is drawn from."""
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31))
        self.model_ = make_model(self, samples.sequences.flat.shape[1], self._outputs(), rng)
        self._optimizer = make_optimizer(self, self.model_)
        self._schedule = None if self.schedule is None else self.schedule(self._optimizer)
        self._rng = rng
        self.history_ = History()

    def _train(self, samples: Samples, chosen: Array, held_out: Array, epochs: int) -> None:
        """Epochs over the chosen sequences, in batches drawn anew for each."""
        size, rng = int(self.batch_size), self._rng

        def batches(_: int) -> Iterable[Any]:
            return _Lazy(samples, rng.permutation(chosen), size)

        printed = len(self.history_.losses) if self.verbose == 1 else None
        after = _AfterEpoch(float(self.tol), int(self.n_iter_no_change), printed)
        history = fit(
            self.model_,
            batches,
            Weighted(self._loss()),
            self._optimizer,
            epochs=epochs,
            validation=_Lazy(samples, held_out, CHUNK) if len(held_out) else None,
            patience=int(self.n_iter_no_change) if len(held_out) else None,
            clip_norm=self.clip_norm,
            callback=after,
            schedule=self._schedule,
            progress=self.verbose in {2, "bar"},
            rng=rng,
        )
        self._note(history)

    def _note(self, history: History) -> None:
        """Adds epochs to the history, and says what the user has to know of how they ended."""
        whole = self.history_
        for name in ("losses", "validation", "seconds", "norms", "rates"):
            getattr(whole, name).extend(getattr(history, name))
        whole.stopped, whole.best = history.stopped, history.best
        self.loss_curve_ = list(whole.losses)
        self.n_iter_ = len(whole.losses)
        self.loss_ = whole.losses[-1] if whole.losses else float("nan")
        if history.stopped == "nonfinite":
            warnings.warn(
                f"training ended in epoch {self.n_iter_ + 1}, as its loss isn't finite any more, with the weights from "
                f"before: a smaller learning_rate, clip_norm or standardize=True may help",
                ConvergenceWarning,
                stacklevel=caller_level(),
            )
        elif history.interrupted:
            warnings.warn("Training interrupted by user.", UserWarning, stacklevel=caller_level())

    def _raw(self, X: Any, groups: Any) -> tuple[Array, Sequences]:
        """The network's outputs, (n, …) or (N, …), and the sequences that they are of."""
        check_is_fitted(self, "model_")
        sequences = self._scaled(read(self, X, groups))
        steps = self._steps
        raw = np.empty((len(sequences.flat) if steps else len(sequences), self._outputs()), self._dtype)
        for chosen in sequences.chunks(CHUNK):
            places, lengths = sequences.rows(chosen)
            y = self.model_(sequences.flat[places], **({} if lengths is None else {"lengths": lengths}))
            if not steps:
                raw[chosen] = y
            elif lengths is None:
                raw[places] = y
            else:
                real = np.arange(len(places))[:, None] < lengths
                raw[places[real]] = y[real]
        return raw, sequences

    def _as_given(self, predicted: Array, sequences: Sequences) -> Any:
        return sequences.as_given(predicted) if self._steps else predicted

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.target_tags.required = True
        return tags


@contextmanager
def _unchanged_by_errors(estimator: Any) -> Iterator[None]:
    """Gives an estimator its attributes back if something is raised."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


class _Lazy:
    """Batches that are gathered when their turn comes, any number of times."""

    def __init__(self, samples: Samples, order: Array, size: int) -> None:
        self.samples, self.order, self.size = samples, order, size

    def __len__(self) -> int:  # for the bar
        return len(range(0, len(self.order), self.size))

    def __iter__(self) -> Any:
        for begin in range(0, len(self.order), self.size):
            yield self.samples.batch(self.order[begin : begin + self.size])


class _AfterEpoch:
    """Prints it, and ends the training where the loss hasn't become smaller by `tol` for a while.

    Args:
        tol: by how much it has to.
        patience: for how many epochs it needn't.
        printed: how many epochs have been printed before; None to print none.
    """

    def __init__(self, tol: float, patience: int, printed: int | None) -> None:
        self.tol, self.patience, self.printed = tol, patience, printed
        self.best, self.waited = float("inf"), 0

    def __call__(self, history: History) -> bool:
        """Whether that was the last epoch; with validation, `fit` itself has the patience."""
        loss = history.losses[-1]
        if self.printed is not None:
            validation = f"  validation {history.validation[-1]:.6g}" if history.validation else ""
            print(f"epoch {self.printed + len(history.losses)}  loss {loss:.6g}{validation}", flush=True)  # noqa: T201
        if history.validation:
            return False
        self.waited = 0 if loss < self.best - self.tol else self.waited + 1
        self.best = min(self.best, loss)
        return self.waited >= self.patience
