"""RecurrentClassifier: a class for each sequence, or for each of its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from recurra.losses import cross_entropy, softmax

from .estimator import RecurrentEstimator
from .targets import per_sample, weights_of

if TYPE_CHECKING:
    from recurra._checks import Array

    from .sequences import Samples, Sequences


class RecurrentClassifier(ClassifierMixin, RecurrentEstimator):  # type: ignore[misc]
    """Classes of sequences, or of their steps, by a recurrent network that is trained with cross-entropy.

    `recurra.sklearn` says in which forms X may be. y has the labels, integers or strings: (n,), or with
    `output="steps"` (n, time), a list of (time_i,), or one for each row. Where rows are grouped, y may have one for
    each row, the last of a sequence counting for it, or one for each sequence, which a pandas `Series` with the
    sequences' labels as index may have in any order.

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
        class_weight: None, "balanced", or a dict of weights by class, times which an error counts.
        standardize: whether the inputs are scaled to mean 0 and standard deviation 1, each feature over all steps, by
            what `fit`, or the first `partial_fit`, was given.
        optimizer: "adam", "adamw", "sgd", or a function of (model, lr=…), such as `recurra.AdamW`.
        learning_rate: at the beginning, from 0 up.
        schedule: None, or a function of the optimizer that makes a schedule, as
            `functools.partial(recurra.schedules.CosineAnnealingLR, T_max=50)`; it is stepped after every epoch.
        weight_decay: the optimizer's; 0 is its own default.
        batch_size: sequences in a step of the optimizer; they are drawn anew for each epoch.
        max_epochs: how often `fit` goes through the sequences at most.
        clip_norm: gradients of a larger norm are scaled down to it; None for none.
        early_stopping: whether a part of the sequences is held out, and the weights are kept that predict it best.
        validation_fraction: how large a part, in (0, 1), of each class alike if sequences are classified.
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
        classes_: the labels, sorted.

    Example:
        >>> from recurra.sklearn import RecurrentClassifier
        >>> X = np.random.default_rng(0).standard_normal((64, 6, 1))  # (n, time, features)
        >>> y = np.where(X.sum(axis=(1, 2)) > 0, "up", "down")
        >>> classifier = RecurrentClassifier(hidden_size=8, learning_rate=0.05, max_epochs=10, random_state=0)
        >>> round(classifier.fit(X, y).score(X, y), 1)
        1.0
        >>> classifier.predict([np.ones((3, 1)), -np.ones((9, 1))])  # of other lengths
        array(['up', 'down'], dtype='<U4')
    """

    _given_classes: Array | None

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
        self.class_weight = class_weight
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

    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> RecurrentClassifier:
        """Trains a new network.

        Args:
            X: sequences, in one of the forms that `recurra.sklearn` names.
            y: labels, for each sequence or for each step.
            sample_weight: (n,) numbers from 0 up, or one for each step with `output="steps"`. A sequence of weight 0
                has no part in the training, nor in the scaling.
            groups: (rows,), the label of the sequence of each row, if X is a table of steps; else None.

        Returns:
            The classifier itself.

        Raises:
            TypeError, ValueError: a parameter or an argument is wrong: NaN, a sequence without steps, sequences of
                unequal features, or more or fewer targets than sequences.

        Warns:
            sklearn.exceptions.ConvergenceWarning: the loss became infinite or NaN, which ended the training.
            UserWarning: Ctrl-C ended it.
        """
        self._given_classes = None
        self._fit(X, y, sample_weight, groups)
        return self

    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None, groups: Any = None
    ) -> RecurrentClassifier:
        """Trains for an epoch more, with other sequences or the same; the first call makes the network.

        Args:
            X: sequences, as for `fit`.
            y: labels, as for `fit`.
            classes: all labels that there will be; required in the first call.
            sample_weight: as for `fit`.
            groups: (rows,), the label of the sequence of each row, if X is a table of steps; else None.

        Returns:
            The classifier itself.

        Raises:
            TypeError, ValueError: as for `fit`; `early_stopping` is set, or `class_weight="balanced"`, as a part of the
                data doesn't say what balances all.
        """
        if not hasattr(self, "model_"):
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self._given_classes = np.unique(column_or_1d(classes))
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight: expected None or a dict, as partial_fit sees a part of the data at a time, got "
                f"{self.class_weight!r}"
            )
        if (
            hasattr(self, "model_")
            and classes is not None
            and not np.array_equal(np.unique(column_or_1d(classes)), self.classes_)
        ):
            raise ValueError(f"classes: expected those of the first call, {self.classes_}, got {classes}")
        self._partial_fit(X, y, sample_weight, groups)
        return self

    def _labels(self, y: Any, sequences: Sequences) -> Array:
        """(n,) or (N,) labels as they were given."""
        labels = per_sample("y", y, sequences, self._steps)
        if labels.ndim == 2 and labels.shape[1] > 1:
            raise ValueError(
                f"y: expected one class for each {'step' if self.output == 'steps' else 'sequence'}, got an array of "
                f"{labels.shape}{'' if self.output == 'steps' else '; classes of steps need output=' + repr('steps')}"
            )
        column: Array = column_or_1d(labels, warn=True)
        check_classification_targets(column)
        return column

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
        """The logits of the classes.

        Args:
            X: sequences, in one of the forms that `recurra.sklearn` names.
            groups: (rows,), the label of the sequence of each row, if X is a table of steps; else None.

        Returns:
            (n, classes), float64; of two classes (n,), the second's less the first's. With `output="steps"` in the form
            of X.

        Raises:
            sklearn.exceptions.NotFittedError: before `fit`.
            ValueError: X has another form, or other features, than in `fit`.
        """
        raw, sequences = self._raw(X, groups)
        logits = raw.astype(np.float64)
        if len(self.classes_) == 2:
            logits = logits[:, 1] - logits[:, 0]
        return self._as_given(logits, sequences)

    def predict(self, X: Any, groups: Any = None) -> Any:
        """The likeliest label of each sequence or step.

        Args:
            X: sequences, in one of the forms that `recurra.sklearn` names.
            groups: (rows,), the label of the sequence of each row, if X is a table of steps; else None.

        Returns:
            (n,) labels; with `output="steps"` (n, time), a list of (time_i,), or one for each row.

        Raises:
            sklearn.exceptions.NotFittedError: before `fit`.
            ValueError: X has another form, or other features, than in `fit`.
        """
        raw, sequences = self._raw(X, groups)
        return self._as_given(self.classes_[raw.argmax(axis=1)], sequences)

    def predict_proba(self, X: Any, groups: Any = None) -> Any:
        """The probabilities of the classes.

        Args:
            X: sequences, in one of the forms that `recurra.sklearn` names.
            groups: (rows,), the label of the sequence of each row, if X is a table of steps; else None.

        Returns:
            (n, classes), float64, in the order of `classes_`; with `output="steps"` (n, time, classes), a list of
            (time_i, classes), or one row for each row.

        Raises:
            sklearn.exceptions.NotFittedError: before `fit`.
            ValueError: X has another form, or other features, than in `fit`.
        """
        raw, sequences = self._raw(X, groups)
        return self._as_given(softmax(raw.astype(np.float64)), sequences)

    def predict_log_proba(self, X: Any, groups: Any = None) -> Any:
        """The logarithms of `predict_proba`, also where a probability is 0.

        Args:
            X: sequences, in one of the forms that `recurra.sklearn` names.
            groups: (rows,), the label of the sequence of each row, if X is a table of steps; else None.

        Returns:
            Of the shape of `predict_proba`.

        Raises:
            sklearn.exceptions.NotFittedError: before `fit`.
            ValueError: X has another form, or other features, than in `fit`.
        """
        raw, sequences = self._raw(X, groups)
        logits = raw.astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        return self._as_given(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), sequences)

    def score(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> float:
        """The accuracy, of all steps with `output="steps"`.

        Args:
            X: sequences, in one of the forms that `recurra.sklearn` names.
            y: labels, as for `fit`.
            sample_weight: as for `fit`.
            groups: (rows,), the label of the sequence of each row, if X is a table of steps; else None.

        Returns:
            The share of right labels, weighted.
        """
        raw, sequences = self._raw(X, groups)
        weights = weights_of(sample_weight, sequences, self._steps)
        labels = self._labels(y, sequences)
        return float(accuracy_score(labels, self.classes_[raw.argmax(axis=1)], sample_weight=weights))
