"""Layers made of PyTorch's modules and back: the same answers, states and gradients, and the same bits of weights."""

from __future__ import annotations

import numpy as np
import pytest

import recurra
from own_layers import Residual

torch = pytest.importorskip("torch")
nn = torch.nn

BOUND = {"float32": 2e-6, "float64": 1e-12}  # relative to the largest number, where that is above 1
DTYPES = [torch.float32, torch.float64]


@pytest.fixture(autouse=True)
def one_thread():
    """These shapes are small, and the machine's cores are others' too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def close(ours, theirs):
    theirs = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else theirs
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    if theirs.size:
        assert abs(ours - theirs).max() <= BOUND[ours.dtype.name] * max(1, abs(theirs).max())


def same_bits(module, other):
    """Of what both modules keep, to the last bit."""
    mine, theirs = module.state_dict(), other.state_dict()
    assert list(mine) == list(theirs)
    for name, tensor in mine.items():
        assert tensor.dtype == theirs[name].dtype
        assert tensor.numpy().tobytes() == theirs[name].numpy().tobytes(), name


def randomised(module, seed=0):
    """Weights of a size that lets gates differ, biases included."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.4)
    return module


def drawn(shape, dtype, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(str(dtype).removeprefix("torch."))


def leaf(array):
    return torch.from_numpy(array).requires_grad_()


KINDS = {
    "tanh": (nn.RNN, {"nonlinearity": "tanh"}),
    "relu": (nn.RNN, {"nonlinearity": "relu"}),
    "lstm": (nn.LSTM, {}),
    "projected": (nn.LSTM, {"proj_size": 3}),
    "gru": (nn.GRU, {}),
}
FORMS = {
    "one": ((3, 4), {}, (5, 2)),
    "primes": ((7, 5, 3), {"bidirectional": True, "dropout": 0.5}, (3, 11)),
    "batch first": ((1, 13, 2), {"batch_first": True}, (4, 1)),
    "no bias": ((2, 4, 2), {"bias": False, "bidirectional": True, "batch_first": True}, (1, 1)),
    "no sequences": ((2, 4), {}, (3, 0)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_recurrent(kind, form, dtype):
    (make, options), (sizes, more, leading) = KINDS[kind], FORMS[form]
    module = randomised(make(*sizes, **options, **more, dtype=dtype))
    layer = recurra.from_torch(module)
    assert type(layer).__name__ == make.__name__
    for name in ("num_layers", "bias", "batch_first", "dropout", "bidirectional", "proj_size"):
        assert getattr(layer, name) == getattr(module, name), name
    back = recurra.to_torch(layer)
    assert type(back) is make
    assert back.extra_repr() == module.extra_repr()
    same_bits(back, module)

    module.dropout = layer.dropout = 0.0
    x = drawn((*leading, sizes[0]), dtype)
    batch = leading[0] if module.batch_first else leading[1]
    rows = module.num_layers * (1 + module.bidirectional)
    widths = [module.proj_size or module.hidden_size, module.hidden_size][: 1 + (make is nn.LSTM)]
    states = [drawn((rows, batch, width), dtype, 2 + i) for i, width in enumerate(widths)]
    pair = tuple if make is nn.LSTM else lambda parts: next(iter(parts))
    given, initial = leaf(x), [leaf(s) for s in states]
    y, final = module(given, pair(initial))
    ours, ours_final, tape = layer.forward(x, pair(states))
    close(ours, y)
    finals, ours_finals = (final, ours_final) if make is nn.LSTM else ([final], [ours_final])
    for one, other in zip(ours_finals, finals, strict=True):
        close(one, other)
    dy, dstates = drawn(y.shape, dtype, 5), [drawn(s.shape, dtype, 6 + i) for i, s in enumerate(states)]
    torch.autograd.backward([y, *finals], [torch.from_numpy(g) for g in (dy, *dstates)])
    dx, dinitial = layer.backward(tape, dy, pair(dstates))
    close(dx, given.grad)
    for one, other in zip(dinitial if make is nn.LSTM else [dinitial], initial, strict=True):
        close(one, other.grad)
    for name, parameter in module.named_parameters():
        close(layer.grads[name], parameter.grad)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", ["tanh", "relu", "lstm", "gru"])
def test_cells(kind, bias, dtype):
    make, options = KINDS[kind]
    make = getattr(nn, make.__name__ + "Cell")
    module = randomised(make(3, 5, bias=bias, **options, dtype=dtype))
    cell = recurra.from_torch(module)
    x, h, c = drawn((4, 3), dtype), drawn((4, 5), dtype, 2), drawn((4, 5), dtype, 3)
    state = (h, c) if kind == "lstm" else h
    theirs = module(torch.from_numpy(x), tuple(map(torch.from_numpy, state)) if kind == "lstm" else torch.from_numpy(h))
    for one, other in zip(np.atleast_3d(cell(x, state)), np.atleast_3d([t.detach() for t in theirs]), strict=True):
        close(one, other)
    same_bits(recurra.to_torch(cell), module)


def test_a_cell_that_shares_a_layers_weights_is_copied():
    layer = recurra.GRU(3, 4, 2, seed=0)
    module = recurra.to_torch(recurra.GRUCell.from_layer(layer, 1))
    assert np.array_equal(module.weight_hh.detach().numpy(), layer.params["weight_hh_l1"])
    with pytest.raises(ValueError, match=r"proj_size: expected 0, as a torch.nn.LSTMCell has no projection, got 2"):
        recurra.to_torch(recurra.LSTMCell.from_layer(recurra.LSTM(3, 4, proj_size=2)))


OTHERS = {
    "linear": (lambda d: nn.Linear(3, 5, dtype=d), (4, 2, 3)),
    "without bias": (lambda d: nn.Linear(1, 1, bias=False, dtype=d), (1,)),
    "tanh": (lambda _: nn.Tanh(), (4, 3)),
    "relu": (lambda _: nn.ReLU(inplace=False), (4, 3)),
    "sigmoid": (lambda _: nn.Sigmoid(), (4, 3)),
    "dropout": (lambda _: nn.Dropout(0.0), (4, 3)),
    "sequential": (lambda d: nn.Sequential(nn.Linear(3, 7, dtype=d), nn.Sequential(nn.Tanh(), nn.Sigmoid())), (2, 3)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OTHERS)
def test_other_layers(name, dtype):
    make, shape = OTHERS[name]
    module = randomised(make(dtype))
    layer = recurra.from_torch(module)
    x = drawn(shape, dtype)
    given = leaf(x)
    y = module(given)
    ours, tape = layer.forward(x)
    close(ours, y)
    close(layer(x), y)
    dy = drawn(y.shape, dtype, 5)
    y.backward(torch.from_numpy(dy))
    close(layer.backward(tape, dy), given.grad)
    for key, parameter in module.named_parameters():
        close(layer.grads[key], parameter.grad)
    back = recurra.to_torch(layer)
    assert type(back) is type(module)
    same_bits(back, module)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("padding", [None, 2])
def test_embedding(padding, dtype):
    module = nn.Embedding(7, 3, padding_idx=padding, dtype=dtype)
    layer = recurra.from_torch(module)
    assert layer.padding_idx == padding
    tokens = np.random.default_rng(0).integers(0, 7, (4, 5))
    y, tape = layer.forward(tokens)
    theirs = module(torch.from_numpy(tokens))
    close(y, theirs)
    dy = drawn(y.shape, dtype)
    theirs.backward(torch.from_numpy(dy))
    layer.backward(tape, dy)
    close(layer.grads["weight"], module.weight.grad)
    same_bits(recurra.to_torch(layer), module)
    assert recurra.to_torch(layer).padding_idx == padding
    assert recurra.from_torch(nn.Embedding(7, 3, padding, sparse=True)).sparse
    assert recurra.to_torch(recurra.Embedding(7, 3, sparse=True)).sparse


def test_layer_norm():
    module = randomised(nn.LayerNorm(7, eps=1e-3))
    layer = recurra.from_torch(module)
    x = drawn((4, 2, 7), torch.float32)
    close(layer(x), module(torch.from_numpy(x)))
    same_bits(recurra.to_torch(layer), module)
    with pytest.raises(ValueError, match="normalized_shape: expected one axis"):
        recurra.from_torch(nn.LayerNorm((3, 4)))
    with pytest.raises(ValueError, match="elementwise_affine: expected True"):
        recurra.from_torch(nn.LayerNorm(3, elementwise_affine=False))


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_sequential_with_recurrent_layers_runs_in_torch(batch_first, bidirectional):
    width = 8 if bidirectional else 4
    model = recurra.Sequential(
        recurra.Embedding(9, 3, seed=0),
        recurra.LSTM(3, 4, 2, batch_first=batch_first, bidirectional=bidirectional, seed=1),
        recurra.Sequential(recurra.GRU(width, 5, batch_first=batch_first, seed=2), recurra.Dropout(0.5)),
        recurra.RNN(5, 4, batch_first=batch_first, bidirectional=bidirectional, seed=3),
        recurra.Last(batch_first),
        recurra.Linear(width, 2, seed=4),
    )
    module = recurra.to_torch(model).eval()
    assert list(module.state_dict()) == list(model.state_dict())
    tokens = np.random.default_rng(0).integers(0, 9, (4, 6))
    close(model(tokens), module(torch.from_numpy(tokens)))
    loss = module(torch.from_numpy(tokens)).sum()
    loss.backward()
    model[2][1].p = 0.0
    y, tape = model.forward(tokens)
    model.backward(tape, np.ones_like(y))
    for name, parameter in module.named_parameters():
        close(model.grads[name], parameter.grad)
    model[2][1].p = 0.5
    again = recurra.from_torch(module)
    assert repr(again) == repr(model)
    same_bits(recurra.to_torch(again), module)
    one = recurra.Sequential(recurra.LSTM(3, 4, seed=0), recurra.Last())
    x = drawn((5, 3), torch.float32)
    close(one(x), recurra.to_torch(one)(torch.from_numpy(x)))  # of one sequence too


def test_torchs_own_sequential_with_a_recurrent_layer_runs_here():
    module = nn.Sequential(nn.LSTM(3, 4), nn.Linear(4, 2))
    x = drawn((5, 2, 3), torch.float32)
    close(recurra.from_torch(module)(x), module[1](module[0](torch.from_numpy(x))[0]))


def test_a_member_twice_stays_one():
    dropout = nn.Dropout(0.5)
    model = recurra.from_torch(nn.Sequential(dropout, nn.Linear(3, 3), dropout))
    assert model[0] is model[2]
    assert (module := recurra.to_torch(model))[0] is module[2]


def test_both_sides_have_memory_of_their_own():
    module = nn.Linear(3, 4)
    layer = recurra.from_torch(module)
    back = recurra.to_torch(layer)
    with torch.no_grad():
        module.weight.zero_()
        back.weight.zero_()
    assert layer.params["weight"].all()


def test_nothing_is_drawn_from_torchs_generator():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    recurra.to_torch(recurra.from_torch(nn.ReLU()))
    recurra.to_torch(recurra.Sequential(recurra.Embedding(5, 3), recurra.LSTM(3, 4), recurra.Linear(4, 2)))
    assert torch.equal(torch.get_rng_state(), before)


class Subclass(nn.LSTM):
    pass


def hooked():
    module = nn.Linear(3, 4)
    module.register_forward_hook(lambda *_: None)
    return module


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: 5, TypeError, "module: expected a torch.nn.Module, got 5"),
        (lambda: nn.LSTM, TypeError, "module: expected a torch.nn.Module"),
        (lambda: nn.Conv1d(1, 1, 1), TypeError, r"expected one of torch.nn's RNN, .* got torch.nn.modules.conv.Conv1d"),
        (lambda: Subclass(3, 4), TypeError, "got .*Subclass"),
        (lambda: nn.Sequential(nn.Linear(1, 1), nn.GELU()), TypeError, "got .*GELU"),
        (lambda: nn.LSTM(3, 4).half(), TypeError, r"expected float32 or float64, got float16: .*module.float\(\)"),
        (lambda: nn.Linear(3, 4).bfloat16(), TypeError, "got bfloat16"),
        (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)), TypeError, "got .*ParametrizedLinear"),
        (hooked, ValueError, "module: expected one without, .*, got Linear, which has hooks"),
        (lambda: nn.Embedding(3, 4, max_norm=1.0), ValueError, "max_norm: expected None, .*got 1.0"),
        (lambda: nn.Embedding(3, 4, scale_grad_by_freq=True), ValueError, "scale_grad_by_freq: expected False"),
        (lambda: nn.Dropout(1.0), ValueError, "p: expected a number in"),
        (nn.Sequential, ValueError, "layers: expected at least one"),
        (lambda: nn.Sequential(nn.Linear(3, 4), nn.Linear(3, 4)), ValueError, "in_features = 4"),
    ],
)
def test_what_has_no_counterpart_here(make, error, match):
    with pytest.raises(error, match=match):
        recurra.from_torch(make())


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: 5, TypeError, "model: expected RNN, .*which PyTorch has, got 5"),
        (lambda: recurra.GRU(3, 4, reset_after=False), ValueError, "reset_after: expected True, as a torch.nn.GRU has"),
        (lambda: recurra.GRUCell(3, 4, reset_after=False), ValueError, "reset_after: expected True"),
        (lambda: recurra.LSTM(3, 4, reverse=True), ValueError, "reverse: expected False"),
        (lambda: recurra.LSTM(3, 4, zoneout=0.1), ValueError, "zoneout: expected 0.0, .*got 0.1"),
        (lambda: recurra.LSTM(3, 4, zoneout={"c": 0.1}), ValueError, "zoneout: expected 0.0, .*'c'"),
        (lambda: recurra.LSTM(3, 4, recurrent_dropout=0.1), ValueError, "recurrent_dropout: expected 0.0"),
        (lambda: recurra.LSTM(3, 4, learned_state=True), ValueError, "learned_state: expected False"),
        (lambda: recurra.LSTM(3, 4, tokens=True), ValueError, "tokens: expected features"),
        (lambda: recurra.cells.CoRNN(3, 4), TypeError, "got CoRNN"),
        (lambda: Residual(recurra.Linear(3, 3)), TypeError, "got Residual"),
        (lambda: recurra.Sequential(recurra.Linear(3, 4), recurra.cells.CoRNN(4, 4)), TypeError, "got CoRNN"),
    ],
)
def test_what_has_no_counterpart_there(make, error, match):
    with pytest.raises(error, match=match):
        recurra.to_torch(make())


def test_rates_of_zero_are_no_options():
    assert recurra.to_torch(recurra.LSTM(3, 4, zoneout={"c": 0.0}, tokens=False)).hidden_size == 4


def test_modules_of_ours_in_torch():
    own = recurra.torch
    x = drawn((5, 2, 3), torch.float32)
    for name in ("RNN", "LSTM", "GRU"):
        module = randomised(getattr(own, name)(3, 4, 2, bidirectional=True))
        layer = recurra.from_torch(module)
        assert type(layer) is getattr(recurra, name)
        close(layer(x)[0], module(torch.from_numpy(x))[0])
        cell = recurra.from_torch(randomised(getattr(own, name + "Cell")(3, 4)))
        assert type(cell) is getattr(recurra, name + "Cell")
    module = randomised(nn.Sequential(nn.LSTM(3, 4), nn.Tanh()))
    own.accelerate(module)
    assert isinstance(recurra.from_torch(module)[0], recurra.LSTM)
    for made, options in [
        (own.as_module(recurra.cells.PeepholeLSTM), {"num_layers": 2, "learned_state": True}),
        (own.as_module(recurra.GRU), {"reset_after": False}),
    ]:
        module = randomised(made(3, 4, **options))
        layer = recurra.from_torch(module)
        close(layer(x)[0], module(torch.from_numpy(x))[0])


def test_without_torch_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    for call in (recurra.from_torch, recurra.to_torch):
        with pytest.raises(ImportError, match=r"pip install 'recurra\[torch\]'"):
            call(recurra.Tanh())
