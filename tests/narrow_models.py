"""Compressed layers for tests, and calls that go step by step."""

from __future__ import annotations

import numpy as np

from configs import CLASSES
from recurra import reference

KINDS = ("int8", "bfloat16", "float16")


def floats(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def make(cell, *sizes, seed=0, **options):
    """A layer of one of the five cells, with biases that say which is which."""
    kind, _, own = CLASSES[cell]
    return kind(*sizes, seed=seed, **own, **options)


def widened_twin(layer, original):
    """A copy of the original, of float32, with the numbers that a compressed layer's weights stand for."""
    options = {name: getattr(original, name) for name in original._options}
    twin = type(original)(**options, seed=1)
    twin.load_state_dict(reference.narrow.widened(layer.state_dict()))
    return twin


def parts_of(state):
    return state if isinstance(state, tuple) else (state,)


def one_or_tuple(parts):
    return parts[0] if len(parts) == 1 else tuple(parts)


def close(got, expected, tolerance=1e-6):
    """Within a tolerance of the largest, or of 1."""
    for a, b in zip(parts_of(got), parts_of(expected), strict=True):
        assert a.shape == b.shape
        assert np.abs(a - b).max(initial=0) <= tolerance * max(1, np.abs(b).max(initial=0))
