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

    y is (n,) or, with several numbers each, (n, k); with `output="steps"` (n, time), (n, time, k), or a list of such
    arrays. X, rows by group and all other parameters are as for `RecurrentClassifier`.

    Args:
        cell, hidden_size, num_layers, bidirectional, dropout, cell_options, output, group: as there.
        loss: "mse", "huber", or a function with the arguments of `recurra.mse`, of scaled targets. Unused with
            quantiles.
        quantiles: None, or numbers between 0 and 1, as (0.1, 0.5, 0.9): what `predict_quantiles` returns. The network
            is trained with the mean of their pinball losses (Koenker & Bassett 1978), and with the median's, which is
            then what `predict` returns. Where predictions would cross they are put in order, which makes none worse
            (Chernozhukov, Fernández-Val & Galichon 2010).
        standardize: whether inputs and targets are scaled to mean 0 and standard deviation 1.
        optimizer, learning_rate, schedule, weight_decay, batch_size, max_epochs, clip_norm, early_stopping,
            validation_fraction, n_iter_no_change, tol, random_state, verbose, dtype: as there.

    Attributes:
        model_, history_, loss_curve_, loss_, n_iter_, n_features_in_, feature_names_in_: as there.
        n_outputs_: k.
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
        """Trains a new network; arguments, errors and warnings as for `RecurrentClassifier.fit`."""
        self._check_loss()
        self._fit(X, y, sample_weight, groups)
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> RecurrentRegressor:
        """Trains for an epoch more; the first call makes the network, and scales by what it is given."""
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
        """(n,) or (n, k), float64, as y was; the median if there are quantiles. With steps in the form of X."""
        numbers, sequences = self._numbers(X, groups)
        return self._as_given(self._point(numbers), sequences)

    def predict_quantiles(self, X: Any, groups: Any = None) -> Any:
        """(n, Q) or (n, k, Q), float64, in the order of `quantiles`; with steps in the form of X.

        Raises:
            ValueError: there are no `quantiles`.
        """
        numbers, sequences = self._numbers(X, groups)
        if not self._asked:
            raise ValueError("quantiles: expected some, such as RecurrentRegressor(quantiles=(0.1, 0.9)), got None")
        asked = numbers[..., self._asked]
        return self._as_given(asked.reshape(len(asked), *self._target_shape, -1), sequences)

    def score(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> float:
        """R² of what `predict` returns, of all steps with `output="steps"`; arguments as for `fit`."""
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
