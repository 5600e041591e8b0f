"""LayerNorm: PyTorch's numbers, gradients, and bits that other rows have no part in."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import recurra
from configs import assert_same_bits, max_error, numeric_gradient
from refused import of_wrong_type, refused

SHAPES = [(1,), (7,), (3, 1), (5, 4, 13), (0, 4), (2, 0, 3), (1, 1, 64), (9, 130)]


def layer_of(features, dtype, seed=0, **options):
    """With weights that aren't all alike."""
    layer = recurra.LayerNorm(features, dtype=dtype, **options)
    rng = np.random.default_rng(seed)
    layer.load_state_dict({name: rng.standard_normal(features).astype(dtype) for name in ("weight", "bias")})
    return layer


@pytest.mark.parametrize("eps", [1e-5, 0.3])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pytorchs_numbers(shape, dtype, eps):
    torch = pytest.importorskip("torch")
    layer = layer_of(shape[-1], dtype, eps=eps)
    theirs = torch.nn.LayerNorm(shape[-1], eps=eps, dtype=torch.float64)  # in float32 it is off by 2e-5 itself
    theirs.load_state_dict({name: torch.tensor(value).double() for name, value in layer.state_dict().items()})
    assert list(layer.params) == [name for name, _ in theirs.named_parameters()]
    rng = np.random.default_rng(1)
    x, dy = ((3 * rng.standard_normal(shape) + 1).astype(dtype) for _ in range(2))
    tensor = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    expected = theirs(tensor)
    expected.backward(torch.tensor(dy))
    y, tape = layer.forward(x)
    assert_same_bits(layer(x), y)
    dx = layer.backward(tape, dy)
    limit = 1e-10 if dtype == np.float64 else 2e-6
    assert max_error(y, expected.detach().numpy()) <= limit
    assert max_error(dx, tensor.grad.numpy()) <= limit
    for name, parameter in theirs.named_parameters():
        assert max_error(layer.grads[name], parameter.grad.numpy()) <= limit


def test_central_differences():
    layer, rng = layer_of(5, np.float64), np.random.default_rng(2)
    x, dy = rng.standard_normal((3, 2, 5)), rng.standard_normal((3, 2, 5))
    state = layer.state_dict()

    def loss():
        layer.load_state_dict(state)
        return float(np.vdot(layer(x), dy))

    numeric = {name: numeric_gradient(loss, array) for name, array in (state | {"x": x}).items()}
    layer.load_state_dict(state)
    _, tape = layer.forward(x)
    got = {"x": layer.backward(tape, dy)} | layer.grads
    for name, gradient in numeric.items():
        assert np.abs(got[name] - gradient).max() <= 1e-8


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("features", [1, 2, 9, 64, 131, 1000])
def test_a_rows_bits_are_its_own(features, dtype):
    """Alone, in any batch, in any layout of memory."""
    layer, rng = layer_of(features, dtype), np.random.default_rng(3)
    x, dy = (rng.standard_normal((37, 5, features)).astype(dtype) for _ in range(2))
    y, tape = layer.forward(x)
    dx = layer.backward(tape, dy)
    for at in [(0, 0), (36, 4), (17, 2)]:
        one, tape = layer.forward(x[at])
        assert_same_bits(one, y[at])
        assert_same_bits(layer.backward(tape, dy[at]), dx[at])
    for other in (np.asfortranarray(x), x.swapaxes(0, 1).copy().swapaxes(0, 1), np.repeat(x, 2, axis=-1)[..., ::2]):
        assert_same_bits(layer(other), y)
    assert_same_bits(layer(np.asfortranarray(x[:, 0])), y[:, 0].copy())


def test_a_layer_like_any_other():
    layer, x = layer_of(4, np.float32), np.random.default_rng(4).standard_normal((3, 4)).astype(np.float32)
    assert repr(layer) == "LayerNorm(4)"
    assert repr(recurra.LayerNorm(4, 0.1, np.float64)) == "LayerNorm(4, eps=0.1, dtype=float64)"
    assert_same_bits(dict(recurra.LayerNorm(2).params), {"weight": np.ones(2, "f4"), "bias": np.zeros(2, "f4")})
    y, tape = layer.forward(x)
    x[...] = 7
    given = {name: np.zeros_like(value) for name, value in layer.params.items()}
    assert layer.backward(tape, y, need_dx=False, grads=given, retain=True) is None
    layer.backward(tape, y)
    assert_same_bits(layer.grads, given)
    for how in (copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))):
        twin = how(layer)
        assert_same_bits((twin.state_dict(), twin.grads), (layer.state_dict(), layer.grads))
        recurra.Adam(twin).step()
        assert not np.array_equal(twin.params["weight"], layer.params["weight"])
    assert copy.copy(layer).params is layer.params
    layer.zero_grad()
    assert not any(gradient.any() for gradient in layer.grads.values())
    gru = recurra.GRU(3, 4, seed=0)
    model = recurra.Sequential(gru, recurra.LayerNorm(4), recurra.Last(), recurra.Linear(4, 1, seed=1))
    assert list(model.params)[4:6] == ["1.weight", "1.bias"]
    steps, target = np.ones((5, 2, 3), np.float32), np.ones((2, 1), np.float32)
    losses = recurra.fit(model, [(steps, target)], recurra.mse, recurra.Adam(model, lr=0.1), epochs=5).losses
    assert losses[-1] < losses[0]
    with pytest.raises(ValueError, match="expected layer 1, LayerNorm, with features = 4"):
        recurra.Sequential(gru, recurra.LayerNorm(5))


def test_what_is_refused():
    layer, x = layer_of(4, np.float32), np.ones((3, 4), np.float32)
    _, tape = layer.forward(x)
    for name, wrong in (("features", 0), ("eps", -1.0), ("eps", np.inf)):
        with refused(ValueError, name):
            recurra.LayerNorm(**{"features": 3} | {name: wrong})
    with refused(TypeError, "dtype"):
        recurra.LayerNorm(3, dtype=int)
    for wrong in of_wrong_type(x):
        with refused(TypeError, "x"):
            layer(wrong)
        with refused(TypeError, "dy", layer.grads):
            layer.backward(tape, wrong)
    for wrong in (x[:, :3], x[0, 0]):
        with refused((ValueError, TypeError), "x"):
            layer(wrong)
    with refused(ValueError, "dy", layer.grads):
        layer.backward(tape, x[:2])
    with refused(ValueError, "grads", layer.grads):
        layer.backward(tape, x, grads={})
    with refused(RuntimeError, "tape"):
        layer_of(4, np.float32).backward(tape, x)
    with refused(TypeError, "tape"):
        layer.backward(None, x)
    layer.load_state_dict(layer.state_dict())
    with refused(RuntimeError, "tape"):
        layer.backward(tape, x)
    _, tape = layer.forward(x)
    layer.backward(tape, x)
    with refused(RuntimeError, "tape"):
        layer.backward(tape, x)
