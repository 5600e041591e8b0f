"""Resets within sequences: bit for bit what comes of cutting the sequences there by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from configs import assert_same_bits, max_error
from networks import (
    CELLS,
    SHAPES,
    Spec,
    cut_by_hand,
    draw_call,
    draw_params,
    draw_spec,
    joined,
    plain,
    put_together,
    run,
)
from recurra import _core

every_cell = pytest.mark.parametrize("cell", CELLS)
CONFIGURATIONS = 12


def compare(spec, network, call):
    """The whole call against the one cut by hand; both ways, and without a tape."""
    cut, by_hand = cut_by_hand(spec, call)
    expected = put_together(spec, call, run(cut, network, by_hand))
    results = run(spec, network, call)
    assert results.keys() == expected.keys()
    for name, value in expected.items():
        summed = SHAPES.get(spec.cell, {}).get(name[1:]) == "row"  # over a sequence's segments, in whatever order
        if summed:
            assert max_error(results[name], value) <= (1e-5 if spec.dtype is np.float32 else 1e-13), name
        else:
            assert_same_bits(results[name], value, name)
    call.masks = by_hand.masks = None
    expected = put_together(spec, call, plain(network, by_hand))
    assert_same_bits(plain(network, call), expected)


@every_cell
def test_as_if_cut_by_hand(cell):
    rng = np.random.default_rng([CELLS.index(cell), 40])
    for _ in range(CONFIGURATIONS):
        spec = draw_spec(rng, cell)
        network = spec.make()
        draw_params(spec, network, rng)
        layered = [name for name in SHAPES.get(cell, ()) if rng.random() < 0.5]
        call = draw_call(
            spec,
            rng,
            layered=layered,
            initial=rng.random() < 0.7,
            masked=rng.random() < 0.5,
            resets=float(rng.choice((0.02, 0.2, 0.9))),
            lengths=rng.random() < 0.6,
        )
        threads = int(rng.integers(1, 3))
        call.plan = {"threads": threads, "split": int(rng.integers(0, 4)) if threads > 1 else 0}
        compare(spec, network, call)


@every_cell
def test_in_one_direction_from_the_end(cell):
    rng = np.random.default_rng([CELLS.index(cell), 41])
    spec = draw_spec(rng, cell, num_layers=2, directions=1, reverse=True, T=17, B=6)
    network = spec.make()
    draw_params(spec, network, rng)
    compare(spec, network, draw_call(spec, rng))


@every_cell
def test_deltas_of_a_block_at_a_time(cell):
    """Back-propagation that multiplies deltas before it has visited all rows changes no bit."""
    rng = np.random.default_rng([CELLS.index(cell), 42])
    for reverse in (False, True):
        spec = draw_spec(rng, cell, num_layers=2, directions=1, reverse=reverse, T=60, B=12)
        network = spec.make()
        draw_params(spec, network, rng)
        call = draw_call(spec, rng, resets=0.1)
        call.plan = {"threads": 1, "delta_blocks": 0}
        whole = run(spec, network, call)
        assert _core.last_plan()["delta_blocks"] == 0
        call.plan = {"threads": 1, "delta_blocks": 1}
        assert_same_bits(run(spec, network, call), whole)
        assert _core.last_plan()["delta_blocks"] == 1


@every_cell
def test_none_and_false_are_the_same(cell):
    rng = np.random.default_rng([CELLS.index(cell), 43])
    spec = draw_spec(rng, cell, num_layers=1, T=6, B=3)
    network = spec.make()
    draw_params(spec, network, rng)
    call = draw_call(spec, rng, resets=None, lengths=False)
    expected = run(spec, network, call)
    assert_same_bits(run(spec, network, replace(call, resets=np.zeros((6, 3), bool))), expected)
    late = np.zeros((6, 3), bool)
    late[4:] = True  # beyond the end
    short = replace(call, lengths=np.array([4, 3, 0]))
    assert_same_bits(run(spec, network, replace(short, resets=late)), run(spec, network, short))


@every_cell
def test_at_step_0_the_initial_state_is_dropped(cell):
    rng = np.random.default_rng([CELLS.index(cell), 44])
    spec = draw_spec(rng, cell, num_layers=1, directions=1, T=5, B=3)
    network = spec.make()
    draw_params(spec, network, rng)
    call = draw_call(spec, rng, resets=None, lengths=False)
    resets = np.zeros((5, 3), bool)
    resets[0, 1] = True
    results = run(spec, network, replace(call, resets=resets))
    initial = [s.copy() for s in call.initial]
    for s in initial:
        s[:, 1] = 0
    expected = run(spec, network, replace(call, initial=initial))
    for k in range(len(initial)):
        assert expected[f"dinitial_{k}"][:, 1].any()
        expected[f"dinitial_{k}"][:, 1] = 0
    assert_same_bits(results, expected)


def test_layouts():
    spec = Spec("lstm", T=7, B=3, dtype=np.float32)
    rng = np.random.default_rng(45)
    network = spec.make()
    draw_params(spec, network, rng)
    call = draw_call(spec, rng, masked=False, lengths=False)
    y, final, tape = network.forward(call.x, joined(call.initial), None, False, None, None, None, call.resets, None)
    for resets in (call.resets.T, np.ascontiguousarray(call.resets.T), np.asfortranarray(call.resets.T)):
        x = np.ascontiguousarray(call.x.swapaxes(0, 1))
        by_batch, same, other = network.forward(x, joined(call.initial), None, True, None, None, None, resets, None)
        assert_same_bits(np.ascontiguousarray(by_batch.swapaxes(0, 1)), y)
        assert_same_bits(same, final)
        for layer in range(2):
            track = np.ascontiguousarray(other.states["c"][layer].swapaxes(0, 1))
            assert_same_bits(track, tape.states["c"][layer])
    for b in range(3):
        state = tuple(s[:, b] for s in call.initial)
        alone, last = network.call(call.x[:, b], state, None, None, False, None, None, call.resets[:, b], None)
        assert_same_bits(alone, np.ascontiguousarray(y[:, b]))
        assert_same_bits(last, tuple(np.ascontiguousarray(s[:, b]) for s in final))


@pytest.mark.parametrize("table", [False, True], ids=["one-hot", "table"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "driven"])
def test_tokens(cell, table):
    rng = np.random.default_rng([CELLS.index(cell), 46])
    spec = Spec(cell, input_size=6, T=8, B=4, num_layers=2)
    network = spec.make()
    draw_params(spec, network, rng)
    rows = rng.standard_normal((9, 6)) if table else None
    call = draw_call(spec, rng)
    tokens = rng.integers(0, 9 if table else 6, (8, 4))

    def both(given):
        y, final, tape = network.forward(
            given.x, joined(given.initial), given.lengths, False, None, rows, given.inputs, given.resets, None
        )
        grads = {name: np.zeros_like(value) for name, value in network.parameters.views().items()}
        dx, _ = network.backward(tape, given.dy, joined(given.dfinal), None, None, None, True, grads, False, None)
        assert (dx is None) != table
        results = {"y": y} | {f"final_{k}": s for k, s in enumerate(final if isinstance(final, tuple) else [final])}
        return results, grads, dx

    call.x = tokens
    _, by_hand = cut_by_hand(spec, call)
    expected, grads, dx = both(by_hand)
    results, whole_grads, whole_dx = both(call)
    assert_same_bits(results, put_together(spec, call, expected))
    assert_same_bits((whole_grads, whole_dx), (grads, dx))


def test_wrong_ones():
    spec = Spec("lstm", T=7, B=3)
    network = spec.make()
    x = np.zeros((7, 3, 5))

    def call(resets, x=x, batch_first=False):
        network.call(x, None, None, None, batch_first, None, None, resets, None)

    for wrong in (np.zeros((3, 7), bool), np.zeros((7, 3, 1), bool), np.zeros(7, bool), np.array(True)):
        with pytest.raises(ValueError, match=r"^resets: expected \(T, B\) = \(7, 3\), got \("):
            call(wrong)
    with pytest.raises(ValueError, match=r"^resets: expected \(T,\) = \(7,\), got \(7, 1\)"):
        call(np.zeros((7, 1), bool), x[:, 0])
    with pytest.raises(ValueError, match=r"^resets: expected \(B, T\) = \(7, 3\), got \(3, 7\)"):
        call(np.zeros((3, 7), bool), batch_first=True)
    for dtype in (np.int8, np.float32, object):
        with pytest.raises(TypeError, match=r"^resets: expected bool, got \w+"):
            call(np.zeros((7, 3), dtype))
    for other in (True, "no"):
        with pytest.raises(TypeError, match=r"^resets: expected an array of bool, got "):
            call(other)
