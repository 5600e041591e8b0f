"""Layers and cells against torch.nn, on the same weights, both ways round."""

from __future__ import annotations

import numpy as np
import pytest

import calls
import recurra
from configs import draw_config, has_cell_state, make_data, make_layer, max_error, near_kink
from test_answers import TOLERANCE

torch = pytest.importorskip("torch")

CELLS = ("rnn_tanh", "rnn_relu", "lstm", "gru")  # torch has no reset-before GRU
CONFIGURATIONS = 12  # of each cell in each dtype


@pytest.fixture(autouse=True)
def one_thread():
    """These shapes are small, and the machine's cores are others' too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def torch_layer(config):
    """torch.nn's layer of this configuration, in float64 whatever recurra's is: the answer to compare with."""
    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}.get(config.cell, torch.nn.RNN)
    options = {"nonlinearity": config.cell.removeprefix("rnn_")} if config.cell.startswith("rnn") else {}
    return kind(
        config.input_size,
        config.hidden_size,
        num_layers=config.num_layers,
        bias=config.bias,
        batch_first=config.batch_first,
        bidirectional=config.bidirectional,
        dtype=torch.float64,
        **options,
    )


def tensor(array, *, leaf=False):
    """A float64 copy; padding is finite there, since torch multiplies even the gradient 0 with it."""
    return torch.tensor(np.nan_to_num(array), dtype=torch.float64, requires_grad=leaf)


def of_torch(layer, config, data):
    """The results of `layer`, named as in calls.py; padding goes through pack_padded_sequence."""
    x = tensor(config.layout(data.x), leaf=True)
    states = [tensor(s, leaf=True) for s in (data.h0, data.c0) if s is not None]
    if not states:  # zeros, so that they have a gradient
        shape = data.dh_n.shape
        states = [tensor(np.zeros(shape), leaf=True) for _ in range(1 + config.has_cell_state)]
    given = x
    if config.lengths:
        lengths = torch.from_numpy(data.lengths)
        given = torch.nn.utils.rnn.pack_padded_sequence(
            x, lengths, batch_first=config.batch_first, enforce_sorted=False
        )
    y, state = layer(given, tuple(states) if config.has_cell_state else states[0])
    if config.lengths:
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, batch_first=config.batch_first, total_length=config.T)
    finals = list(state) if config.has_cell_state else [state]
    dfinals = [tensor(d) for d in (data.dh_n, data.dc_n) if d is not None]
    torch.autograd.backward([y, *finals], [tensor(config.layout(data.dy)), *dfinals])

    results = {"y": config.layout(y.detach().numpy())}
    results |= dict(zip(("h_n", "c_n"), (s.detach().numpy() for s in finals), strict=False))
    results["dx"] = config.layout(x.grad.numpy())
    results |= dict(zip(("dh0", "dc0"), (s.grad.numpy() for s in states), strict=False))
    return results | {name: p.grad.numpy() for name, p in layer.named_parameters()}


def draw_case(rng, cell, dtype):
    """Neither empty batches nor rows of length 0, which torch refuses; no gradients of inner layers."""
    while True:
        sizes = {name: int(rng.integers(1, most)) for name, most in (("T", 25), ("B", 12))}
        config = draw_config(rng, cell=cell, dtype=dtype, **sizes)
        data = make_data(config, rng)
        data.doutputs.clear()
        data.dstates.clear()
        if config.lengths and data.lengths.min() == 0:
            continue
        if not near_kink(calls.of_reference(config, data)[1]):
            return config, data


@pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("cell", CELLS)
def test_layers(cell, dtype):
    rng = np.random.default_rng([CELLS.index(cell), np.dtype(dtype).itemsize])
    seen = []
    for _ in range(CONFIGURATIONS):
        config, data = draw_case(rng, cell, dtype)
        layer, other = make_layer(config, data.params), torch_layer(config)
        other.load_state_dict({name: torch.from_numpy(value) for name, value in layer.state_dict().items()})
        expected = of_torch(other, config, data)
        results, _ = calls.both(layer, config, data)
        assert len(expected) == (6 if config.has_cell_state else 4) + len(data.params)
        for name, value in expected.items():
            assert value.size, name
            error, tolerance = max_error(results[name], value), TOLERANCE[dtype][not calls.is_forward(name)]
            assert error <= tolerance, f"{name} is off by {error:.2g} in {config}"
        seen.append(config)
    for feature in ("bidirectional", "lengths", "state"):
        assert {getattr(config, feature) for config in seen} == {True, False}, feature


@pytest.mark.parametrize("cell", CELLS)
def test_state_dicts_are_interchangeable(cell):
    """Names, their order, shapes: torch's strict load takes ours, and ours takes torch's."""
    rng = np.random.default_rng(3)
    for bias in (True, False):
        config = draw_config(rng, cell=cell, num_layers=2, bidirectional=True, bias=bias, dtype=np.float64)
        layer = make_layer(config, make_data(config, rng).params)
        other = torch_layer(config)
        before = layer.state_dict()
        theirs = {name: value.numpy() for name, value in other.state_dict().items()}
        assert list(before) == list(theirs)
        assert len(before) == (16 if bias else 8)
        layer.load_state_dict(theirs)
        for name, value in layer.params.items():
            assert np.array_equal(value, theirs[name])
            assert not np.array_equal(value, before[name])
        other.load_state_dict({name: torch.from_numpy(value) for name, value in before.items()}, strict=True)
        assert all(np.array_equal(value.numpy(), before[name]) for name, value in other.state_dict().items())


@pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("cell", CELLS)
def test_cells(cell, bias, dtype):
    rng = np.random.default_rng([CELLS.index(cell), bias])
    name = {"lstm": "LSTMCell", "gru": "GRUCell"}.get(cell, "RNNCell")
    options = {"nonlinearity": cell.removeprefix("rnn_")} if name == "RNNCell" else {}
    for B, I, H in ((1, 1, 1), (5, 7, 33), (3, 16, 16)):  # noqa: E741
        ours = getattr(recurra, name)(I, H, bias=bias, dtype=dtype, seed=rng, **options)
        theirs = getattr(torch.nn, name)(I, H, bias=bias, dtype=torch.float64, **options)
        theirs.load_state_dict({key: torch.from_numpy(value) for key, value in ours.state_dict().items()})
        sizes = [I, H, H] if has_cell_state(cell) else [I, H]
        x, *state = (rng.standard_normal((B, n)).astype(dtype) for n in sizes)
        dstate = [rng.standard_normal((B, H)).astype(dtype) for _ in state]

        def packed(arrays):
            return tuple(arrays) if has_cell_state(cell) else arrays[0]

        def unpacked(given):
            return list(given) if has_cell_state(cell) else [given]

        h, tape = ours.forward(x, packed(state))
        dx, dprevious = ours.backward(tape, packed(dstate))
        leaves = [tensor(a, leaf=True) for a in (x, *state)]
        outputs = unpacked(theirs(leaves[0], packed(leaves[1:])))
        torch.autograd.backward(outputs, [tensor(d) for d in dstate])

        finals = [(a, b.detach().numpy()) for a, b in zip(unpacked(h), outputs, strict=True)]
        inputs = [(a, b.grad.numpy()) for a, b in zip((dx, *unpacked(dprevious)), leaves, strict=True)]
        weights = [(ours.grads[key], p.grad.numpy()) for key, p in theirs.named_parameters()]
        assert (len(finals), len(inputs), len(weights)) == (len(state), 1 + len(state), 4 if bias else 2)
        for pairs, tolerance in zip((finals, inputs + weights), TOLERANCE[dtype], strict=True):
            assert all(max_error(got, expected) <= tolerance for got, expected in pairs)
