"""The NumPy reference against arithmetic one number at a time, central differences, its own parts, and PyTorch."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

import calls
from configs import CELLS, Config, assert_same_bits, make_data, max_error, near_kink, slope_error
from recurra import reference

# Two layers, both directions, and sequences that end early, at the end, at once and in the middle, in no order.
SMALL = Config(
    cell="lstm",
    input_size=2,
    hidden_size=3,
    num_layers=2,
    bidirectional=True,
    bias=True,
    dtype=np.float64,
    batch_first=False,
    lengths=True,
    state=True,
    T=4,
    B=4,
)
LENGTHS = [1, 4, 0, 3]
# Between two ways of adding the same float64 numbers up; 8e-16 is the worst seen, against torch.nn.
ROUNDING = 1e-14


def small_case(cell, seed=0, **changes):
    """A small configuration with LENGTHS, its data, and masks of inverted dropout with a keep rate of 0.5."""
    rng = np.random.default_rng(seed)
    config = replace(SMALL, cell=cell, **changes)
    masks = [rng.integers(0, 2, (config.T, config.B, config.directions * config.hidden_size)) * 2.0]
    for _ in range(100):  # a relu must not pass its kink within the steps of the central differences
        data = make_data(config, rng, LENGTHS if config.lengths else None)
        if not near_kink(run(config, data, masks)[-1], margin=1e-3):
            return config, data, masks
    raise AssertionError("every draw comes near a kink")


def run(config, data, masks=None):
    """(y, h_n, c_n, tape) of the reference; c_n is None where there is none."""
    shape = {"num_layers": config.num_layers, "bidirectional": config.bidirectional}
    hx = calls.as_state(config, data.h0, data.c0)
    y, state, tape = reference.forward(config.cell, data.x, data.params, hx, **shape, lengths=data.lengths, masks=masks)
    return y, *calls.as_parts(config, state), tape


def run_back(config, tape, dy=None, dh_n=None, dc_n=None, **given):
    """(dx, dh0, dc0, grads) of the reference."""
    dx, dstate, grads = reference.backward(tape, dy, calls.as_state(config, dh_n, dc_n), **given)
    return dx, *calls.as_parts(config, dstate), grads


def one_number_at_a_time(cell, x, h, c, params):
    """The textbook equations on lists of floats: x (I), h and c (H) -> h', c'."""
    w_ih, w_hh, b_ih, b_hh = (params[n + "_l0"].tolist() for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    size = range(len(h))

    def of_x(gate, k):
        row = gate * len(h) + k
        return b_ih[row] + sum(w * v for w, v in zip(w_ih[row], x, strict=True))

    def of_h(gate, k, state=h):
        row = gate * len(h) + k
        return b_hh[row] + sum(w * v for w, v in zip(w_hh[row], state, strict=True))

    def sigma(a):
        return 1 / (1 + math.exp(-a))

    if cell == "rnn_tanh":
        return [math.tanh(of_x(0, k) + of_h(0, k)) for k in size], c
    if cell == "rnn_relu":
        return [max(0.0, of_x(0, k) + of_h(0, k)) for k in size], c
    if cell == "lstm":
        i, f, o = ([sigma(of_x(gate, k) + of_h(gate, k)) for k in size] for gate in (0, 1, 3))
        g = [math.tanh(of_x(2, k) + of_h(2, k)) for k in size]
        c_next = [f[k] * c[k] + i[k] * g[k] for k in size]
        return [o[k] * math.tanh(c_next[k]) for k in size], c_next
    r, z = ([sigma(of_x(gate, k) + of_h(gate, k)) for k in size] for gate in (0, 1))
    if cell == "gru":
        n = [math.tanh(of_x(2, k) + r[k] * of_h(2, k)) for k in size]
    else:
        reset = [r[k] * h[k] for k in size]
        n = [math.tanh(of_x(2, k) + of_h(2, k, reset)) for k in size]
    return [(1 - z[k]) * n[k] + z[k] * h[k] for k in size], c


@pytest.mark.parametrize("cell", CELLS)
def test_equations(cell):
    config, data, _ = small_case(cell, num_layers=1, bidirectional=False, lengths=False)
    y, h_n, c_n, tape = run(config, data)
    for b in range(config.B):
        h, c = data.h0[0, b].tolist(), data.c0[0, b].tolist() if config.has_cell_state else None
        for t in range(config.T):
            h, c = one_number_at_a_time(cell, data.x[t, b].tolist(), h, c, data.params)
            assert max_error(y[t, b], np.array(h)) <= ROUNDING
            if c is not None:
                assert max_error(tape.states["c"][0][t, b], np.array(c)) <= ROUNDING
        assert_same_bits(h_n[0, b], y[-1, b])
        if c is not None:
            assert_same_bits(c_n[0, b], tape.states["c"][0][-1, b])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("cell", CELLS)
def test_network_is_its_parts(cell, bias):
    """Layers, directions, masks and lengths, one sequence at a time: from runs of one direction that know of none."""
    config, data, masks = small_case(cell, bias=bias)
    y, h_n, c_n, tape = run(config, data, masks)
    for b, length in enumerate(LENGTHS):
        part = data.x[:length, b : b + 1]
        for layer in range(config.num_layers):
            outputs, cells = [], []
            for direction, suffix in enumerate((f"_l{layer}", f"_l{layer}_reverse")):
                k, order = 2 * layer + direction, -1 if direction else 1
                params = {name.replace(suffix, "_l0"): p for name, p in data.params.items() if name.endswith(suffix)}
                h0, c0 = (s[k : k + 1, b : b + 1] if s is not None else None for s in (data.h0, data.c0))
                h, last, one = reference.forward(cell, part[::order], params, calls.as_state(config, h0, c0))
                h_last, c_last = calls.as_parts(config, last)
                outputs.append(h[::order])
                assert max_error(h_n[k, b], h_last[0, 0]) <= ROUNDING
                if config.has_cell_state:
                    cells.append(one.states["c"][0][::order])
                    assert max_error(c_n[k, b], c_last[0, 0]) <= ROUNDING
            for whole, parts in ((tape.outputs, outputs), (tape.states.get("c"), cells)):
                if parts:
                    part = np.concatenate(parts, axis=-1)
                    assert max_error(whole[layer][:length, b : b + 1], part) <= ROUNDING
                    assert_same_bits(whole[layer][length:, b], np.zeros_like(whole[layer][length:, b]))
            part = np.concatenate(outputs, axis=-1) * masks[0][:length, b : b + 1]
    assert_same_bits(y, tape.outputs[-1])
    assert list(reference.backward(tape)[-1]) == list(data.params)


@pytest.mark.parametrize("cell", CELLS)
def test_central_differences(cell):
    """Every gradient there is, of everything that goes in, through everything that comes out."""
    config, data, masks = small_case(cell)
    given = {"dy": data.dy, "dh_n": data.dh_n, "dc_n": data.dc_n, "doutputs": data.doutputs, "dstates": data.dstates}
    dx, dh0, dc0, grads = run_back(config, run(config, data, masks)[-1], **given)

    def loss():
        y, h_n, c_n, tape = run(config, data, masks)
        pairs = [(y, data.dy), (h_n, data.dh_n), (c_n, data.dc_n)]
        pairs += [(tape.outputs[layer], gradient) for layer, gradient in data.doutputs.items()]
        pairs += [(tape.states["c"][layer], gradient) for layer, gradient in data.dstates.get("c", {}).items()]
        return sum(np.vdot(out, np.nan_to_num(gradient)) for out, gradient in pairs if out is not None)

    checks = {"x": (data.x, dx), "h0": (data.h0, dh0), **{name: (p, grads[name]) for name, p in data.params.items()}}
    if config.has_cell_state:
        checks["c0"] = (data.c0, dc0)
    else:
        assert dc0 is None
    assert grads.keys() == data.params.keys()
    for name, (array, gradient) in checks.items():
        # A tenth of what the compiled layers are allowed.
        assert slope_error(loss, array, gradient) <= 1e-8, name


@pytest.fixture
def torch():
    """PyTorch on one thread: on these shapes a second one costs, where cores are shared, seconds of waiting for it."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(threads)


@pytest.mark.parametrize("lengths", [None, [3, 9, 1, 9, 7]])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell != "gru_reset_before"])  # which torch.nn hasn't got
def test_torch(torch, cell, bias, lengths):
    config = replace(SMALL, cell=cell, input_size=7, hidden_size=11, num_layers=3, T=9, B=5, bias=bias)
    config = replace(config, lengths=lengths is not None)
    data = make_data(config, np.random.default_rng(1), lengths)
    y, h_n, c_n, tape = run(config, data)
    dx, dh0, dc0, grads = run_back(config, tape, data.dy, data.dh_n, data.dc_n)

    kind = {"rnn_tanh": torch.nn.RNN, "rnn_relu": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell]
    options = {"nonlinearity": cell[4:]} if cell.startswith("rnn") else {}
    network = kind(7, 11, num_layers=3, bias=bias, bidirectional=True, dtype=torch.float64, **options)
    network.load_state_dict({name: torch.from_numpy(p) for name, p in data.params.items()})
    x = torch.from_numpy(data.x).requires_grad_()
    states = tuple(torch.from_numpy(s).requires_grad_() for s in (data.h0, data.c0) if s is not None)
    rnn = torch.nn.utils.rnn
    inputs = rnn.pack_padded_sequence(x, data.lengths.tolist(), enforce_sorted=False) if lengths else x
    out, final = network(inputs, states if config.has_cell_state else states[0])
    out = rnn.pad_packed_sequence(out, total_length=config.T)[0] if lengths else out
    final = final if config.has_cell_state else (final,)
    gradients = [torch.from_numpy(d) for d in (data.dy, data.dh_n, data.dc_n) if d is not None]
    torch.autograd.backward([out, *final], gradients)

    expected = {"y": out, "h_n": final[0], "dx": x.grad, "dh0": states[0].grad}
    got = {"y": y, "h_n": h_n, "dx": dx, "dh0": dh0}
    if config.has_cell_state:
        expected |= {"c_n": final[1], "dc0": states[1].grad}
        got |= {"c_n": c_n, "dc0": dc0}
    expected |= {name: p.grad for name, p in network.named_parameters()}
    got |= grads
    assert got.keys() == expected.keys()
    for name, tensor in expected.items():
        assert max_error(got[name], tensor.detach().numpy()) <= ROUNDING, name


@pytest.mark.parametrize("cell", CELLS)
def test_length_zero_hands_the_state_through(cell):
    config, data, masks = small_case(cell)
    y, h_n, c_n, tape = run(config, data, masks)
    dx, dh0, dc0, _ = run_back(config, tape, data.dy, data.dh_n, data.dc_n)
    row = LENGTHS.index(0)
    assert not y[:, row].any()
    assert not dx[:, row].any()
    assert_same_bits((h_n[:, row], dh0[:, row]), (data.h0[:, row], data.dh_n[:, row]))
    if config.has_cell_state:
        assert_same_bits((c_n[:, row], dc0[:, row]), (data.c0[:, row], data.dc_n[:, row]))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("steps", "batch"), [(0, 3), (3, 0), (0, 0)])
def test_empty(cell, steps, batch):
    config = replace(SMALL, cell=cell, T=steps, B=batch, lengths=False)
    data = make_data(config, np.random.default_rng(0))
    y, h_n, c_n, tape = run(config, data)
    dx, dh0, dc0, grads = run_back(config, tape, data.dy, data.dh_n, data.dc_n)
    assert y.shape == data.dy.shape
    assert_same_bits((h_n, c_n, dh0, dc0), (data.h0, data.c0, data.dh_n, data.dc_n))
    assert_same_bits(dx, np.zeros_like(data.x))
    assert_same_bits(grads, {name: np.zeros_like(p) for name, p in data.params.items()})


@pytest.mark.parametrize("cell", CELLS)
def test_none_is_zeros(cell):
    config, data, _ = small_case(cell, state=False)
    y, h_n, c_n, tape = run(config, data)
    zeros = np.zeros_like(data.dh_n)
    given = replace(data, h0=zeros, c0=zeros if config.has_cell_state else None)
    assert_same_bits((y, h_n, c_n), run(config, given)[:3])
    dc_n = zeros if config.has_cell_state else None
    assert_same_bits(run_back(config, tape), run_back(config, tape, np.zeros_like(y), zeros, dc_n))
    assert_same_bits(run_back(config, tape, data.dy), run_back(config, tape, doutputs={1: data.dy}))


@pytest.mark.parametrize("cell", CELLS)
def test_single_precision_in_single_precision_out(cell):
    config, data, masks = small_case(cell)
    *outputs, tape = run(config, data, masks)
    doubles = [*outputs, *run_back(config, tape, data.dy, data.dh_n, data.dc_n, dstates=data.dstates)]
    data = data.astype(np.float32)
    *outputs, tape = run(config, data, masks)  # masks stay float64 and must not promote
    singles = [*outputs, *run_back(config, tape, data.dy, data.dh_n, data.dc_n, dstates=data.dstates)]
    for single, double in zip(singles, doubles, strict=True):
        pairs = [(single[n], double[n]) for n in double] if isinstance(double, dict) else [(single, double)]
        for got, ref in pairs:
            if ref is not None:
                assert got.dtype == np.float32
                assert 0 < max_error(got, ref) <= 2e-6  # 6e-7 is the worst seen; above 0, or it isn't float32


@pytest.mark.parametrize("cell", CELLS)
def test_tape_owns_what_it_holds(cell):
    config, data, masks = small_case(cell)
    y, h_n, _, tape = run(config, data, masks)
    outputs = [h.copy() for h in tape.outputs]
    before = run_back(config, tape, data.dy, data.dh_n, data.dc_n)
    for array in (y, h_n, data.x, data.h0, data.lengths, *masks, *data.params.values()):
        array[...] = 3
    assert_same_bits(run_back(config, tape, data.dy, data.dh_n, data.dc_n), before)
    assert_same_bits(tape.outputs, outputs)


@pytest.mark.parametrize("cell", ["rnn_tanh", "rnn_relu"])
def test_preactivations(cell):
    config, data, masks = small_case(cell)
    *_, tape = run(config, data, masks)
    real = np.arange(config.T)[:, None] < data.lengths
    activation = reference.relu if cell == "rnn_relu" else np.tanh
    for a, h in zip(tape.preactivations, tape.outputs, strict=True):
        assert_same_bits(activation(a[real]), h[real])
        assert np.isnan(a[~real]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations(dtype):
    x = np.array([-np.inf, -1e4, -700, -90, -1.5, -0.0, 0.0, 1e-30, 1.5, 90, 700, 1e4, np.inf, np.nan], dtype)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        y, positive = reference.sigmoid(x), reference.relu(x)
    assert y.dtype == positive.dtype == dtype
    exact = [1 / (1 + math.exp(-v)) if v > -700 else math.exp(v) for v in x[:-1].tolist()]
    np.testing.assert_allclose(y[:-1], np.array(exact), rtol=3 * np.finfo(dtype).eps, atol=np.finfo(dtype).tiny)
    np.testing.assert_array_equal(positive[:-1], [max(v, 0) for v in x[:-1].tolist()])
    assert np.isnan(y[-1])
    assert np.isnan(positive[-1])
    assert reference.sigmoid(np.array(0.0, dtype)).shape == ()
