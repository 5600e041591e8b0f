"""What test_workers lets worker processes do: it has to be in a module, so that fresh processes find it."""

from __future__ import annotations

import hashlib
import os

import numpy as np

import recurra


@recurra.formula(gates="f n")
def Unit(a, s):
    f = recurra.formula.sigmoid(a.f)
    return (1 - f) * s.h + f * recurra.formula.tanh(a.n(f * s.h))


def hashed(arrays):
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()


def trained(layer, x):
    """Everything that two steps of training lead to, as one text."""
    adam, results = recurra.Adam(layer, lr=0.01), []
    for _ in range(2):
        y, _, tape = layer.forward(x)
        adam.zero_grad()
        dx, _ = layer.backward(tape, y)
        adam.step()
        results += [y, dx, *layer.params.values()]
    return hashed(results)


def layers():
    yield recurra.LSTM(24, 48, num_layers=2, bidirectional=True, seed=0)
    yield recurra.GRU(24, 48, seed=1, dtype=np.float64)
    yield Unit(24, 48, seed=2)


def digest(number=0):
    """The bits of some layers' training on data of that number; large enough for two threads."""
    parts = []
    for layer in layers():
        x = np.random.default_rng(number).standard_normal((12, 32, 24)).astype(layer.dtype)
        parts.append(trained(layer, x))
    return "".join(parts)


def digest_and_process(number):
    return digest(number), os.getpid()
