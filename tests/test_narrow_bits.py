"""Compressed layers give the same bits by any threads, plan, batch, chunk and instruction set."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import formula_runs
import recurra
from configs import CELLS, assert_same_bits, draw_config, make_data, make_layer
from narrow_models import KINDS, floats, one_or_tuple, outputs, parts_of
from recurra import _core
from test_bits import INFO, draw_plan

every_kind = pytest.mark.parametrize("weights", KINDS)
WITH_FMA = [isa for isa in INFO["isas_available"] if isa != "baseline"]


def draw_cases(weights, count, seed, **fixed):
    """Configurations of all cells, arguments of a call and a compressed layer."""
    rng = np.random.default_rng([KINDS.index(weights), seed])
    for cell in CELLS * count:
        config = draw_config(rng, cell=cell, dtype=np.float32, **fixed)
        data = make_data(config, rng)
        hx = None if data.h0 is None else data.h0 if data.c0 is None else (data.h0, data.c0)
        yield rng, config, data, hx, recurra.compress(make_layer(config, data.params), weights)


@every_kind
def test_every_plan(weights):
    ran = set()
    for rng, config, data, hx, layer in draw_cases(weights, 2, seed=0):
        x = config.layout(data.x)
        expected = layer(x, hx, lengths=data.lengths)
        for _ in range(5):
            layer._plan = draw_plan(rng, config)
            assert_same_bits(layer(x, hx, lengths=data.lengths), expected, f"{config} by {layer._plan}")
            plan = _core.last_plan()
            ran |= {(name, plan[name]) for name in ("fused", "threads", "split")}
    assert {("fused", 0), ("fused", 1), ("threads", 1)} <= ran
    if INFO["threading"] != "none":
        assert {("split", "unit"), ("split", "batch"), ("split", "direction"), ("threads", 2)} <= ran


@every_kind
def test_a_sequence_alone_and_in_chunks(weights):
    fixed = {"T": 13, "B": 5, "bidirectional": False, "lengths": False, "batch_first": False}
    for _, config, data, hx, layer in draw_cases(weights, 1, seed=1, **fixed):
        y, final = layer(data.x, hx)
        for b in range(config.B):
            own = None if hx is None else one_or_tuple([np.ascontiguousarray(s[:, b]) for s in parts_of(hx)])
            alone, state = layer(np.ascontiguousarray(data.x[:, b]), own)
            assert_same_bits(alone, np.ascontiguousarray(y[:, b]), str(config))
            for one, whole in zip(parts_of(state), parts_of(final), strict=True):
                assert_same_bits(one, np.ascontiguousarray(whole[:, b]))
        state, pieces = hx, []
        for begin, end in ((0, 1), (1, 2), (2, 7), (7, 7), (7, 13)):
            piece, state = layer(data.x[begin:end], state)
            pieces.append(piece)
        assert_same_bits(np.concatenate(pieces), y, str(config))
        assert_same_bits(state, final)


@pytest.mark.parametrize("name", formula_runs.FORMULAS)
def test_formulas(name):
    rng = np.random.default_rng(len(name))
    layer = recurra.compress(formula_runs.make_layer(formula_runs.FORMULAS[name], rng))
    call = formula_runs.draw_call(layer, rng, T=7, B=4, resets=0.2)
    expected = formula_runs.plain(layer, call)
    for plan in ({"threads": 2, "split": 1}, {"threads": 2, "split": 3}, {"fused": 0, "chunk": 2}, {"fused": 1}):
        assert_same_bits(formula_runs.plain(layer, call, plan=plan), expected, f"{name} by {plan}")


def test_linear_and_embedding_by_threads():
    linear = recurra.compress(recurra.Linear(300, 200, seed=0))
    embedding = recurra.compress(recurra.Embedding(50, 64, seed=0))
    x, tokens = floats(500, 300), np.random.default_rng(0).integers(0, 50, 3000)
    expected = linear(x), embedding(tokens)
    before = recurra.get_num_threads()
    try:
        for threads in (1, 2, 3):
            recurra.set_num_threads(threads)
            assert_same_bits((linear(x), embedding(tokens)), expected)
    finally:
        recurra.set_num_threads(before)
    assert_same_bits(np.stack([linear(row) for row in x[:7]]), expected[0][:7])


ISA_RUN = """
import sys
import numpy as np, recurra
from narrow_models import outputs

assert recurra.build_info()["isa"] == sys.argv[1]
np.savez(sys.argv[2], **outputs())
"""


def arrays_of(isa, folder):
    """`outputs` of a fresh process under RECURRA_ISA=isa."""
    if isa == INFO["isa"]:
        return outputs()
    file = folder / f"{isa}.npz"
    command = [sys.executable, "-c", ISA_RUN, isa, file]
    environment = {**os.environ, "RECURRA_ISA": isa}
    result = subprocess.run(
        command, cwd=Path(__file__).parent, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    with np.load(file) as arrays:
        return dict(arrays)


@pytest.mark.skipif(len(WITH_FMA) < 2, reason="this machine or build has no AVX-512 beside AVX2")
def test_instruction_sets(tmp_path):
    """One set of bits of all that have FMA. The plain build's activations are others by their last bits.

    Such a bit may round a state to the next of int8's 12 bits, 1/2047 away, which moves a sum by that times a weight.
    """
    first, *others = (arrays_of(isa, tmp_path) for isa in WITH_FMA)
    for other in others:
        assert_same_bits(other, first)
    assert sum(a.size for a in first.values()) > 50_000
    plain = arrays_of("baseline", tmp_path)
    off = {name: np.abs(plain[name] - a) / max(1, np.abs(a).max()) for name, a in first.items()}
    for name, difference in off.items():
        by_rounding = name.startswith("int8") and "linear" not in name
        assert difference.max() <= (1e-3 if by_rounding else 1e-6), name
        assert np.median(difference) <= 1e-6, name
