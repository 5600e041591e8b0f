"""Embedding: rows out, rows summed in; against NumPy and PyTorch."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import recurra
from configs import assert_same_bits

DTYPES = (np.float32, np.float64)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("shape", [(), (5,), (4, 3), (2, 0, 3)])
def test_rows_out_and_in(dtype, shape):
    rng = np.random.default_rng(0)
    layer = recurra.Embedding(11, 6, dtype=dtype, seed=1)
    tokens = rng.integers(0, 11, shape)
    tokens = np.asarray(tokens)
    expected = layer.params["weight"][tokens]
    assert_same_bits(layer(tokens), expected)
    y, tape = layer.forward(tokens)
    assert_same_bits(y, expected)
    dy = rng.standard_normal(y.shape).astype(dtype)
    tokens_before = tokens.copy()
    tokens[...] = 0  # the tape has its own
    assert layer.backward(tape, dy) is None
    sums = np.zeros_like(layer.params["weight"])
    np.add.at(sums, tokens_before, dy)
    assert_same_bits(layer.grads["weight"], sums)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("padding", [None, 3])
def test_gradients_are_sums_over_blocks_of_128_positions(dtype, padding):
    rng = np.random.default_rng(0)
    layer = recurra.Embedding(9, 5, padding_idx=padding, dtype=dtype, seed=1)
    tokens = np.minimum(rng.integers(0, 30, (77, 7)), 8)
    tokens[20:50] = 4  # blocks of nothing else
    _, tape = layer.forward(tokens)
    dy = rng.standard_normal((77, 7, 5)).astype(dtype)
    layer.grads["weight"][...] = 0.3
    layer.backward(tape, dy)
    total, flat, rows = np.zeros((9, 5), dtype), tokens.ravel(), dy.reshape(-1, 5)
    for begin in range(0, flat.size, 128):
        block = np.zeros_like(total)
        np.add.at(block, flat[begin : begin + 128], rows[begin : begin + 128])
        total += block
    if padding is not None:
        total[padding] = 0
    assert_same_bits(layer.grads["weight"], np.full_like(total, 0.3) + total)


def test_the_gradient_of_a_frequent_token_is_exact():
    """2^24 + 2^22 ones; a running sum in float32 would stay at 2^24, where 1 is half of the last place."""
    layer = recurra.Embedding(2, 1, seed=0)
    tokens = np.ones(5 * 2**22, np.int8)
    y, tape = layer.forward(tokens)
    y[...] = 1
    layer.backward(tape, y)
    assert layer.grads["weight"].tolist() == [[0], [5 * 2**22]]


def test_gradients_add_up_and_may_go_elsewhere():
    layer = recurra.Embedding(4, 2, dtype=np.float64, seed=0)
    tokens = np.array([1, 1, 3])
    y, tape = layer.forward(tokens)
    layer.backward(tape, np.ones_like(y), retain=True)
    own = {"weight": np.zeros((4, 2))}
    layer.backward(tape, np.ones_like(y), grads=own)
    expected = np.array([[0, 0], [2, 2], [0, 0], [1, 1.0]])
    assert_same_bits(layer.grads["weight"], expected)
    assert_same_bits(own["weight"], expected)
    with pytest.raises(RuntimeError, match=r"^tape: expected an unused one"):
        layer.backward(tape, np.ones_like(y))


@pytest.mark.parametrize("padding", [2, -3])
def test_padding_is_zero_and_stays_so(padding):
    layer = recurra.Embedding(5, 3, padding_idx=padding, seed=0)
    assert layer.padding_idx == 2
    tokens = np.array([2, 0, 2])
    y, tape = layer.forward(tokens)
    assert not y[0].any()
    assert y[1].all()
    layer.backward(tape, np.ones_like(y))
    assert not layer.grads["weight"][2].any()
    assert (layer.grads["weight"][0] == 1).all()
    recurra.Adam(layer, lr=0.1).step()
    assert not layer.params["weight"][2].any()


def test_weights_are_standard_normal_and_seeded():
    weight = recurra.Embedding(1000, 50, seed=3).params["weight"]
    assert abs(weight.mean()) < 0.02
    assert abs(weight.std() - 1) < 0.02
    assert_same_bits(weight, recurra.Embedding(1000, 50, seed=3).params["weight"])
    assert not np.array_equal(weight, recurra.Embedding(1000, 50, seed=4).params["weight"])


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies(how):
    layer = recurra.Embedding(5, 3, padding_idx=1, seed=0)
    twin = how(layer)
    assert repr(twin) == repr(layer) == "Embedding(5, 3, padding_idx=1)"
    assert_same_bits(twin(np.arange(5)), layer(np.arange(5)))


@pytest.mark.parametrize(
    ("x", "error"),
    [
        (np.array([5]), ValueError),
        (np.array([-1]), ValueError),
        (np.array([1.0]), TypeError),
        (np.array([True]), TypeError),
        ([1, 2], TypeError),
        (1, TypeError),
    ],
)
def test_wrong_tokens_are_refused(x, error):
    layer = recurra.Embedding(5, 3, seed=0)
    for call in (layer, layer.forward):
        with pytest.raises(error, match=r"^x: expected .*got"):
            call(x)


@pytest.mark.parametrize(
    ("options", "error", "name"),
    [
        ({"num_embeddings": 0}, ValueError, "num_embeddings"),
        ({"embedding_dim": 1.5}, TypeError, "embedding_dim"),
        ({"padding_idx": 5}, ValueError, "padding_idx"),
        ({"padding_idx": -6}, ValueError, "padding_idx"),
        ({"padding_idx": "0"}, TypeError, "padding_idx"),
        ({"dtype": np.int32}, TypeError, "dtype"),
        ({"seed": -1}, ValueError, "seed"),
    ],
)
def test_wrong_options_are_refused(options, error, name):
    with pytest.raises(error, match=f"^{name}: expected .*got"):
        recurra.Embedding(**{"num_embeddings": 5, "embedding_dim": 3, **options})


def test_wrong_gradients_are_refused():
    layer, other = recurra.Embedding(5, 3, seed=0), recurra.Embedding(5, 3, seed=0)
    y, tape = layer.forward(np.arange(4))
    for dy, error in [(y[:2], ValueError), (y.astype(np.float64), TypeError), (y.tolist(), TypeError)]:
        with pytest.raises(error, match=r"^dy: expected .*got"):
            layer.backward(tape, dy)
    with pytest.raises(RuntimeError, match=r"^tape: expected one of this layer"):
        other.backward(tape, y)
    with pytest.raises(TypeError, match=r"^tape: expected"):
        layer.backward(None, y)
    assert not layer.grads["weight"].any()
    layer.backward(tape, y)  # still good


@pytest.mark.parametrize("padding", [None, 2])
def test_as_torch(padding):
    torch = pytest.importorskip("torch")
    ours = recurra.Embedding(7, 4, padding_idx=padding, dtype=np.float64, seed=0)
    theirs = torch.nn.Embedding(7, 4, padding_idx=padding, dtype=torch.float64)
    theirs.load_state_dict({name: torch.from_numpy(value) for name, value in ours.state_dict().items()})
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 7, (5, 6))
    y, tape = ours.forward(tokens)
    out = theirs(torch.from_numpy(tokens))
    assert np.array_equal(y, out.detach().numpy())
    dy = rng.standard_normal(y.shape)
    out.backward(torch.from_numpy(dy))
    ours.backward(tape, dy)
    assert np.allclose(ours.grads["weight"], theirs.weight.grad.numpy(), rtol=0, atol=1e-14)
