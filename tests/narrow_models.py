"""What the tests of compressed layers share: layers, data, and what a fixed set of them gives."""

from __future__ import annotations

import numpy as np

import recurra
from configs import CELLS, CLASSES
from recurra import reference

KINDS = ("int8", "bfloat16", "float16")
TOKENS = np.random.default_rng(0).integers(0, 30, (9, 4))


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


def language_model():
    return recurra.Sequential(
        recurra.Embedding(30, 12, seed=0), recurra.GRU(12, 40, seed=1), recurra.Linear(40, 30, seed=2)
    )


def outputs():
    """What a fixed set of compressed layers gives, by name."""
    arrays = {}
    for weights in KINDS:
        for cell in CELLS:
            for seed, (inputs, hidden, batch) in enumerate([(3, 5, 1), (17, 33, 4), (64, 64, 9), (130, 100, 2)]):
                layer = recurra.compress(make(cell, inputs, hidden, seed=seed, bidirectional=True), weights)
                arrays[f"{weights} {cell} {seed}"] = layer(floats(9, batch, inputs, seed=seed))[0]
        layer = recurra.compress(recurra.cells.LayerNormGRU(9, 20, seed=0), weights)
        arrays[f"{weights} formula"] = layer(floats(9, 2, 9))[0]
        layer = recurra.compress(recurra.Linear(9001, 21, seed=0), weights)
        arrays[f"{weights} linear"] = layer(floats(5, 9001))
    return arrays
