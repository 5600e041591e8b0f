"""RNNCell, LSTMCell and GRUCell: a layer of one step, with the time axis and the suffixes of the names left out."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import recurra
from configs import CELLS, CLASSES, Config, assert_same_bits, has_cell_state, make_cell, make_data, make_layer
from refused import of_wrong_shape, of_wrong_type, refused

I, H, B = 3, 17, 6  # noqa: E741
every_cell = pytest.mark.parametrize("cell", CELLS)
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)


class Case:
    """A cell, right arguments of its calls, a tape, and the layer that should give the same."""

    def __init__(self, cell, dtype=np.float32, bias=True, B=B):
        self.has_cell_state = has_cell_state(cell)
        config = Config(cell, I, H, 1, False, bias, dtype, False, False, True, T=1, B=B)
        self.data = data = make_data(config, np.random.default_rng(CELLS.index(cell)))
        self.layer, self.cell = make_layer(config, data.params), make_cell(cell, I, H, dtype=dtype, bias=bias)
        self.cell.load_state_dict({name.removesuffix("_l0"): value for name, value in data.params.items()})
        self.x, self.h, self.dh = data.x[0], data.h0[0], data.dh_n[0]
        self.c, self.dc = (data.c0[0], data.dc_n[0]) if self.has_cell_state else (None, None)
        self.state, self.dstate = self.join(self.h, self.c), self.join(self.dh, self.dc)
        _, self.tape = self.cell.forward(self.x, self.state)

    def join(self, h, c):
        return (h, c) if self.has_cell_state else h

    def backward(self, tape=None, *, cell=None, **options):
        cell = self.cell if cell is None else cell
        grads = {name: np.zeros_like(value) for name, value in cell.params.items()}
        tape = self.tape if tape is None else tape
        return *cell.backward(tape, options.pop("dstate", self.dstate), grads=grads, **options), grads


def first(state):
    """Of states (1, B, H) those (B, H)."""
    return tuple(s[0] for s in state) if isinstance(state, tuple) else state[0]


@pytest.mark.parametrize("rows", [0, 1, B])
@pytest.mark.parametrize("bias", [True, False])
@every_dtype
@every_cell
def test_a_cell_is_a_layer_of_one_step(cell, dtype, bias, rows):
    case = Case(cell, dtype, bias, B=rows)
    y, final, tape = case.layer.forward(case.data.x, case.join(case.data.h0, case.data.c0))
    state, of_cell = case.cell.forward(case.x, case.state)
    assert_same_bits(case.cell(case.x, case.state), state)
    assert_same_bits(state, first(final))
    assert_same_bits(state[0] if case.has_cell_state else state, y[0])
    grads = {name: np.zeros_like(value) for name, value in case.layer.params.items()}
    dx, dstate = case.layer.backward(tape, None, case.join(case.data.dh_n, case.data.dc_n), grads=grads)
    expected = dx[0], first(dstate), {name.removesuffix("_l0"): value for name, value in grads.items()}
    assert_same_bits(case.backward(of_cell), expected)


@every_dtype
@every_cell
def test_shapes_and_no_batch(cell, dtype):
    case = Case(cell, dtype)
    state, tape = case.cell.forward(case.x, case.state)
    dx, dstate, _ = case.backward(tape)
    one, alone = case.cell.forward(case.x[2], case.join(case.h[2], None if case.c is None else case.c[2]))
    d_alone = case.cell.backward(alone, case.join(case.dh[2], None if case.dc is None else case.dc[2]))
    for batched, single in ((state, one), (dstate, d_alone[1])):
        pairs = zip(batched, single, strict=True) if case.has_cell_state else [(batched, single)]
        for a, b in pairs:
            assert (a.shape, b.shape) == ((B, H), (H,))
            assert_same_bits(b, a[2].copy())
    assert dx.shape == (B, I)
    assert_same_bits(d_alone[0], dx[2].copy())


@every_cell
def test_options_of_calls(cell):
    """No state is zeros, no gradient is zeros; retain, need_dx, grads, and layer.grads, which add up."""
    case = Case(cell)
    zeros = np.zeros_like(case.h)
    full = case.join(zeros, zeros)
    assert_same_bits(case.cell(case.x), case.cell(case.x, full))
    expected = case.backward(retain=True)
    assert_same_bits(case.backward(retain=True, dstate=None), case.backward(retain=True, dstate=full))
    none, *rest = case.backward(retain=True, need_dx=False)
    assert none is None
    assert_same_bits(tuple(rest), expected[1:])
    if case.has_cell_state:
        h_alone = case.cell(case.x, (case.h, None)), case.cell(case.x, (None, case.c))
        assert_same_bits(h_alone, (case.cell(case.x, (case.h, zeros)), case.cell(case.x, (zeros, case.c))))
        of_c = case.backward(retain=True, dstate=(None, case.dc))
        assert_same_bits(of_c, case.backward(retain=True, dstate=(zeros, case.dc)))
    for times in (1, 2):
        case.cell.backward(case.tape, case.dstate, retain=times == 1)
        assert_same_bits(dict(case.cell.grads), {name: value * times for name, value in expected[2].items()})
    with pytest.raises(RuntimeError, match=r"^tape: "):
        case.backward()
    case.cell.zero_grad()
    assert not any(gradient.any() for gradient in case.cell.grads.values())


@every_cell
def test_a_tape_owns_what_it_holds(cell):
    case = Case(cell)
    expected = case.backward(retain=True)
    state, tape = case.cell.forward(case.x, case.state)
    for array in (case.x, case.h, *((case.c, *state) if case.has_cell_state else (state,))):
        array[...] = 5
    assert_same_bits(case.backward(tape), expected)


@every_cell
def test_memory_layouts(cell):
    case = Case(cell)
    expected = case.cell(case.x, case.state), case.backward(retain=True)

    def spread(array):
        larger = np.full((2 * array.shape[0], 3 * array.shape[1]), np.nan, array.dtype)
        larger[::2, ::-3] = array
        return larger[::2, ::-3]

    state = case.join(spread(case.h), spread(case.c) if case.has_cell_state else None)
    dstate = case.join(spread(case.dh), spread(case.dc) if case.has_cell_state else None)
    assert_same_bits(case.cell(spread(case.x), state), expected[0])
    _, tape = case.cell.forward(np.asfortranarray(case.x), state)
    assert_same_bits(case.backward(tape, dstate=dstate), expected[1])


@every_cell
def test_errors(cell):
    """In the form of all errors; nothing is changed, and the tape serves as before."""
    case = Case(cell)
    expected = case.backward(retain=True)
    watched = dict(case.cell.params), dict(case.cell.grads), case.x, case.h

    def refuses(error, name, call, form=r": expected .*got"):
        with refused(error, name, *watched, form=form):
            call()
        assert_same_bits(case.backward(retain=True), expected)

    arguments = {"x": (case.x, "x"), "h": (case.h, "(hx|h0|h)"), "c": (case.c, "(hx|c0|c)")}
    for argument, (right, name) in arguments.items():
        if right is None:
            continue
        wrong = [(TypeError, value) for value in of_wrong_type(right)]
        wrong += [(ValueError, value) for value in of_wrong_shape(right)]
        for error, value in wrong:
            if argument == "x" and error is ValueError and value.shape[-1] == I and value.ndim < 3:
                continue
            given = {"x": case.x, "h": case.h, "c": case.c} | {argument: value}
            for call in (case.cell, case.cell.forward):
                refuses(error, name, lambda given=given, call=call: call(given["x"], case.join(given["h"], given["c"])))
    for argument, right in (("h", case.dh), ("c", case.dc)):
        wrong = [] if right is None else [(TypeError, value) for value in of_wrong_type(right)]
        wrong += [] if right is None else [(ValueError, value) for value in of_wrong_shape(right)]
        for error, value in wrong:
            given = case.join(value, case.dc) if argument == "h" else (case.dh, value)
            refuses(error, f"(dstate|d{argument}(_n)?)", lambda given=given: case.backward(dstate=given, retain=True))
    wrong = [case.h, (case.h,), (case.h, case.h, case.h)] if case.has_cell_state else [(case.h, case.h), [case.h]]
    for value in wrong:
        refuses(TypeError, "(hx|h0|h)", lambda value=value: case.cell(case.x, value))
        refuses(TypeError, "(dstate|dh_n|dh)", lambda value=value: case.backward(dstate=value))
    refuses(ValueError, "(hx|h0|h)", lambda: case.cell(case.x[0], case.state))  # states of a batch, x of none
    refuses(TypeError, "tape", lambda: case.cell.backward(None, case.dstate))
    other = Case(cell)
    refuses(RuntimeError, "tape", lambda: case.backward(other.tape), form=": ")
    *_, of_layer = case.layer.forward(case.data.x)
    refuses((RuntimeError, TypeError), "tape", lambda: case.backward(of_layer), form=": ")
    case.cell.load_state_dict(case.cell.params)
    with refused(RuntimeError, "tape", *watched, form=": "):
        case.backward()


# ---- Weights shared with a layer


def stack(cell, **options):
    kind, _, own = CLASSES[cell]
    return kind(I, H, num_layers=3, seed=0, **own, **options)


def cells_of(layer):
    kind = next(cell for of, cell, _ in CLASSES.values() if type(layer) is of)
    directions = (False, True) if layer.bidirectional else (False,)
    return [[kind.from_layer(layer, i, reverse=reverse) for reverse in directions] for i in range(layer.num_layers)]


def through_cells(cells, x):
    """A stack of one direction or both, step by step; the tapes and h of each."""
    tapes = []
    for directions in cells:
        parts = []
        for reverse, cell in enumerate(directions):
            state, hs, kept = None, [], []
            for x_t in x[::-1] if reverse else x:
                state, tape = cell.forward(x_t, state)
                hs.append(state[0] if isinstance(state, tuple) else state)
                kept.append(tape)
            tapes.append((cell, kept))
            parts.append(np.array(hs[::-1] if reverse else hs))
        x = np.concatenate(parts, axis=-1)
    return x, tapes


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("bias", [True, False])
@every_dtype
@every_cell
def test_cells_of_a_layer_have_its_weights(cell, dtype, bias, bidirectional):
    """Step by step the layer's bits; the same memory, whoever is loaded or trained; gradients in the same arrays."""
    layer = stack(cell, dtype=dtype, bias=bias, bidirectional=bidirectional)
    cells = cells_of(layer)
    x = np.random.default_rng(1).standard_normal((4, B, I)).astype(dtype)
    assert_same_bits(through_cells(cells, x)[0], layer(x)[0])
    for i, directions in enumerate(cells):
        for reverse, one in enumerate(directions):
            suffix = f"_l{i}" + "_reverse" * reverse
            assert list(one.params) == [n.removesuffix(suffix) for n in layer.params if n.endswith(suffix)]
            for name in one.params:
                assert np.shares_memory(one.params[name], layer.params[name + suffix])
                assert one.grads[name] is layer.grads[name + suffix]
            assert_same_bits(one.state_dict(), {n: v.copy() for n, v in one.params.items()})

    before = layer.state_dict()
    last = cells[-1][-1]
    last.load_state_dict({name: value + 1 for name, value in last.state_dict().items()})
    changed = "_l2" + "_reverse" * bidirectional
    for name, value in layer.params.items():
        assert np.array_equal(value, before[name] + (1 if name.endswith(changed) else 0))
    assert_same_bits(through_cells(cells, x)[0], layer(x)[0])
    optimizer = recurra.SGD(last, lr=0.1)
    for gradient in layer.grads.values():
        gradient[...] = 1
    optimizer.step()
    assert_same_bits(through_cells(cells, x)[0], layer(x)[0])
    last.zero_grad()
    assert not any(gradient.any() for gradient in layer.grads.values())


@pytest.mark.parametrize("bidirectional", [False, True])
@every_dtype
@every_cell
def test_the_gradients_of_shared_cells_are_the_layers(cell, dtype, bidirectional):
    """Of the whole stack by hand, to rounding; each cell adds to its own and leaves the others' alone."""
    layer = stack(cell, dtype=dtype, bidirectional=bidirectional)
    x = np.random.default_rng(1).standard_normal((4, B, I)).astype(dtype)
    dy = np.random.default_rng(2).standard_normal(layer(x)[0].shape).astype(dtype)
    _, _, tape = layer.forward(x)
    expected = {name: np.zeros_like(value) for name, value in layer.params.items()}
    expected_dx, _ = layer.backward(tape, dy, grads=expected)
    _, tapes = through_cells(cells_of(layer), x)
    grads = {name: np.full_like(value, 3) for name, value in layer.params.items()}
    for name, value in layer.grads.items():
        value[...] = grads[name]
    width = 1 + bidirectional
    d = dy
    for at in range(len(tapes), 0, -width):
        below = 0
        parts = np.split(d, width, axis=-1)
        for reverse, (one, kept) in enumerate(tapes[at - width : at]):
            dstate, dxs = None, []
            steps = parts[reverse] if reverse else parts[reverse][::-1]
            for dh, step in zip(steps, kept[::-1], strict=True):
                own = tuple(one.grads.values())
                others = [v.copy() for v in layer.grads.values() if not any(v is g for g in own)]
                total = dh if dstate is None else dh + (dstate[0] if has_cell_state(cell) else dstate)
                dx_t, dstate = one.backward(
                    step, (total, None if dstate is None else dstate[1]) if has_cell_state(cell) else total
                )
                dxs.append(dx_t)
                assert_same_bits(others, [v for v in layer.grads.values() if not any(v is g for g in own)])
            below = below + np.array(dxs if reverse else dxs[::-1])
        d = below
    tolerance = 1e-4 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(d, expected_dx, rtol=tolerance, atol=tolerance)
    for name, value in layer.grads.items():
        np.testing.assert_allclose(value - 3, expected[name], rtol=tolerance, atol=tolerance)


def test_options_and_tapes_of_shared_cells():
    layer = stack("lstm", bidirectional=True)
    first, second = (recurra.LSTMCell.from_layer(layer, i) for i in range(2))
    reverse = recurra.LSTMCell.from_layer(layer, 1, reverse=True)
    assert (repr(first), repr(second)) == (f"LSTMCell({I}, {H})", f"LSTMCell({2 * H}, {H})")
    assert first.leaves() == [layer]
    x = np.ones((B, 2 * H), np.float32)
    _, tape = second.forward(x, (np.ones((B, H), np.float32), None))
    layer_tape = layer.forward(np.ones((1, B, I), np.float32))[2]
    dh = np.ones((B, H), np.float32)
    for wrong, of in ((tape, reverse), (tape, first), (layer_tape, first)):
        with refused(RuntimeError, "tape", dict(layer.grads), form=": "):
            of.backward(wrong, (dh, None))
    with refused(RuntimeError, "tape", dict(layer.grads), form=": "):
        layer.backward(tape, None)
    own = {name: np.zeros_like(value) for name, value in second.params.items()}
    before = copy.deepcopy(layer.grads)
    second.backward(tape, (dh, None), grads=own, retain=True)
    assert all(value.any() for value in own.values())
    assert_same_bits(layer.grads, before)
    second.backward(tape, (dh, None))
    assert_same_bits({name: layer.grads[name + "_l1"] for name in own}, own)
    with refused(ValueError, "grads", dict(layer.grads)):
        second.backward(second.forward(x)[1], (dh, None), grads=dict(layer.grads))
    with refused(ValueError, "(state_dict|weight_ih)", dict(layer.params)):
        second.load_state_dict(first.state_dict())
    with refused(ValueError, "state_dict", dict(layer.params)):
        second.load_state_dict(layer.state_dict())
    assert recurra.Adam([layer, first]).layers == [layer]


def test_copies_of_shared_cells():
    """Together with its layer a cell goes on sharing; alone, it takes a copy of the layer along."""
    layer = stack("gru")
    cell = recurra.GRUCell.from_layer(layer, 1)
    x = np.ones((B, H), np.float32)
    for how in (copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))):
        twin_layer, twin = how((layer, cell))
        assert_same_bits(twin(x), cell(x))
        assert np.shares_memory(twin.params["weight_hh"], twin_layer.params["weight_hh_l1"])
        assert not np.shares_memory(twin.params["weight_hh"], layer.params["weight_hh_l1"])
        twin_layer.load_state_dict({name: value * 2 for name, value in twin_layer.state_dict().items()})
        assert not np.array_equal(twin(x), cell(x))
        assert_same_bits(how(cell)(x), cell(x))
    same = copy.copy(cell)
    assert np.shares_memory(same.params["weight_hh"], cell.params["weight_hh"])


def test_errors_of_from_layer():
    lstm = recurra.LSTM(I, H, num_layers=2)
    for wrong in (recurra.GRU(I, H), recurra.LSTMCell(I, H), None, recurra.LSTM):
        with refused(TypeError, "recurrent"):
            recurra.LSTMCell.from_layer(wrong)
    for wrong in (2, -1):
        with refused(ValueError, "layer"):
            recurra.LSTMCell.from_layer(lstm, wrong)
    for wrong in ("0", 0.0, True):
        with refused(TypeError, "layer"):
            recurra.LSTMCell.from_layer(lstm, wrong)
    with refused(ValueError, "reverse"):
        recurra.LSTMCell.from_layer(lstm, reverse=True)
    with refused(TypeError, "reverse"):
        recurra.LSTMCell.from_layer(lstm, reverse=1)
