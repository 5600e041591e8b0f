"""functional.forward and backward: the reference's signatures and answers, the layers' bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import calls
import recurra
from configs import CELLS, assert_same_bits, draw_config, has_cell_state, make_data, make_layer, max_error, near_kink
from recurra import functional, reference
from refused import of_wrong_shape, of_wrong_type, refused
from test_answers import TOLERANCE

CONFIGURATIONS = 10  # of each cell in each dtype
every_cell = pytest.mark.parametrize("cell", CELLS)
every_dtype = pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: dtype.__name__)


def draw_case(rng, cell, dtype, **fixed):
    """A time-major configuration, its data, and masks for two in three networks of several layers."""
    while True:
        config = draw_config(rng, cell=cell, dtype=dtype, batch_first=False, **fixed)
        data, masks = make_data(config, rng), None
        if config.num_layers > 1 and rng.random() < 2 / 3:
            shape = (config.num_layers - 1, *data.dy.shape)
            masks = list((2.0 * rng.integers(0, 2, shape)).astype(dtype))
        if cell != "rnn_relu" or not near_kink(forward(reference, config, data.astype(np.float64), masks)[-1]):
            return config, data, masks


def forward(module, config, data, masks=None):
    shape = {"num_layers": config.num_layers, "bidirectional": config.bidirectional}
    state = calls.as_state(config, data.h0, data.c0)
    return module.forward(config.cell, data.x, data.params, state, **shape, lengths=data.lengths, masks=masks)


def backward(module, tape, data):
    dstate = data.dh_n if data.dc_n is None else (data.dh_n, data.dc_n)
    return module.backward(tape, data.dy, dstate, doutputs=data.doutputs, dstates=data.dstates)


def both(module, config, data, masks):
    """All results by name."""
    y, state, tape = forward(module, config, data, masks)
    dx, dstate, grads = backward(module, tape, data)
    (h_n, c_n), (dh0, dc0) = calls.as_parts(config, state), calls.as_parts(config, dstate)
    history = {"outputs": list(tape.outputs)} | {name: list(tracks) for name, tracks in tape.states.items()}
    return calls.named(history, y=y, h_n=h_n, c_n=c_n) | calls.named({}, dx=dx, dh0=dh0, dc0=dc0) | grads


@every_dtype
@every_cell
def test_answers_are_the_references(cell, dtype):
    rng = np.random.default_rng([CELLS.index(cell), np.dtype(dtype).itemsize, 20])
    masked = 0
    for _ in range(CONFIGURATIONS):
        config, data, masks = draw_case(rng, cell, dtype)
        expected = both(reference, config, data.astype(np.float64), masks)
        results = both(functional, config, data, masks)
        assert list(results) == list(expected)
        for name, value in expected.items():
            assert results[name].dtype == dtype
            error, tolerance = max_error(results[name], value), TOLERANCE[dtype][not calls.is_forward(name)]
            assert error <= tolerance, f"{name} is off by {error:.2g} in {config}"
        masked += masks is not None
    assert 0 < masked < CONFIGURATIONS


@every_dtype
@every_cell
def test_bits_are_the_layers(cell, dtype):
    rng = np.random.default_rng([CELLS.index(cell), np.dtype(dtype).itemsize, 21])
    for _ in range(CONFIGURATIONS):
        config = draw_config(rng, cell=cell, dtype=dtype, batch_first=False)
        data = make_data(config, rng)
        expected, _ = calls.both(make_layer(config, data.params), config, data)
        assert_same_bits(both(functional, config, data, None), expected)


@every_cell
def test_masks_are_the_layers_dropout(cell):
    """With the masks that a layer draws, the same bits; with masks of ones, those of no masks at all."""
    rng = np.random.default_rng([CELLS.index(cell), 22])
    config, data, _ = draw_case(rng, cell, np.float32, num_layers=3, T=9, B=7, hidden_size=11)
    plain = both(functional, config, data, None)
    ones = [np.ones_like(data.dy)] * 2
    assert_same_bits(both(functional, config, data, ones), plain)
    zeros = [np.ones_like(data.dy), np.zeros_like(data.dy)]
    results = both(functional, config, data, zeros)
    assert_same_bits(results["outputs_1"], plain["outputs_1"])
    assert not np.array_equal(results["y"], plain["y"])
    assert not results["weight_ih_l2"].any()
    assert results["weight_ih_l1"].any()  # by doutputs
    layer = make_layer(config, data.params)
    layer.dropout = 0.5
    expected, _ = calls.both(layer, config, data, rng=3)
    drawn = np.random.default_rng(3)
    draws = [drawn.integers(0, 1 << 16, data.dy.shape, np.uint16) for _ in range(2)]
    masks = [(draw >= 1 << 15).astype(np.float32) * 2 for draw in draws]
    assert_same_bits(both(functional, config, data, masks), expected)


@every_cell
def test_a_tape_serves_any_number_of_times(cell):
    """And owns what it holds, weights and masks too; what backward returned before is nobody else's."""
    rng = np.random.default_rng([CELLS.index(cell), 23])
    config, data, _ = draw_case(rng, cell, np.float32, num_layers=2, T=9, B=7, hidden_size=11)
    masks = [np.full_like(data.dy, 2)]
    *results, tape = forward(functional, config, data, masks)
    first = backward(functional, tape, data)
    kept = [value.copy() for value in first[2].values()]
    arrays = (data.x, data.h0, data.c0, data.lengths, *masks, *data.params.values(), results[0])
    for array in arrays:
        if array is not None:
            array[...] = 1
    again = backward(functional, tape, data)
    assert_same_bits(again, first)
    assert_same_bits(list(first[2].values()), kept)
    assert not any(np.shares_memory(a, b) for a, b in zip(first[2].values(), again[2].values(), strict=True))
    other = replace(data, dy=np.zeros_like(data.dy), dh_n=-data.dh_n)
    assert not np.array_equal(backward(functional, tape, other)[0], first[0])


@every_cell
def test_what_is_left_out_is_zeros(cell):
    rng = np.random.default_rng([CELLS.index(cell), 24])
    config, data, _ = draw_case(rng, cell, np.float64, num_layers=2, T=5, B=4, hidden_size=7, state=False, bias=False)
    zeros = np.zeros_like(data.dh_n)
    given = replace(data, h0=zeros, c0=zeros if config.has_cell_state else None)
    *results, tape = forward(functional, config, data)
    assert_same_bits(tuple(results), tuple(forward(functional, config, given)[:2]))
    full = functional.backward(tape, np.zeros_like(data.dy), calls.as_state(config, zeros, zeros))
    assert_same_bits(functional.backward(tape), full)
    assert_same_bits(functional.backward(tape, data.dy), functional.backward(tape, doutputs={1: data.dy}))
    assert list(full[2]) == list(data.params)
    assert isinstance(results[1], tuple) == isinstance(full[1], tuple) == has_cell_state(cell)
    y, *_ = functional.forward(cell, data.x[:, :1], data.params, num_layers=2, bidirectional=config.bidirectional)
    assert y.dtype == np.float64


class Refusals:
    """A right call and a tape. What a refused call must not change: its arguments, and what the tape gives."""

    def __init__(self, cell):
        rng = np.random.default_rng([CELLS.index(cell), 25])
        sizes = {"num_layers": 2, "T": 7, "B": 4, "input_size": 3, "hidden_size": 5}
        always = dict.fromkeys(("bidirectional", "bias", "lengths", "state"), True)
        self.config, self.data, _ = draw_case(rng, cell, np.float32, **sizes, **always)
        data, self.masks = self.data, [np.ones_like(self.data.dy)]
        self.right = {"cell": cell, "params": data.params, "x": data.x}
        self.right |= {"hx": calls.as_state(self.config, data.h0, data.c0)}
        self.right |= {"lengths": data.lengths, "num_layers": 2, "bidirectional": True, "masks": self.masks}
        *_, self.tape = functional.forward(**self.right)
        self.expected = backward(functional, self.tape, data)

    def state(self, *names, **changes):
        """A state, or its gradient, with other parts."""
        parts = [changes.get(name, getattr(self.data, name)) for name in names]
        return tuple(parts) if self.config.has_cell_state else parts[0]

    def forward(self, error, name, **changes):
        with refused(error, name, vars(self.data), self.masks):
            functional.forward(**(self.right | changes))

    def backward(self, error, name, **changes):
        with refused(error, name, vars(self.data)):
            functional.backward(**({"tape": self.tape} | changes))
        assert_same_bits(backward(functional, self.tape, self.data), self.expected)


@every_cell
def test_wrong_arrays(cell):
    case = Refusals(cell)
    for value in of_wrong_type(case.data.x):
        case.forward(TypeError, "x", x=value)
    for value in of_wrong_shape(case.data.x):
        if value.shape[-1] != case.config.input_size:
            case.forward(ValueError, "x", x=value)
    for name in ("h0", "c0") if case.config.has_cell_state else ("h0",):
        for value in of_wrong_type(case.data.h0):
            if value is not None:
                case.forward(TypeError, f"({name}|hx)", hx=case.state("h0", "c0", **{name: value}))
        for value in of_wrong_shape(case.data.h0):
            case.forward(ValueError, name, hx=case.state("h0", "c0", **{name: value}))
    for value in of_wrong_type(case.masks[0]):
        case.forward(TypeError, r"masks(\[0\])?", masks=[value])
    for value in of_wrong_shape(case.masks[0]):
        case.forward(ValueError, r"masks(\[0\])?", masks=[value])
    for value in ([], case.masks * 2):
        case.forward(ValueError, "masks", masks=value)
    case.forward(TypeError, "masks", masks=2)
    for value in (np.full(4, -1), np.full(4, 8), np.full(5, 7)):
        case.forward(ValueError, "lengths", lengths=value)
    case.forward(TypeError, "lengths", lengths=[7] * 4)
    wrong = case.data.h0 if case.config.has_cell_state else (case.data.h0, case.data.h0)
    case.forward(TypeError, "(hx|h0)", hx=wrong)


@every_cell
def test_wrong_parameters(cell):
    """The first two weights decide on sizes and dtype, so a fault in them may be reported of another array."""
    case = Refusals(cell)
    params = case.data.params
    for name in ("weight_ih_l0", "weight_hh_l0", "bias_hh_l1_reverse", "weight_ih_l1"):
        reported = r"\w+" if name in {"weight_ih_l0", "weight_hh_l0"} else name
        for value in of_wrong_type(params[name]):
            case.forward(TypeError, reported, params=params | {name: value})
        for value in of_wrong_shape(params[name]):
            case.forward(ValueError, reported, params=params | {name: value})
        case.forward(ValueError, "params", params={k: p for k, p in params.items() if k != name})
    for value in (None, list(params.values()), case.data.x):
        case.forward(TypeError, "params", params=value)


@every_cell
def test_wrong_options(cell):
    case = Refusals(cell)
    for value in ("LSTM", "rnn", "", "gru_reset_after"):
        case.forward(ValueError, "cell", cell=value)
    for value in (None, 2, ["lstm"]):
        case.forward((TypeError, ValueError), "cell", cell=value)
    for error, value in ((ValueError, 0), (ValueError, -1), (TypeError, 2.0), (TypeError, "2"), (TypeError, True)):
        case.forward(error, "num_layers", num_layers=value)
    for value in (2, "yes", None):
        case.forward(TypeError, "bidirectional", bidirectional=value)


@every_cell
def test_wrong_gradients_and_tapes(cell):
    case = Refusals(cell)
    data = case.data
    of_layer = make_layer(case.config, data.params).forward(np.ascontiguousarray(data.x))[2]
    for value in (None, data.x, "tape", of_layer):
        case.backward((TypeError, RuntimeError), "tape", tape=value)
    for value in of_wrong_type(data.dy):
        case.backward(TypeError, "dy", dy=value)
    for value in of_wrong_shape(data.dy):
        case.backward(ValueError, "dy", dy=value)
    for name in ("dh_n", "dc_n") if case.config.has_cell_state else ("dh_n",):
        for value in of_wrong_type(data.dh_n):
            if value is not None:
                case.backward(TypeError, f"({name}|dstate)", dstate=case.state("dh_n", "dc_n", **{name: value}))
        for value in of_wrong_shape(data.dh_n):
            case.backward(ValueError, name, dstate=case.state("dh_n", "dc_n", **{name: value}))
    case.backward(ValueError, "doutputs", doutputs={2: data.dy})
    case.backward(ValueError, r"doutputs(\[0\])?", doutputs={0: data.dy[:3]})
    for value in ({"h": {0: data.dy}}, {"x": {0: data.dy}}):
        case.backward(ValueError, "dstates", dstates=value)
    case.backward(TypeError, "dstates", dstates=[data.dy])
    if case.config.has_cell_state:
        case.backward(TypeError, r"dstates\['c'\]", dstates={"c": data.dy})
        case.backward(ValueError, r"dstates\['c'\]", dstates={"c": {2: data.dy}})
    else:
        case.backward(ValueError, "dstates", dstates={"c": {0: data.dy}})


def test_a_mask_of_none_is_refused():
    params = recurra.LSTM(3, 4, num_layers=2, seed=0).params
    with pytest.raises(TypeError, match=r"^masks: expected arrays, got None"):
        functional.forward("lstm", np.ones((5, 2, 3), np.float32), params, num_layers=2, masks=[None])


def test_tokens_have_no_gradient():
    layer = recurra.GRU(3, 4, dtype=np.float64, seed=0)
    tokens = np.array([[0, 2], [1, 1]])
    y, *_, tape = functional.forward("gru", tokens, layer.params)
    dx, dh0, grads = functional.backward(tape, y)
    assert dx is None
    _, _, layer_tape = layer.forward(tokens)
    assert_same_bits(layer.backward(layer_tape, y)[1], dh0)
    assert_same_bits(dict(layer.grads), grads)
