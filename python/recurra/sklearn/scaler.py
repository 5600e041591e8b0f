"""SequenceScaler: a transformer of tables, such as StandardScaler, for sequences of any form."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from recurra._checks import shown

from .inputs import read
from .sequences import Sequences, of_lengths

if TYPE_CHECKING:
    from recurra._checks import Array


class SequenceScaler(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Transforms each step of sequences by a transformer of tables, fitted to the steps of all of them.

    The estimators here scale their inputs themselves (`standardize=True`); this is for another scaling, such as
    `RobustScaler` or `PCA`, in a `Pipeline` before them, with `standardize=False`.

    X is an array (n, time, features), a list of arrays (time_i, features), or a table (n, time) of n series, and comes
    back in that form. A scaler of a table reads all its numbers as one column.

    Args:
        scaler: a transformer of (steps, features) in scikit-learn's way, of which a clone is fitted; a `StandardScaler`
            if None.

    Attributes:
        scaler_: the fitted one.
        n_features_in_: features of a step; of a table (n, time) its columns.

    Example:
        >>> from recurra.sklearn import SequenceScaler
        >>> X = [np.array([[1.0], [3.0]]), np.array([[1.0], [3.0], [2.0]])]
        >>> [one[:, 0].round(2).tolist() for one in SequenceScaler().fit_transform(X)]
        [[-1.12, 1.12], [-1.12, 1.12, 0.0]]
    """

    def __init__(self, scaler: Any = None) -> None:
        self.scaler = scaler

    def fit(self, X: Any, y: Any = None) -> SequenceScaler:  # noqa: ARG002
        """Fits the scaler to all steps.

        Args:
            X: sequences.
            y: ignored.

        Returns:
            The scaler itself.

        Raises:
            TypeError, ValueError: `scaler` is no transformer, or X is none as for `RecurrentClassifier.fit`.
        """
        sequences = read(self, X, reset=True)
        if self.scaler is not None and not (hasattr(self.scaler, "fit") and hasattr(self.scaler, "transform")):
            raise TypeError(f"scaler: expected a transformer of tables, got {shown(self.scaler)}")
        self.scaler_ = clone(self.scaler) if self.scaler is not None else StandardScaler()
        self.scaler_.fit(sequences.flat)
        self._columns = np.asarray(self.scaler_.transform(sequences.flat[:1])).shape[1]
        return self

    def transform(self, X: Any) -> Any:
        """The steps transformed.

        Args:
            X: sequences in the form of `fit`.

        Returns:
            As many sequences of as many steps, in the form of X.
        """
        check_is_fitted(self, "scaler_")
        return _with_steps(sequences := read(self, X), self.scaler_.transform(sequences.flat))

    def inverse_transform(self, X: Any) -> Any:
        """The steps before the transformation.

        Args:
            X: what `transform` returned.

        Returns:
            As many sequences of as many steps, in the form of X.
        """
        check_is_fitted(self, "scaler_")
        reader = copy(self)
        if self._form != "table":
            reader.n_features_in_ = self._columns  # which may be fewer, as of a PCA
        return _with_steps(sequences := read(reader, X), self.scaler_.inverse_transform(sequences.flat))


def _with_steps(sequences: Sequences, steps: Any) -> Any:
    """Sequences of other steps, in their form."""
    flat: Array = np.asarray(steps)
    given = of_lengths(flat, sequences.lengths, sequences.form).as_given(flat)
    return given[..., 0] if sequences.form == "table" else given
