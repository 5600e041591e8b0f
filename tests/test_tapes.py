"""What forward keeps and backward makes of it: the tape's histories, what it owns, and where gradients go."""

from __future__ import annotations

import gc
import resource
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import calls
import recurra
from configs import CELLS, Config, assert_same_bits, has_cell_state, make_data, make_layer

SMALL = Config("lstm", 3, 5, 2, True, True, np.float32, False, True, True, T=7, B=4)
every_cell = pytest.mark.parametrize("cell", CELLS)
every_layout = pytest.mark.parametrize("batch_first", [False, True])


def as_list(state):
    return list(state) if isinstance(state, tuple) else [state]


class Case:
    """A layer, its data in its layout, and a tape of one call."""

    def __init__(self, cell, **changes):
        self.config = replace(SMALL, cell=cell, **changes)
        self.data = data = make_data(self.config, np.random.default_rng(CELLS.index(cell)))
        self.layer = make_layer(self.config, data.params)
        self.state = calls.as_state(self.config, data.h0, data.c0)
        self.dy, self.dstate = self.config.layout(data.dy), calls.as_state(self.config, data.dh_n, data.dc_n)
        self.y, self.final, self.tape = self.forward()

    def forward(self, **options):
        return self.layer.forward(self.config.layout(self.data.x), self.state, lengths=self.data.lengths, **options)

    def fresh(self, value=0):
        return {name: np.full_like(p, value) for name, p in self.layer.params.items()}

    def backward(self, *, tape=None, **options):
        """With gradients of y and the state -> dx, dstate and what was added to zeros."""
        grads = self.fresh()
        tape = self.tape if tape is None else tape
        return *self.layer.backward(tape, self.dy, self.dstate, grads=grads, **options), grads


def histories(tape):
    return [tape.outputs, *tape.states.values()]


def tracks_of(tape):
    return [track for history in histories(tape) for track in history]


@every_layout
@every_cell
def test_histories(cell, batch_first):
    """outputs[l] and states["c"][l] are h_t and c_t: as in networks of its first layers, zero on padding."""
    case = Case(cell, batch_first=batch_first, num_layers=3)
    config, data, tape = case.config, case.data, case.tape
    tracks = tracks_of(tape)
    assert len(tape.outputs) == 3
    assert list(tape.states) == (["c"] if has_cell_state(cell) else [])
    assert len(tracks) == (6 if has_cell_state(cell) else 3)
    assert_same_bits(tape.outputs[2], case.y)
    padding = config.layout(np.arange(config.T)[:, None] >= data.lengths)
    assert padding.any()
    for track in tracks:
        assert (track.shape, track.dtype) == (case.y.shape, np.float32)
        assert_same_bits(track[padding], np.zeros_like(track[padding]))
        assert track[~padding].any(-1).all()
    last = np.maximum(data.lengths, 1) - 1
    for history, final in zip(histories(tape), as_list(case.final), strict=True):
        for k, track in enumerate(history):
            h, real = config.layout(track), data.lengths > 0
            rows = np.arange(config.B)
            assert_same_bits(h[last, rows, :5][real], final[2 * k][real])
            assert_same_bits(h[0, rows, 5:][real], final[2 * k + 1][real])
    for depth in (1, 2):
        shallow = replace(config, num_layers=depth)
        params = {name: data.params[name] for name in shallow.shapes()}
        state = calls.as_state(config, *(None if s is None else s[: 2 * depth] for s in (data.h0, data.c0)))
        x = config.layout(data.x)
        *_, part = make_layer(shallow, params).forward(x, state, lengths=data.lengths)
        for shallow_tracks, tracks in zip(histories(part), histories(tape), strict=True):
            assert_same_bits(list(shallow_tracks), list(tracks)[:depth])


@every_cell
def test_histories_are_read_only(cell):
    """And if somebody has his way all the same, the tape has other memory for its own use."""
    case = Case(cell)
    expected = case.backward(retain=True)
    for track in tracks_of(case.tape):
        before = track.copy()
        with pytest.raises(ValueError, match="read-only"):
            track[0] = 1
        assert_same_bits(track, before)
        with suppress(ValueError):
            track.flags.writeable = True
            track[...] = 1
    assert_same_bits(case.backward(), expected)


@every_cell
def test_histories_are_sequences(cell):
    case = Case(cell)
    for history in histories(case.tape):
        assert_same_bits(history[np.int64(1)], history[1])
        assert_same_bits(list(history), [history[0], history[1]])
        for k in (2, 2**70):
            with pytest.raises((IndexError, TypeError)):
                history[k]
        with pytest.raises((TypeError, AttributeError)):
            history[0] = case.y


@every_cell
def test_histories_outlive_their_tape(cell):
    """An array from a tape stays what it was when the tape is used up and gone, whoever gets the memory then."""
    case = Case(cell)
    kept = tracks_of(case.tape)
    before = [track.copy() for track in kept]
    case.backward()
    del case.tape
    gc.collect()
    others = [Case(cell) for _ in range(20)]
    for other in others:
        other.backward()
    assert_same_bits(kept, before)


@every_layout
@every_cell
def test_a_tape_owns_what_it_holds(cell, batch_first):
    """Whatever is done to arguments and results after the call, the way back is the same."""
    case = Case(cell, batch_first=batch_first)
    x, data = case.config.layout(case.data.x).copy(), case.data
    *results, tape = case.layer.forward(x, case.state, lengths=data.lengths)
    outputs = [h.copy() for h in tape.outputs]
    expected = case.backward()
    for array in (x, data.h0, data.c0, data.lengths, results[0], *as_list(results[1])):
        if array is not None:
            array[...] = 1
    assert_same_bits(list(tape.outputs), outputs)
    assert_same_bits(case.backward(tape=tape), expected)


@every_cell
def test_retain(cell):
    case = Case(cell)
    first, *others = [case.backward(retain=True) for _ in range(3)] + [case.backward()]
    for again in others:
        assert_same_bits(again, first)
    with pytest.raises(RuntimeError, match=r"^tape: "):
        case.backward()
    assert_same_bits(case.backward(tape=case.forward()[2]), first)


@every_cell
def test_gradients_accumulate(cell):
    """Over calls in layer.grads, or in a dict given instead of them; zero_grad clears in place."""
    case = Case(cell)
    layer, held = case.layer, dict(case.layer.grads)
    *_, once = case.backward(retain=True)
    assert all(gradient.any() for gradient in once.values())
    for times in (1, 2, 3):
        layer.backward(case.tape, case.dy, case.dstate, retain=True)
        total = case.fresh()
        for _ in range(times):
            total = {name: total[name] + once[name] for name in once}
        assert_same_bits(dict(layer.grads), total)
    assert all(held[name] is layer.grads[name] or np.shares_memory(held[name], layer.grads[name]) for name in held)
    layer.zero_grad()
    assert_same_bits(held, case.fresh())
    given = case.fresh(value=2)
    layer.backward(case.tape, case.dy, case.dstate, grads=given, retain=True)
    assert_same_bits(given, {name: np.float32(2) + once[name] for name in once})
    assert_same_bits(dict(layer.grads), case.fresh())
    layer.grads["weight_hh_l0"][...] = 7  # a user may clip or scale them in place
    layer.backward(case.tape, case.dy, case.dstate)
    assert_same_bits(layer.grads["weight_hh_l0"], np.float32(7) + once["weight_hh_l0"])


@every_cell
def test_without_dx(cell):
    case = Case(cell)
    dx, dstate, grads = case.backward(retain=True)
    assert dx.shape == case.data.x.shape
    none, *rest = case.backward(need_dx=False)
    assert none is None
    assert_same_bits(tuple(rest), (dstate, grads))


@every_layout
@every_cell
def test_no_gradient_is_a_gradient_of_zeros(cell, batch_first):
    case = Case(cell, batch_first=batch_first)
    layer, tape = case.layer, case.tape
    dy, zeros = np.zeros_like(case.y), np.zeros_like(case.data.dh_n)

    def run(dy, dstate, **more):
        grads = case.fresh()
        return *layer.backward(tape, dy, dstate, grads=grads, retain=True, **more), grads

    none = (zeros, zeros) if has_cell_state(cell) else zeros
    assert_same_bits(run(None, None), run(dy, none))
    assert_same_bits(run(case.dy, None), run(case.dy, none))
    assert_same_bits(run(None, case.dstate), run(dy, case.dstate))
    assert_same_bits(run(None, None, doutputs={1: case.dy}), run(case.dy, None))
    assert_same_bits(run(case.dy, None, doutputs={}, dstates={}), run(case.dy, None))
    assert_same_bits(run(case.dy, None, doutputs={0: dy}), run(case.dy, None))
    assert_same_bits(run(case.dy, None, doutputs=None, dstates=None), run(case.dy, None))
    if has_cell_state(cell):
        dh, dc = case.dstate
        for given, full in (((dh, None), (dh, zeros)), ((None, dc), (zeros, dc)), ((None, None), none)):
            assert_same_bits(run(None, given), run(None, full))
        assert_same_bits(run(None, [dh, dc]), run(None, (dh, dc)))
        for given in ({}, None, {0: dy}):
            assert_same_bits(run(None, None, dstates={"c": given}), run(None, None))
    dx, _, grads = run(None, None)
    assert not dx.any()
    assert not any(gradient.any() for gradient in grads.values())


@every_cell
def test_padding_of_gradients_is_not_read(cell):
    """make_data leaves NaN there; whatever else it may be, the results are the same."""
    case = Case(cell)
    expected = case.backward(retain=True)
    padding = np.arange(case.config.T)[:, None] >= case.data.lengths
    assert np.isnan(case.dy[padding]).all()
    case.dy[padding] = np.inf
    assert_same_bits(case.backward(), expected)
    assert not expected[0][padding].any()
    assert all(np.isfinite(gradient).all() for gradient in expected[2].values())


def test_a_tape_may_outlive_its_layer():
    case = Case("lstm")
    outputs, tape = [h.copy() for h in case.tape.outputs], case.tape
    del case
    gc.collect()
    recurra.LSTM(64, 64, seed=0)
    assert_same_bits(list(tape.outputs), outputs)


def resident():
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize("kind", ["Linear", "Embedding"])
def test_a_consumed_tape_keeps_no_memory(kind):
    """64 MB of x, which malloc gives back to the system at once. (Of a recurrent layer's, a pool may keep blocks.)"""
    if kind == "Linear":
        layer, x = recurra.Linear(16, 1, seed=0), np.zeros((2**20, 16), np.float32)
    else:
        layer, x = recurra.Embedding(2, 1, seed=0), np.zeros(2**23, np.int8)
    dy, tape = layer.forward(x)
    layer.backward(tape, dy, need_dx=False, retain=True)  # what is kept for the next call, and what isn't
    before = resident()
    layer.backward(tape, dy, need_dx=False)
    assert before - resident() > 50 * 2**20
    with pytest.raises(RuntimeError, match=r"^tape: expected an unused one"):
        layer.backward(tape, dy)
