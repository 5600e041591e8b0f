"""accuracy: shares by hand, what doesn't count, and errors."""

from __future__ import annotations

import numpy as np
import pytest

import recurra
from refused import refused


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_classes(dtype):
    rng = np.random.default_rng(0)
    logits, target = rng.standard_normal((6, 4, 5)).astype(dtype), rng.integers(0, 5, (6, 4))
    right = logits.argmax(-1) == target
    assert 0 < right.sum() < 24
    assert recurra.accuracy(logits, target) == right.mean()
    lengths = np.array([6, 2, 0, 5])
    within = np.arange(6)[:, None] < lengths
    assert recurra.accuracy(logits, target, lengths=lengths) == pytest.approx(right[within].mean())
    first = recurra.accuracy(logits.swapaxes(0, 1), target.T, lengths=lengths, batch_first=True)
    assert first == pytest.approx(right[within].mean())
    weights = rng.random((6, 4))
    assert recurra.accuracy(logits, target, position_weights=weights) == pytest.approx(np.average(right, None, weights))
    kept = target != 2
    assert recurra.accuracy(logits, target, ignore_index=2) == pytest.approx(right[kept].mean())
    assert recurra.accuracy(logits[0, 0], target[0, 0:1].reshape(())) == right[0, 0]
    assert np.isnan(recurra.accuracy(logits, np.full((6, 4), 2), ignore_index=2))
    assert np.isnan(recurra.accuracy(logits[:0], target[:0]))


def test_binary():
    logits, target = np.array([[1.0], [-1.0], [2.0], [0.0]]), np.array([[1.0], [1.0], [0.0], [0.0]])
    assert recurra.accuracy(logits, target) == 0.5
    assert recurra.accuracy(logits, target.astype(bool)) == 0.5
    assert recurra.accuracy(logits, target, position_weights=np.array([1, 0, 0, 1])) == 1


def test_errors():
    logits, target = np.zeros((3, 4)), np.zeros(3, int)
    for error, name, changed in [
        (TypeError, "prediction", {"prediction": logits.astype(int)}),
        (TypeError, "target", {"target": [0, 0, 0]}),
        (ValueError, "target", {"target": np.zeros((3, 4), int)}),
        (ValueError, "target", {"target": np.zeros(3)}),
        (ValueError, "target", {"prediction": np.zeros((3, 0))}),
        (TypeError, "ignore_index", {"ignore_index": 1.0}),
        (ValueError, "lengths", {"lengths": np.zeros(3, int)}),
    ]:
        with refused(error, name):
            recurra.accuracy(**{"prediction": logits, "target": target} | changed)
