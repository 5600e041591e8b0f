"""The model and the batches of two_processes, without what it imports."""

from __future__ import annotations

import numpy as np

import recurra


def whole():
    """4 batches of 5 sequences."""
    x = np.random.default_rng(0).standard_normal((4, 6, 5, 3))
    return x, np.cumsum(x[..., :1], axis=1)


def make():
    model = recurra.Sequential(
        recurra.LSTM(3, 8, seed=0, dtype=np.float64), recurra.Linear(8, 1, seed=1, dtype=np.float64)
    )
    return model, recurra.Adam(model, lr=0.3)
