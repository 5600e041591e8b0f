"""ctc_decode: which labels the logits of a network trained with `ctc` say."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from recurra._checks import all_taken, check_array, check_flag, check_lengths, check_size
from recurra._quiet import quiet

from .ctc import check_blank

if TYPE_CHECKING:
    from recurra.module import Array, ArrayIn, NumbersIn


@quiet
def ctc_decode(
    logits: ArrayIn,
    lengths: NumbersIn | None = None,
    *,
    blank: int = 0,
    beam_width: int | None = None,
    batch_first: bool = False,
) -> list[Array]:
    """The labels that the logits of a network trained with `ctc` say.

    Args:
        logits: (T, B, C), float32 or float64, C from 1 up, or (T, C) of one sequence.
        lengths: (B,) integers in 0..T, steps of each sequence; None is T for all.
        blank: the class that stands for no label.
        beam_width: None takes the likeliest class of every step, the first of equals, merges equal neighbours and
            leaves blanks out. A number searches for the labels whose paths are likeliest together, and keeps so many
            beginnings after every step (prefix beam search, Graves 2012, Hannun et al. 2014); a loop in Python.
        batch_first: the logits are (B, T, C).

    Returns:
        B arrays (s,) of int64, in a list; one, in a list, of one sequence.

    Raises:
        TypeError, ValueError: an argument is wrong, or a logit within a sequence is NaN.

    Example:
        >>> recurra.ctc_decode(np.eye(3)[[1, 1, 0, 1, 2]])  # the likeliest classes of five steps
        [array([1, 1, 2])]

        Two steps, in each of which the blank has 6 and the label 4 of 10: both are blank in 36 of 100 cases.

        >>> logits = np.log([[0.6, 0.4], [0.6, 0.4]])
        >>> recurra.ctc_decode(logits), recurra.ctc_decode(logits, beam_width=2)
        ([array([], dtype=int64)], [array([1])])
    """
    logits, lengths = all_taken(logits=logits, lengths=lengths)
    x = check_array("logits", logits)
    batched = x.ndim == 3
    if x.ndim not in {2, 3} or not x.shape[-1]:
        raise ValueError(f"logits: expected (T, B, C) or (T, C), C above 0, got {x.shape}")
    swaps = check_flag("batch_first", batch_first) and batched
    T, B, C = (x.shape[swaps], x.shape[not swaps], x.shape[2]) if batched else (x.shape[0], 1, x.shape[1])
    blank = check_blank(blank, C)
    width = None if beam_width is None else check_size("beam_width", beam_width)
    steps = np.full(B, T) if lengths is None else check_lengths(lengths, T, B if batched else None)
    x = x.swapaxes(0, 1) if swaps else x if batched else x[:, None]
    rows = [np.ascontiguousarray(x[:n, b], np.float64) for b, n in enumerate(steps)]
    if any(np.isnan(row).any() for row in rows):
        raise ValueError("logits: expected numbers, got NaN")
    if width is None:
        return [_greedy(row, blank) for row in rows]
    return [_beam(row, blank, width) for row in rows]


def _greedy(logits: Array, blank: int) -> Array:
    path = logits.argmax(axis=-1)
    changed = np.ones(len(path), bool)
    changed[1:] = path[1:] != path[:-1]
    labels: Array = path[changed & (path != blank)].astype(np.int64)
    return labels


def _beam(logits: Array, blank: int, width: int) -> Array:
    """The labels with the largest sum over paths, of those that stay among the `width` best at every step."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # beginnings, with the logarithms of the sums over their paths that end in a blank, and in the last label
    beams: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -math.inf)}
    for step in log_probabilities.tolist():
        sums: dict[tuple[int, ...], list[float]] = {}
        for prefix, (in_blank, in_label) in beams.items():
            both = _log_add(in_blank, in_label)
            _add(sums, prefix, 0, both + step[blank])
            for label, score in enumerate(step):
                if label == blank:
                    continue
                if prefix and prefix[-1] == label:
                    _add(sums, prefix, 1, in_label + score)
                    _add(sums, (*prefix, label), 1, in_blank + score)
                else:
                    _add(sums, (*prefix, label), 1, both + score)
        best = sorted(sums.items(), key=lambda item: -_log_add(*item[1]))[:width]
        beams = {prefix: (in_blank, in_label) for prefix, (in_blank, in_label) in best}
    return np.array(max(beams, key=lambda prefix: _log_add(*beams[prefix])), np.int64)


def _add(sums: dict[tuple[int, ...], list[float]], prefix: tuple[int, ...], which: int, value: float) -> None:
    pair = sums.setdefault(prefix, [-math.inf, -math.inf])
    pair[which] = _log_add(pair[which], value)


def _log_add(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    larger, smaller = (a, b) if a > b else (b, a)
    return larger if smaller == -math.inf else larger + math.log1p(math.exp(smaller - larger))
