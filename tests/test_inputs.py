"""Inputs of a formula's cell: what they do to states, their gradients, their layouts, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from configs import assert_same_bits, max_error
from networks import (
    FORMULAS,
    SHAPES,
    Spec,
    draw_call,
    draw_params,
    joined,
    parts,
    plain,
    reversed_direction,
    run,
    segments,
)

every_cell = pytest.mark.parametrize("cell", FORMULAS)
NAMES = ("noise", "gain", "dt")


def at(kind, array, t, b):
    """What one step of one sequence reads of an input, as rows."""
    return array[b : b + 1] if kind == "row" else array[t, b : b + 1]


def by_formula(spec, params, call):
    """y, states of all steps and final ones, from calls of the formula's function alone, one sequence at a time."""
    formula = FORMULAS[spec.cell]
    tracks = {}
    final = [s.copy() for s in call.initial]
    x = call.x
    for layer in range(spec.num_layers):
        outs = [np.zeros((spec.T, spec.B, spec.directions * size)) for size in spec.sizes()]
        for d in range(spec.directions):
            k, suffix = layer * spec.directions + d, f"_l{layer}" + "_reverse" * d
            own = {name: params[name + suffix] for name in formula.parameters if name + suffix in params}
            missing = {"bias_ih": "weight_ih", "bias_hh": "weight_hh"}
            own |= {bias: np.zeros(len(own[w])) for bias, w in missing.items() if bias not in own}
            inputs = {
                name: array[k] if array.ndim == {"unit": 4, "step": 3, "row": 3}[SHAPES[spec.cell][name]] else array
                for name, array in call.inputs.items()
            }
            found = segments(spec, call)
            reverse = reversed_direction(spec, k)
            for b in range(spec.B):
                state = [s[k, b : b + 1] for s in call.initial]
                mine = [(begin, end) for sequence, begin, end in found if sequence == b]
                for i, (begin, end) in enumerate(mine[::-1] if reverse else mine):
                    if i > 0 or (not reverse and end > begin and call.resets is not None and call.resets[0, b]):
                        state = [np.zeros_like(s) for s in state]
                    for t in range(end - 1, begin - 1, -1) if reverse else range(begin, end):
                        now = {name: at(SHAPES[spec.cell][name], array, t, b) for name, array in inputs.items()}
                        state = formula.run_step(x[t, b : b + 1], state, own, now)
                        for out, s, size in zip(outs, state, spec.sizes(), strict=True):
                            out[t, b, d * size : (d + 1) * size] = s[0]
                for to, s in zip(final, state, strict=True):
                    to[k, b] = s[0]
        for name, out in zip(("h", *spec.states[1:]), outs, strict=True):
            tracks[f"track_{name}_{layer}"] = out
        x = outs[0]
        if call.masks is not None and layer + 1 < spec.num_layers:
            x = x * call.masks[layer]
    return {"y": outs[0]} | {f"final_{k}": s for k, s in enumerate(final)} | tracks


def make(cell, seed, layered=(), **fixed):
    spec = Spec(cell, **({"input_size": 7, "directions": 1} if cell == "highway" else {}) | fixed)
    rng = np.random.default_rng(seed)
    network = spec.make()
    params = draw_params(spec, network, rng)
    return spec, network, params, draw_call(spec, rng, layered=layered)


@pytest.mark.parametrize("layered", [(), NAMES], ids=["shared", "layered"])
@every_cell
def test_answers_are_the_formulas(cell, layered):
    for seed in range(3):
        spec, network, params, call = make(cell, seed, layered, bias=seed < 2)
        results = run(spec, network, call)
        for name, value in by_formula(spec, params, call).items():
            assert max_error(results[name], value) <= 1e-13, name


@pytest.mark.parametrize("layered", [(), NAMES, ("gain",)], ids=["shared", "layered", "one of them"])
@every_cell
def test_gradients_are_central_differences(cell, layered):
    """Along a random direction in one array after another, through everything that comes out."""
    spec, network, params, call = make(cell, 3, layered)
    results = run(spec, network, call)
    rng = np.random.default_rng(9)

    def loss():
        network.parameters.load(params, "params")
        drawn = None if call.masks is None else lambda *_: (call.masks, None)
        y, final, tape = network.forward(
            call.x, joined(call.initial), call.lengths, False, drawn, None, call.inputs, call.resets, None
        )
        pairs = [(y, call.dy), *zip(parts(final), call.dfinal, strict=True)]
        pairs += [(tape.outputs[layer], d) for layer, d in call.doutputs.items()]
        pairs += [(tape.states[name][layer], d) for name, ds in call.dstates.items() for layer, d in ds.items()]
        return sum(np.vdot(a, d) for a, d in pairs)

    arrays = {"dx": call.x} | {f"dinitial_{k}": s for k, s in enumerate(call.initial)}
    arrays |= {f"d{name}": array for name, array in call.inputs.items()}
    arrays |= {f"grad {name}": array for name, array in params.items()}
    for name, array in arrays.items():
        along = rng.standard_normal(array.shape)
        before = array.copy()
        array[...] = before + 1e-5 * along
        above = loss()
        array[...] = before - 1e-5 * along
        below = loss()
        array[...] = before
        numeric, got = (above - below) / 2e-5, np.vdot(results[name], along)
        assert abs(numeric - got) <= 1e-6 * max(1, abs(numeric)), name


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_and_schedules_change_no_bit(dtype):
    spec, network, _, call = make("driven", 4, ("noise",), hidden_size=65, T=13, B=9, dtype=dtype)
    call.plan = {"threads": 1}
    expected = run(spec, network, call)
    for plan in (
        {"threads": 2, "split": 1},
        {"threads": 2, "split": 2},
        {"threads": 2, "split": 3},
        {"threads": 3, "split": 1},
        {"threads": 1, "chunk": 2},
        {"threads": 1, "fused": 1},
        {"threads": 1, "tile_rows": 1},
    ):
        assert_same_bits(run(spec, network, replace(call, plan=plan)), expected)
    without_tape = plain(network, replace(call, plan={"threads": 2, "split": 1}))
    network.forward(call.x, joined(call.initial), call.lengths, False, None, None, call.inputs, call.resets, None)
    masks = call.masks
    call.masks = None
    unmasked = run(spec, network, call)
    call.masks = masks
    assert_same_bits(without_tape, {name: unmasked[name] for name in without_tape})


def test_gradients_are_added():
    spec, network, _, call = make("driven", 5)
    results = run(spec, network, call)
    drawn = lambda *_: (call.masks, None)  # noqa: E731
    _, _, tape = network.forward(
        call.x, joined(call.initial), call.lengths, False, drawn, None, call.inputs, call.resets, None
    )
    rng = np.random.default_rng(0)
    grads = {name: np.zeros(value.shape) for name, value in network.parameters.views().items()}
    given = {name: rng.standard_normal(call.inputs[name].shape) for name in ("dt", "noise")}  # not all of them
    before = {name: array.copy() for name, array in given.items()}
    dstate = joined(call.dfinal)
    network.backward(tape, call.dy, dstate, call.doutputs, call.dstates, given, False, grads, False, None)
    for name, array in given.items():
        np.testing.assert_array_equal(array, before[name] + results[f"d{name}"])


def test_one_array_for_all_is_the_sum_of_one_for_each():
    spec, network, _, call = make("driven", 6)
    every = replace(call, inputs={name: np.stack([a] * spec.stacked) for name, a in call.inputs.items()})
    shared, layered = run(spec, network, call), run(spec, network, every)
    for name in NAMES:
        assert max_error(shared.pop(f"d{name}"), layered.pop(f"d{name}").sum(0)) <= 1e-13
    assert_same_bits(shared, layered)


def test_layouts():
    """Batch first, without a batch, any strides, and single steps: the same bits."""
    spec, network, params, call = make("driven", 7, ("noise",))
    call.masks = call.resets = call.lengths = None
    expected = run(spec, network, call)

    def turned(array):
        return np.ascontiguousarray(array.swapaxes(-3 if array.ndim > 2 else -2, -2 if array.ndim > 2 else -1))

    inputs = {"noise": turned(call.inputs["noise"]), "dt": turned(call.inputs["dt"]), "gain": call.inputs["gain"]}
    y, final, tape = network.forward(turned(call.x), joined(call.initial), None, True, None, None, inputs, None, None)
    assert_same_bits(turned(y), expected["y"])
    assert_same_bits(list(final), [expected["final_0"], expected["final_1"]])
    grads = {name: np.zeros(value.shape) for name, value in params.items()}
    dinputs = {name: np.zeros(array.shape) for name, array in inputs.items()}
    doutputs = {layer: turned(d) for layer, d in call.doutputs.items()}
    dstates = {name: {layer: turned(d) for layer, d in ds.items()} for name, ds in call.dstates.items()}
    network.backward(tape, turned(call.dy), joined(call.dfinal), doutputs, dstates, dinputs, True, grads, False, None)
    for name in ("noise", "dt"):
        assert_same_bits(turned(dinputs[name]), expected[f"d{name}"])
    assert_same_bits(dinputs["gain"], expected["dgain"])

    strided = {name: np.asfortranarray(array) for name, array in call.inputs.items()}
    strided["dt"] = np.repeat(call.inputs["dt"], 2, axis=1)[:, ::2]
    assert_same_bits(run(spec, network, replace(call, inputs=strided)), expected)
    constant = np.broadcast_to(np.float64(0.25), call.inputs["dt"].shape)
    assert_same_bits(
        run(spec, network, replace(call, inputs=call.inputs | {"dt": constant})),
        run(spec, network, replace(call, inputs=call.inputs | {"dt": constant.copy()})),
    )
    b = 2
    alone = {"noise": call.inputs["noise"][:, :, b], "dt": call.inputs["dt"][:, b], "gain": call.inputs["gain"][b]}
    state = tuple(s[:, b] for s in call.initial)
    one, _ = network.call(call.x[:, b], state, None, None, False, None, alone, None, None)
    assert_same_bits(one, np.ascontiguousarray(expected["y"][:, b]))

    network = replace(spec, num_layers=1, directions=1).make()
    params = draw_params(spec, network, np.random.default_rng(1))
    cell = network.cell(0, 0)
    state = tuple(s[:1] for s in call.initial)
    noise = call.inputs["noise"][0]
    y, _ = network.call(call.x, state, None, None, False, None, call.inputs | {"noise": noise}, None, None)
    state = tuple(s[0] for s in state)
    for t in range(spec.T):
        now = {"noise": noise[t], "dt": call.inputs["dt"][t], "gain": call.inputs["gain"]}
        single = {"noise": noise[t, b], "dt": np.array(call.inputs["dt"][t, b]), "gain": call.inputs["gain"][b]}
        of_one = cell.call(call.x[t, b], tuple(s[b] for s in state), None, None, False, None, single, None, None)
        state = cell.call(call.x[t], state, None, None, False, None, now, None, None)
        assert_same_bits(state[0], y[t])
        assert_same_bits(of_one[0], np.ascontiguousarray(y[t, b]))


def test_out_over_an_input():
    _, network, _, call = make("driven", 8, directions=1, num_layers=1)
    arguments = (call.x, joined(call.initial), None)
    expected, _ = network.call(*arguments, None, False, None, call.inputs, None, None)
    noise = call.inputs["noise"].copy()
    y, _ = network.call(*arguments, noise, False, None, call.inputs | {"noise": noise}, None, None)
    assert y is noise
    assert_same_bits(y, expected)


def test_the_tape_owns_what_it_holds():
    spec, network, _, call = make("driven", 8)
    expected = run(spec, network, call)
    drawn = lambda *_: (call.masks, None)  # noqa: E731
    inputs = {name: array.copy() for name, array in call.inputs.items()}
    _, _, tape = network.forward(
        call.x, joined(call.initial), call.lengths, False, drawn, None, inputs, call.resets, None
    )
    for array in inputs.values():
        array[...] = 3
    grads = {name: np.zeros(value.shape) for name, value in network.parameters.views().items()}
    dinputs = {name: np.zeros(value.shape) for name, value in call.inputs.items()}
    network.backward(
        tape, call.dy, joined(call.dfinal), call.doutputs, call.dstates, dinputs, False, grads, False, None
    )
    for name in NAMES:
        assert_same_bits(dinputs[name], expected[f"d{name}"])


def test_wrong_inputs():
    _, network, _, call = make("driven", 9)

    def refuses(error, message, inputs):
        for tried in (network.call, network.forward):
            extra = (None,) if tried == network.forward else ()
            first = (call.x, None, None, False) if extra else (call.x, None, None, None, False)
            with pytest.raises(error, match=message):
                tried(*first, *extra, None, inputs, None, None)

    right = call.inputs
    for name, expected in {
        "noise": r"\(T, B, hidden_size\) = \(9, 4, 7\)",
        "gain": r"\(B, hidden_size\) = \(4, 7\)",
        "dt": r"\(T, B\) = \(9, 4\)",
    }.items():
        at_name = rf"^inputs\['{name}'\]: expected "
        refuses(
            ValueError, at_name + "an array " + expected + ", got none", {k: v for k, v in right.items() if k != name}
        )
        either = at_name + expected + r" or \(num_layers\*num_directions, .*\), got \("
        refuses(ValueError, either, right | {name: right[name][1:]})
        refuses(ValueError, either, right | {name: np.stack([right[name]] * 3)})
        refuses(ValueError, either, right | {name: np.zeros(())})
        refuses(TypeError, at_name + "float64, got float32", right | {name: right[name].astype(np.float32)})
        refuses(TypeError, at_name + "an array of float64, got list", right | {name: right[name].tolist()})
    refuses(
        ValueError, r"^inputs\['noise2'\]: expected one of noise, gain, dt, got another name", right | {"noise2": 0}
    )
    refuses(ValueError, r"^inputs\['3'\]: expected one of noise, gain, dt, got another name", right | {3: 0})
    refuses(TypeError, "^inputs: expected a dict of arrays by the inputs' names, got list", list(right.values()))
    refuses(ValueError, r"^inputs\['noise'\]: expected an array ", None)
    without = Spec("lstm").make()
    with pytest.raises(
        ValueError, match=r"^inputs\['noise'\]: expected no inputs, as the cell has none, got another name"
    ):
        without.call(call.x, None, None, None, False, None, {"noise": right["noise"]}, None, None)
    without.call(call.x, None, None, None, False, None, {}, None, None)


def test_wrong_gradients():
    _, network, params, call = make("driven", 10, ("noise",))
    call.masks = call.resets = call.lengths = None
    _, _, tape = network.forward(call.x, None, None, False, None, None, call.inputs, None, None)
    grads = {name: np.zeros(value.shape) for name, value in params.items()}
    right = {name: np.zeros(array.shape) for name, array in call.inputs.items()}

    def refuses(error, message, dinputs):
        with pytest.raises(error, match=message):
            network.backward(tape, call.dy, None, None, None, dinputs, True, grads, True, None)
        assert not any(array.any() for array in (*grads.values(), *right.values()))

    refuses(
        ValueError, r"^dinputs\['noise'\]: .* = \(4, 9, 4, 7\), got \(9, 4, 7\)", right | {"noise": np.zeros((9, 4, 7))}
    )
    refuses(ValueError, r"^dinputs\['dt'\]: expected \(T, B\) = \(9, 4\), got \(4, 9, 4\)", {"dt": np.zeros((4, 9, 4))})
    refuses(TypeError, r"^dinputs\['dt'\]: expected float64, got float32", {"dt": np.zeros((9, 4), np.float32)})
    refuses(
        ValueError, r"^dinputs\['gain'\]: expected a writeable C-contiguous array", {"gain": np.zeros((4, 14))[:, ::2]}
    )
    fixed = np.zeros((4, 7))
    fixed.flags.writeable = False
    refuses(
        ValueError, r"^dinputs\['gain'\]: expected a writeable C-contiguous array, got a read-only", {"gain": fixed}
    )
    refuses(ValueError, r"^dinputs\['other'\]: expected one of noise, gain, dt", right | {"other": 0})
    refuses(TypeError, "^dinputs: expected a dict of arrays by the inputs' names, got ", [right["dt"]])
    network.backward(tape, call.dy, None, None, None, right, True, grads, True, None)
    assert all(array.any() for array in right.values())


def test_mappings_are_read_before_arrays_are_looked_at():
    class Mapping:
        def __init__(self, items, spoil):
            self.items, self.spoil = items, spoil

        def keys(self):
            self.spoil()
            return self.items.keys()

        def __getitem__(self, name):
            return self.items[name]

    _, network, _, call = make("driven", 11)
    x = call.x.copy()

    def spoil():
        x.resize((1, 1, 5), refcheck=False)

    with pytest.raises(ValueError, match=r"^inputs\['noise'\]: expected \(T, B, hidden_size\) = \(1, 1, 7\)"):
        network.call(x, None, None, None, False, None, Mapping(call.inputs, spoil), None, None)


def test_a_cell_that_reads_x_itself():
    with pytest.raises(ValueError, match=r"^input_size: expected .* hidden_size = 7.*, got 5"):
        Spec("highway").make()
    with pytest.raises(ValueError, match=r"^num_layers, bidirectional: expected .* hidden_size = 7.*, got 14"):
        Spec("highway", input_size=7).make()
    spec, network, params, call = make("highway", 12)
    tokens = np.random.default_rng(0).integers(0, 7, (9, 4))
    with pytest.raises(TypeError, match=r"^x: expected float64 features, as the cell reads x itself.*, got tokens"):
        network.call(tokens, None, None, None, False, None, call.inputs, None, None)

    table = np.random.default_rng(1).standard_normal((11, 7))
    tokens = np.random.default_rng(0).integers(0, 11, (9, 4))
    call = replace(call, x=table[tokens], masks=None)
    expected = run(spec, network, call)
    arguments = (joined(call.initial), call.lengths, False, None, table, call.inputs, call.resets, None)
    y, final, tape = network.forward(tokens, *arguments)
    results = {"y": y, "final_0": final}
    plainly, last = network.call(tokens, *arguments[:2], None, False, table, call.inputs, call.resets, None)
    assert_same_bits((plainly, last), (y, final))
    for name, value in results.items():
        assert_same_bits(value, expected[name])
    grads = {name: np.zeros(value.shape) for name, value in params.items()}
    dtable, _ = network.backward(tape, call.dy, call.dfinal[0], call.doutputs, None, None, True, grads, False, None)
    summed = np.zeros(table.shape)
    np.add.at(summed, tokens, expected["dx"])
    assert max_error(dtable, summed) <= 1e-12
    for name, gradient in grads.items():
        assert max_error(gradient, expected[f"grad {name}"]) <= 1e-12, name
