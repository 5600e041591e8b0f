"""The same bits, whatever the schedule: threads, plans, memory, batch position, padding, chunks of time, ISA.

Each test says which path really ran, or it might compare one path with itself. The plain x86-64 build has no fused
multiply-add and so other bits than AVX2 and AVX-512, but within it all of this holds too.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import calls
import recurra
from configs import CELLS, assert_same_bits, draw_config, make_cell, make_data, make_layer
from recurra import _core

DTYPES = (np.float32, np.float64)
INFO = recurra.build_info()

every_cell = pytest.mark.parametrize("cell", CELLS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)


def draw_cases(cell, dtype, count, seed, **fixed):
    """`count` cases: configuration, data, layer; with dropout where there are layers for it."""
    rng = np.random.default_rng([CELLS.index(cell), np.dtype(dtype).itemsize, seed])
    for _ in range(count):
        config = draw_config(rng, cell=cell, dtype=dtype, **fixed)
        data = make_data(config, rng)
        yield rng, config, data, make_layer(config, data.params)


def draw_plan(rng, config):
    """A plan with some of its choices forced; the core makes the others."""
    choices = {
        "threads": (1, 2, 3, 4),
        "split": (0, 1, 2, 3),
        "fused": (0, 1),
        "chunk": (1, 2, 3, max(1, config.T - 1), config.T + 1),
        "alternate": (0, 1),
        "tile_rows": tuple(range(1, 9)),
    }
    return {name: int(rng.choice(values)) for name, values in choices.items() if rng.random() < 0.8}


def assert_ran(ran, plan):
    """What ran is what the plan asked for, as far as the shape and the build leave the choice."""
    assert ran["isa"] == INFO["isa"]
    for name in ("fused", "chunk", "alternate", "tile_rows"):
        if name in plan:
            assert ran[name] == plan[name], name
    assert ran["threads"] <= plan.get("threads", recurra.get_num_threads())
    assert (ran["split"] == "none") == (ran["threads"] == 1)


@every_dtype
@every_cell
def test_one_thread_two_and_four(cell, dtype):
    splits = Counter()
    for _, config, data, layer in draw_cases(cell, dtype, 8, seed=0, num_layers=2):
        layer.dropout = 0.3
        one, ran = calls.both(layer, config, data, plan={"threads": 1}, rng=1)
        assert [(r["threads"], r["split"]) for r in ran] == [(1, "none")] * 2
        for threads in (2, 4):
            for split in (1, 2, 3):
                results, ran = calls.both(layer, config, data, plan={"threads": threads, "split": split}, rng=1)
                assert_same_bits(results, one)
                splits.update((r["split"], r["threads"]) for r in ran)
    if INFO["threading"] != "none":
        assert splits["batch", 2]
        assert splits["batch", 4]
        assert splits["direction", 2]
        assert splits["unit", 2]
        assert splits["unit", 4]
    else:
        assert set(splits) == {("none", 1)}


@every_dtype
@every_cell
def test_every_plan(cell, dtype):
    seen = Counter()
    for rng, config, data, layer in draw_cases(cell, dtype, 10, seed=1):
        layer.dropout = 0.3 if config.num_layers > 1 else 0.0
        own, ran = calls.both(layer, config, data, rng=1)
        for r in ran:
            assert_ran(r, {})
        for _ in range(8):
            plan = draw_plan(rng, config)
            results, ran = calls.both(layer, config, data, plan=plan, rng=1)
            for r in ran:
                assert_ran(r, plan)
            assert_same_bits(results, own, f"{config} by {plan}")
            seen.update((name, value) for name, value in ran[0].items() if name != "chunk")
    assert all(seen["fused", n] and seen["alternate", n] for n in (0, 1))
    assert all(seen["tile_rows", n] for n in range(1, 9))


@every_dtype
@every_cell
def test_products_of_the_way_back_between_stretches(cell, dtype):
    """The deltas then lie in a ring, which long sequences and large batches go round several times."""
    seen = Counter()
    shapes = [(150, 3), (40, 33), (12, 100), (10, 127), (5, 131), (9, 64), (401, 1), (3, 300)]
    for k, (T, B) in enumerate(shapes):
        fixed = {"T": T, "B": B, "hidden_size": 1 + 13 * k, "lengths": k % 2 == 0, "bidirectional": False}
        for _, config, data, layer in draw_cases(cell, dtype, 1, seed=10 + k, **fixed):
            total = data.lengths.sum() if config.lengths else T * B
            expected, ran = calls.both(layer, config, data, plan={"threads": 1, "delta_blocks": 0}, rng=1)
            assert ran[1]["delta_blocks"] == 0
            for stretch in (1, 2, 3):
                results, ran = calls.both(layer, config, data, plan={"threads": 1, "delta_blocks": stretch}, rng=1)
                assert ran[1]["delta_blocks"] == min(stretch, max(1, total // 128))
                assert_same_bits(results, expected, f"{config}, {stretch} blocks")
                seen[stretch] += total > 256 * stretch
            calls.both(layer, config, data, plan={"threads": 2, "delta_blocks": 1}, rng=1)
            assert _core.last_plan()["delta_blocks"] == (_core.last_plan()["threads"] == 1)
    assert all(seen[stretch] for stretch in (1, 2, 3))


@every_dtype
@every_cell
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("shapes", [1, pytest.param(3, marks=pytest.mark.exhaustive)])
def test_weight_gradients_of_many_panels(cell, dtype, bias, shapes):
    """What met the weights is packed in groups of 512 float or 256 double columns: here in three to six, cut anywhere.

    190 rows are a block whose deltas are copied and one whose aren't. The three shapes are dealt to the cases in turn.
    """
    eps = float(np.finfo(dtype).eps)
    case = 4 * CELLS.index(cell) + 2 * DTYPES.index(dtype) + bias
    for k in [(case + n) % 3 for n in range(shapes)]:
        inputs, hidden = [(700, 70), (490, 150), (30, 300)][k]
        shape = {"input_size": inputs, "hidden_size": hidden, "T": 10, "B": 19, "lengths": False, "bias": bias}
        for _, config, data, layer in draw_cases(cell, dtype, 1, seed=30 + k, num_layers=1, **shape):
            one, _ = calls.both(layer, config, data, plan={"threads": 1})
            expected, _ = calls.of_reference(config, data)
            for name, value in expected.items():
                if not calls.is_forward(name) and "relu" not in cell:  # whose kinks the reference may see elsewhere
                    np.testing.assert_allclose(one[name], value, rtol=0, atol=200 * eps * max(1, np.abs(value).max()))
            for threads, split in ((2, 1), (3, 1), (2, 3)):
                results, _ = calls.both(layer, config, data, plan={"threads": threads, "split": split})
                assert_same_bits(results, one, f"{config} by {threads}")


def test_when_the_way_back_goes_in_stretches():
    """With one thread and one direction, once the deltas of all steps exceed any L2."""
    x = np.zeros((600, 64, 1), np.float32)
    for directions, threads, steps, stretch in ((1, 1, 600, 1), (1, 1, 2, 0), (2, 1, 600, 0), (1, 2, 600, 0)):
        layer = recurra.LSTM(1, 32, bidirectional=directions == 2, seed=0)
        layer._plan = {"threads": threads}
        y, _, tape = layer.forward(x[:steps])
        layer.backward(tape, y)
        ran = _core.last_plan()
        assert ran["delta_blocks"] == (stretch if ran["threads"] == threads else 1)


def sliced(array):
    """Every other element along every axis of something larger."""
    larger = np.full([2 * n for n in array.shape], np.nan, array.dtype)
    view = larger[tuple(slice(None, None, 2) for _ in array.shape)]
    view[...] = array
    return view


def spaced(array):
    """Rows of something longer: the last axis contiguous, the others not."""
    larger = np.full([*(n + 2 for n in array.shape[:-1]), array.shape[-1] + 5], np.nan, array.dtype)
    view = larger[tuple(slice(1, 1 + n) for n in array.shape)]
    view[...] = array
    return view


def backwards(array):
    """Time and batch run down in memory."""
    return np.ascontiguousarray(array[::-1, ::-1])[::-1, ::-1]


def shifted(array, by_bytes=None):
    """Contiguous, but one element (or some bytes) into its memory, so aligned to no vector."""
    by_bytes = array.itemsize if by_bytes is None else by_bytes
    memory = np.empty(array.nbytes + by_bytes, np.uint8)[by_bytes:]
    view = memory[: array.nbytes].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def misaligned(array):
    return shifted(array, by_bytes=1)


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


LAYOUTS = (sliced, spaced, backwards, shifted, misaligned, np.asfortranarray, read_only)


@pytest.mark.parametrize("batch_first", [False, True])
@every_dtype
@every_cell
def test_every_memory_layout(cell, dtype, batch_first):
    for _, config, data, layer in draw_cases(cell, dtype, 3, seed=2, state=True, batch_first=batch_first):
        time_major = replace(config, batch_first=False)
        expected, _ = calls.both(make_layer(time_major, data.params), time_major, data)
        for memory in LAYOUTS:
            results, _ = calls.both(layer, config, data, memory=memory)
            assert_same_bits(results, expected, f"{memory.__name__} in {config}")
            if memory is not read_only:
                out = memory(np.full_like(config.layout(expected["y"]), np.nan))
                plain = calls.plain(layer, config, data, out=out)
                assert_same_bits(plain, {name: expected[name] for name in plain}, f"{memory.__name__} out")


@every_dtype
@every_cell
def test_twice_is_once(cell, dtype):
    """From one tape, from another, from a layer of its own; and the plain call, which keeps no tape."""
    for _, config, data, layer in draw_cases(cell, dtype, 6, seed=3):
        first, tape, _ = calls.forward(layer, config, data)
        once, _ = calls.backward(layer, config, data, tape, retain=True)
        twice, _ = calls.backward(layer, config, data, tape)
        assert_same_bits(twice, once)
        again, _ = calls.both(make_layer(config, data.params), config, data)
        assert_same_bits(again, first | once)
        plain = calls.plain(layer, config, data)
        assert_same_bits(plain, {name: first[name] for name in plain})


def per_row(results):
    """Outputs, states and what reaches x and the states, each (…, B, …): all but the weights' gradients."""
    return {name: a for name, a in results.items() if calls.is_forward(name) or name in {"dx", "dh0", "dc0"}}


def cut(config, data, rows=slice(None), steps=slice(None), lengths=None):
    """Some rows and steps of a case, as a case of its own."""

    def state(a):
        return None if a is None else np.ascontiguousarray(a[:, rows])

    def track(a):
        return np.ascontiguousarray(a[steps, rows])

    part = replace(
        data,
        x=track(data.x),
        lengths=lengths,
        h0=state(data.h0),
        c0=state(data.c0),
        dy=track(data.dy),
        dh_n=state(data.dh_n),
        dc_n=state(data.dc_n),
        doutputs={k: track(d) for k, d in data.doutputs.items()},
        dstates={name: {k: track(d) for k, d in ds.items()} for name, ds in data.dstates.items()},
    )
    T, B, _ = part.x.shape
    return replace(config, T=T, B=B, lengths=lengths is not None), part


@every_dtype
@every_cell
def test_a_row_of_a_batch_is_that_row_alone(cell, dtype):
    """With its padding, without it, and whatever stands in other rows."""
    for _, config, data, layer in draw_cases(cell, dtype, 3, seed=4, T=9, B=33, lengths=True):
        data.x[:, 5] = np.nan
        data.dy[:, 6] = np.inf
        together, ran = calls.both(layer, config, data, plan={"threads": 1, "tile_rows": 8})
        assert {r["tile_rows"] for r in ran} == {8}
        compared = 0
        for i in {*range(33)} - {5, 6}:
            rows, length = slice(i, i + 1), int(data.lengths[i])
            padded, _ = calls.both(layer, *cut(config, data, rows, lengths=data.lengths[rows]))
            alone, _ = calls.both(layer, *cut(config, data, rows, slice(length)))
            for name, value in per_row(together).items():
                row = np.ascontiguousarray(value[:, rows])
                assert np.isfinite(row).all(), name
                assert_same_bits(padded[name], row, name)
                of_time = name.startswith(("y", "outputs", "c_0", "c_1", "c_2", "dx"))
                assert_same_bits(alone[name], row[:length] if of_time else row, name)
                assert not (of_time and row[length:].any())
                compared += row.size
        assert compared > 1000


@every_dtype
@every_cell
def test_a_sequence_in_chunks_with_its_state_handed_over_is_the_whole(cell, dtype):
    """Forward, and going back with the gradient of the state; in one direction only."""
    for rng, config, data, layer in draw_cases(cell, dtype, 4, seed=5, T=23, B=5, bidirectional=False, lengths=False):
        whole, _ = calls.both(layer, config, data)
        ends = [0, *sorted(rng.choice(np.arange(1, 23), 3, replace=False).tolist()), 23]
        forward, tapes, parts = [], [], []
        h, c = data.h0, data.c0
        for begin, end in pairwise(ends):
            part_config, part = cut(config, data, steps=slice(begin, end))
            part = replace(part, h0=h, c0=c)
            results, tape, _ = calls.forward(layer, part_config, part)
            h, c = results["h_n"], results.get("c_n")
            forward.append(results)
            tapes.append(tape)
            parts.append((part_config, part))
        dh, dc, dx = data.dh_n, data.dc_n, []
        for tape, (part_config, part) in zip(reversed(tapes), reversed(parts), strict=True):
            results, _ = calls.backward(layer, part_config, replace(part, dh_n=dh, dc_n=dc), tape)
            dh, dc = results["dh0"], results.get("dc0")
            dx.insert(0, results["dx"])
        joined = {name: np.concatenate([f[name] for f in forward]) for name in forward[0]}
        joined |= calls.named({}, h_n=h, c_n=c, dx=np.concatenate(dx), dh0=dh, dc0=dc)
        assert_same_bits(joined, per_row(whole))
        assert len(joined["y"]) == 23


@every_dtype
@every_cell
def test_single_steps_of_a_cell_are_the_layer(cell, dtype):
    fixed = {"T": 7, "B": 6, "num_layers": 1, "bidirectional": False, "lengths": False, "state": True}
    for _, config, data, layer in draw_cases(cell, dtype, 4, seed=6, **fixed):
        expected, _, _ = calls.forward(layer, config, data)
        single = make_cell(cell, config.input_size, config.hidden_size, bias=config.bias, dtype=dtype)
        single.load_state_dict({name.removesuffix("_l0"): value for name, value in data.params.items()})
        h, c = data.h0[0], None if data.c0 is None else data.c0[0]
        steps = []
        for x in data.x:
            state = single(x, calls.as_state(config, h, c))
            h, c = state if config.has_cell_state else (state, None)
            steps.append((h, c))
        assert_same_bits(np.stack([h for h, _ in steps]), expected["y"])
        assert_same_bits(h, expected["h_n"][0])
        if config.has_cell_state:
            assert_same_bits(np.stack([c for _, c in steps]), expected["c_0"])


ISA_RUN = """
import sys
import calls, numpy as np, recurra
from configs import CELLS, draw_config, make_data, make_layer

arrays = {}
for dtype in (np.float32, np.float64):
    rng = np.random.default_rng(7)
    for cell in CELLS * 6:
        config = draw_config(rng, cell=cell, dtype=dtype)
        data = make_data(config, rng)
        results, ran = calls.both(make_layer(config, data.params), config, data)
        assert {r["isa"] for r in ran} == {sys.argv[1]}
        arrays |= {f"{config} {name}": a for name, a in results.items()}
    for columns in (1, 5, 16, 31, 100):
        x = rng.normal(0, 10, (3, columns)).astype(dtype)
        arrays |= {f"softmax {columns} {x.dtype}": recurra.softmax(x)}
        arrays |= {f"cross entropy {columns} {x.dtype}": recurra.cross_entropy(x, np.zeros(3, int))[1]}
np.savez(sys.argv[2], **arrays)
"""


def arrays_of(isa, folder):
    """All results of a fixed set of configurations, by a fresh process under RECURRA_ISA=isa."""
    environment = {**os.environ, "RECURRA_ISA": isa}
    file = folder / f"{isa}.npz"
    command = [sys.executable, "-c", ISA_RUN, isa, file]
    result = subprocess.run(
        command, cwd=Path(__file__).parent, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    with np.load(file) as arrays:
        return dict(arrays)


@pytest.mark.skipif("avx512" not in INFO["isas_available"], reason="this machine or build has no AVX-512")
def test_avx2_and_avx512(tmp_path):
    avx2, avx512 = arrays_of("avx2", tmp_path), arrays_of("avx512", tmp_path)
    assert len(avx2) > 60 * 9
    assert sum(a.size for a in avx2.values()) > 1_000_000
    assert_same_bits(avx512, avx2)
