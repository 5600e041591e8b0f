"""ctc: the loss of labels whose places in a sequence aren't known (Graves, Fernández, Gomez & Schmidhuber 2006)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra._checks import all_taken, check_array, check_flag, check_index, check_lengths, plain_array, shown
from recurra._quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recurra.module import Array, ArrayIn, NumbersIn


@quiet
def ctc(
    logits: ArrayIn,
    targets: ArrayIn | Sequence[NumbersIn],
    lengths: NumbersIn | None = None,
    target_lengths: NumbersIn | None = None,
    *,
    blank: int = 0,
    zero_infinity: bool = False,
    batch_first: bool = False,
) -> tuple[float, Array]:
    """Connectionist temporal classification: labels whose places in the sequence aren't known (Graves et al. 2006).

    A sequence's loss is -log of the probability of all paths, a class for each step, that read as its labels when equal
    neighbours are merged and blanks left out after it. The value is the mean over the batch of these losses, each
    divided by the number of its labels (by 1 if there are none): that of PyTorch's `ctc_loss` of log-softmax. Sums are
    in float64 and in logarithms: nothing overflows or is lost.

    In `fit` batches count by their steps; to count them by their sequences give it a loss that says so: `lambda y,
    target, lengths: (*recurra.ctc(y, target, lengths), len(target))`.

    Args:
        logits: (T, B, C), float32 or float64, T, B and C from 1 up.
        targets: labels in 0..C-1 but the blank: an array (B, S) of integers, or a list of B arrays (s,), as `batches`
            makes with `aligned=False`.
        lengths: (B,) integers in 0..T, steps of each sequence; None is T for all.
        target_lengths: (B,) integers in 0..S, labels of each sequence of an array; None is S for all.
        blank: the class that stands for no label.
        zero_infinity: whether labels that don't fit into their sequence, where the loss is infinite, count as 0, with a
            gradient of 0. Else the value is infinite, and the gradient of that sequence NaN.
        batch_first: the logits are (B, T, C).

    Returns:
        The value, a float, and its gradient, of the logits' shape and dtype: 0 beyond a sequence's end, where nothing
        is looked at.

    Raises:
        TypeError, ValueError: an array isn't one, or has a wrong dtype, shape or number.

    Example:
        Of the four paths of two steps and two classes, three read as the label 1: "11", "01" and "10".

        >>> value, gradient = recurra.ctc(np.zeros((2, 1, 2)), np.array([[1]]))
        >>> round(float(np.exp(-value)), 6)
        0.75
        >>> gradient[:, 0].round(3)
        array([[ 0.167, -0.167],
               [ 0.167, -0.167]])
    """
    logits, targets, target_lengths, lengths = all_taken(
        logits=logits, targets=targets, target_lengths=target_lengths, lengths=lengths
    )
    x = check_array("logits", logits)
    if x.ndim != 3 or x.size == 0:
        raise ValueError(f"logits: expected (T, B, C), none of them 0, got {x.shape}")
    swaps = check_flag("batch_first", batch_first)
    T, B, C = x.shape[swaps], x.shape[not swaps], x.shape[2]
    blank = check_blank(blank, C)
    zero_infinity = check_flag("zero_infinity", zero_infinity)
    steps = np.full(B, T) if lengths is None else check_lengths(lengths, T, B)
    labels, counts = _check_targets(targets, target_lengths, B, C, blank)

    x = x.swapaxes(0, 1) if swaps else x
    log_probabilities = _log_softmax(x, steps)
    extended = np.full((B, 2 * labels.shape[1] + 1), blank)
    extended[:, 1::2] = labels
    log_likelihoods, gamma = _forward_backward(log_probabilities, extended, steps, counts, blank)
    losses = -log_likelihoods
    shares = 1 / (B * np.maximum(counts, 1))
    gradient = np.exp(log_probabilities)
    _subtract_occupancy(gradient, np.exp(gamma - log_likelihoods[:, None]), extended)
    gradient *= shares[:, None]
    impossible = np.isinf(losses)
    gradient[:, impossible] = 0 if zero_infinity else math.nan
    if zero_infinity:
        losses[impossible] = 0
    gradient[np.arange(T)[:, None] >= steps] = 0
    result = gradient.swapaxes(0, 1) if batch_first else gradient
    return float(np.dot(losses, shares)), np.ascontiguousarray(result, x.dtype)


def check_blank(value: object, C: int) -> int:
    """A class, 0..C-1."""
    blank = check_index("blank", value, f"an integer in 0..C-1 = 0..{C - 1}")
    if not 0 <= blank < C:
        raise ValueError(f"blank: expected an integer in 0..C-1 = 0..{C - 1}, got {blank}")
    return blank


def _check_targets(targets: Any, target_lengths: Any, B: int, C: int, blank: int) -> tuple[Array, Array]:
    """Labels (B, S), blanks behind each sequence's last one, and how many it has."""
    if isinstance(targets, (list, tuple)):
        if target_lengths is not None:
            raise ValueError("target_lengths: expected None, as targets is a list of arrays, got lengths")
        if len(targets) != B:
            raise ValueError(f"targets: expected one array for each of {B} sequences, got {len(targets)}")
        rows: Any = [
            plain_array(f"targets[{i}]", row, "iu", "integers", "int64", numbers=True) for i, row in enumerate(targets)
        ]
        for i, row in enumerate(rows):
            if row.ndim != 1:
                raise ValueError(f"targets[{i}]: expected (s,), got {row.shape}")
        counts = np.array([len(row) for row in rows])
        given = np.zeros((B, int(counts.max())), np.int64)
        for i, row in enumerate(rows):
            given[i, : len(row)] = _in_range(row, C)
    else:
        rows = array = plain_array("targets", targets, "iu", "integers", "int64")
        if array.ndim != 2 or len(array) != B:
            raise ValueError(f"targets: expected (B, S) = ({B}, S), got {array.shape}")
        counts = np.full(B, array.shape[1]) if target_lengths is None else _check_counts(target_lengths, array.shape)
        given = _in_range(array, C)
    within = np.arange(given.shape[1]) < counts[:, None]
    wrong = within & ((given < 0) | (given == blank))
    if wrong.any():
        i, s = np.argwhere(wrong)[0]
        what = f"the blank, {blank}" if given[i, s] == blank else shown(int(rows[i][s]))
        raise ValueError(f"targets: expected labels in 0..C-1 = 0..{C - 1} but the blank, got {what} at [{i}][{s}]")
    return np.where(within, given, blank), counts


def _in_range(labels: Array, C: int) -> Array:
    """As int64, -1 standing for all that are no class."""
    return np.where((labels >= 0) & (labels < C), labels, -1).astype(np.int64)


def _check_counts(value: object, shape: tuple[int, ...]) -> Array:
    counts = plain_array("target_lengths", value, "iu", "integers", "int64", numbers=True)
    if counts.shape != shape[:1] or ((counts < 0) | (counts > shape[1])).any():
        raise ValueError(
            f"target_lengths: expected (B,) = ({shape[0]},) integers in 0..S = 0..{shape[1]}, got {shown(counts)}"
        )
    return counts.astype(np.int64)


def _log_softmax(x: Array, steps: Array) -> Array:
    """In float64; what stands beyond a sequence's end counts as zeros."""
    y: Array = np.where((np.arange(len(x))[:, None] < steps)[..., None], x, 0).astype(np.float64)
    y -= y.max(axis=-1, keepdims=True)
    y -= np.log(np.exp(y).sum(axis=-1, keepdims=True))
    return y


def _forward_backward(
    log_probabilities: Array, extended: Array, steps: Array, counts: Array, blank: int
) -> tuple[Array, Array]:
    """Sums over paths: through all, and through each place of the labels at each step.

    The backward sums are the forward sums of everything read from its end, so one loop makes both, of 2 B rows.

    Args:
        log_probabilities: (T, B, C).
        extended: (B, L), the labels with a blank before, between and after them.
        steps, counts: (B,), steps and labels of each sequence.
        blank: that class.

    Returns:
        Logarithms: of the probability of the labels (B,), and of those of all paths that are at place s at step t
        (T, B, L), -inf where there is none or the sequence has ended.
    """
    T, B, _ = log_probabilities.shape
    rows, places = np.arange(B), np.arange(extended.shape[1])
    emitted = log_probabilities[:, rows[:, None], extended]
    times = steps - 1 - np.arange(T)[:, None]  # of the reversed sequence's steps
    mirror = 2 * counts[:, None] - places
    within_time, within_place = times >= 0, mirror >= 0
    times, mirror = np.maximum(times, 0), np.maximum(mirror, 0)
    reverse = emitted[times[..., None], rows[:, None], mirror]
    reversed_labels = np.where(within_place, extended[rows[:, None], mirror], blank)

    sums = _sums(np.concatenate([emitted, reverse], axis=1), np.concatenate([extended, reversed_labels]), blank)
    forward, backward = sums[:, :B], sums[:, B:]
    last = forward[np.maximum(steps - 1, 0), rows]
    ends = last[rows, 2 * counts], last[rows, np.maximum(2 * counts - 1, 0)]
    log_likelihoods = np.where(counts > 0, np.logaddexp(*ends), ends[0])
    log_likelihoods[steps == 0] = np.where(counts[steps == 0] > 0, -math.inf, 0)
    backward = backward[times[..., None], rows[:, None], mirror]
    within = within_time[..., None] & within_place & (emitted > -math.inf)
    return log_likelihoods, np.where(within, forward + backward - emitted, -math.inf)


def _sums(emitted: Array, labels: Array, blank: int) -> Array:
    """log of the sums over all paths that have come to place s at step t (T, rows, L), that step's class included."""
    skips = np.full(labels.shape, -math.inf)  # what it costs to leave the blank before a label out
    skips[:, 2:][(labels[:, 2:] != blank) & (labels[:, 2:] != labels[:, :-2])] = 0
    sums = np.empty_like(emitted)
    before = np.full((len(labels), labels.shape[1] + 2), -math.inf)  # two places more, which no path comes from
    before[:, 1] = 0  # the start: before the first blank, and so that the first label can be reached too
    skips_now = skips.copy()
    skips_now[:, 1:2] = 0
    for t, at in enumerate(emitted):
        stay, move, jump = before[:, 2:], before[:, 1:-1], before[:, :-2] + skips_now
        largest = np.maximum(np.maximum(stay, move), jump)
        base = np.where(largest == -math.inf, 0, largest)
        sums[t] = np.log(np.exp(stay - base) + np.exp(move - base) + np.exp(jump - base)) + base + at
        before[:, 1] = -math.inf
        before[:, 2:] = sums[t]
        skips_now = skips
    return sums


def _subtract_occupancy(gradient: Array, occupancy: Array, extended: Array) -> None:
    """Takes from each class the probability that its places are where the path is; place by place, in one order."""
    rows = np.arange(len(extended))
    for s in range(extended.shape[1]):
        gradient[:, rows, extended[:, s]] -= occupancy[:, :, s]
