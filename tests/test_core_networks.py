"""Options of the core's networks: one direction from the end, learned states, projections, other cells, sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from configs import assert_same_bits, max_error
from networks import BUILT_IN, CELLS, FORMULAS, NETWORKS, Spec, draw_call, draw_params, draw_spec, plain, run
from recurra import _core
from recurra.formula import Formula, sigmoid, tanh

every_cell = pytest.mark.parametrize("cell", CELLS)


def turned(array, lengths):
    """Each sequence from its end to its beginning."""
    result = array.copy()
    for b, length in enumerate(lengths):
        result[:length, b] = array[:length, b][::-1]
    return result


@every_cell
def test_reverse_is_forward_over_turned_sequences(cell):
    rng = np.random.default_rng([CELLS.index(cell), 50])
    for _ in range(4):
        spec = draw_spec(rng, cell, directions=1)
        network, other = spec.make(), replace(spec, reverse=True).make()
        params = draw_params(spec, network, rng)
        assert list(other.parameters.views()) == list(params)
        other.parameters.load(params, "params")
        call = draw_call(spec, rng, resets=None)
        lengths = call.lengths

        def turn(array, lengths=lengths):
            return turned(array, lengths)

        by_hand = replace(
            call,
            x=turn(call.x),
            dy=turn(call.dy),
            doutputs={layer: turn(d) for layer, d in call.doutputs.items()},
            dstates={name: {layer: turn(d) for layer, d in ds.items()} for name, ds in call.dstates.items()},
            inputs={name: turn(a) if len(a) == spec.T and name != "gain" else a for name, a in call.inputs.items()},
            masks=[turn(mask) for mask in call.masks],
        )
        expected = run(spec, network, by_hand)
        results = run(spec, other, call)
        tolerance = 2e-5 if spec.dtype is np.float32 else 1e-12
        for name, value in expected.items():
            if name in {"y", "dx", "dnoise", "ddt"} or name.startswith("track"):
                assert_same_bits(turn(results[name]), value, name)
            elif name.startswith(("final", "dinitial")):
                assert_same_bits(results[name], value, name)
            else:  # sums over steps, of rows in another order
                assert max_error(results[name], value) <= tolerance, name


@every_cell
def test_reverse_is_the_second_of_two_directions(cell):
    spec = Spec(cell, num_layers=1, directions=2, input_size=7 if cell == "highway" else 5)
    rng = np.random.default_rng([CELLS.index(cell), 51])
    both = spec.make()
    params = draw_params(spec, both, rng)
    call = draw_call(spec, rng, masked=False)
    expected = run(spec, both, call)
    one = replace(spec, directions=1, reverse=True)
    network = one.make()
    network.parameters.load(
        {name.removesuffix("_reverse"): value for name, value in params.items() if name.endswith("_reverse")}, "params"
    )
    second = replace(
        call,
        initial=[s[1:] for s in call.initial],
        dfinal=[s[1:] for s in call.dfinal],
        dy=call.dy[..., spec.size :],
        doutputs={layer: d[..., spec.size :] for layer, d in call.doutputs.items()},
        dstates={n: {layer: d[..., spec.hidden_size :] for layer, d in ds.items()} for n, ds in call.dstates.items()},
    )
    results = run(one, network, second)
    assert_same_bits(results["y"], np.ascontiguousarray(expected["y"][..., spec.size :]))
    for name, value in results.items():
        if name.startswith(("final", "dinitial")):
            assert_same_bits(value, expected[name][1:], name)
        elif name.startswith("grad"):
            assert_same_bits(value, expected[name + "_reverse"], name)


def test_reverse_and_two_directions():
    with pytest.raises(ValueError, match=r"^reverse: expected False, as the layer goes in both directions"):
        Spec("lstm", reverse=True).make()


@pytest.mark.parametrize("reverse", [False, True])
@every_cell
def test_learned_states(cell, reverse):
    """As if every sequence had been given them; what its state's gradient is, summed over the batch in its order."""
    rng = np.random.default_rng([CELLS.index(cell), 52])
    for _ in range(4):
        spec = draw_spec(rng, cell, **({"directions": 1} if reverse else {}), reverse=reverse)
        given, learned = spec.make(), replace(spec, learned=True).make()
        params = draw_params(spec, given, rng)
        names = [f"{state}0" for state in spec.states]
        assert list(learned.parameters.views()) == [*params, *names]
        states = {
            name: np.asarray(rng.standard_normal((spec.stacked, size)), spec.dtype)
            for name, size in zip(names, spec.sizes(), strict=True)
        }
        learned.parameters.load(params | states, "params")
        call = draw_call(spec, rng, resets=float(rng.choice((0, 0.2))))
        call.initial = [np.repeat(s[:, None], spec.B, axis=1) for s in states.values()]
        expected = run(spec, given, call)
        results = run(spec, learned, replace(call, initial=None))
        for k, name in enumerate(names):
            total = np.zeros_like(states[name])
            for b in range(spec.B):
                total += expected[f"dinitial_{k}"][:, b]
            assert_same_bits(results.pop(f"grad {name}"), total)
        assert_same_bits(results, expected)
        call.masks = None
        assert_same_bits(plain(learned, replace(call, initial=None)), plain(given, call))
        # What the caller gives counts instead, and the parameter has no gradient.
        call = draw_call(spec, rng, masked=False)
        expected, results = run(spec, given, call), run(spec, learned, call)
        for name in names:
            assert not results.pop(f"grad {name}").any()
        assert_same_bits(results, expected)


def test_one_learned_state_of_two():
    spec = Spec("lstm", learned=True)
    rng = np.random.default_rng(53)
    network = spec.make()
    params = draw_params(spec, network, rng)
    call = draw_call(spec, rng)
    c = np.repeat(params["c0"][:, None], spec.B, axis=1)
    expected = run(spec, network, replace(call, initial=[call.initial[0], c]))
    results = run(spec, network, replace(call, initial=[call.initial[0], None]))
    assert not results["grad h0"].any()
    assert results.pop("grad c0").any()
    expected.pop("grad c0")
    assert_same_bits(results, expected)


def test_learned_states_follow_the_weights():
    spec = Spec("gru", learned=True, num_layers=1, directions=1)
    network = spec.make()
    rng = np.random.default_rng(54)
    params = draw_params(spec, network, rng)
    x = rng.standard_normal((0, 2, 5))
    for _ in range(2):
        _, final = network.call(x, None, None, None, False, None, None, None, None)
        assert_same_bits(final, np.repeat(params["h0"][:, None], 2, axis=1))
        params["h0"] = rng.standard_normal((1, 7))
        network.parameters.load(params, "params")
    single = network.cell(0, 0)  # takes zeros
    row = rng.standard_normal((2, 5))
    zeros = np.zeros((2, 7))
    expected = single.call(row, zeros, None, None, False, None, None, None, None)
    assert_same_bits(single.call(row, None, None, None, False, None, None, None, None), expected)


def test_shapes_of_projections():
    network = Spec("projected", num_layers=2).make()
    shapes = {name: value.shape for name, value in network.parameters.views().items()}
    assert shapes["weight_ih_l0"] == (28, 5)
    assert shapes["weight_ih_l1_reverse"] == (28, 6)
    assert shapes["weight_hh_l0"] == (28, 3)
    assert shapes["weight_hr_l1"] == (3, 7)
    with pytest.raises(
        ValueError, match=r"^weight_hh_l0: expected \(4\*hidden_size, proj_size\) = \(28, 3\), got \(28, 7\)"
    ):
        network.parameters.load(dict(network.parameters.views()) | {"weight_hh_l0": np.zeros((28, 7))}, "params")
    x = np.zeros((2, 3, 5))
    with pytest.raises(ValueError, match=r"^h0: expected \(num_layers\*num_directions, B, proj_size\) = \(4, 3, 3\)"):
        network.call(x, (np.zeros((4, 3, 7)), None), None, None, False, None, None, None, None)
    with pytest.raises(ValueError, match=r"^c0: expected \(num_layers\*num_directions, B, hidden_size\) = \(4, 3, 7\)"):
        network.call(x, (None, np.zeros((4, 3, 3))), None, None, False, None, None, None, None)
    with pytest.raises(ValueError, match=r"^out: expected \(T, B, 2\*proj_size\) = \(2, 3, 6\), got \(2, 3, 14\)"):
        network.call(x, None, None, np.zeros((2, 3, 14)), False, None, None, None, None)
    for size in (0, -1):
        with pytest.raises(ValueError, match=r"^(proj_size|sizes)"):
            _core.Network64(FORMULAS["projected"].core, 5, 7, 1, 1, True, False, None, size)
    with pytest.raises(ValueError, match=r"^proj_size: expected 0, as the cell projects nothing, got 3"):
        _core.Network64(BUILT_IN["lstm"].core, 5, 7, 1, 1, True, False, None, 3)


def test_heads():
    def headed(a, s):
        return sigmoid(a.z) * s.h + tanh(a.g)

    core = Formula(headed, gates="z g", heads=2).core
    network = _core.Network64(core, 3, 8, 1, 1, True, False, None)
    assert network.parameters.views()["weight_hh_l0"].shape == (16, 4)
    with pytest.raises(ValueError, match=r"^weight_hh_l0: expected \(2\*hidden_size, hidden_size/2\) = \(16, 4\)"):
        network.parameters.load(dict(network.parameters.views()) | {"weight_hh_l0": np.zeros((16, 8))}, "params")
    with pytest.raises(ValueError, match=r"^hidden_size: expected a multiple of the cell's heads, 2, got 7"):
        _core.Network64(core, 3, 7, 1, 1, True, False, None)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@every_cell
def test_tape_bytes(cell, dtype):
    """What a tape takes: at least all that it shows, and linear in the steps."""
    spec = Spec(cell, dtype=dtype, num_layers=2, directions=1, input_size=7 if cell == "highway" else 5)
    network = spec.make()
    one, two = network.tape_bytes(100, 8), network.tape_bytes(200, 8)
    shown = spec.input_size + sum(spec.sizes()) * 2
    assert one >= 800 * shown * np.dtype(dtype).itemsize
    assert abs(two - 2 * one) <= 8192
    assert network.tape_bytes(0, 0) < 4096
    with pytest.raises(ValueError, match=r"^steps, batch: expected sizes of 0 or more"):
        network.tape_bytes(-1, 2)
    with pytest.raises(MemoryError):
        network.tape_bytes(2**40, 2**40)


def leaky(a, s, x):
    """With a number of its own, which is packed beside the weights."""
    return 0.75 * s.h + x.rate * (tanh(a.g) - s.h)


def elman(a):
    return tanh(a.g)


def test_another_cell_on_the_same_parameters():
    """Either network takes the other's tapes; each has packed weights of its own."""
    rng = np.random.default_rng(55)
    network = _core.Network64(Formula(elman, gates="g").core, 3, 5, 2, 1, True, False, None)
    params = {name: rng.standard_normal(value.shape) for name, value in network.parameters.views().items()}
    network.parameters.load(params, "params")
    x, dy = rng.standard_normal((6, 2, 3)), rng.standard_normal((6, 2, 5))

    def both(of, back, inputs, draw=None):
        y, _, tape = of.forward(x, None, None, False, draw, None, inputs, None, None)
        grads = {name: np.zeros(value.shape) for name, value in params.items()}
        dx, _ = back.backward(tape, dy, None, None, None, None, True, grads, False, None)
        return y, dx, grads

    plainly = both(network, network, None)
    other = network.with_cell(Formula(leaky, gates="g", inputs="rate").core)
    rates = [rng.random((6, 2, 5)), rng.random((2, 6, 2, 5))]
    alone = _core.Network64(Formula(leaky, gates="g", inputs="rate").core, 3, 5, 2, 1, True, False, None)
    alone.parameters.load(params, "params")
    for rate in rates:
        expected = both(alone, alone, {"rate": rate})
        assert_same_bits(both(other, network, {"rate": rate}), expected)
        assert_same_bits(both(other, other, None, lambda *_: (None, {"rate": rate})), expected)  # noqa: B023
    assert_same_bits(both(network, other, None), plainly)
    with pytest.raises(ValueError, match=r"^inputs\['rate'\]: expected an array .*, got none"):
        both(other, other, None)
    with pytest.raises(ValueError, match=r"^cell: expected one of the same states and parameters"):
        network.with_cell(BUILT_IN["lstm"].core)
    with pytest.raises(RuntimeError, match=r"^tape: expected one of this layer"):
        both(network, alone, None)


def test_drawn_inputs_are_time_major():
    """Whatever the layout of the call, and drawn only when all else has been found right."""
    rng = np.random.default_rng(56)
    network = _core.Network64(Formula(leaky, gates="g", inputs="rate").core, 3, 5, 1, 1, True, False, None)
    x, rate = rng.standard_normal((6, 2, 3)), rng.random((6, 2, 5))
    draws = []

    def draw(steps, batch):
        draws.append((steps, batch))
        return None, {"rate": rate[:steps, :batch]}

    y, _, _ = network.forward(x, None, None, False, draw, None, None, None, None)
    by_batch, _, _ = network.forward(x.swapaxes(0, 1).copy(), None, None, True, draw, None, None, None, None)
    assert_same_bits(by_batch, np.ascontiguousarray(y.swapaxes(0, 1)))
    alone, _, _ = network.forward(x[:, 0].copy(), None, None, False, draw, None, None, None, None)
    assert_same_bits(alone, np.ascontiguousarray(y[:, 0]))
    assert draws == [(6, 2), (6, 2), (6, 1)]
    with pytest.raises(ValueError, match=r"^h0: expected"):
        network.forward(x, np.zeros(3), None, False, draw, None, None, None, None)
    assert len(draws) == 3


def three(a, s):
    m = s.m + 0.5 * (a.g - s.m)
    n = 0.9 * s.n + 0.1 * m
    return tanh(n), m, n


def test_three_states():
    formula = Formula(three, gates="g", states="h m n")
    network = NETWORKS[np.float64](formula.core, 3, 5, 1, 2, True, False, None)
    x, zeros = np.ones((4, 2, 3)), np.zeros((2, 2, 5))
    y, final, tape = network.forward(x, (None, zeros, None), None, False, None, None, None, None, None)
    assert isinstance(final, tuple)
    assert len(final) == 3
    assert list(tape.states) == ["m", "n"]
    assert tape.states["m"][0].shape == y.shape
    with pytest.raises(TypeError, match=r"^hx: expected a tuple \(h0, m0, n0\), got tuple"):
        network.call(x, (None, zeros), None, None, False, None, None, None, None)
    with pytest.raises(ValueError, match=r"^n0: expected \("):
        network.call(x, (None, None, zeros[:1]), None, None, False, None, None, None, None)
    grads = {name: np.zeros(value.shape) for name, value in network.parameters.views().items()}
    with pytest.raises(TypeError, match=r"^dstate: expected a tuple \(dh_n, dm_n, dn_n\), got "):
        network.backward(tape, None, zeros, None, None, None, True, grads, True, None)
    with pytest.raises(ValueError, match=r"^dstates: expected names of states besides h: m, n, got 'h'"):
        network.backward(tape, None, None, None, {"h": {}}, None, True, grads, True, None)
    _, dinitial = network.backward(tape, None, (None, None, zeros + 1), None, None, None, True, grads, True, None)
    assert [d.any() for d in dinitial] == [False, True, True]
