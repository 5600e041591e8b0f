"""recurra.torch's modules against torch.nn's: the same numbers, gradients, draws and errors."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import recurra.torch  # noqa: E402
from torch_pairs import (  # noqa: E402
    CELLS,
    LAYERS,
    TOLERANCE,
    assert_close,
    draw_options,
    draw_states,
    flat,
    generator,
    normal,
    pair,
    results,
)

DTYPES = pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: str(dtype)[6:])


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@DTYPES
@pytest.mark.parametrize("kind", LAYERS)
def test_layers(kind, dtype):
    """Outputs, states, all gradients; dropout draws the masks that torch.nn draws."""
    rng = generator(LAYERS.index(kind), torch.finfo(dtype).bits)
    dropped = 0
    for _ in range(14):
        sizes, options = draw_options(rng, kind)
        theirs, ours = pair(kind, *sizes, dtype=dtype, **options)
        steps, batch = (int(n) for n in rng.integers(1, 9, 2))
        unbatched = rng.integers(4) == 0
        shape = (batch, steps) if options["batch_first"] else (steps, batch)
        x = normal(rng, (*((steps,) if unbatched else shape), sizes[0]), dtype)
        hx = draw_states(rng, theirs, () if unbatched else (batch,), dtype) if rng.integers(2) else None
        for module in (theirs, ours):
            module.train()
        assert_close(results(ours, x, hx), results(theirs, x, hx))
        for module in (theirs, ours):
            module.eval()
        assert_close(results(ours, x, hx), results(theirs, x, hx))
        with torch.no_grad():
            assert_close(flat(ours(x, hx)), flat(theirs(x, hx)))
        dropped += "dropout" in options
    assert dropped > 2


@DTYPES
@pytest.mark.parametrize("kind", LAYERS)
def test_packed_sequences(kind, dtype):
    rng = generator(LAYERS.index(kind), 1)
    for enforce_sorted in (True, False):
        for _ in range(4):
            sizes, options = draw_options(rng, kind)
            theirs, ours = pair(kind, *sizes, dtype=dtype, **options)
            lengths = rng.integers(1, 8, int(rng.integers(1, 7)))
            if enforce_sorted:
                lengths = np.sort(lengths)[::-1]
            x = normal(rng, (int(lengths.max()), len(lengths), sizes[0]), dtype)
            hx = draw_states(rng, theirs, (len(lengths),), dtype) if rng.integers(2) else None

            def run(module, x=x, hx=hx, lengths=lengths, enforce_sorted=enforce_sorted):
                packed = torch.nn.utils.rnn.pack_padded_sequence(
                    x, torch.from_numpy(lengths.copy()), enforce_sorted=enforce_sorted
                )
                x.grad = None
                values = results(module, packed, hx)
                torch.manual_seed(0)
                y, _ = module(packed, hx)
                assert torch.equal(y.batch_sizes, packed.batch_sizes)
                assert (y.unsorted_indices is None) == (packed.unsorted_indices is None)
                if y.unsorted_indices is not None:
                    assert torch.equal(y.unsorted_indices, packed.unsorted_indices)
                return [*values, x.grad.clone()]

            assert_close(run(ours), run(theirs))


@pytest.mark.parametrize("kind", LAYERS)
def test_lengths_and_resets_are_those_of_the_layers_of_recurra(kind):
    rng = generator(2)
    module = getattr(recurra.torch, kind)(3, 5, num_layers=2, batch_first=True, dtype=torch.float64)
    layer = getattr(recurra, kind)(3, 5, num_layers=2, batch_first=True, dtype=np.float64, seed=0)
    layer.load_state_dict({name: p.detach().numpy() for name, p in module.named_parameters()})
    x = normal(rng, (4, 6, 3), torch.float64)
    lengths, resets = np.array([6, 0, 3, 2]), rng.random((4, 6)) < 0.3
    y, state = module(x, lengths=torch.from_numpy(lengths), resets=torch.from_numpy(resets))
    expected, final, tape = layer.forward(x.detach().numpy(), lengths=lengths, resets=resets)
    assert np.array_equal(y.detach().numpy(), expected)
    for got, one in zip(flat(state), final if isinstance(final, tuple) else (final,), strict=True):
        assert np.array_equal(got.detach().numpy(), one)
    y.backward(torch.ones_like(y))
    dx, _ = layer.backward(tape, np.ones_like(expected))
    assert np.array_equal(x.grad.numpy(), dx)
    assert all(np.array_equal(p.grad.numpy(), layer.grads[name]) for name, p in module.named_parameters())
    with torch.no_grad():
        assert torch.equal(module(x, lengths=list(lengths), resets=resets.tolist())[0], y)


@pytest.mark.parametrize("name", ["lengths", "resets", "inputs"])
def test_packed_sequences_have_nothing_beside_them(name):
    packed = torch.nn.utils.rnn.pack_padded_sequence(torch.zeros(5, 3, 2), [2, 5, 3], enforce_sorted=False)
    given = {"lengths": torch.ones(3), "resets": torch.zeros(5, 3, dtype=torch.bool), "inputs": {}}[name]
    with pytest.raises(ValueError, match=f"{name}: expected None with a PackedSequence, got"):
        recurra.torch.LSTM(2, 4)(packed, **{name: given})


@DTYPES
@pytest.mark.parametrize("kind", CELLS)
def test_cells(kind, dtype):
    rng = generator(CELLS.index(kind), 3)
    for bias in (True, False):
        for batch in (None, 1, 7):
            options = {"nonlinearity": str(rng.choice(["tanh", "relu"]))} if kind == "RNNCell" else {}
            theirs, ours = pair(kind, 3, 5, bias=bias, dtype=dtype, **options)
            rows = () if batch is None else (batch,)
            x, *states = (normal(rng, (*rows, n), dtype) for n in (3, 5, 5))
            hx = tuple(states) if kind == "LSTMCell" else states[0]
            for state in (hx, None):
                assert_close(results(ours, x, state), results(theirs, x, state))
                with torch.inference_mode():
                    assert_close(flat(ours(x, state)), flat(theirs(x, state)))


@pytest.mark.parametrize("kind", LAYERS + CELLS)
def test_they_are_the_modules_of_torch(kind):
    """Classes, draws, state_dicts, repr, weights as lists."""
    options = {} if kind in CELLS else {"num_layers": 2, "bidirectional": True, "dropout": 0.5}
    theirs, ours = pair(kind, 3, 5, **options)
    assert isinstance(ours, getattr(torch.nn, kind))
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    other = getattr(recurra.torch, kind)(3, 5, **options)
    other.load_state_dict(theirs.state_dict(), strict=True)
    theirs.load_state_dict(other.state_dict(), strict=True)
    if kind in LAYERS:
        ours.flatten_parameters()
        assert [len(row) for row in ours.all_weights] == [4] * 4
        assert str(ours.extra_repr()) == str(theirs.extra_repr())


@pytest.mark.parametrize("kind", LAYERS)
def test_copies_and_pickles(kind):
    module = getattr(recurra.torch, kind)(3, 5, num_layers=2)
    x = torch.randn(4, 2, 3)
    fresh = copy.deepcopy(module)
    expected = module(x)[0]
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    copies = [fresh, copy.deepcopy(module), pickle.loads(pickle.dumps(module)), torch.load(buffer, weights_only=False)]
    for twin in copies:
        assert type(twin) is type(module)
        assert torch.equal(twin(x)[0], expected)
        with torch.no_grad():
            twin.weight_hh_l0.zero_()
        assert not torch.equal(twin(x)[0], expected)
    assert torch.equal(module(x)[0], expected)
    shared = copy.copy(module)
    with torch.no_grad():
        shared.weight_hh_l0.mul_(2)
    assert torch.equal(shared(x)[0], module(x)[0])
    assert not torch.equal(module(x)[0], expected)


def test_two_layers_train_as_those_of_torch():
    """Fifty steps of Adam with clipped gradients: the same losses."""
    rng = generator(5)
    x = torch.from_numpy(rng.standard_normal((12, 8, 3)).astype(np.float32))
    target = x.cumsum(0)[:, :, :1]
    losses = []
    for module in pair("LSTM", 3, 16, num_layers=2):
        torch.manual_seed(1)
        readout = torch.nn.Linear(16, 1)
        parameters = [*module.parameters(), *readout.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=1e-2)
        losses.append([])
        for _ in range(50):
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(readout(module(x)[0]), target)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            losses[-1].append(loss.item())
    assert losses[0][-1] < losses[0][0] / 4
    assert np.abs(np.subtract(*losses)).max() <= 1e-4


@pytest.mark.parametrize(
    ("kind", "x", "hx"),
    [
        ("LSTM", (4, 2, 7), None),
        ("LSTM", (3,), None),
        ("LSTM", (4, 2, 3), ((1, 3, 5), (1, 2, 5))),
        ("LSTM", (4, 2, 3), ((1, 2, 5), (1, 2, 4))),
        ("LSTM", (4, 3), ((1, 1, 5), (1, 1, 5))),
        ("GRU", (4, 2, 3), (2, 2, 5)),
        ("GRU", (4, 2, 3), (1, 5)),
        ("RNN", (4, 2, 3, 1), None),
        ("GRUCell", (2, 4), None),
        ("GRUCell", (2, 3), (3, 5)),
        ("LSTMCell", (1, 2, 3), None),
    ],
)
def test_wrong_shapes_are_refused_as_torch_does(kind, x, hx):
    theirs, ours = pair(kind, 3, 5)
    x = torch.zeros(x)
    if hx is not None:
        hx = tuple(map(torch.zeros, hx)) if isinstance(hx[0], tuple) else torch.zeros(hx)
    with pytest.raises((RuntimeError, ValueError)) as expected:
        theirs(x, hx)
    with pytest.raises(type(expected.value)) as got:
        ours(x, hx)
    assert str(got.value) == str(expected.value)


def test_other_dtypes_and_devices_are_refused():
    x = torch.zeros(4, 2, 3)
    lstm = recurra.torch.LSTM(3, 5)
    with pytest.raises(ValueError, match="does not match weight dtype"):
        lstm(x.double())
    with pytest.raises(TypeError, match=r"expected torch.float32 or torch.float64, got torch.bfloat16"):
        copy.deepcopy(lstm).to(torch.bfloat16)(x.bfloat16())
    with pytest.raises(RuntimeError, match="expected a tensor on the CPU, got one on meta"):
        copy.deepcopy(lstm).to("meta")(x.to("meta"))
    mixed = copy.deepcopy(lstm)
    mixed.weight_hh_l0.data = mixed.weight_hh_l0.data.double()
    with pytest.raises(TypeError, match=r"weight_hh_l0: expected torch.float32, as of weight_ih_l0, got torch.float64"):
        mixed(x)
    with pytest.raises(ValueError, match="lengths"):
        lstm(x, lengths=torch.tensor([5, 1]))
    assert torch.equal(lstm.double()(x.double())[0].float(), lstm(x.double())[0].float())


def test_dropout_repeats_with_the_seed():
    module = recurra.torch.GRU(3, 5, num_layers=2, dropout=0.5)
    x = torch.randn(4, 2, 3)

    def run(seed):
        torch.manual_seed(seed)
        return module(x)[0]

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    module.eval()
    assert torch.equal(run(1), run(2))


def test_results_do_not_share_memory_with_anything():
    module = recurra.torch.LSTM(3, 5)
    x = torch.randn(4, 2, 3)
    y, (h, c) = module(x)
    expected = [t.detach().clone() for t in (y, h, c)]
    with torch.no_grad():
        for tensor in (y, h, c):
            tensor.add_(1)
    assert_close(flat(module(x)), expected)


def test_strided_inputs_and_gradients():
    """Transposed, expanded, sliced: read where they are."""
    rng = generator(8)
    theirs, ours = pair("GRU", 3, 5)
    base = torch.from_numpy(rng.standard_normal((3, 2, 8)).astype(np.float32))
    for x in (base.transpose(0, 2), base[:1, :, :3].expand(6, 2, 3), base.permute(2, 1, 0)[::2], base[..., ::3]):
        assert_close(results(ours, x), results(theirs, x))
        for module in (ours, theirs):
            module.zero_grad()
            module(x)[0].sum().backward()  # an expanded gradient
        assert_close([p.grad for p in ours.parameters()], [p.grad for p in theirs.parameters()])


def test_autocast_computes_in_the_dtype_of_the_weights():
    lstm, linear = recurra.torch.LSTM(3, 5), torch.nn.Linear(3, 3)
    x = torch.randn(4, 2, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        narrow = linear(x)
        assert narrow.dtype == torch.bfloat16
        y, _ = lstm(narrow)
    assert y.dtype == torch.float32
    assert torch.equal(y, lstm(narrow.float())[0])
    y.sum().backward()
    assert linear.weight.grad.abs().sum() > 0


def test_default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        module = recurra.torch.GRU(3, 5)
        assert module(torch.randn(4, 2, 3))[0].dtype == torch.float64
        assert recurra.torch.as_module(recurra.GRU)(3, 5).weight_ih_l0.dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_empty_batches_and_sequences():
    module = recurra.torch.LSTM(3, 5)
    for steps, batch in ((0, 2), (4, 0)):
        x = torch.zeros(steps, batch, 3, requires_grad=True)
        y, (h, _) = module(x)
        assert y.shape == (steps, batch, 5)
        (y.sum() + h.sum()).backward()
        assert not module.weight_hh_l0.grad.any()
