"""pad and batches: nothing is lost or drawn twice, orders are functions of seed and epoch, and fit takes the result."""

from __future__ import annotations

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from refused import refused

LENGTHS = [3, 0, 7, 1, 7, 2, 5, 4, 6, 3, 2]


def ragged(lengths=LENGTHS, shape=(2,), dtype=np.float32, seed=0):
    """Sequences without an element that is 0."""
    rng = np.random.default_rng(seed)
    return [(rng.integers(1, 90, (n, *shape))).astype(dtype) for n in lengths]


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("length", [None, 7, 9])
@pytest.mark.parametrize(("shape", "dtype"), [((2,), np.float32), ((), np.uint8), ((2, 3), np.float64), ((0,), "i8")])
def test_pad(shape, dtype, length, batch_first):
    sequences = ragged(shape=shape, dtype=dtype)
    x, lengths = recurra.pad(sequences, batch_first=batch_first, length=length, value=99)
    x_of = x if batch_first else x.swapaxes(0, 1)
    assert x.flags.c_contiguous
    assert (x.dtype, lengths.dtype) == (np.dtype(dtype), np.dtype(np.int64))
    assert lengths.tolist() == LENGTHS
    assert x_of.shape == (len(LENGTHS), length or 7, *shape)
    for row, sequence in zip(x_of, sequences, strict=True):
        assert np.array_equal(row[: len(sequence)], sequence)
        assert (row[len(sequence) :] == 99).all()


def test_pad_takes_arrays_and_any_strides():
    x = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    assert_same_bits(recurra.pad(x, batch_first=True), (x, np.array([4, 4])))
    assert_same_bits(recurra.pad(list(x[:, ::-2]), batch_first=True)[0], np.ascontiguousarray(x[:, ::-2]))
    assert recurra.pad([np.zeros((0, 3))])[0].shape == (0, 1, 3)
    assert np.isnan(recurra.pad([x[0], x[1, :1]], value=float("nan"))[0][1:, 1]).all()


@pytest.mark.parametrize(
    ("error", "name", "sequences", "options"),
    [
        (ValueError, "sequences", [], {}),
        (TypeError, "sequences", "abc", {}),
        (TypeError, "sequences", (np.zeros(3) for _ in range(2)), {}),
        (TypeError, r"sequences\[1\]", [np.zeros(3), [1.0]], {}),
        (TypeError, r"sequences\[1\]", [np.zeros(3), np.zeros(3, np.float32)], {}),
        (TypeError, r"sequences\[0\]", [np.zeros(3, object)], {}),
        (TypeError, r"sequences\[0\]", [np.ma.masked_array(np.zeros(3), np.ones(3))], {}),
        (ValueError, r"sequences\[1\]", [np.zeros((3, 2)), np.zeros((3, 1))], {}),
        (ValueError, r"sequences\[0\]", [np.zeros(())], {}),
        (ValueError, "sequences", np.zeros(3), {}),
        (ValueError, "length", [np.zeros(3), np.zeros(4)], {"length": 3}),
        (ValueError, "length", [np.zeros(0)], {"length": -1}),
        (TypeError, "length", [np.zeros(1)], {"length": 2.0}),
        (TypeError, "batch_first", [np.zeros(3)], {"batch_first": 1}),
        (TypeError, "value", [np.zeros(3)], {"value": "0"}),
        (TypeError, "value", [np.zeros(3)], {"value": np.zeros(3)}),
        (TypeError, "value", [np.zeros(3, np.uint8)], {"value": -1}),
        (TypeError, "value", [np.zeros(3, int)], {"value": 0.5}),
        (TypeError, "value", [np.zeros(3, np.float32)], {"value": 1e300}),
    ],
)
def test_pad_refuses(error, name, sequences, options):
    with refused(error, name):
        recurra.pad(sequences, **options)


def numbered(count):
    """Sequences that say which one they are, of the lengths above again and again."""
    return [np.full((LENGTHS[i % len(LENGTHS)] + 1, 1), i, np.float32) for i in range(count)]


def numbers(epoch, batch_first=False):
    """Which sequences each batch of an epoch has."""
    return [(x if batch_first else x.swapaxes(0, 1))[:, 0, 0].astype(int).tolist() for x, _, _ in epoch]


@pytest.mark.parametrize("group_by_length", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(("count", "size"), [(1, 1), (11, 4), (12, 4), (130, 2), (5, 5)])
def test_every_sequence_once(count, size, shuffle, drop_last, group_by_length):
    sequences = numbered(count)
    options = {"shuffle": shuffle, "drop_last": drop_last, "group_by_length": group_by_length, "seed": 3}
    data = recurra.batches(sequences, np.arange(count), size, **options)
    orders = []
    for epoch in range(2):
        items = data(epoch)
        seen = numbers(items)
        assert len(data) == len(items) == len(seen) == (count // size if drop_last else -(-count // size))
        flat = [number for batch in seen for number in batch]
        assert len(set(flat)) == len(flat)
        assert drop_last or sorted(flat) == list(range(count))
        assert sum(len(batch) < size for batch in seen) <= (0 if drop_last else 1)
        for (x, target, lengths), chosen in zip(items, seen, strict=True):
            assert target.tolist() == chosen
            assert lengths.tolist() == [len(sequences[i]) for i in chosen]
            assert len(x) == lengths.max()
        orders.append(seen)
    assert numbers(recurra.batches(sequences, None, size, **options)(1)) == orders[1]
    assert (orders[0] == orders[1]) or shuffle
    if shuffle and count > 100:
        assert orders[0] != orders[1]
        assert numbers(recurra.batches(sequences, None, size, **options | {"seed": 4})(1)) != orders[1]
    if not shuffle and not group_by_length and not drop_last:
        assert [number for batch in orders[0] for number in batch] == list(range(count))


def test_grouping_pads_less():
    def padded(**options):
        return sum(x.size - lengths.sum() for x, _, lengths in recurra.batches(numbered(200), None, 8, **options)(0))

    assert padded(group_by_length=True) < 0.15 * padded()
    assert padded(group_by_length=True, shuffle=True) < 0.15 * padded(shuffle=True)
    sizes = [lengths.max() for _, _, lengths in recurra.batches(numbered(200), None, 8, group_by_length=True)(0)]
    assert sizes == sorted(sizes)
    shuffled = recurra.batches(numbered(200), None, 8, group_by_length=True, shuffle=True)(0)
    assert [lengths.max() for _, _, lengths in shuffled] != sizes


def test_the_longest_are_not_left_out():
    """What is dropped is chosen before sorting: with shuffle, every sequence has its turn."""
    data = recurra.batches(numbered(10), None, 4, shuffle=True, group_by_length=True, drop_last=True)
    assert {i for epoch in range(30) for batch in numbers(data(epoch)) for i in batch} == set(range(10))


@pytest.mark.parametrize("batch_first", [False, True])
def test_targets_by_step(batch_first):
    sequences = ragged()
    targets = [sequence[:, 0].astype(np.int64) * 2 for sequence in sequences]
    data = recurra.batches(sequences, targets, 4, shuffle=True, batch_first=batch_first, value=-1)
    for x, target, lengths in data(0):
        assert target.shape == x.shape[:2]
        t, b = np.indices(target.shape)[:: -1 if batch_first else 1]
        within = t < lengths[b]
        assert np.array_equal(target, np.where(within, 2 * x[..., 0], 0))
        assert (x[~within] == -1).all()
    labels = [np.arange(i) for i in range(len(sequences))]
    given = [one for _, target, _ in recurra.batches(sequences, labels, 4, aligned=False)(0) for one in target]
    assert all(np.array_equal(one, label) for one, label in zip(given, labels, strict=True))
    assert recurra.batches(sequences)(0)[0][1] is None


@pytest.mark.parametrize(
    ("error", "name", "options"),
    [
        (ValueError, "targets", {"targets": np.zeros(3)}),
        (ValueError, "targets", {"targets": np.zeros(())}),
        (TypeError, "targets", {"targets": np.zeros(11, object)}),
        (TypeError, "targets", {"targets": [1.0] * 11}),
        (ValueError, "targets", {"targets": [np.zeros(n) for n in LENGTHS[:-1]]}),
        (ValueError, "targets", {"targets": [np.zeros(1) for _ in LENGTHS]}),
        (ValueError, "batch_size", {"batch_size": 0}),
        (ValueError, "batch_size", {"batch_size": 12, "drop_last": True}),
        (TypeError, "batch_size", {"batch_size": 1.0}),
        (TypeError, "shuffle", {"shuffle": 1}),
        (ValueError, "seed", {"seed": -1}),
        (TypeError, "seed", {"seed": np.random.default_rng(0)}),
        (TypeError, "group_by_length", {"group_by_length": None}),
        (TypeError, "drop_last", {"drop_last": 0}),
        (TypeError, "batch_first", {"batch_first": 0}),
        (TypeError, "aligned", {"aligned": 0}),
        (TypeError, "value", {"value": None}),
    ],
)
def test_batches_refuses(error, name, options):
    with refused(error, name):
        recurra.batches(ragged(), **options)


def test_epochs_are_from_0():
    data = recurra.batches(ragged())
    for error, epoch in ((TypeError, 0.0), (ValueError, -1)):
        with refused(error, "epoch"):
            data(epoch)


@pytest.mark.parametrize("batch_first", [False, True])
def test_fit_takes_them(batch_first):
    """Padding counts nowhere: one batch of all gives the gradients' mean of the sequences alone."""
    sequences = [sequence / 90 for sequence in ragged()]
    targets = [np.cumsum(sequence[:, :1] / 8, axis=0) for sequence in sequences]
    layer = recurra.GRU(2, 1, batch_first=batch_first, seed=0)
    data = recurra.batches(sequences, targets, 4, shuffle=True, group_by_length=True, batch_first=batch_first)
    before = recurra.fit(layer, data, recurra.mse, recurra.SGD(layer, lr=0.0), validation=data)
    total = sum(((layer(s)[0] - t).astype(float) ** 2).sum() for s, t in zip(sequences, targets, strict=True))
    assert before.losses[0] == pytest.approx(total / sum(LENGTHS), rel=1e-5)
    assert before.validation[0] == pytest.approx(before.losses[0], rel=1e-6)
    history = recurra.fit(layer, data, recurra.mse, recurra.Adam(layer, lr=0.02), epochs=20, patience=20)
    assert history.losses[-1] < 0.5 * history.losses[0]
