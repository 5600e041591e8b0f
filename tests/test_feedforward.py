"""Layers without parameters: values, gradients by central differences, Dropout's masks, Last with lengths, tapes."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import recurra
from configs import assert_same_bits, numeric_gradient
from refused import of_wrong_shape, of_wrong_type, refused

FORMULAS = {
    "Tanh": np.tanh,
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "ReLU": lambda x: np.maximum(x, 0),
}
SHAPES = [(7, 3, 5), (4, 5), (6,), (), (0, 3), (2, 3, 2, 4)]
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
every_formula = pytest.mark.parametrize("name", FORMULAS)
every_layer = pytest.mark.parametrize("name", [*FORMULAS, "Dropout", "Last"])


def make(name):
    return getattr(recurra, name)()


def options(layer):
    """What forward needs besides x."""
    return {"rng": 3} if isinstance(layer, recurra.Dropout) else {}


def draw(shape, dtype=np.float64, seed=0):
    return np.array(np.random.default_rng(seed).standard_normal(shape) * 2, dtype)


@every_dtype
@every_formula
def test_values(name, dtype):
    """Any shape and any strides; the plain call and forward agree, and x stays as it is."""
    layer = make(name)
    for shape in SHAPES:
        x = draw(shape, dtype)
        before = x.copy()
        y, _ = layer.forward(x)
        assert isinstance(y, np.ndarray)
        assert (y.dtype, y.shape) == (x.dtype, x.shape)
        np.testing.assert_allclose(y, FORMULAS[name](x.astype(np.longdouble)), rtol=4 * np.finfo(dtype).eps)
        assert_same_bits((layer(x), x), (y, before))
    x = draw((8, 6, 4), dtype)
    for view in (x[::2, ::-1], x.T, np.asfortranarray(x), np.broadcast_to(x[0], (3, 6, 4))):
        (y, tape), dy = layer.forward(view), draw(view.shape, dtype, seed=1)
        expected, same = layer.forward(view.copy())
        assert_same_bits(np.ascontiguousarray(y), expected)
        assert_same_bits(np.ascontiguousarray(layer.backward(tape, dy)), layer.backward(same, dy))


@every_dtype
@every_formula
def test_extremes(name, dtype):
    """Nothing overflows, and NaN comes out of nothing but NaN."""
    layer = make(name)
    x = np.array([-np.inf, -1e4, -0.0, 0.0, 1e4, np.inf, np.nan], dtype)
    y, tape = layer.forward(x)
    dx = layer.backward(tape, np.ones_like(x))
    low, high = {"Tanh": (-1, 1), "Sigmoid": (0, 1), "ReLU": (0, 1e4)}[name]
    assert y[1] == pytest.approx(low)
    assert y[4] == pytest.approx(high)
    assert np.isnan(y).tolist() == [False] * 6 + [True]
    assert np.isfinite(dx[:6]).all()
    assert dx[1] == 0
    assert dx[4] == (name == "ReLU")


@pytest.mark.parametrize("lengths", [None, [3, 0, 6, 1]], ids=["all", "lengths"])
@pytest.mark.parametrize("batch_first", [False, True])
@every_layer
def test_central_differences(name, batch_first, lengths):
    layer = recurra.Last(batch_first=batch_first) if name == "Last" else make(name)
    given = options(layer)
    if name == "Last" and lengths:
        given["lengths"] = np.array(lengths)
    x = draw((4, 6, 3) if batch_first else (6, 4, 3))
    assert np.abs(x).min() > 1e-3  # away from the kink of ReLU
    y, tape = layer.forward(x, **given)
    dy = draw(y.shape, seed=1)
    dx = layer.backward(tape, dy)
    numeric = numeric_gradient(lambda: float(np.vdot(layer.forward(x, **given)[0], dy)), x)
    assert (dx.shape, dx.dtype) == (x.shape, x.dtype)
    assert np.abs(dx - numeric).max() <= 1e-7
    assert np.abs(numeric).max() > 1e-2


@every_dtype
@every_formula
def test_torch(name, dtype):
    torch = pytest.importorskip("torch")
    x, dy = draw((5, 4, 3), dtype), draw((5, 4, 3), dtype, seed=1)
    tensor = torch.tensor(x, requires_grad=True)
    theirs = getattr(torch.nn, name)()(tensor)
    theirs.backward(torch.tensor(dy))
    layer = make(name)
    y, tape = layer.forward(x)
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(y, theirs.detach().numpy(), rtol=4 * eps, atol=4 * eps)
    np.testing.assert_allclose(layer.backward(tape, dy), tensor.grad.numpy(), rtol=4 * eps, atol=4 * eps)


@every_dtype
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
def test_dropout(p, dtype):
    """The share p is 0, the rest is x / (1 - p), the gradient goes the same way; both dtypes drop the same elements."""
    layer, x = recurra.Dropout(p), np.abs(draw((50, 40, 10), dtype)) + 1
    assert_same_bits(layer(x), x)
    y, tape = layer.forward(x, rng=1)
    dropped = y == 0
    assert dropped.mean() == pytest.approx(p, abs=0.02)
    np.testing.assert_allclose(y[~dropped], x[~dropped] / (1 - p), rtol=1e-6)
    assert_same_bits(layer.backward(tape, x), y)
    assert_same_bits(layer.forward(x.astype(np.float64), rng=1)[0] == 0, dropped)
    if p:
        assert not np.shares_memory(x, y)


@pytest.mark.parametrize("p", [1e-4, 0.003, 0.997, 0.9999])
def test_dropout_of_rates_near_0_and_1(p):
    """16 bits would round them too coarsely: the share that is dropped is within five standard errors of p."""
    x = np.ones(1_000_000, np.float32)
    dropped = np.mean(recurra.Dropout(p).forward(x, rng=1)[0] == 0)
    assert abs(dropped - p) < 5 * np.sqrt(p * (1 - p) / x.size)


def test_dropout_draws_from_the_generator():
    """A seed stands for a new generator; a generator goes on. The masks are those of the recurrent layers."""
    layer, x = recurra.Dropout(0.3), np.ones((4, 5, 6), np.float32)
    first, generator = layer.forward(x, rng=7)[0], np.random.default_rng(7)
    assert_same_bits(layer.forward(x, rng=generator)[0], first)
    assert not np.array_equal(layer.forward(x, rng=generator)[0], first)
    expected = np.random.default_rng(7).integers(0, 1 << 16, (4, 5, 6), np.uint16) >= round(0.3 * (1 << 16))
    assert_same_bits(first, (expected * (1 / 0.7)).astype(np.float32))
    layer.p = 0
    assert_same_bits(layer.forward(x)[0], x)  # needs none


def test_dropout_errors():
    layer, x = recurra.Dropout(0.3), np.ones((4, 5), np.float32)
    with refused(ValueError, "rng", x):
        layer.forward(x)
    for value in (1.5, "1", True):
        with refused(TypeError, "rng", x):
            layer.forward(x, rng=value)
    for value in (1, 1.0, -0.1, np.nan, 2):
        with refused(ValueError, "p"):
            recurra.Dropout(value)
        with refused(ValueError, "p"):
            layer.p = value
    for value in ("0.5", None, True):
        with refused(TypeError, "p"):
            recurra.Dropout(value)
    assert layer.p == 0.3


@every_dtype
def test_last(dtype):
    """The step of a row's own length, and zeros for a row of none; time first, batch first, or one sequence."""
    x, lengths = draw((5, 4, 3), dtype), np.array([5, 0, 2, 1], np.uint8)
    last = recurra.Last()
    assert_same_bits(last(x), x[4].copy())
    assert_same_bits(last(x[:, 0].copy()), x[4, 0].copy())
    expected = np.stack([x[4, 0], np.zeros(3, dtype), x[1, 2], x[0, 3]])
    assert_same_bits(last(x, lengths=lengths), expected)
    assert_same_bits(last.forward(x, lengths=lengths)[0], expected)
    first = recurra.Last(batch_first=True)
    turned = np.ascontiguousarray(x.swapaxes(0, 1))
    assert_same_bits(first(turned), x[4].copy())
    assert_same_bits(first(turned[0]), x[4, 0].copy())
    assert_same_bits(first(turned, lengths=lengths), expected)
    y = last(x)
    y[...] = 9  # is the caller's
    assert not (x == 9).any()
    empty = np.zeros((0, 4, 3), dtype)
    _, tape = last.forward(empty, lengths=np.zeros(4, int))
    assert_same_bits(last.backward(tape, np.ones((4, 3), dtype)), empty)
    assert last(np.zeros((5, 0, 3), dtype)).shape == (0, 3)


def test_last_ignores_what_stands_on_padding():
    x, lengths = draw((5, 4, 3)), np.array([5, 0, 2, 1])
    expected = recurra.Last()(x, lengths=lengths)
    x[np.arange(5)[:, None] >= lengths] = np.nan
    assert_same_bits(recurra.Last()(x, lengths=lengths), expected)


def test_last_errors():
    last, x = recurra.Last(), draw((5, 4, 3))
    for call in (last, last.forward):
        for wrong in (x[0, 0], x[None], np.zeros((0, 4, 3)), np.zeros((0, 3))):
            with refused(ValueError, "x", x):
                call(wrong)
        for wrong in ([5, 0, 2.5, 1], 3, np.array([5.0, 0, 2, 1])):
            with refused(TypeError, "lengths", x):
                call(x, lengths=wrong)
        for wrong in ([5, 0, 2], [[5, 0, 2, 1]], [5, 0, 6, 1], [5, -1, 2, 1]):
            with refused(ValueError, "lengths", x):
                call(x, lengths=np.array(wrong))
        with refused(ValueError, "lengths", x):
            call(x[:, 0], lengths=np.array([5]))
    with refused(TypeError, "batch_first"):
        recurra.Last(batch_first=1)


@every_layer
def test_tapes(name):
    """Serve once, unless retained, and only their own layer; what happens to x and y afterwards doesn't matter."""
    layer, x = make(name), draw((6, 4, 3))
    y, tape = layer.forward(x, **options(layer))
    dy = draw(y.shape, seed=1)
    expected = layer.backward(tape, dy, retain=True)
    x[...] = y[...] = 0.5
    assert layer.backward(tape, dy, need_dx=False, retain=True) is None
    assert_same_bits(layer.backward(tape, dy, grads={}), expected)
    with refused(RuntimeError, "tape"):
        layer.backward(tape, dy)
    _, other = make(name).forward(x, **options(layer))
    with refused(RuntimeError, "tape"):
        layer.backward(other, dy)
    for wrong in (None, x, recurra.Linear(3, 2, dtype=np.float64).forward(x)[1]):
        with refused(TypeError, "tape"):
            layer.backward(wrong, dy)


@every_layer
def test_errors(name):
    layer, x = make(name), draw((6, 4, 3))
    for wrong in (x.astype(np.float16), x.astype(int), x.tolist(), None, x.astype(x.dtype.newbyteorder())):
        with refused(TypeError, "x"):
            layer(wrong)
        with refused(TypeError, "x"):
            layer.forward(wrong, **options(layer))
    y, tape = layer.forward(x, **options(layer))
    for wrong in [*of_wrong_type(y), None]:
        with refused(TypeError, "dy", x):
            layer.backward(tape, wrong)
    for wrong in of_wrong_shape(y):
        with refused(ValueError, "dy", x):
            layer.backward(tape, wrong)
    for flag in ("need_dx", "retain"):
        with refused(TypeError, flag, x):
            layer.backward(tape, y, **{flag: 1})
    with refused(ValueError, "grads", x):
        layer.backward(tape, y, grads={"weight": y})
    assert layer.backward(tape, y).shape == x.shape  # none of which consumed the tape


@every_layer
def test_no_parameters(name):
    layer = make(name)
    assert (dict(layer.params), layer.grads, layer.leaves(), layer.state_dict()) == ({}, {}, [], {})
    layer.zero_grad()
    layer.load_state_dict({})
    with refused(ValueError, "state_dict"):
        layer.load_state_dict({"weight": np.zeros(3)})
    with refused(TypeError, "state_dict"):
        layer.load_state_dict([])


def test_representations_and_copies():
    made = {
        "Tanh()": recurra.Tanh(),
        "ReLU()": recurra.ReLU(),
        "Sigmoid()": recurra.Sigmoid(),
        "Dropout()": recurra.Dropout(),
        "Dropout(p=0.25)": recurra.Dropout(0.25),
        "Last()": recurra.Last(),
        "Last(batch_first=True)": recurra.Last(batch_first=True),
    }
    x = draw((4, 5, 3))
    for text, layer in made.items():
        assert repr(layer) == text
        for twin in (copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert repr(twin) == text
            assert_same_bits(twin(x), layer(x))
