"""Formulas, cells, networks and layers that are made and dropped leave no memory behind."""

from __future__ import annotations

import gc
import resource
from pathlib import Path

import numpy as np
import pytest

import recurra
from recurra import _core
from recurra.formula import Formula, mean, sigmoid, tanh

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")


def cell(a, s, u, x):
    v = a.g(sigmoid(a.f) * s.h)
    return tanh(v - mean(v)) + u.p * x.noise, s.c + v


DECLARED = {"gates": "f g", "states": "h c", "units": {"p": 0.0}, "inputs": "noise"}
FORMULA = Formula(cell, **DECLARED)
CODE, CONSTANTS = FORMULA.program.encode()
NAMES = FORMULA.core.names
X, NOISE = np.ones((3, 2, 4), np.float32), {"noise": np.ones((3, 2, 5), np.float32)}


def formula():
    Formula(cell, **DECLARED).core  # noqa: B018 (compiled when it is first asked for)


def layer_class():
    recurra.formula(**DECLARED)(cell)(4, 5, seed=0)


def core_cell():
    _core.Cell(CODE, CONSTANTS, NAMES)


def refused_cell():
    with pytest.raises(ValueError, match="code"):
        _core.Cell(CODE[:-1], CONSTANTS, NAMES)


def network():
    _core.Network32(FORMULA.core, 4, 5, 2, 2, True, False, None)


def training():
    """With tapes that serve, and one that nobody uses."""
    made = _core.Network32(FORMULA.core, 4, 5, 1, 1, True, False, None)
    for use in (True, False):
        y, _, tape = made.forward(X, None, None, False, None, None, NOISE, None, None)
        if use:
            grads = {name: np.zeros_like(value) for name, value in made.parameters.views().items()}
            made.backward(tape, y, None, None, None, None, True, grads, False, None)


def resident():
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def growth(make, count):
    """Bytes that this process has more after making it so often, once it has been made often enough to be warm."""
    for _ in range(count // 4):
        make()
    gc.collect()
    before = resident()
    for _ in range(count):
        make()
    gc.collect()
    return resident() - before


COUNTS = {formula: 200, layer_class: 100, core_cell: 4000, refused_cell: 4000, network: 4000, training: 2000}
each = pytest.mark.parametrize("make", COUNTS, ids=lambda make: make.__name__)


@each
def test_nothing_is_left(make):
    """The smallest thing to leak once each would be some hundred bytes; a page or a few come and go."""
    assert growth(make, COUNTS[make]) < max(100 * COUNTS[make], 300_000)


@pytest.mark.exhaustive
@each
def test_nothing_is_left_of_many(make):
    assert growth(make, 50 * COUNTS[make]) < 300_000
