"""Squared errors, norms, clipping and steps have no fused multiply-add, so every ISA gives the same bits."""

from __future__ import annotations

import functools
import operator
import os
import subprocess
import sys

import numpy as np
import pytest

import recurra
from configs import assert_same_bits

RUN = """
import sys
import numpy as np, recurra

arrays = {}
for dtype in (np.float32, np.float64):
    rng = np.random.default_rng(3)
    for columns in (1, 2, 3, 7, 8, 9, 17, 33, 100, 1001):
        name = f"{np.dtype(dtype)} {columns}"
        p, t = (rng.normal(0, 10, (9, columns)).astype(dtype) for _ in range(2))
        weights = rng.random(9) * (rng.random(9) < 0.7)
        for options in ({}, {"position_weights": weights}):
            value, gradient = recurra.mse(p, t, **options)
            arrays |= {f"{name} mse {len(options)}": np.array(value), f"{name} gradient {len(options)}": gradient}
        layers = [recurra.Linear(3, columns, dtype=dtype, seed=0), recurra.Embedding(7, columns, 2, dtype, seed=1)]
        for make in (recurra.Adam, recurra.AdamW, lambda layers: recurra.SGD(layers, 0.1, 0.9, True, 0.1)):
            optimizer = make(layers)
            for _ in range(3):
                for layer in layers:
                    for gradient in layer.grads.values():
                        gradient[...] = rng.normal(0, 1, gradient.shape)
                norm = recurra.clip_grad_norm(layers, 0.5)
                optimizer.step()
            for i, layer in enumerate(layers):
                kind = f"{name} {make.__name__} {i}"
                arrays |= {f"{kind} {key}": value for key, value in layer.state_dict().items()}
                arrays |= {f"{kind} grads {key}": value.copy() for key, value in layer.grads.items()}
            arrays |= {f"{name} {make.__name__} norm": np.array(norm)}
assert recurra.build_info()["isa"] == sys.argv[1]
np.savez(sys.argv[2], **arrays)
"""


def arrays_of(isa, folder):
    file = folder / f"{isa}.npz"
    result = subprocess.run(
        [sys.executable, "-c", RUN, isa, file],
        env={**os.environ, "RECURRA_ISA": isa},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    with np.load(file) as arrays:
        return dict(arrays)


def test_every_isa(tmp_path):
    isas = recurra.build_info()["isas_available"]
    if len(isas) < 2:
        pytest.skip("one build for this machine, not AVX2 and AVX-512")
    first, *others = (arrays_of(isa, tmp_path) for isa in isas)
    assert len(first) > 300
    for other in others:
        assert_same_bits(other, first)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 16, 17, 1003])
def test_the_chains(size, dtype):
    """The i-th square is added to chain i mod 8, and the chains are added up in order, in float64."""
    rng = np.random.default_rng(size)
    p, t = (rng.normal(0, 10, size).astype(dtype) for _ in range(2))

    def total(errors):
        chains = [0.0] * 8
        for i, error in enumerate(errors):
            chains[i % 8] += float(error) * float(error)
        return functools.reduce(operator.add, chains)  # sum() is compensated from Python 3.12 on

    assert recurra.mse(p, t)[0] == total(p - t) / size
    layer = recurra.Linear(1, size, bias=False, dtype=dtype, seed=0)
    layer.grads["weight"][:, 0] = p
    assert recurra.clip_grad_norm(layer, 1e9) == total(p) ** 0.5


@pytest.mark.parametrize("columns", [1, 3, 2**22 + 5])
def test_long_sums(columns):
    """Of several pieces, between which Ctrl-C is seen, the chains are the same; so they are with weights."""
    size = 2**23 + 13
    size -= size % columns
    rng = np.random.default_rng(0)
    p, t = rng.random(size, np.float32), np.zeros(size, np.float32)
    rows = size // columns
    weights = np.ones(rows)
    if columns < 4:
        weights[::5] = 0
        weights[1::5] = 2
    every = np.repeat(weights, columns)
    squares = (every * p.astype(np.float64) ** 2)[every > 0]
    chains = np.zeros(len(squares) + -len(squares) % 8)
    chains[: len(squares)] = squares
    chains = np.add.accumulate(chains.reshape(-1, 8), axis=0)[-1]
    expected = functools.reduce(operator.add, chains.tolist()) / every.sum()
    shape = (rows, columns)
    value, gradient = recurra.mse(p.reshape(shape), t.reshape(shape), position_weights=weights)
    assert value == expected
    assert np.array_equal(gradient.ravel() != 0, (every * p) != 0)
