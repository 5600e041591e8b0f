"""y and sample_weight: one for each sequence or one for each step, laid out as the sequences are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_array

from recurra._checks import refuse_masked, shown

if TYPE_CHECKING:
    from recurra._checks import Array

    from .sequences import Sequences


def per_sample(name: str, value: Any, sequences: Sequences, steps: bool) -> Array:
    """(n, …) with one entry for each sequence, or with `steps` (N, …) with one for each step.

    Of rows by group there may be one for each row in either case; a sequence's is then that of its last row.

    Raises:
        TypeError: they are masked.
        ValueError: there are more or fewer.
    """
    if value is None:
        raise ValueError(f"{name}: expected one for each {'step' if steps else 'sequence'}, got None")
    refuse_masked(name, value)
    if sequences.order is not None:
        return _of_rows(name, value, sequences, steps)
    if not steps:
        array = _as_array(value)
        if not array.ndim:
            raise TypeError(f"{name}: expected one for each sequence, got {shown(value)}")
        if len(array) != len(sequences):
            raise _inconsistent(name, len(sequences), len(array))
        return array
    parts = [_as_array(one) for one in value]
    if len(parts) != len(sequences):
        raise _inconsistent(name, len(sequences), len(parts))
    for i, (part, length) in enumerate(zip(parts, sequences.lengths, strict=True)):
        if part.ndim == 0 or len(part) != length:
            what = f"{len(part)}" if part.ndim else "a single one"
            raise ValueError(
                f"{name}: expected one for each of the {length} steps of sequence {i}, got {what}; output='last' has "
                f"one for each sequence"
            )
    return np.concatenate(parts)


def _of_rows(name: str, value: Any, sequences: Sequences, steps: bool) -> Array:
    n, N = len(sequences), len(sequences.flat)
    if not steps and hasattr(value, "iloc") and len(value) == n:
        labels = list(sequences.labels)  # type: ignore[arg-type]
        if value.index.is_unique and set(value.index) == set(labels):
            return _as_array(value.loc[labels])  # by label, as groupby sorts them and X may not
    array = _as_array(value)
    if len(array) == N and (steps or n != N):
        in_order = array[sequences.order]
        return in_order if steps else in_order[sequences.ends]
    if steps or len(array) != n:
        raise ValueError(
            f"{name}: Found input variables with inconsistent numbers of samples: expected one for each of {N} rows"
            f"{'' if steps else f' or {n} sequences'}, got {len(array)}"
        )
    return array


def _as_array(value: Any) -> Array:
    array = np.asarray(value)
    return array.astype(str) if array.dtype.kind == "T" else array


def _inconsistent(name: str, expected: int, got: int) -> ValueError:
    return ValueError(
        f"{name}: Found input variables with inconsistent numbers of samples: expected {expected}, got {got}"
    )


def weights_of(value: Any, sequences: Sequences, steps: bool) -> Array | None:
    """sample_weight, float64: (n,) of the sequences, or with `steps` (N,), where a sequence's is that of its steps.

    Raises:
        ValueError: they are negative or all 0, or there are more or fewer than samples.
    """
    if value is None:
        return None
    by_step = steps and not (np.ndim(_first(value)) == 0 and len(value) == len(sequences))
    array = per_sample("sample_weight", value, sequences, by_step)
    weights: Array = check_array(array, dtype=np.float64, ensure_2d=False, input_name="sample_weight")
    if weights.ndim != 1:
        raise ValueError(f"Sample weights must be 1D array or scalar, got {weights.ndim}D array")
    if (weights < 0).any():
        raise ValueError(f"sample_weight: expected numbers from 0 up, got {weights.min()}")
    if not weights.any():
        raise ValueError("sample_weight: expected at least one above 0; sample_weight is all zero")
    return np.repeat(weights, sequences.lengths) if steps and not by_step else weights


def _first(value: Any) -> Any:
    return value.iloc[0] if hasattr(value, "iloc") else value[0] if len(value) else 0
