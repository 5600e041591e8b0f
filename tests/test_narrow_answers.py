"""Compressed recurrent layers against the reference in NumPy, and with 16 bits against float32 layers, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

import formula_runs
import recurra
from configs import CELLS, assert_same_bits, draw_config, make_data, make_layer
from narrow_machine import NarrowMachine
from narrow_models import close, floats, make, one_or_tuple, parts_of, widened_twin
from recurra import reference

every_cell = pytest.mark.parametrize("cell", CELLS)
SIZES = ((1, 1), (3, 5), (15, 16), (17, 33), (64, 31), (5, 65), (130, 70))


@every_cell
def test_steps_of_int8_are_those_of_the_reference(cell):
    """Step by step, each from the state that the kernels have reached: one last bit may round a state differently."""
    for seed, (inputs, hidden) in enumerate(SIZES):
        layer = recurra.compress(make(cell, inputs, hidden, seed=seed, bias=seed != 2))
        params, x = layer.state_dict(), floats(6, 3, inputs, seed=seed)
        state = one_or_tuple([floats(1, 3, hidden, seed=k) * np.float32(0.4) for k in range(1 + (cell == "lstm"))])
        for t in range(len(x)):
            y, final = layer(x[t : t + 1], state)
            expected, expected_final = reference.narrow.forward(cell, x[t : t + 1], params, state)
            close(y, expected)
            close(final, expected_final)
            state = final


def test_states_of_relu_are_the_references_to_the_bit():
    """Nothing in it differs between NumPy and the kernels, so stacks, directions and lengths can be compared whole."""
    rng = np.random.default_rng(5)
    for _ in range(12):
        config = draw_config(rng, cell="rnn_relu", dtype=np.float32)
        data = make_data(config, rng)
        layer = recurra.compress(make_layer(config, data.params))
        y, final = layer(config.layout(data.x), data.h0, lengths=data.lengths)
        options = {"num_layers": config.num_layers, "bidirectional": config.bidirectional, "lengths": data.lengths}
        expected, state = reference.narrow.forward("rnn_relu", data.x, layer.state_dict(), data.h0, **options)
        assert_same_bits(config.layout(y), expected, str(config))
        assert_same_bits(final, state, str(config))


@every_cell
def test_strange_initial_states(cell):
    """Beyond [-1, 1] the scale of a state follows its largest number."""
    layer = recurra.compress(make(cell, 3, 20, seed=1))
    x, h = floats(1, 4, 3), floats(1, 4, 20, seed=2)
    h[0, 0] *= 100
    h[0, 1], h[0, 2] = 0, 1e-35
    h[0, 3, 5] = 1.0000001
    state = (h, h) if cell == "lstm" else h
    y, final = layer(x, state)
    expected, expected_final = reference.narrow.forward(cell, x, layer.state_dict(), state)
    close(y, expected, 2e-6)
    close(final, expected_final, 2e-6)
    for wrong in (np.nan, np.inf, -np.inf):
        strange = h.copy()
        strange[0, 1, 7] = wrong
        y, _ = layer(x, (strange, np.zeros_like(h)) if cell == "lstm" else strange)
        assert np.isnan(y[0, 1]).all()
        assert np.isfinite(np.delete(y[0], 1, 0)).all()


def test_projection():
    for seed, (inputs, hidden, features) in enumerate([(3, 5, 2), (17, 33, 16), (8, 70, 65)]):
        layer = recurra.compress(recurra.LSTM(inputs, hidden, proj_size=features, seed=seed))
        assert layer.state_dict()["weight_hr_l0"].dtype == np.int8
        x, state = floats(4, 2, inputs), (floats(1, 2, features), floats(1, 2, hidden, seed=1))
        for t in range(len(x)):
            y, final = layer(x[t : t + 1], state)
            expected, expected_final = reference.narrow.forward("lstm", x[t : t + 1], layer.state_dict(), state)
            close(final[1], expected_final[1])
            step = layer.state_dict()["weight_hr_l0.scale"].max() * np.abs(y).max()  # a bit may round it to the next
            assert np.abs(y - expected).max() <= step
            state = final


@every_cell
def test_tokens_of_int8_are_one_hot_rows(cell):
    layer = recurra.compress(make(cell, 9, 21, seed=3))
    tokens = np.random.default_rng(0).integers(0, 9, (5, 4))
    assert_same_bits(layer(tokens), layer(np.eye(9, dtype=np.float32)[tokens]))


@pytest.mark.parametrize("weights", ["bfloat16", "float16"])
@every_cell
def test_16_bits_are_the_widened_weights(cell, weights):
    rng = np.random.default_rng(CELLS.index(cell))
    for _ in range(6):
        config = draw_config(rng, cell=cell, dtype=np.float32)
        data = make_data(config, rng)
        original = make_layer(config, data.params)
        layer = recurra.compress(original, weights)
        wide = widened_twin(layer, original)
        state = None if data.h0 is None else data.h0 if data.c0 is None else (data.h0, data.c0)
        given = (config.layout(data.x), state)
        assert_same_bits(layer(*given, lengths=data.lengths), wide(*given, lengths=data.lengths), str(config))
        tokens = rng.integers(0, config.input_size, (config.T + 1, config.B + 1))
        if config.input_size != config.B + 1:
            assert_same_bits(layer(tokens), wide(tokens), f"tokens, {config}")


def test_16_bits_with_all_options():
    tokens = np.random.default_rng(0).integers(0, 7, (6, 3))
    for weights in ("bfloat16", "float16"):
        for kind, options, given in (
            (recurra.LSTM, {"num_layers": 2, "bidirectional": True, "proj_size": 5, "learned_state": True}, None),
            (recurra.GRU, {"reverse": True, "batch_first": True, "learned_state": True}, None),
            (recurra.RNN, {"tokens": True, "num_layers": 2, "dropout": 0.5, "zoneout": 0.1}, tokens),
            (recurra.GRU, {"reset_after": False, "recurrent_dropout": 0.3, "bias": False}, None),
        ):
            original = kind(7, 19, seed=2, **options)
            state = original.state_dict()
            state |= {name: floats(*state[name].shape, seed=9) for name in ("h0", "c0") if name in state}
            original.load_state_dict(state)
            layer = recurra.compress(original, weights)
            assert all(layer.state_dict()[name].dtype == np.float32 for name in ("h0", "c0") if name in state)
            wide = widened_twin(layer, original)
            x = floats(6, 3, 7) if given is None else given
            resets = np.random.default_rng(1).random(x.shape[:2]) < 0.3
            assert_same_bits(layer(x, resets=resets), wide(x, resets=resets), f"{original} {weights}")
            out = np.empty_like(wide(x)[0])
            y, _ = layer(x, out=out)
            assert y is out
            assert_same_bits(y, wide(x)[0])


@pytest.mark.parametrize("name", formula_runs.FORMULAS)
def test_formulas(name):
    """16 bits to the bit, and one step of int8 by the program in NumPy, as far as rounding lets states be alike."""
    rng = np.random.default_rng(len(name))
    formula = formula_runs.FORMULAS[name]
    original = formula_runs.make_layer(formula, rng)
    call = formula_runs.draw_call(original, rng, T=4, B=3, resets=0.2)
    for weights in ("bfloat16", "float16"):
        layer = recurra.compress(original, weights)
        assert_same_bits(formula_runs.plain(layer, call), formula_runs.plain(widened_twin(layer, original), call))
    single = recurra.compress(formula_runs.make_layer(formula, rng, num_layers=1, bidirectional=False))
    call = formula_runs.draw_call(single, rng, T=1, B=3, lengths=False)
    call.hx = [state * np.float32(0.5) for state in call.hx]
    got = formula_runs.plain(single, call)
    inputs = [
        value if formula_runs.is_of_rows(single, f"dinput {key}") else value[0] for key, value in call.inputs.items()
    ]
    order = formula.layout.order
    with np.errstate(all="ignore"):
        new, _ = NarrowMachine(single).forward(call.x[0], [call.hx[k][0] for k in order], inputs)
    for k, expected in zip(order, new, strict=True):
        value = got[f"final {formula.states[k]}"][0]
        off = np.abs(value - expected) > 2e-6 * max(1, np.abs(expected).max())
        assert off.mean() < 0.02, name  # a sum, of a vector of the step that was rounded to the next integer
        np.testing.assert_allclose(value, expected, rtol=1e-3, atol=1e-3)


def test_one_layer_is_its_part_of_a_stack():
    layer = recurra.compress(recurra.GRU(4, 12, num_layers=2, seed=0))
    x = floats(7, 2, 4)
    lower, upper = recurra.compress(recurra.GRU(4, 12)), recurra.compress(recurra.GRU(12, 12))
    for k, one in enumerate((lower, upper)):
        names = {name: name.replace("_l0", f"_l{k}") for name in one.state_dict()}
        one.load_state_dict({name: layer.state_dict()[long] for name, long in names.items()})
    y, state = layer(x)
    between, first = lower(x)
    top, second = upper(between)
    assert_same_bits(y, top)
    assert_same_bits(state, np.concatenate([first, second]))
    assert len(parts_of(state)) == 1
