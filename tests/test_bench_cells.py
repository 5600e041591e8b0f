"""Cells that are raced as formulas: answers and gradients of all, rows of the race, and what it says of them."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

from configs import assert_same_bits, max_error
from recurra.bench.cells.numpy_cells import CELL_LAYERS, NumpyCells
from recurra.bench.cells.problem import FORMULAS, CellSpec
from recurra.bench.contestants import OWN_CELLS, Entry, Source
from recurra.bench.problem import TOLERANCE, Shape, difference
from recurra.bench.race import OURS, Result
from recurra.bench.worker import Desk, Worker

SHAPE = Shape(2, 3, 5, 8)
DTYPES = ("float32", "float64")


def compare():
    """benchmarks/compare.py, which is no part of a package."""
    path = Path(__file__).parents[1] / "benchmarks" / "compare.py"
    if "compare" not in sys.modules:
        spec = spec_from_file_location("compare", path)
        sys.modules["compare"] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules["compare"])
    return sys.modules["compare"]


# ---- The problem


@pytest.mark.parametrize("cell", FORMULAS)
def test_weights_and_operations(cell):
    """Gains are about 1, everything else about 0; products are those of every weight."""
    spec, (batch, steps, inputs, hidden) = CellSpec(cell, False, SHAPE), SHAPE
    weights = spec.weights()
    assert_same_bits(spec.weights(), weights)
    assert {value.dtype for value in weights.values()} == {np.dtype("float32")}
    for name, value in weights.items():
        about = float(name.startswith("gain"))
        if (cell, name) == ("mingru", "bias_ih_l0"):
            about = np.repeat([0.0, 4.0], hidden)
        assert 0 < np.abs(value - about).max() <= hidden**-0.5 + 1e-6, name
    assert weights["weight_ih_l0"].shape == (spec.gates * hidden, inputs)
    products = sum(2 * steps * batch * value.size for name, value in weights.items() if "weight" in name)
    assert (spec.flops, replace(spec, training=True).flops) == (products, 3 * products)


@pytest.mark.parametrize("cell", FORMULAS)
def test_joining_units_can_be_undone(cell):
    declared, weights = FORMULAS[cell], CellSpec(cell, False, SHAPE).weights()
    joined = declared.join(weights)
    assert sum(value.size for value in joined.values()) == sum(value.size for value in weights.values())
    assert {name: value.shape for name, value in joined.items()} == declared.joined_shapes(5, 8)
    assert_same_bits(dict(sorted(declared.split(joined).items())), dict(sorted(weights.items())))
    assert declared.split({"y": weights["bias_ih_l0"]}).keys() == {"y"}


# ---- NumPy's cells and the other contestants


@pytest.mark.parametrize("sizes", [(1, 1, 1, 4), (2, 5, 3, 4), (3, 9, 7, 12)], ids=str)
@pytest.mark.parametrize("cell", FORMULAS)
def test_gradients_by_hand_are_central_differences(cell, sizes):
    """Of a few values of each array, in float64."""
    spec = CellSpec(cell, True, Shape(*sizes), "float64")
    weights, (x, dy) = spec.weights(), spec.data()
    answers = NumpyCells(1).prepare(spec, weights, spec.data()).answers()

    def loss():
        entry = NumpyCells(1).prepare(replace(spec, training=False), weights, type(spec.data())(x, dy))
        return float(np.vdot(entry.answers()["y"], dy))

    rng, step = np.random.default_rng(0), 1e-5
    for name, array in ({"dx": x} | weights).items():
        for at in rng.choice(array.size, min(3, array.size), replace=False):
            was = array.flat[at]
            array.flat[at] = was + step
            above = loss()
            array.flat[at] = was - step
            below = loss()
            array.flat[at] = was
            assert answers[name].flat[at] == pytest.approx((above - below) / (2 * step), rel=1e-6, abs=1e-7), name


@pytest.mark.parametrize("cell", FORMULAS)
def test_numpy_cells_once_more(cell):
    """In the same buffers, with other weights and the first again; what is kept changes no bit."""
    spec = CellSpec(cell, True, SHAPE)
    weights, (x, dy) = FORMULAS[cell].join(spec.weights()), spec.data()

    def results(layer, scale):
        layer.load({name: value * np.float32(scale) for name, value in weights.items()})
        inferred = layer.infer(x).copy(), *(state.copy() for state in layer.state)
        assert_same_bits((layer.forward(x).copy(), *(state.copy() for state in layer.state)), inferred)
        return [*inferred, layer.backward(x, dy).copy(), *(grad.copy() for grad in layer.grads.values())]

    layer = CELL_LAYERS[cell](weights, 3, 2)
    first, second, third = (results(layer, scale) for scale in (1, 0.5, 1))
    assert_same_bits(third, first)
    assert_same_bits(results(CELL_LAYERS[cell](weights, 3, 2), 0.5), second)
    assert max_error(first[0], second[0]) > 1e-3


@pytest.mark.parametrize("name", [name for name in OWN_CELLS if name != "NumPy"])
def test_contestants_compute_the_same(name):
    """In their processes, as in a race: every row's answers, and that calls can be timed."""
    if missing := OWN_CELLS[name].missing:
        pytest.skip(f"needs {', '.join(missing)}")
    worker = Worker(f"{name} cells", 1)
    try:
        for cell in FORMULAS:
            for training, dtype in ((False, "float32"), (True, "float32"), (True, "float64")):
                spec = CellSpec(cell, training, SHAPE, dtype)
                weights = spec.weights()
                expected = NumpyCells(1).prepare(spec, weights, spec.data()).answers()
                assert len(expected) == 1 + len(spec.states) + training * (1 + len(weights))
                assert difference(worker.prepare(spec), expected) <= TOLERANCE[dtype] / 10, spec
                assert worker.ready() > 0
                assert worker.calls_in(1e-5)[0] >= 1
                assert worker.time(2) > 0
    finally:
        worker.close()


# ---- The race


def test_getting_ready_is_timed():
    """With the first answers."""

    class Slow:
        version = "1"

        def prepare(self, *_):
            time.sleep(0.02)
            return Entry(lambda: None, lambda: time.sleep(0.01) or {})

    desk = Desk(Slow())
    desk.prepare(CellSpec("leaky", False, SHAPE))
    assert 0.03 <= desk.ready() < 10
    assert 0.01 <= desk.pace < desk.ready()


def test_rows_of_the_race():
    """Five cells, both modes, four shapes; and no other part has any of these cells."""
    specs, everything = compare().specs, ["lstm", *FORMULAS]
    rows = list(specs("cells", everything, [False, True]))
    assert len(rows) == len(set(rows)) == 5 * 2 * 4
    assert {str(spec.shape) for spec in rows} == {"1x100x32x32", "1x100x128x128", "16x50x128x128", "32x100x128x256"}
    assert [spec.cell for spec in specs("cells", ["lstm", "leaky"], [True])] == ["leaky"] * 4
    assert {spec.cell for kind in ("plain", "ragged", "step") for spec in specs(kind, everything, [False])} == {"lstm"}


def test_what_the_race_says_of_cells(capsys):
    """A line has each peer's ratio and what came before the first call; the end has the means over each peer."""

    class Ready:
        def __init__(self, seconds):
            self.ready = lambda: seconds

    module, records = compare(), []
    for training, jax in ((False, 2e-3), (True, 8e-3)):
        spec = CellSpec("slstm", training, SHAPE)
        result = Result(spec, seconds={OURS: [1e-3] * 3, "NumPy": [3e-3] * 3, "JAX": [jax] * 3})
        workers = {OURS: Ready(3e-3), "NumPy": Ready(1e-3), "PyTorch": Ready(1.0), "JAX": Ready(1 + jax)}
        before = module.before_first_call(workers, result)
        assert before == pytest.approx({OURS: 2e-3, "NumPy": 0, "JAX": 1})
        records.append({"kind": "cells", **result.record(), "before": before})
        line = module.line("cells", spec, result, records[-1])
        assert line.startswith(f"cells         1 slstm     {spec.mode:9} 2x3x5x8")
        assert line.endswith(
            f"(3.00 × NumPy, {jax * 1e3:.2f} × JAX; ms before the first call: recurra 2.0, NumPy 0.0, JAX 1000.0)"
        )
    module.summary({"rows": records})
    lines = capsys.readouterr().out.splitlines()
    assert "cells over JAX, 1 threads, both modes: geometric mean 4.00, least 2.00, 2 rows" in lines
    assert "cells over NumPy, 1 threads, training: geometric mean 3.00, least 3.00, 1 rows" in lines
    assert "JAX, ms before the first call of a cell: median 1000.0, most 1000.0" in lines


def test_its_processes_are_known():
    """By names beside those of the plain race, whose rows they don't take."""
    assert list(OWN_CELLS)[:2] == [OURS, "NumPy"]
    assert all(isinstance(source, Source) for source in OWN_CELLS.values())
    assert OWN_CELLS["NumPy"].load() is NumpyCells
