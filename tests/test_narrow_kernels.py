"""Narrow weights in the core: 16 bits as float32 kernels with the widened weights, 8 bits as exact sums of integers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from configs import assert_same_bits
from networks import BUILT_IN, CELLS, NETWORKS, Spec, draw_call, draw_params, draw_spec, joined, parts, plain
from recurra import _core
from recurra.formula import Formula, tanh
from recurra.reference import narrow as reference

FORMS = ("bfloat16", "float16", "int8")
FUSES = _core.build_info()["isa"] != "baseline"  # has a multiply-add that rounds once
every_form = pytest.mark.parametrize("form", FORMS)
every_cell = pytest.mark.parametrize("cell", CELLS)


def narrowed(name, matrix, form):
    if form == "float16":
        return {name: matrix.astype(np.float16)}
    if form == "bfloat16":
        return {name: (matrix.view(np.uint32) >> 16).astype(np.uint16)}
    scale = np.abs(matrix).max(axis=1, initial=0) / np.float32(127)
    return {name: np.rint(matrix / np.where(scale > 0, scale, 1)[:, None]).astype(np.int8), f"{name}.scale": scale}


def narrow_arrays(params, form):
    """Of all matrices but learned states."""
    arrays = {}
    for name, value in params.items():
        matrix = value.ndim == 2 and name.startswith("weight")
        arrays |= narrowed(name, value, form) if matrix else {name: value}
    return arrays


def draw(cell, seed, **fixed):
    rng = np.random.default_rng([CELLS.index(cell), seed])
    spec = draw_spec(rng, cell, dtype=np.float32, learned=bool(rng.integers(2)), **fixed)
    network = spec.make()
    params = draw_params(spec, network, rng)
    return spec, network, params, draw_call(spec, rng, masked=False, initial=bool(rng.integers(2)))


def wide_network(spec, arrays):
    network = spec.make()
    network.parameters.load(reference.widened(arrays), "params")
    return network


@every_cell
@pytest.mark.parametrize("form", FORMS[:2])
def test_sixteen_bits_are_float32_with_the_widened_weights(cell, form):
    for seed in range(3):
        spec, network, params, call = draw(cell, seed)
        arrays = narrow_arrays(params, form)
        expected = plain(wide_network(spec, arrays), call)
        for name, value in plain(network.narrow(form, arrays), call).items():
            assert_same_bits(value, expected[name], name)


@every_cell
def test_eight_bits_are_near_float32_with_the_widened_weights(cell):
    for seed in range(3):
        spec, network, params, call = draw(cell, seed)
        arrays = narrow_arrays(params, "int8")
        expected = plain(wide_network(spec, arrays), call)
        for name, value in plain(network.narrow("int8", arrays), call).items():
            assert np.abs(value - expected[name]).max() < 4e-3 * max(1, np.abs(expected[name]).max()), name


class Projected(Spec):
    """With an h of another size."""

    size = 3


@pytest.mark.parametrize("cell", BUILT_IN)
def test_eight_bits_are_the_numbers_of_the_reference(cell):
    """One step, as later ones may round an activation that differs in its last bit to the next integer."""
    for seed, (inputs, hidden, batch) in enumerate([(1, 1, 1), (5, 7, 1), (33, 16, 3), (64, 65, 1), (19, 130, 17)]):
        rng = np.random.default_rng([seed, 60])
        spec = (Projected if cell == "lstm_projected" else Spec)(
            cell, inputs, hidden, 1, 2, dtype=np.float32, T=1, B=batch
        )
        network = spec.make()
        arrays = narrow_arrays(draw_params(spec, network, rng), "int8")
        call = draw_call(spec, rng, masked=False, resets=None, lengths=False)
        if seed % 2:
            call.initial = [np.tanh(state) for state in call.initial]  # within [-1, 1], as after a step
        y, state = reference.forward(
            cell.removesuffix("_projected"), call.x, arrays, joined(call.initial), bidirectional=True
        )
        results = plain(network.narrow("int8", arrays), call)
        for value, expected in zip(results.values(), [y, *parts(state)], strict=True):
            np.testing.assert_allclose(value, expected, rtol=0, atol=6e-7)


def with_heads(a, s):
    r = tanh(a.r)
    return tanh(a.n(r * s.h))


def draw_any(cell, seed):
    """Also a formula with heads, of which panels have parts of two."""
    if cell != "heads":
        return draw(cell, seed, num_layers=1, hidden_size=33, input_size=33, T=6, B=5)
    rng = np.random.default_rng(seed)
    spec = Spec("gru", 33, 39, 1, 2, dtype=np.float32, T=6, B=5)
    core = Formula(with_heads, gates="r n", heads=3).core
    network = NETWORKS[np.float32](core, 33, 39, 1, 2, True, False, None)
    return spec, network, draw_params(spec, network, rng), draw_call(spec, rng, masked=False)


@every_form
@pytest.mark.parametrize("cell", [*CELLS, "heads"])
def test_any_schedule_gives_the_same_bits(cell, form):
    _, network, params, call = draw_any(cell, 61)
    call.resets = None
    narrow = network.narrow(form, narrow_arrays(params, form))
    expected = plain(narrow, call)
    plans = [{"fused": 1}, {"chunk": 2, "tile_rows": 1}, {"threads": 2, "split": 1}, {"threads": 2, "split": 3}]
    for plan in [*plans, {"alternate": 1, "tile_rows": 3}, {"threads": 3, "split": 3, "fused": 1}]:
        for name, value in plain(narrow, replace(call, plan=plan)).items():
            assert_same_bits(value, expected[name], (name, plan))
    for b, length in enumerate(call.lengths):  # by itself, where single rows have products of their own
        initial = call.initial and [state[:, b : b + 1] for state in call.initial]
        inputs = {k: v[b : b + 1] if k == "gain" else v[:length, b : b + 1] for k, v in call.inputs.items()}
        alone = narrow.call(call.x[:length, b : b + 1], joined(initial), None, None, False, None, inputs, None, None)
        assert_same_bits(alone[0], expected["y"][:length, b : b + 1], b)


@every_form
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn_tanh"])
def test_tokens_are_rows_with_a_single_one_or_of_a_table(cell, form):
    spec, network, params, _ = draw(cell, 62, num_layers=1, T=7, B=3)
    rng = np.random.default_rng(62)
    narrow = network.narrow(form, narrow_arrays(params, form))
    tokens = rng.integers(0, spec.input_size, (7, 3))
    table = rng.standard_normal((spec.input_size, spec.input_size), dtype=np.float32)
    for rows, given in ((np.eye(spec.input_size, dtype=np.float32), None), (table, table)):
        for plan in (None, {"fused": 1}, {"threads": 3, "split": 1}):
            y, _ = narrow.call(tokens, None, None, None, False, given, None, None, plan)
            expected, _ = narrow.call(rows[tokens], None, None, None, False, None, None, None, None)
            assert_same_bits(y, expected, plan)


def draw_linear(inputs, outputs, rows, bias, seed):
    rng = np.random.default_rng([seed, 63])
    params = {"weight": rng.standard_normal((outputs, inputs), dtype=np.float32)}
    if bias:
        params["bias"] = rng.standard_normal(outputs, dtype=np.float32)
    return _core.Linear32(inputs, outputs, bias), params, rng.standard_normal((rows, inputs), dtype=np.float32)


LINEAR = [(1, 1, 1), (7, 5, 3), (64, 64, 40), (65, 33, 1), (8192, 17, 2), (20001, 3, 9)]


@pytest.mark.parametrize("bias", [False, True])
def test_a_linear_layer_of_eight_bits_is_the_reference(bias):
    """Deeper than an int32 holds sums of, too."""
    for seed, (inputs, outputs, rows) in enumerate(LINEAR):
        layer, params, x = draw_linear(inputs, outputs, rows, bias, seed)
        arrays = narrow_arrays(params, "int8")
        matrix = reference.Matrix(arrays["weight"], arrays["weight.scale"])
        begin = np.broadcast_to(params.get("bias", np.float32(0)), (rows, outputs))
        expected = reference.product(matrix, x, begin)
        y = layer.narrow("int8", arrays).call(x)
        if FUSES:
            assert_same_bits(y, expected, inputs)
        else:
            np.testing.assert_allclose(y, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("form", FORMS[:2])
def test_a_linear_layer_of_sixteen_bits_is_float32_with_the_widened_weights(form):
    for seed, (inputs, outputs, rows) in enumerate(LINEAR[:5]):
        layer, params, x = draw_linear(inputs, outputs, rows, True, seed)
        arrays = narrow_arrays(params, form)
        layer.parameters.load(reference.widened(arrays))
        assert_same_bits(layer.narrow(form, arrays).call(x), layer.call(x), inputs)


@every_form
def test_an_embedding_looks_up_widened_rows(form):
    rng = np.random.default_rng(64)
    for width in (1, 7, 16, 33):
        arrays = narrowed("weight", rng.standard_normal((11, width), dtype=np.float32), form)
        tokens = rng.integers(0, 11, (4, 3))
        y = _core.Embedding32(11, width, -1).narrow(form, arrays).call(tokens)
        assert_same_bits(y, reference.widened(arrays)["weight"][tokens], width)


def test_numbers_that_are_not_finite_stay_in_their_row():
    layer, params, x = draw_linear(40, 20, 6, True, 65)
    x[1, 3], x[2, 39], x[4] = np.nan, np.inf, 1e-31
    y = layer.narrow("int8", narrow_arrays(params, "int8")).call(x)
    assert np.isnan(y[1:3]).all()
    assert_same_bits(y[4], params["bias"], "as zeros")
    assert np.isfinite(y[[0, 3, 5]]).all()


def test_what_is_packed_stays_as_it_was():
    _, network, params, call = draw("lstm", 66)
    arrays = narrow_arrays(params, "int8")
    narrow = network.narrow("int8", arrays)
    expected = plain(narrow, call)
    for array in arrays.values():
        array[...] = 0
    network.parameters.load({name: np.zeros_like(value) for name, value in params.items()}, "params")
    for name, value in plain(narrow, call).items():
        assert_same_bits(value, expected[name], name)


def test_arrays_of_any_layout_are_taken():
    layer, params, x = draw_linear(9, 6, 4, True, 67)
    for form in FORMS:
        arrays = narrow_arrays(params, form)
        other = {name: np.repeat(value, 2, axis=-1)[..., ::2] for name, value in arrays.items()}
        assert_same_bits(layer.narrow(form, other).call(x), layer.narrow(form, arrays).call(x), form)


def test_wrong_arrays_are_refused_by_name():
    layer, params, _ = draw_linear(4, 3, 1, True, 68)
    arrays = narrow_arrays(params, "int8")

    def refused(error, message, weights="int8", **changes):
        given = {name.replace("_scale", ".scale"): value for name, value in changes.items()}
        with pytest.raises(error, match=message):
            layer.narrow(weights, {k: v for k, v in {**arrays, **given}.items() if v is not None})

    refused(ValueError, r"weights: expected 'int8', 'bfloat16' or 'float16', got 'int4'", "int4")
    refused(ValueError, r"arrays: expected the names of the parameters, got no weight\.scale", weight_scale=None)
    refused(ValueError, r"arrays: expected the names of the parameters, got also more", more=params["bias"])
    refused(TypeError, r"weight: expected int8, got float32", weight=params["weight"])
    refused(TypeError, r"weight: expected an array of int8, got list", weight=[1])
    refused(
        ValueError,
        r"weight: expected \(out_features, in_features\) = \(3, 4\), got \(4, 3\)",
        weight=arrays["weight"].T,
    )
    refused(
        ValueError,
        r"weight\.scale: expected \(rows of weight,\) = \(3,\), got \(4,\)",
        weight_scale=np.zeros(4, np.float32),
    )
    refused(TypeError, r"bias: expected float32, got float64", bias=np.zeros(3))
    for form, dtype in (("float16", "float16"), ("bfloat16", "uint16")):
        refused(ValueError, "got also weight.scale", form)
        refused(TypeError, f"weight: expected {dtype}, got int8", form, weight_scale=None)
        swapped = np.zeros((3, 4), np.dtype(dtype).newbyteorder())
        refused(TypeError, f"weight: expected {dtype}, got >", form, weight_scale=None, weight=swapped)
    with pytest.raises(TypeError, match="arrays: expected a dict of arrays by the parameters' names, got list"):
        layer.narrow("int8", [])
    for wide in (_core.Linear64(4, 3, True), _core.Embedding64(4, 3, -1)):
        with pytest.raises(ValueError, match="weights: expected a float32 layer, got a float64 one"):
            wide.narrow("int8", arrays)
    with pytest.raises(ValueError, match="weights: expected a float32 network, got a float64 one"):
        Spec("lstm").make().narrow("int8", arrays)
    narrow = layer.narrow("int8", arrays)
    with pytest.raises(ValueError, match=r"x: expected \(\.\.\., in_features\) = \(\.\.\., 4\), got \(2, 3\)"):
        narrow.call(np.zeros((2, 3), np.float32))
    with pytest.raises(TypeError, match="cannot create"):
        type(narrow)()
