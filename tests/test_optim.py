"""Adam: the published algorithm in float64, PyTorch's numbers, and where it may and may not write."""

from __future__ import annotations

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from refused import of_wrong_shape, of_wrong_type, refused

MAKERS = {
    "rnn": lambda **options: recurra.RNN(3, 5, **options),
    "lstm": lambda **options: recurra.LSTM(3, 5, num_layers=2, bidirectional=True, **options),
    "gru": lambda **options: recurra.GRU(3, 5, reset_after=False, bias=False, **options),
    "cell": lambda **options: recurra.LSTMCell(3, 5, **options),
    "linear": lambda **options: recurra.Linear(7, 37, **options),
}
OPTIONS = {
    "defaults": {},
    "large steps": {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3},
    "decay": {"lr": 0.01, "weight_decay": 0.1},
    "no momentum": {"betas": (0.0, 0.9)},
}
STEPS = 100
TOLERANCE = {np.float32: 1e-6, np.float64: 1e-13}  # relative to max(1, |p|): parameters move by up to 10 here

every_maker = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
every_dtype = pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: dtype.__name__)
every_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


class PlainAdam:
    """Algorithm 1 of Kingma & Ba 2015 for one array, in float64."""

    def __init__(self, p, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        self.p, self.lr, self.betas, self.eps, self.weight_decay = p.astype(np.float64), lr, betas, eps, weight_decay
        self.m, self.v, self.t = np.zeros_like(self.p), np.zeros_like(self.p), 0

    def step(self, gradient):
        (b1, b2), g = self.betas, gradient + self.weight_decay * self.p
        self.t += 1
        self.m, self.v = b1 * self.m + (1 - b1) * g, b2 * self.v + (1 - b2) * g**2
        mean, square = self.m / (1 - b1**self.t), self.v / (1 - b2**self.t)
        self.p = self.p - self.lr * mean / (np.sqrt(square) + self.eps)


def set_gradients(layer, rng, step=0):
    """Of very different size from element to element and step to step, a tenth of them 0."""
    for gradient in layer.grads.values():
        size = 10 ** rng.uniform(-4, 2, gradient.shape) * (1 + step % 7)
        gradient[...] = rng.standard_normal(gradient.shape) * size * (rng.random(gradient.shape) < 0.9)


def assert_near(layer, expected, dtype):
    for name, value in layer.params.items():
        error = np.abs(value - expected[name]) / np.maximum(1, np.abs(expected[name]))
        assert error.max() <= TOLERANCE[dtype], f"{name} is off by {error.max():.2g}"


@every_option
@every_dtype
@every_maker
def test_the_published_algorithm(make, dtype, options):
    rng, layer = np.random.default_rng(0), make(seed=1, dtype=dtype)
    before = layer.state_dict()
    opt, plain = recurra.Adam(layer, **options), {n: PlainAdam(p, **options) for n, p in layer.params.items()}
    for step in range(STEPS):
        set_gradients(layer, rng, step)
        given = {name: gradient.copy() for name, gradient in layer.grads.items()}
        opt.step()
        for name, one in plain.items():
            one.step(given[name])
        assert_same_bits(dict(layer.grads), given)  # step reads them
    assert_near(layer, {name: one.p for name, one in plain.items()}, dtype)
    assert all(np.abs(layer.params[name] - before[name]).max() > 2e-3 for name in before)


@every_option
@every_dtype
@every_maker
def test_torch(make, dtype, options):
    torch = pytest.importorskip("torch")
    rng, layer = np.random.default_rng(0), make(seed=1, dtype=dtype)
    tensors = {name: torch.tensor(p.copy(), requires_grad=True) for name, p in layer.params.items()}
    ours, theirs = recurra.Adam(layer, **options), torch.optim.Adam(tensors.values(), **options)
    for step in range(STEPS):
        set_gradients(layer, rng, step)
        for name, tensor in tensors.items():
            tensor.grad = torch.from_numpy(layer.grads[name].copy())
        ours.step()
        theirs.step()
    assert_near(layer, {name: tensor.detach().numpy().astype(np.float64) for name, tensor in tensors.items()}, dtype)


@every_maker
def test_parameters_change_in_place(make):
    """Views from before show the new values, copies don't; the next call computes with them."""
    layer, rng = make(seed=1), np.random.default_rng(0)
    x = rng.standard_normal((4, layer.in_features if isinstance(layer, recurra.Linear) else 3)).astype(np.float32)
    held, before, results = dict(layer.params), layer.state_dict(), layer(x)
    set_gradients(layer, rng)
    recurra.Adam(layer, lr=0.1).step()
    after = layer.state_dict()
    assert_same_bits(held, after)
    assert all(not np.array_equal(after[name], before[name]) for name in before)
    twin = make(seed=2)
    twin.load_state_dict(after)
    assert_same_bits(layer(x), twin(x))
    assert layer(x) is not results
    first = [y[0] if isinstance(y, tuple) else y for y in (results, layer(x))]
    assert not np.array_equal(*first)
    with pytest.raises(ValueError, match="read-only"):
        layer.params[next(iter(held))][0] = 1


def test_several_layers():
    """One optimizer for all is one for each."""
    made = [make(seed=i) for i, make in enumerate(MAKERS.values())]
    alone = [make(seed=i) for i, make in enumerate(MAKERS.values())]
    together, each = recurra.Adam(made, lr=0.01), [recurra.Adam(layer, lr=0.01) for layer in alone]
    for step in range(5):
        for group in (made, alone):
            rng = np.random.default_rng(step)
            for layer in group:
                set_gradients(layer, rng, step)
        together.step()
        for opt in each:
            opt.step()
    assert_same_bits([layer.state_dict() for layer in made], [layer.state_dict() for layer in alone])
    together.zero_grad()
    assert not any(gradient.any() for layer in made for gradient in layer.grads.values())
    assert all(gradient.any() for layer in alone for gradient in layer.grads.values())


def test_rate_may_change_between_steps():
    layer = recurra.Linear(7, 37, dtype=np.float64, seed=1)
    opt, plain, rng = recurra.Adam(layer), PlainAdam(layer.params["weight"]), np.random.default_rng(0)
    assert opt.lr == 1e-3
    for lr in (1e-3, 0.1, 1e-5, 0.5):
        set_gradients(layer, rng)
        opt.lr = plain.lr = lr
        assert opt.lr == lr
        opt.step()
        plain.step(layer.grads["weight"])
    assert np.abs(layer.params["weight"] - plain.p).max() <= 1e-13
    before = layer.state_dict()
    opt.lr = 0.0
    opt.step()
    assert_same_bits(layer.state_dict(), before)


@every_dtype
def test_no_gradient_no_change(dtype):
    """Of parameters whose gradient has always been 0: no division by zero, no drift."""
    layer = recurra.GRU(3, 5, seed=1, dtype=dtype)
    before, opt = layer.state_dict(), recurra.Adam(layer, lr=0.1)
    for _ in range(3):
        opt.step()
    assert_same_bits(layer.state_dict(), before)


@pytest.mark.parametrize("make", [recurra.RNN, recurra.LSTM, recurra.GRU])
def test_it_learns(make):
    """To tell which of two inputs came first, eight steps ago: the whole chain, forward, loss, backward and step."""
    rng = np.random.default_rng(0)
    layer, head = make(2, 16, seed=rng), recurra.Linear(16, 1, seed=rng)
    opt = recurra.Adam([layer, head], lr=0.01)
    x = np.zeros((8, 64, 2), np.float32)
    target = rng.integers(0, 2, 64)
    x[0, np.arange(64), target] = 1
    target = target[:, None].astype(np.float32)
    losses = []
    for _ in range(150):
        opt.zero_grad()
        y, _, tape = layer.forward(x)
        prediction, head_tape = head.forward(y[-1])
        loss, gradient = recurra.mse(prediction, target)
        dy = np.zeros_like(y)
        dy[-1] = head.backward(head_tape, gradient)
        layer.backward(tape, dy, need_dx=False)
        opt.step()
        losses.append(loss)
    assert losses[0] > 0.2
    assert losses[-1] < 0.01


def test_wrong_options():
    layer = recurra.Linear(3, 5, seed=1)
    for name in ("lr", "eps", "weight_decay"):
        for value in (-1e-3, np.nan, np.inf):
            with refused(ValueError, name, dict(layer.params)):
                recurra.Adam(layer, **{name: value})
        for value in ("0.1", None, [0.1], 1j):
            with refused(TypeError, name):
                recurra.Adam(layer, **{name: value})
    for value in ((1.0, 0.9), (0.9, 1.0), (-0.1, 0.9), (0.9, np.nan)):
        with refused(ValueError, "betas"):
            recurra.Adam(layer, betas=value)
    for value in (0.9, None, ("0.9", 0.9)):
        with refused(TypeError, "betas"):
            recurra.Adam(layer, betas=value)
    for value in ((0.9,), (0.9, 0.99, 0.999)):
        with refused((TypeError, ValueError), "betas"):
            recurra.Adam(layer, betas=value)
    for value in (None, 3, layer.params, [layer, None], []):
        with refused((TypeError, ValueError), "model"):
            recurra.Adam(value)
    opt = recurra.Adam(layer)
    for value in (-1.0, np.nan):
        with refused(ValueError, "lr"):
            opt.lr = value
        assert opt.lr == 1e-3


def test_wrong_gradients():
    """All of them are looked at before the first parameter changes, and the step that failed doesn't count."""
    layers, same = ([recurra.Linear(3, 5, seed=1), recurra.GRU(3, 5, seed=1)] for _ in range(2))
    opt, expected = recurra.Adam(layers, lr=0.1), recurra.Adam(same, lr=0.1)
    for one in (*layers, *same):
        set_gradients(one, np.random.default_rng(0))
    right = layers[1].grads["bias_hh_l0"]
    wrong = [(TypeError, value) for value in of_wrong_type(right)] + [(ValueError, v) for v in of_wrong_shape(right)]
    for error, value in wrong:
        layers[1].grads["bias_hh_l0"] = value
        with refused(error, ".*bias_hh_l0", [dict(one.params) for one in layers]):
            opt.step()
    layers[1].grads["bias_hh_l0"] = right
    opt.step()
    expected.step()
    assert_same_bits([one.state_dict() for one in layers], [one.state_dict() for one in same])
