"""RecurrentClassifier: a class for each sequence, or for each of its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from ..losses import cross_entropy, softmax
from .estimator import RecurrentEstimator
from .targets import per_sample

if TYPE_CHECKING:
    from .._checks import Array
    from .sequences import Samples, Sequences


class RecurrentClassifier(ClassifierMixin, RecurrentEstimator):  # type: ignore[misc]
    """Classes of sequences, or of their steps, by a recurrent network."""

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
        class_weight: Any = None,
        standardize: bool = True,
        optimizer: Any = "adam",
        learning_rate: float = 0.01,
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
        self.class_weight = class_weight
        self.standardize = standardize
        self.optimizer = optimizer
        self.learning_rate = learning_rate
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

    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> RecurrentClassifier:
        """Trains a new network."""
        self._given_classes = None
        return self._fit(X, y, sample_weight, groups)

    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None, groups: Any = None
    ) -> RecurrentClassifier:
        """Trains for one epoch more."""
        if not hasattr(self, "model_"):
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self._given_classes = np.unique(column_or_1d(classes))
        elif classes is not None and not np.array_equal(np.unique(column_or_1d(classes)), self.classes_):
            raise ValueError(f"classes: expected those of the first call, {self.classes_}, got {classes}")
        return self._partial_fit(X, y, sample_weight, groups)

    def _labels(self, y: Any, sequences: Sequences) -> Array:
        """(n,) or (N,) labels as they were given."""
        labels = per_sample("y", y, sequences, self.output == "steps")
        if labels.ndim == 2 and labels.shape[1] > 1:
            raise ValueError(
                f"y: expected one class for each {'step' if self.output == 'steps' else 'sequence'}, got an array of "
                f"{labels.shape}{'' if self.output == 'steps' else '; classes of steps need output=' + repr('steps')}"
            )
        labels = column_or_1d(labels, warn=True)
        check_classification_targets(labels)
        return labels

    def _encode(self, y: Any, sequences: Sequences, reset: bool) -> Array:
        labels = self._labels(y, sequences)
        if reset:
            self.classes_ = np.unique(labels) if self._given_classes is None else self._given_classes
        codes = np.searchsorted(self.classes_, labels)
        known = self.classes_[np.minimum(codes, len(self.classes_) - 1)] == labels
        if not np.all(known):
            unknown = np.unique(labels[~known])
            raise ValueError(f"y: expected labels of classes {self.classes_}, got {unknown}")
        return codes

    def _outputs(self) -> int:
        return len(self.classes_)

    def _loss(self) -> Any:
        return cross_entropy

    def _reweighted(self, weights: Array | None, targets: Array) -> Array | None:
        if self.class_weight is None:
            return weights
        labels = self.classes_[targets]
        of_class = compute_class_weight(self.class_weight, classes=self.classes_, y=labels)
        by_class: Array = of_class[targets]
        return by_class if weights is None else weights * by_class

    def _held_out(self, samples: Samples, chosen: Array, count: int, rng: np.random.Generator) -> Array:
        """As many of each class, as far as can be."""
        if samples.steps:
            return super()._held_out(samples, chosen, count, rng)
        order = rng.permutation(chosen)
        by_class = order[np.argsort(samples.targets[order], kind="stable")]
        return by_class[(np.arange(count) * len(by_class) + len(by_class) // 2) // count]

    def decision_function(self, X: Any, groups: Any = None) -> Any:
        """Logits."""
        raw, sequences = self._raw(X, groups)
        logits = raw.astype(np.float64)
        if len(self.classes_) == 2:
            logits = logits[:, 1] - logits[:, 0]
        return self._as_given(logits, sequences)

    def predict(self, X: Any, groups: Any = None) -> Any:
        """The likeliest class."""
        raw, sequences = self._raw(X, groups)
        return self._as_given(self.classes_[raw.argmax(axis=1)], sequences)

    def predict_proba(self, X: Any, groups: Any = None) -> Any:
        """The probability of each class."""
        raw, sequences = self._raw(X, groups)
        return self._as_given(softmax(raw.astype(np.float64)), sequences)

    def predict_log_proba(self, X: Any, groups: Any = None) -> Any:
        """Their logarithms."""
        raw, sequences = self._raw(X, groups)
        logits = raw.astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        return self._as_given(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), sequences)

    def score(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> float:
        """The accuracy."""
        from .targets import weights_of

        raw, sequences = self._raw(X, groups)
        weights = weights_of(sample_weight, sequences, self.output == "steps")
        labels = self._labels(y, sequences)
        return float(accuracy_score(labels, self.classes_[raw.argmax(axis=1)], sample_weight=weights))
