"""Threads: many Python threads on one layer, and what the kernels share out among their own."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

import calls
import recurra
from configs import CELLS, assert_same_bits, draw_config, make_data, make_layer
from recurra import _core

WORKERS = 8
THREADED = recurra.build_info()["threading"] != "none"


@contextmanager
def num_threads(n):
    before = recurra.get_num_threads()
    recurra.set_num_threads(n)
    try:
        yield
    finally:
        recurra.set_num_threads(before)


def in_threads(work, count=WORKERS):
    """work(i) in `count` threads that start together -> their results; the first error is raised."""
    together = threading.Barrier(count)

    def start(i):
        together.wait(timeout=60)
        return work(i)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(start, range(count)))


def fixed_case(cell, seed=0, **options):
    rng = np.random.default_rng([CELLS.index(cell), seed])
    sizes = {"input_size": 13, "hidden_size": 37, "num_layers": 2, "bidirectional": True, "T": 12, "B": 9}
    fixed = sizes | {"bias": True, "batch_first": False, "lengths": True, "dtype": np.float32} | options
    config = draw_config(rng, cell=cell, **fixed)
    return config, make_data(config, rng)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_eight_threads_on_one_layer_get_the_serial_bits(cell, threads):
    """Forward and backward at once, each thread with an input, a tape and a dict of gradients of its own."""
    config, data = fixed_case(cell)
    cases = [data, *(make_data(config, np.random.default_rng(i)) for i in range(1, WORKERS))]
    layer = make_layer(config, data.params)
    with num_threads(1):
        serial = [calls.both(layer, config, case)[0] for case in cases]

    def work(i):
        return [calls.both(layer, config, cases[i])[0] for _ in range(10)]

    with num_threads(threads):
        concurrent = in_threads(work)
    assert len(concurrent) == WORKERS
    assert len({results["y"].tobytes() for results in serial}) == WORKERS  # different work
    for i, runs in enumerate(concurrent):
        assert len(runs) == 10
        for results in runs:
            assert_same_bits(results, serial[i], f"thread {i}")
    assert all(not gradient.any() for gradient in layer.grads.values())


def test_backward_from_one_retained_tape_in_eight_threads():
    config, data = fixed_case("lstm")
    layer = make_layer(config, data.params)
    _, tape, _ = calls.forward(layer, config, data)
    serial, _ = calls.backward(layer, config, data, tape, retain=True)
    concurrent = in_threads(lambda _: calls.backward(layer, config, data, tape, retain=True)[0])
    for results in concurrent:
        assert_same_bits(results, serial)


@pytest.mark.parametrize("cell", CELLS)
def test_a_call_sees_the_weights_before_or_after_a_change_but_no_mixture(cell):
    config, old = fixed_case(cell, lengths=False)
    new = make_data(config, np.random.default_rng(1)).params
    layer = make_layer(config, old.params)
    x = config.layout(old.x)
    y_old, _ = layer(x)
    layer.load_state_dict(new)
    y_new, _ = layer(x)
    possible = {y_old.tobytes(), y_new.tobytes()}
    assert len(possible) == 2
    done = threading.Event()

    def work(i):
        if i == 0:
            for k in range(200):
                layer.load_state_dict(new if k % 2 else old.params)
            done.set()
            return []
        seen = []
        while not done.is_set():
            seen.append(layer(x)[0].tobytes())
        return seen

    seen = [y for ys in in_threads(work, 4) for y in ys]
    assert seen
    mixtures = set(seen) - possible
    assert len(mixtures) == 0
    assert layer(x)[0].tobytes() == y_new.tobytes()  # the last change is the one that holds


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("split", "code"), [("batch", 1), ("direction", 2), ("unit", 3)])
def test_the_split_asked_for_runs(cell, split, code):
    """And gives the bits of one thread. Without threads everything runs in one."""
    config, data = fixed_case(cell)
    layer = make_layer(config, data.params)
    serial, ran = calls.both(layer, config, data, plan={"threads": 1})
    assert {(r["threads"], r["split"]) for r in ran} == {(1, "none")}
    results, ran = calls.both(layer, config, data, plan={"threads": 2, "split": code})
    assert {(r["threads"], r["split"]) for r in ran} == {(2, split) if THREADED else (1, "none")}
    assert_same_bits(results, serial)


@pytest.mark.skipif(not THREADED, reason="this build has one thread, so there is nothing to choose")
def test_large_calls_are_shared_out_and_small_ones_are_not():
    rng = np.random.default_rng(0)
    large, small = recurra.LSTM(64, 64, seed=rng), recurra.LSTM(3, 5, seed=rng)
    with num_threads(2):
        large(rng.standard_normal((50, 64, 64), np.float32))
        assert (_core.last_plan()["threads"], _core.last_plan()["split"]) == (2, "batch")
        recurra.LSTM(64, 256, seed=rng)(rng.standard_normal((50, 1, 64), np.float32))
        assert (_core.last_plan()["threads"], _core.last_plan()["split"]) == (2, "unit")
        small(rng.standard_normal((4, 2, 3), np.float32))
        assert (_core.last_plan()["threads"], _core.last_plan()["split"]) == (1, "none")
    with num_threads(1):
        large(rng.standard_normal((50, 64, 64), np.float32))
        assert _core.last_plan()["threads"] == 1


def test_the_number_of_threads_is_set_for_all_python_threads():
    with num_threads(3):
        expected = 3 if THREADED else 1
        assert recurra.get_num_threads() == recurra.build_info()["threads"] == expected
        assert in_threads(lambda _: recurra.get_num_threads(), 2) == [expected] * 2


@pytest.mark.parametrize(
    ("value", "error"),
    [(0, ValueError), (-1, ValueError), (2**40, ValueError), (1.5, TypeError), ("2", TypeError), (None, TypeError)],
)
def test_a_wrong_number_of_threads_is_refused(value, error):
    before = recurra.get_num_threads()
    with pytest.raises(error, match=r"^n: expected"):
        recurra.set_num_threads(value)
    assert recurra.get_num_threads() == before


@pytest.mark.parametrize("make", [recurra.Adam, recurra.SGD])
def test_steps_of_one_optimizer_in_eight_threads_are_all_counted(make):
    layer = recurra.Linear(200, 200, seed=0)
    optimizer = make(layer, lr=1e-3)
    optimizer.step()  # makes the moments
    in_threads(lambda _: [optimizer.step() for _ in range(20)])
    assert optimizer.state_dict()["step"] == 1 + WORKERS * 20
