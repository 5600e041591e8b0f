"""Run by test_memory.py with failing_malloc.so preloaded: prints how often a thousand calls of a stream allocate."""

from __future__ import annotations

import ctypes

import numpy as np

import recurra

this = ctypes.PyDLL(None)
this.failing_malloc_arm.argtypes, this.failing_malloc_arm.restype = [ctypes.c_long], None
this.failing_malloc_left.restype = ctypes.c_long
F32, MOST = np.float32, 10**9


def allocations(calls, stream, *arguments, **named):
    """How many so many calls make, once a first one has been made."""
    stream(*arguments, **named)
    this.failing_malloc_arm(MOST)
    for _ in range(calls):
        stream(*arguments, **named)
    left = this.failing_malloc_left()
    this.failing_malloc_arm(0)
    print(MOST - left)


def model(*first, size=19):
    return recurra.Sequential(
        *first,
        recurra.LSTM(4, size, 2, seed=0),
        recurra.Tanh(),
        recurra.GRU(size, 17, reset_after=False, seed=0),
        recurra.cells.LayerNormLSTM(17, 5, seed=0),
        recurra.ReLU(),
        recurra.Linear(5, 7, seed=0),
    )


for batch in (1, 9):
    stream = recurra.Stream(model(), batch)
    x, out = np.ones((batch, 4), F32), np.zeros((batch, 7), F32)
    wide, turned = np.ones((batch, 8), F32)[:, ::2], np.zeros((7, batch), F32).T
    allocations(1000, stream, x, out=out)
    allocations(1000, stream, wide, turned)
    allocations(1000, stream, out[:, :4], out)
    reader = recurra.Stream(model(recurra.Embedding(5, 4, seed=0)), batch)
    allocations(1000, reader, np.ones(batch, np.int64), out)
    allocations(20, stream.many, np.ones((40, batch, 4), F32), np.zeros((40, batch, 7), F32))
    without_gil = recurra.Stream(model(size=260), batch)
    allocations(20, without_gil, x, out)
allocations(1000, recurra.Stream(recurra.GRU(1, 8, seed=0)), F32(0.5), np.zeros(8, F32))
allocations(1000, recurra.Stream(model(recurra.Embedding(5, 4, seed=0))), 3, np.zeros(7, F32))
