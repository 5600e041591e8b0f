"""pad and batches: from sequences of different lengths to the arrays that layers, losses and `fit` take."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from ._checks import check_flag, check_index, check_size, plain_array, shown, taken
from ._ragged import check_from_0, check_length, check_sequences, check_value, padded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .module import Array, ArrayIn

GROUP = 50  # batches that are sorted together: enough that little is padded, few enough that epochs differ


def pad(
    sequences: ArrayIn | Sequence[ArrayIn], *, batch_first: bool = False, length: int | None = None, value: float = 0
) -> tuple[Array, Array]:
    """Sequences of different lengths as one array, and their lengths.

    Args:
        sequences: B arrays (t_i, …), features or tokens, of one dtype and equal but for their first axes; at least one.
            An array (B, t, …) will do too.
        batch_first: the result is (B, T, …) instead of (T, B, …).
        length: T; None is the longest sequence's.
        value: what stands beyond a sequence's end.

    Returns:
        A new C-contiguous array of the sequences' dtype, and (B,) int64: what layers, losses and `fit` take as
        `lengths`.

    Raises:
        TypeError: a sequence isn't an array of numbers, or not of the first one's dtype; the value isn't of that dtype.
        ValueError: there is no sequence, one is longer than `length`, or shapes differ behind the first axis.

    Example:
        >>> recurra.pad([np.array([1, 2, 3]), np.array([4])], value=-1)
        (array([[ 1,  4],
               [ 2, -1],
               [ 3, -1]]), array([3, 1]))
    """
    arrays = check_sequences("sequences", sequences)
    check_flag("batch_first", batch_first)
    fill = check_value(value, arrays[0].dtype)
    lengths = np.array([len(array) for array in arrays], np.int64)
    longest = int(lengths.max())
    T = longest if length is None else check_length(length, longest, int(lengths.argmax()))
    return padded(arrays, T, fill, batch_first), lengths


def batches(
    sequences: ArrayIn | Sequence[ArrayIn],
    targets: ArrayIn | Sequence[ArrayIn] | None = None,
    batch_size: int = 32,
    *,
    shuffle: bool = False,
    seed: int = 0,
    group_by_length: bool = False,
    drop_last: bool = False,
    batch_first: bool = False,
    aligned: bool = True,
    value: float = 0,
) -> Batches:
    """Sequences in padded batches, for `fit` and for loops.

    Args:
        sequences: N arrays (t_i, …), features or tokens, of one dtype and equal but for their first axes, which aren't
            copied; at least one. Or one array (N, t, …).
        targets: an array (N, …), whose rows belong to the sequences; or N arrays (t_i, …) with an element for each
            step, which are padded like the sequences, with zeros; or None, and there is None in each batch.
        batch_size: sequences of a batch; the last one of an epoch may have fewer.
        shuffle: whether the order is drawn anew for each epoch.
        seed: of these draws, an integer from 0 up. The order is a function of seed and epoch and nothing else, so that
            a training that is resumed sees the same batches.
        group_by_length: whether sequences of similar lengths go together, so that less is padded: sorted by length,
            with `shuffle` within each 50 batches of the order drawn, and the batches are then drawn in another one.
        drop_last: leave out the sequences that don't fill a batch, the last ones of the order, whatever their lengths.
        batch_first: x, and targets by step, are (B, T, …) instead of (T, B, …).
        aligned: False for N arrays of targets whose lengths aren't the sequences', such as labels for `ctc`: a batch
            has a list of them, not padded.
        value: what stands beyond a sequence's end in x.

    Returns:
        A function of the epoch, 0, 1, …, with a length, the number of batches in an epoch. What it returns has that
        length too, can be indexed and iterated any number of times, and makes each batch when asked for it: x, the
        target, and (B,) lengths.

    Raises:
        TypeError, ValueError: an argument is wrong: nothing is deferred to the first batch.

    Example:
        >>> sequences = [np.full((t, 1), t, np.float32) for t in (5, 2, 4, 1)]
        >>> data = recurra.batches(sequences, np.array([0, 1, 0, 1]), batch_size=2, group_by_length=True)
        >>> for x, target, lengths in data(0):  # the batches of epoch 0, as `recurra.fit(model, data, …)` takes them
        ...     print(x.shape, target, lengths)
        (2, 2, 1) [1 1] [1 2]
        (5, 2, 1) [0 0] [4 5]
    """
    return Batches(
        sequences,
        targets,
        batch_size,
        shuffle=shuffle,
        seed=seed,
        group_by_length=group_by_length,
        drop_last=drop_last,
        batch_first=batch_first,
        aligned=aligned,
        value=value,
    )


class Batches:
    """What `batches` returns."""

    def __init__(
        self,
        sequences: ArrayIn | Sequence[ArrayIn],
        targets: ArrayIn | Sequence[ArrayIn] | None,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int,
        group_by_length: bool,
        drop_last: bool,
        batch_first: bool,
        aligned: bool,
        value: float,
    ) -> None:
        self._sequences = check_sequences("sequences", sequences)
        self._lengths = np.array([len(sequence) for sequence in self._sequences], np.int64)
        self._aligned = check_flag("aligned", aligned)
        self._targets = None if targets is None else self._check_targets(targets)
        self._batch_size = check_size("batch_size", batch_size)
        self._shuffle, self._group = check_flag("shuffle", shuffle), check_flag("group_by_length", group_by_length)
        self._drop_last = check_flag("drop_last", drop_last)
        self.batch_first: bool = check_flag("batch_first", batch_first)
        self._fill = check_value(value, self._sequences[0].dtype)
        self._seed = check_from_0("seed", seed)
        if not len(self):
            raise ValueError(
                f"batch_size: expected up to {len(self._sequences)} with drop_last, as there are no more sequences, "
                f"got {batch_size}"
            )

    def __len__(self) -> int:
        """How many batches an epoch has."""
        whole, rest = divmod(len(self._sequences), self._batch_size)
        return whole + (rest > 0 and not self._drop_last)

    def __call__(self, epoch: int) -> Epoch:
        """The batches of an epoch: x, target and lengths each."""
        return Epoch(self, self._order(check_from_0("epoch", epoch)))

    def _order(self, epoch: int) -> list[Array]:
        """The numbers of the sequences of each batch."""
        count, size = len(self._sequences), self._batch_size
        rng = np.random.default_rng([self._seed, epoch]) if self._shuffle else None
        order = np.arange(count) if rng is None else rng.permutation(count)
        if self._drop_last:  # before they are sorted, or the longest would be left out of every epoch
            order = order[: len(self) * size]
        if self._group:
            span = count if rng is None else GROUP * size
            parts = [order[begin : begin + span] for begin in range(0, len(order), span)]
            order = np.concatenate([part[np.argsort(self._lengths[part], kind="stable")] for part in parts])
        chosen = [order[i * size : (i + 1) * size] for i in range(len(self))]
        if self._group and rng is not None:
            chosen = [chosen[i] for i in rng.permutation(len(chosen))]
        return chosen

    def _batch(self, chosen: Array) -> tuple[Array, Any, Array]:
        lengths = self._lengths[chosen]
        T = int(lengths.max())
        x = padded([self._sequences[i] for i in chosen], T, self._fill, self.batch_first)
        targets = self._targets
        if targets is None or isinstance(targets, np.ndarray):
            return x, None if targets is None else targets[chosen], lengths
        own = [targets[i] for i in chosen]
        return x, padded(own, T, 0, self.batch_first) if self._aligned else own, lengths

    def _check_targets(self, targets: ArrayIn | Sequence[ArrayIn]) -> Array | list[Array]:
        """An array, whose rows are the sequences', or a list of arrays."""
        count, targets = len(self._sequences), taken("targets", targets)
        if isinstance(targets, np.ndarray):
            array = plain_array("targets", targets, "biuf", "numbers", "float32")
            if array.ndim == 0 or len(array) != count:
                raise ValueError(f"targets: expected (N, …) = ({count}, …), a row for each sequence, got {array.shape}")
            return array
        if isinstance(targets, (list, tuple)) and targets and isinstance(targets[0], (Real, np.generic)):
            raise TypeError(
                f"targets: expected an array (N, …) or a list of arrays (t_i, …), got a list that begins with "
                f"{shown(targets[0])}: one target a sequence is one array: pass np.array(targets)"
            )
        arrays = check_sequences("targets", targets)
        if len(arrays) != count:
            raise ValueError(f"targets: expected one for each of {count} sequences, got {len(arrays)}")
        for i, (array, length) in enumerate(zip(arrays, self._lengths, strict=True)):
            if self._aligned and len(array) != length:
                raise ValueError(
                    f"targets: expected one for each of the {length} steps of its sequence, got {len(array)} at index "
                    f"{i}: targets with lengths of their own need aligned=False"
                )
        return arrays


class Epoch:
    """The batches of one epoch, each made when it is asked for."""

    def __init__(self, source: Batches, order: list[Array]) -> None:
        self._source, self._order = source, order

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> tuple[Array, Any, Array]:
        index = check_index("index", index, "the number of a batch")
        if not -len(self) <= index < len(self):
            raise IndexError(f"index: expected a number of one of {len(self)} batches, got {index}")
        return self._source._batch(self._order[index])

    def __iter__(self) -> Iterator[tuple[Array, Any, Array]]:
        return (self._source._batch(chosen) for chosen in self._order)
