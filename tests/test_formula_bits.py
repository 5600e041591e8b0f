"""The same bits of any formula's layers: threads, plans, memory, batch position, padding, chunks of time, ISA."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from formula_runs import FORMULAS, cut, draw_call, is_of_rows, is_of_steps, make_layer, plain, run

INFO = recurra.build_info()
NAMES = tuple(FORMULAS)
every_formula = pytest.mark.parametrize("name", NAMES)
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


def of_kind(results, start):
    return {name: value for name, value in results.items() if name.startswith(start)}


@every_dtype
@every_formula
def test_a_sequence_of_a_batch_is_that_sequence_alone(name, dtype):
    """With its padding and without it; the latter of the parameters' gradients too."""
    rng = np.random.default_rng([NAMES.index(name), 0])
    layer = make_layer(FORMULAS[name], rng, dtype=dtype)
    call = draw_call(layer, rng, T=7, B=11)
    together, _ = run(layer, call)
    for b, length in enumerate(call.lengths.tolist()):
        one = slice(b, b + 1)
        padded, _ = run(layer, cut(layer, call, one, lengths=call.lengths[one]))
        trimmed, _ = run(layer, cut(layer, call, one, slice(length)))
        for key, value in together.items():
            if key.startswith("grad "):
                assert_same_bits(trimmed[key], padded[key], key)
                continue
            row = np.ascontiguousarray(value[one] if is_of_rows(layer, key) else value[:, one])
            assert np.isfinite(row).all(), key
            assert_same_bits(padded[key], row, key)
            if is_of_steps(layer, key):
                assert not row[length:].any(), key
                row = row[:length]
            assert_same_bits(trimmed[key], row, key)


PLANS = [
    *({"threads": threads, "split": split} for threads in (1, 2, 3) for split in (0, 1, 2, 3)),
    *({"fused": fused, "chunk": chunk, "alternate": fused} for fused in (0, 1) for chunk in (1, 2, 50)),
    *({"tile_rows": rows, "depth_block": 1 + 3 * rows} for rows in range(1, 9)),
    *({"threads": 1, "delta_blocks": blocks} for blocks in (0, 1, 2)),
]


@every_dtype
@every_formula
def test_every_plan(name, dtype):
    rng = np.random.default_rng([NAMES.index(name), 1])
    splits = Counter()
    for both in (True, False):
        layer = make_layer(FORMULAS[name], rng, dtype=dtype, bidirectional=both)
        call = draw_call(layer, rng, T=24, B=13, resets=0.1)
        expected, ran = run(layer, call, plan={"threads": 1})
        assert {r["threads"] for r in ran} == {1}
        untaped = {key: value for key, value in expected.items() if key == "y" or key.startswith("final ")}
        plans = [PLANS[i] for i in rng.choice(len(PLANS), 8, replace=False)] + PLANS[5:8]
        for plan in plans:
            results, ran = run(layer, call, plan=plan)
            assert_same_bits(results, expected, f"{layer} by {plan}")
            assert_same_bits(plain(layer, call, plan=plan), untaped, f"{layer} by {plan}")
            for r in ran:
                for choice in ("fused", "chunk", "alternate", "tile_rows", "depth_block"):
                    assert choice not in plan or r[choice] == plan[choice]
            splits.update(r["split"] for r in ran)
    if INFO["threading"] != "none":
        assert splits["batch"]
        assert splits["unit"]
        assert splits["direction"] or layer.formula.reads_input_itself


@every_dtype
@every_formula
def test_sequences_in_two_calls_are_in_one(name, dtype):
    """Forward with the state handed on, and back with its gradient; of stacks of layers as well."""
    rng = np.random.default_rng([NAMES.index(name), 2])
    layer = make_layer(FORMULAS[name], rng, dtype=dtype, bidirectional=False)
    call = draw_call(layer, rng, T=9, B=5, lengths=False, resets=0.1)
    whole, _ = run(layer, call)
    states = layer.formula.states
    ends = [0, 3, 4, 9]
    pieces, hx = [], call.hx
    for begin, end in pairwise(ends):
        piece = cut(layer, call, steps=slice(begin, end))
        piece.hx = hx
        hx = [plain(layer, piece)[f"final {state}"] for state in states]
        pieces.append(piece)
    results, dfinal = [], call.dfinal
    for piece in reversed(pieces):
        piece.dfinal = dfinal
        results.insert(0, run(layer, piece)[0])
        dfinal = [results[0][f"dhx {state}"] for state in states]
    for key, value in whole.items():
        if is_of_steps(layer, key):
            assert_same_bits(np.concatenate([r[key] for r in results]), value, key)
        elif key.startswith("final "):
            assert_same_bits(results[-1][key], value, key)
        elif key.startswith("dhx "):
            assert_same_bits(results[0][key], value, key)
        else:  # sums over steps, which begin anew
            total = sum(r[key] for r in results)
            tolerance = (2e-4 if dtype == np.float32 else 1e-11) * max(1, np.abs(value).max(initial=0))
            np.testing.assert_allclose(total, value, rtol=0, atol=tolerance, err_msg=key)


@every_dtype
@every_formula
def test_memory_and_tapes(name, dtype):
    """A strided `out`, other strides of all arguments, and no tape, which keeps fewer values."""
    rng = np.random.default_rng([NAMES.index(name), 3])
    layer = make_layer(FORMULAS[name], rng, dtype=dtype)
    call = draw_call(layer, rng, T=6, B=9)
    expected, _ = run(layer, call)
    untaped = {key: value for key, value in expected.items() if key == "y" or key.startswith("final ")}
    assert_same_bits(plain(layer, call), untaped)
    larger = np.full([2 * n + 3 for n in expected["y"].shape], np.nan, dtype)
    out = larger[tuple(slice(1, 1 + 2 * n, 2) for n in expected["y"].shape)]
    assert_same_bits(plain(layer, call, out=out), untaped)
    assert np.isnan(larger).sum() == larger.size - out.size

    def strided(array):
        memory = np.full([2 * n for n in array.shape], np.nan, array.dtype)
        view = memory[tuple(slice(None, None, 2) for _ in array.shape)]
        view[...] = array
        return view

    call.x, call.dy = strided(call.x), strided(call.dy)
    call.hx, call.dfinal = [strided(s) for s in call.hx], [np.asfortranarray(s) for s in call.dfinal]
    call.dstates = {key: {k: strided(d) for k, d in ds.items()} for key, ds in call.dstates.items()}
    contiguous = call.inputs
    for memory in (strided, np.asfortranarray):
        call.inputs = {key: memory(value) for key, value in contiguous.items()}
        assert_same_bits(plain(layer, call), untaped)
    call.inputs = {key: np.ascontiguousarray(value) for key, value in contiguous.items()}
    assert_same_bits(run(layer, call)[0], expected)


ISA_RUN = """
import sys
import numpy as np
from formula_runs import FORMULAS, draw_call, make_layer, run

arrays = {}
for dtype in (np.float32, np.float64):
    for number, (name, formula) in enumerate(FORMULAS.items()):
        rng = np.random.default_rng([number, 4])
        layer = make_layer(formula, rng, dtype=dtype)
        results, ran = run(layer, draw_call(layer, rng, T=6, B=9))
        assert {r["isa"] for r in ran} == {sys.argv[1]}
        arrays |= {f"{name} {dtype.__name__} {key}": value for key, value in results.items()}
np.savez(sys.argv[2], **arrays)
"""


def arrays_of(isa, folder):
    """All results by a fresh process under RECURRA_ISA=isa."""
    file = folder / f"{isa}.npz"
    command = [sys.executable, "-c", ISA_RUN, isa, file]
    environment = {**os.environ, "RECURRA_ISA": isa}
    result = subprocess.run(
        command, cwd=Path(__file__).parent, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    with np.load(file) as arrays:
        return dict(arrays)


@pytest.mark.skipif("avx512" not in INFO["isas_available"], reason="this machine or build has no AVX-512")
def test_avx2_and_avx512(tmp_path):
    avx2, avx512 = arrays_of("avx2", tmp_path), arrays_of("avx512", tmp_path)
    assert sum(key.endswith("64 y") for key in avx2) == len(FORMULAS)
    assert_same_bits(avx512, avx2)
