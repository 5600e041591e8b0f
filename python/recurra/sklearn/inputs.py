"""X in all its forms, read into `Sequences`: arrays, ragged lists, tables of series, tables of steps by group."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_array, check_consistent_length, validate_data

from recurra._checks import Array, refuse_masked, shown

from .sequences import Sequences, of_lengths

FLOATS = [np.float64, np.float32]


def read(estimator: Any, X: Any, groups: Any = None, *, reset: bool = False) -> Sequences:
    """X as sequences; with `reset`, the estimator takes note of its features, else X is compared with them.

    Raises:
        TypeError, ValueError: X isn't of numbers, is masked, has NaN, no sequence or an empty one, or other features
            than in fit.
    """
    refuse_masked("X", X)
    group = getattr(estimator, "group", None)
    if groups is not None or group is not None:
        table, labels = _grouped(X, group, groups)
        flat = validate_data(estimator, table, reset=reset, dtype=FLOATS)
        if reset:
            estimator._form = "rows"
        _check_form(estimator, "rows")
        return _by_label(flat, labels)
    parts = _parts(X)
    if parts is None:
        return _table(estimator, X, reset)
    form = "list" if isinstance(parts, list) else "array"
    arrays = parts if isinstance(parts, list) else [parts.reshape(-1, parts.shape[2])]
    lengths = np.array([len(one) for one in parts], np.int64)
    if not len(lengths):
        raise ValueError("X: expected at least one sequence, got an empty list (0 samples)")
    if not lengths.all():
        raise ValueError(f"X: expected a step or more in every sequence, got none in sequence {int(lengths.argmin())}")
    if reset:
        estimator._form = form
    _check_form(estimator, form)
    flat = check_array(_joined(arrays), dtype=FLOATS, input_name="X", estimator=estimator)
    _check_features(estimator, flat.shape[1], reset)
    return of_lengths(np.ascontiguousarray(flat), lengths, form)


def _parts(X: Any) -> Any:
    """An array (n, time, features), a list of arrays (time, features), or None for what is a table."""
    if isinstance(X, (list, tuple)):
        return _list(X)
    if hasattr(X, "iloc") or not hasattr(X, "__array__"):
        return None
    array = X if isinstance(X, np.ndarray) else np.asarray(X)
    if array.ndim == 1 and array.dtype.kind == "O":
        return _list(list(array))
    return array if array.ndim == 3 else None


def _list(X: Any) -> list[Array] | None:
    if any(not hasattr(one, "__len__") or isinstance(one, (str, bytes)) for one in X):
        return None
    arrays = [np.asarray(one) for one in X]
    axes = {array.ndim for array in arrays}
    if axes == {1}:  # series, of which those of one length are a table
        return None if len({len(array) for array in arrays}) == 1 else [array[:, None] for array in arrays]
    if not axes <= {2}:
        raise ValueError(f"X: expected sequences of (time, features), got some of {sorted(axes)} axes")
    return arrays


def _joined(arrays: list[Array]) -> Array:
    widths = {array.shape[1] for array in arrays}
    if len(widths) > 1:
        first = arrays[0].shape[1]
        at = next(i for i, array in enumerate(arrays) if array.shape[1] != first)
        raise ValueError(
            f"X: expected as many features in every sequence, got {first} in sequence 0 and {arrays[at].shape[1]} in "
            f"sequence {at}"
        )
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _table(estimator: Any, X: Any, reset: bool) -> Sequences:
    """(n, time), of n series; or, for an estimator of sequences with one feature, any such table."""
    form = None if reset else getattr(estimator, "_form", None)
    if form in {"array", "list", "rows"}:
        flat = check_array(X, dtype=FLOATS, input_name="X", estimator=estimator)
        if estimator.n_features_in_ != 1:
            cure = "groups" if form == "rows" else "X[None] for a single sequence"
            raise ValueError(
                f"X: expected sequences of (time, {estimator.n_features_in_}) as in fit, got a table of {flat.shape}: "
                f"give {cure}"
            )
    else:
        flat = validate_data(estimator, X, reset=reset, dtype=FLOATS)
        if reset:
            estimator._form = "table"
    lengths = np.full(len(flat), flat.shape[1], np.int64)
    return of_lengths(np.ascontiguousarray(flat).reshape(-1, 1), lengths, "table")


def _check_form(estimator: Any, form: str) -> None:
    """A table of series has a fixed number of steps; all other forms can stand for each other."""
    if estimator._form == "table" and form != "table":
        what = {"array": "(n, time, features)", "list": "a list of sequences", "rows": "groups of rows"}[form]
        raise ValueError(f"X: expected a table (n, {estimator.n_features_in_}) of series as in fit, got {what}")


def _check_features(estimator: Any, features: int, reset: bool) -> None:
    """Takes note of how many there are, or compares; in scikit-learn's words."""
    if reset:
        vars(estimator).pop("feature_names_in_", None)
        estimator.n_features_in_ = features
    elif features != estimator.n_features_in_:
        raise ValueError(
            f"X has {features} features, but {type(estimator).__name__} is expecting {estimator.n_features_in_} "
            f"features as input."
        )


def _grouped(X: Any, group: Any, groups: Any) -> tuple[Any, Array]:
    """The features (N, F), and the label of each row's sequence."""
    if groups is not None:
        refuse_masked("groups", groups)
        labels = np.asarray(groups)
        if labels.ndim != 1:
            raise ValueError(f"groups: expected one label for each row of X, got an array of {labels.shape}")
        check_consistent_length(X, labels)
        if group is not None and group in getattr(X, "columns", ()):
            X = X.drop(columns=group)
        return X, labels
    if not hasattr(X, "columns") or not hasattr(X, "iloc"):
        raise TypeError(f"X: expected a pandas DataFrame beside group={group!r}, got {type(X).__name__}")
    if group in X.columns:
        return X.drop(columns=group), X[group].to_numpy()
    if group in X.index.names:
        return X, X.index.get_level_values(group).to_numpy()
    raise ValueError(
        f"group: expected a column or an index level of X, got {group!r}: columns are {shown(list(X.columns))}"
    )


def _by_label(flat: Array, labels: Array) -> Sequences:
    """Rows of one label are one sequence, in their order; sequences are in the order in which labels first appear."""
    missing = labels != labels  # noqa: PLR0124 (NaN, in any dtype)
    if np.any(missing) or (labels.dtype.kind == "O" and any(label is None for label in labels)):
        raise ValueError("groups: expected a label for every row, got a missing one")
    _, first, code = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    code = rank[code]
    order = np.argsort(code, kind="stable")
    result = of_lengths(np.ascontiguousarray(flat[order]), np.bincount(code), "rows", order)
    result.labels = labels[np.sort(first)]
    return result
