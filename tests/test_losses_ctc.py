"""ctc and its labels: PyTorch's values and gradients, sums over all paths, the extremes, decoders by brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import recurra
from configs import assert_same_bits, numeric_gradient
from refused import refused

every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)


def draw(T, B, C, S, blank=0, dtype=np.float64, seed=0, scale=2.0):
    """Logits, labels with repetitions, lengths, numbers of labels."""
    rng = np.random.default_rng(seed)
    logits = (rng.standard_normal((T, B, C)) * scale).astype(dtype)
    targets = rng.integers(0, max(C - 1, 1), (B, S))
    targets += targets >= blank
    counts = rng.integers(0, S + 1, B)
    needed = counts + [int((row[1:n] == row[: max(n - 1, 0)]).sum()) for row, n in zip(targets, counts, strict=True)]
    lengths = np.array([rng.integers(min(n, T), T + 1) for n in needed])
    return logits, targets, lengths, counts


def of_torch(torch, logits, targets, lengths, counts, **options):
    x = torch.tensor(logits, requires_grad=True)
    value = torch.nn.functional.ctc_loss(
        x.log_softmax(-1), torch.tensor(targets), torch.tensor(lengths), torch.tensor(counts), **options
    )
    value.backward()
    return value.item(), x.grad.numpy()


CASES = [(1, 1, 1, 0), (1, 1, 2, 1), (5, 3, 4, 2), (17, 4, 5, 7), (7, 1, 2, 3), (31, 8, 29, 13), (12, 5, 3, 6)]


@every_dtype
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("blank", [0, -1])
def test_torch(case, blank, dtype):
    torch = pytest.importorskip("torch")
    T, B, C, S = case
    blank %= C
    logits, targets, lengths, counts = draw(T, B, C, S, blank, dtype, seed=sum(case))
    lengths = np.maximum(lengths, 1)  # of none, PyTorch's answers differ from version to version
    value, gradient = recurra.ctc(logits, targets, lengths, counts, blank=blank, zero_infinity=True)
    expected = of_torch(torch, logits, targets, lengths, counts, blank=blank, zero_infinity=True)
    assert gradient.dtype == logits.dtype
    tolerance = 2e-5 if dtype == np.float32 else 1e-12
    assert value == pytest.approx(expected[0], rel=tolerance)
    np.testing.assert_allclose(gradient, expected[1], rtol=tolerance, atol=tolerance)
    assert value > 0 or C == 1


def readings(T, C, blank):
    """All paths and what they read as."""
    for path in itertools.product(range(C), repeat=T):
        merged = [label for label, _ in itertools.groupby(path)]
        yield path, tuple(label for label in merged if label != blank)


def likelihoods(logits, blank):
    """The probability of each labelling of one sequence (T, C), by adding those of all paths."""
    p = np.exp(logits - logits.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    sums = {}
    for path, labels in readings(*logits.shape, blank):
        sums[labels] = sums.get(labels, 0) + math.prod(p[t, k] for t, k in enumerate(path))
    return sums


@pytest.mark.parametrize("blank", [0, 1])
@pytest.mark.parametrize("T", [0, 1, 4, 5])
def test_the_sum_over_all_paths(T, blank):
    """Of each labelling there is, one sequence beside another, in a batch longer than they are."""
    rng = np.random.default_rng(T)
    logits = rng.standard_normal((6, 1, 3)) * 2
    sums = likelihoods(logits[:T, 0], blank)
    assert sum(sums.values()) == pytest.approx(1)
    labellings = [np.array(labels, int) for labels in sums]
    for labels, p in zip(labellings, sums.values(), strict=True):
        value, _ = recurra.ctc(logits, [labels], np.array([T]), blank=blank)
        assert value == pytest.approx(-math.log(p) / max(len(labels), 1), rel=1e-12, abs=1e-12)
    together = np.repeat(logits, len(labellings), axis=1)
    value, gradient = recurra.ctc(together, labellings, np.full(len(labellings), T), blank=blank)
    expected = np.mean([-math.log(p) / max(len(labels), 1) for labels, p in sums.items()])
    assert value == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert not gradient[T:].any()


@pytest.mark.parametrize("batch_first", [False, True])
def test_central_differences(batch_first):
    logits, targets, lengths, counts = draw(7, 4, 4, 3, seed=3)
    if batch_first:
        logits = np.ascontiguousarray(logits.swapaxes(0, 1))
    options = {"batch_first": batch_first}
    value, gradient = recurra.ctc(logits, targets, lengths, counts, **options)
    assert math.isfinite(value)
    numeric = numeric_gradient(lambda: recurra.ctc(logits, targets, lengths, counts, **options)[0], logits)
    assert np.abs(gradient - numeric).max() < 1e-8
    assert np.abs(numeric).max() > 1e-3


def test_a_sequence_does_not_depend_on_its_batch():
    """But for the mean's factor; nor on what stands beyond its end, NaN and labels that are none included."""
    logits, targets, lengths, counts = draw(9, 4, 5, 4, seed=1)
    for b in range(4):
        for i in range(4):
            logits[lengths[b] :, b] = np.nan
            targets[i, counts[i] :] = 99 - 120 * (i % 2)
    _, together = recurra.ctc(logits, targets, lengths, counts)
    for b in range(4):
        n = int(lengths[b])
        x, labels = np.ascontiguousarray(logits[:n, b : b + 1]), targets[b : b + 1, : counts[b]]
        if n:
            _, alone = recurra.ctc(x, labels)
            assert_same_bits(together[:n, b : b + 1], alone / 4)
        assert not together[n:, b].any()


def test_labels_that_do_not_fit():
    """Too many, or repeated ones without room for the blank between them: infinite, or left out when asked."""
    torch = pytest.importorskip("torch")
    logits = np.random.default_rng(0).standard_normal((3, 4, 4))
    targets = np.array([[1, 1, 2], [1, 2, 3], [2, 2, 0], [1, 0, 0]])
    lengths, counts = np.array([3, 3, 3, 2]), np.array([3, 3, 2, 1])
    value, gradient = recurra.ctc(logits, targets, lengths, counts)
    assert value == math.inf
    assert np.isnan(gradient[:, 0]).all()
    assert np.isfinite(gradient[:, 1:]).all()
    expected = of_torch(torch, logits, targets, lengths, counts, zero_infinity=True)
    value, gradient = recurra.ctc(logits, targets, lengths, counts, zero_infinity=True)
    assert value == pytest.approx(expected[0], rel=1e-12)
    np.testing.assert_allclose(gradient, expected[1], atol=1e-13)
    none = recurra.ctc(logits, targets, np.array([0, 0, 0, 0]), np.array([0, 1, 0, 0]), zero_infinity=True)
    assert none[0] == 0
    assert not none[1].any()
    assert recurra.ctc(logits, targets, np.array([0, 3, 3, 3]), np.array([1, 1, 1, 1]))[0] == math.inf


@every_dtype
def test_nothing_overflows_or_underflows(dtype):
    """Logits of 1e4: probabilities of e^-10000 at every step of 400, far below the least of float64."""
    torch = pytest.importorskip("torch")
    logits, targets, lengths, counts = draw(400, 3, 6, 150, dtype=dtype, scale=1e4, seed=2)
    value, gradient = recurra.ctc(logits, targets, lengths, counts)
    assert math.isfinite(value)
    expected = of_torch(torch, logits.astype(np.float64), targets, lengths, counts)
    assert value == pytest.approx(expected[0], rel=1e-6)
    np.testing.assert_allclose(gradient, expected[1], atol=1e-6 if dtype == np.float32 else 1e-9)
    assert np.isnan(recurra.ctc(np.full((2, 1, 3), np.nan, dtype), [np.array([1])])[0])
    masked = np.zeros((4, 1, 3), dtype)
    masked[..., 2] = -math.inf  # a class that can't be
    value, gradient = recurra.ctc(masked, [np.array([1, 1])])
    assert value == pytest.approx(-math.log(5 / 16) / 2, rel=1e-6)
    assert np.isfinite(gradient).all()
    assert recurra.ctc(masked, [np.array([2])])[0] == math.inf
    masked[2, 0, 2] = 0  # or only at one step
    value, gradient = recurra.ctc(masked, [np.array([2])])
    assert value == pytest.approx(-math.log(1 / 24), rel=1e-6)
    assert np.isfinite(gradient).all()


def test_targets_in_a_list():
    logits, targets, lengths, counts = draw(9, 4, 5, 4, seed=1)
    rows = [row[:n].astype(np.uint8) for row, n in zip(targets, counts, strict=True)]
    for one, other in (
        (recurra.ctc(logits, rows, lengths), recurra.ctc(logits, targets, lengths, counts)),
        (recurra.ctc(logits, [np.zeros(0, int)] * 4), recurra.ctc(logits, np.zeros((4, 0), int))),
    ):
        assert one[0] == other[0]
        assert_same_bits(one[1], other[1])


@pytest.mark.parametrize(
    ("error", "name", "changed"),
    [
        (TypeError, "logits", {"logits": np.zeros((5, 2, 4), int)}),
        (ValueError, "logits", {"logits": np.zeros((5, 4))}),
        (ValueError, "logits", {"logits": np.zeros((0, 2, 4))}),
        (TypeError, "targets", {"targets": np.zeros((2, 3))}),
        (ValueError, "targets", {"targets": np.ones((3, 3), int)}),
        (ValueError, "targets", {"targets": np.ones(3, int)}),
        (ValueError, "targets", {"targets": np.full((2, 3), 4)}),
        (ValueError, "targets", {"targets": np.full((2, 3), -1)}),
        (ValueError, "targets", {"targets": np.zeros((2, 3), int)}),
        (ValueError, "targets", {"targets": np.full((2, 3), 2**64 - 1, np.uint64)}),
        (ValueError, "targets", {"targets": [np.ones(3, int)]}),
        (ValueError, r"targets\[1\]", {"targets": [np.ones(3, int), np.ones((3, 1), int)]}),
        (TypeError, r"targets\[0\]", {"targets": [[1.5], [2]]}),
        (ValueError, "targets", {"targets": [np.ones(1, int), np.array([1, 9])]}),
        (ValueError, "target_lengths", {"targets": [np.ones(3, int)] * 2, "target_lengths": np.array([3, 3])}),
        (ValueError, "target_lengths", {"target_lengths": np.array([4, 3])}),
        (ValueError, "target_lengths", {"target_lengths": np.array([3])}),
        (TypeError, "target_lengths", {"target_lengths": [3, 2.5]}),
        (ValueError, "lengths", {"lengths": np.array([6, 3])}),
        (ValueError, "blank", {"blank": 4}),
        (ValueError, "blank", {"blank": -1}),
        (TypeError, "blank", {"blank": 0.0}),
        (TypeError, "zero_infinity", {"zero_infinity": 1}),
        (TypeError, "batch_first", {"batch_first": 1}),
    ],
)
def test_errors(error, name, changed):
    arguments = {"logits": np.zeros((5, 2, 4)), "targets": np.ones((2, 3), int)} | changed
    with refused(error, name):
        recurra.ctc(**arguments)


# ---- Labels


@pytest.mark.parametrize("blank", [0, 2])
@pytest.mark.parametrize("T", [1, 4, 5])
def test_decoders_by_brute_force(T, blank):
    """Greedy reads the likeliest path; a beam that is wide enough finds the likeliest labels of all."""
    for seed in range(8):
        logits = np.random.default_rng(seed).standard_normal((T, 1, 3))
        read = dict(readings(T, 3, blank))
        (greedy,) = recurra.ctc_decode(logits, blank=blank)
        assert tuple(greedy) == read[tuple(logits[:, 0].argmax(-1))]
        sums = likelihoods(logits[:, 0], blank)
        (beam,) = recurra.ctc_decode(logits, blank=blank, beam_width=1000)
        assert tuple(beam) == max(sums, key=sums.get)


def test_a_beam_finds_what_greedy_does_not():
    """Blank is likeliest at each step (0.36), but the paths that read "1" are likelier together than two blanks."""
    logits = np.log(np.array([[[0.6, 0.4]], [[0.6, 0.4]]]))
    assert recurra.ctc_decode(logits)[0].tolist() == []
    assert recurra.ctc_decode(logits, beam_width=2)[0].tolist() == [1]


@pytest.mark.parametrize("beam_width", [None, 8])
def test_decoding_batches(beam_width):
    logits = np.random.default_rng(0).standard_normal((12, 4, 5)).astype(np.float32) * 3
    lengths = np.array([12, 0, 7, 1])
    logits[7:, 2] = np.nan
    decoded = recurra.ctc_decode(logits, lengths, beam_width=beam_width)
    first = recurra.ctc_decode(logits.swapaxes(0, 1), lengths, beam_width=beam_width, batch_first=True)
    alone = [recurra.ctc_decode(logits[:n, b], beam_width=beam_width)[0] for b, n in enumerate(lengths)]
    assert len(decoded[0]) > 3
    assert all(one.dtype == np.int64 for one in decoded)
    assert_same_bits(first, decoded)
    assert_same_bits(alone, decoded)


def test_errors_of_decoding():
    for error, name, changed in [
        (TypeError, "logits", {"logits": np.zeros((5, 2, 4), int)}),
        (ValueError, "logits", {"logits": np.zeros(4)}),
        (ValueError, "logits", {"logits": np.zeros((4, 2, 0))}),
        (ValueError, "logits", {"logits": np.full((4, 2, 2), np.nan)}),
        (ValueError, "lengths", {"lengths": np.array([6, 3])}),
        (ValueError, "lengths", {"logits": np.zeros((5, 4)), "lengths": np.array([5])}),
        (ValueError, "blank", {"blank": 4}),
        (ValueError, "beam_width", {"beam_width": 0}),
        (TypeError, "beam_width", {"beam_width": 1.5}),
    ]:
        with refused(error, name):
            recurra.ctc_decode(**{"logits": np.zeros((5, 2, 4))} | changed)


def test_fit_learns_labels_without_places():
    """Each label is a bump somewhere in the sequence; where, the network isn't told."""
    rng = np.random.default_rng(0)

    def make():
        labels = rng.integers(1, 4, rng.integers(1, 4))
        x = rng.standard_normal((len(labels) * 5 + 3, 3)).astype(np.float32) * 0.1
        for i, label in enumerate(labels):
            x[i * 5 + rng.integers(1, 4), label - 1] += 2
        return x, labels

    sequences, labels = zip(*(make() for _ in range(64)), strict=True)
    model = recurra.Sequential(recurra.GRU(3, 16, seed=0), recurra.Linear(16, 4, seed=1))
    data = recurra.batches(sequences, labels, 16, shuffle=True, group_by_length=True, aligned=False)
    recurra.fit(model, data, recurra.ctc, recurra.Adam(model, lr=0.03), epochs=40)
    read = [recurra.ctc_decode(model(x))[0].tolist() for x in sequences]
    assert np.mean([one == label.tolist() for one, label in zip(read, labels, strict=True)]) > 0.9
