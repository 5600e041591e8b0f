"""RecurrentRegressor: numbers for each sequence, or for each of its steps; or quantiles of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_array

from recurra._checks import check_number, shown
from recurra.losses import huber, mse, quantile

from .estimator import RecurrentEstimator
from .network import chosen
from .scaling import scaling_of
from .targets import per_sample, weights_of

if TYPE_CHECKING:
    from recurra._checks import Array

    from .sequences import Sequences

LOSSES: dict[str, Any] = {"mse": mse, "huber": huber}


class RecurrentRegressor(RegressorMixin, RecurrentEstimator):  # type: ignore[misc]
    """Numbers of sequences, or of their steps, by a recurrent network; or quantiles of them.

    `recurra.sklearn` says in which forms X may be. y is (n,) or, with several numbers each, (n, k); with
    `output="steps"` (n, time), (n, time, k), a list of such arrays, or one for each row. Where rows are grouped, y is
    laid out as for `RecurrentClassifier`.

    Args:
        cell: "lstm", "gru" or "rnn", the name of a cell in `recurra.cells`, or a class of layers, such as a formula of
            your own.
        hidden_size: units of a recurrent layer, from 1 up.
        num_layers: how many recurrent layers are stacked.
        bidirectional: whether a second direction reads every sequence from its end.
        dropout: the rate, in [0, 1), between layers and before the linear read-out.
        cell_options: a dict of more arguments of the layers' class, such as {"zoneout": 0.1}.
        output: "last" for one prediction for each sequence, from the last step (of the reverse direction, the first),
            "steps" for one for each step.
        group: the column or index level of a pandas `DataFrame` that says which sequence a row belongs to.
        loss: "mse", "huber", or a function with the arguments of `recurra.mse`, of scaled targets. Unused with
            quantiles.
        quantiles: None, or numbers between 0 and 1, as (0.1, 0.5, 0.9): what `predict_quantiles` returns. The network
            is trained with the mean of their pinball losses (`recurra.quantile`), and with the median's, which is then
            what `predict` returns. Where predictions would cross they are put in order, which makes none worse
            (Chernozhukov, Fernández-Val & Galichon 2010).
        standardize: whether inputs and targets are scaled to mean 0 and standard deviation 1, each feature over all
            steps, by what `fit`, or the first `partial_fit`, was given.
        optimizer: "adam", "adamw", "sgd", or a function of (model, lr=…), such as `recurra.AdamW`.
        learning_rate: at the beginning, from 0 up.
        schedule: None, or a function of the optimizer that makes a schedule, as
            `functools.partial(recurra.schedules.CosineAnnealingLR, T_max=50)`; it is stepped after every epoch.
        weight_decay: the optimizer's; 0 is its own default.
        batch_size: sequences in a step of the optimizer; they are drawn anew for each epoch.
        max_epochs: how often `fit` goes through the sequences at most.
        clip_norm: gradients of a larger norm are scaled down to it; None for none.
        early_stopping: whether a part of the sequences is held out, and the weights are kept that predict it best.
        validation_fraction: how large a part, in (0, 1).
        n_iter_no_change: after so many epochs in a row without a smaller loss, of what is held out or, by more than
            `tol`, of the training, `fit` ends.
        tol: by how much the training's loss has to become smaller to count; it has no part in early stopping.
        random_state: an integer, a `numpy.random.RandomState` or None: of weights, batches, dropout and what is held
            out. The same integer gives the same bits, in workers of `n_jobs` too.
        verbose: 1 prints a line for each epoch, 2 or "bar" shows a bar, which needs tqdm.
        dtype: "float32" or "float64", of the network.

    Attributes:
        model_: the trained `recurra.Sequential`. It takes scaled inputs, time-major.
        history_: the `recurra.History` of all epochs, with losses, times and norms.
        loss_curve_: the losses of the epochs.
        loss_: the last of them.
        n_iter_: how many epochs there were.
        n_features_in_: features of a step; of a table (n, time) its columns.
        feature_names_in_: the names of columns, if X was a table with names that are strings.
        n_outputs_: k, how many numbers a target has.

    Example:
        >>> from recurra.sklearn import RecurrentRegressor
        >>> X = np.random.default_rng(0).standard_normal((64, 6, 1))  # (n, time, features)
        >>> y = X.sum(axis=(1, 2))
        >>> regressor = RecurrentRegressor(hidden_size=8, learning_rate=0.05, max_epochs=10, random_state=0)
        >>> round(regressor.fit(X, y).score(X, y), 1)
        0.9
        >>> regressor.set_params(quantiles=(0.1, 0.9)).fit(X, y).predict_quantiles(X).shape
        (64, 2)
    """

    def __init__(
        self,
        cell: Any = "gru",
        hidden_size: int = 32,
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        cell_options: dict[str, Any] | None = None,
        output: str = "last",
        group: Any = None,
        loss: Any = "mse",
        quantiles: Any = None,
        standardize: bool = True,
        optimizer: Any = "adam",
        learning_rate: float = 0.01,
        schedule: Any = None,
        weight_decay: float = 0.0,
        batch_size: int = 32,
        max_epochs: int = 100,
        clip_norm: float | None = 1.0,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        random_state: Any = None,
        verbose: Any = 0,
        dtype: Any = "float32",
    ) -> None:
        self.cell = cell
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.cell_options = cell_options
        self.output = output
        self.group = group
        self.loss = loss
        self.quantiles = quantiles
        self.standardize = standardize
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.clip_norm = clip_norm
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.random_state = random_state
        self.verbose = verbose
        self.dtype = dtype

    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> RecurrentRegressor:
        """Trains a new network.

        Args:
            X: sequences, in one of the forms that `recurra.sklearn` names.
            y: numbers, for each sequence or for each step.
            sample_weight: (n,) numbers from 0 up, or one for each step with `output="steps"`. A sequence of weight 0
                has no part in the training, nor in the scaling.
            groups: (rows,), the label of the sequence of each row, if X is a table of steps; else None.

        Returns:
            The regressor itself.

        Raises:
            TypeError, ValueError: a parameter or an argument is wrong: NaN, a sequence without steps, sequences of
                unequal features, or more or fewer targets than sequences.

        Warns:
            sklearn.exceptions.ConvergenceWarning: the loss became infinite or NaN, which ended the training.
            UserWarning: Ctrl-C ended it.
        """
        self._check_loss()
        self._fit(X, y, sample_weight, groups)
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> RecurrentRegressor:
        """Trains for an epoch more; the first call makes the network, and scales by what it is given.

        Args:
            X: sequences, as for `fit`.
            y: numbers, as for `fit`.
            sample_weight: as for `fit`.
            groups: (rows,), the label of the sequence of each row, if X is a table of steps; else None.

        Returns:
            The regressor itself.

        Raises:
            TypeError, ValueError: as for `fit`, or `early_stopping` is set.
        """
        self._check_loss()
        self._partial_fit(X, y, sample_weight, groups)
        return self

    def _check_loss(self) -> None:
        loss_function(self.loss)
        check_levels(self.quantiles)

    def _targets(self, y: Any, sequences: Sequences) -> Array:
        steps = self._steps
        array: Array = check_array(
            per_sample("y", y, sequences, steps), dtype=np.float64, ensure_2d=False, input_name="y", estimator=self
        )
        if array.ndim > 2 or array.size == 0:
            hint = "" if steps else "; numbers of steps need output='steps'"
            raise ValueError(f"y: expected a number or a row of numbers for each, got an array of {array.shape}{hint}")
        return array

    def _encode(self, y: Any, sequences: Sequences, reset: bool) -> Array:
        targets = self._targets(y, sequences)
        shape = targets.shape[1:]
        if reset:
            self._target_shape, self._levels = shape, check_levels(self.quantiles)
            self._asked = [self._levels.index(float(level)) for level in self.quantiles or ()]
            self.n_outputs_ = shape[0] if shape else 1
        elif shape != self._target_shape:
            raise ValueError(f"y: expected targets of shape {self._target_shape} each as before, got {shape}")
        return targets.reshape(len(targets), -1)

    def _scale_targets(self, targets: Array, weights: Array | None) -> None:
        self._target_scaling = scaling_of(targets, weights, bool(self.standardize))

    def _scaled_targets(self, targets: Array) -> Array:
        return self._target_scaling.apply(targets, self._dtype)

    def _outputs(self) -> int:
        return self.n_outputs_ * max(len(self._levels), 1)

    def _loss(self) -> Any:
        if not self._levels:
            return loss_function(self.loss)
        levels = self._levels

        def loss(prediction: Array, target: Array, **options: Any) -> tuple[float, Array]:
            if "position_weights" in options and prediction.ndim == 2:
                options["position_weights"] = options["position_weights"][:, None]
            split = prediction.reshape(*target.shape, len(levels))
            value, gradient = quantile(split, target, levels, **options)
            return value, gradient.reshape(prediction.shape)

        return loss

    def _numbers(self, X: Any, groups: Any) -> tuple[Array, Sequences]:
        """(rows, k, levels) in the units of y; levels is 1 without quantiles, and they don't cross."""
        raw, sequences = self._raw(X, groups)
        split = np.moveaxis(raw.reshape(len(raw), self.n_outputs_, -1).astype(np.float64), 1, -1)
        numbers = np.moveaxis(self._target_scaling.undo(split), -1, 1)
        return np.sort(numbers, axis=-1), sequences

    def _point(self, numbers: Array) -> Array:
        middle = self._levels.index(0.5) if self._levels else 0
        point: Array = numbers[..., middle].reshape(len(numbers), *self._target_shape)
        return point

    def predict(self, X: Any, groups: Any = None) -> Any:
        """The numbers of each sequence or step, in the units of y; the median if there are quantiles.

        Args:
            X: sequences, in one of the forms that `recurra.sklearn` names.
            groups: (rows,), the label of the sequence of each row, if X is a table of steps; else None.

        Returns:
            (n,) or (n, k), float64, as y was; with `output="steps"` in the form of X.

        Raises:
            sklearn.exceptions.NotFittedError: before `fit`.
            ValueError: X has another form, or other features, than in `fit`.
        """
        numbers, sequences = self._numbers(X, groups)
        return self._as_given(self._point(numbers), sequences)

    def predict_quantiles(self, X: Any, groups: Any = None) -> Any:
        """The quantiles of each sequence or step, in the units of y.

        Args:
            X: sequences, in one of the forms that `recurra.sklearn` names.
            groups: (rows,), the label of the sequence of each row, if X is a table of steps; else None.

        Returns:
            (n, Q) or (n, k, Q), float64, in the order of `quantiles`; with `output="steps"` in the form of X.

        Raises:
            sklearn.exceptions.NotFittedError: before `fit`.
            ValueError: X has another form, or other features, than in `fit`, or there are no `quantiles`.
        """
        numbers, sequences = self._numbers(X, groups)
        if not self._asked:
            raise ValueError("quantiles: expected some, such as RecurrentRegressor(quantiles=(0.1, 0.9)), got None")
        asked = numbers[..., self._asked]
        return self._as_given(asked.reshape(len(asked), *self._target_shape, -1), sequences)

    def score(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> float:
        """R² of what `predict` returns, of all steps with `output="steps"`.

        Args:
            X: sequences, in one of the forms that `recurra.sklearn` names.
            y: numbers, as for `fit`.
            sample_weight: as for `fit`.
            groups: (rows,), the label of the sequence of each row, if X is a table of steps; else None.

        Returns:
            1 where all is right, 0 where it is no better than the mean of y.
        """
        numbers, sequences = self._numbers(X, groups)
        weights = weights_of(sample_weight, sequences, self._steps)
        return float(r2_score(self._targets(y, sequences), self._point(numbers), sample_weight=weights))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def loss_function(loss: Any) -> Any:
    """A function such as `recurra.mse`."""
    if callable(loss):
        return loss
    if isinstance(loss, str):
        return chosen("loss", loss, LOSSES, " or a function such as recurra.mse")
    raise TypeError(f"loss: expected 'mse', 'huber' or a function such as recurra.mse, got {shown(loss)}")


def check_levels(quantiles: Any) -> list[float]:
    """Those asked for and the median, from low to high; none if None."""
    if quantiles is None:
        return []
    if not hasattr(quantiles, "__len__") or isinstance(quantiles, str) or not len(quantiles):
        raise TypeError(f"quantiles: expected numbers between 0 and 1, such as (0.1, 0.5, 0.9), got {shown(quantiles)}")
    levels = [check_number("quantiles", one, "numbers between 0 and 1", 5e-324, 1) for one in quantiles]
    return sorted({0.5, *levels})
