"""What PyTorch, pandas, JAX and SciPy hold, given to layers and losses as it is."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from refused import refused

F32 = np.float32
X = np.random.default_rng(0).standard_normal((6, 3, 4), F32)
LENGTHS, CLASSES = np.array([6, 0, 4]), np.arange(18).reshape(6, 3) % 5


def message(call, *arguments, **options):
    with pytest.raises(TypeError) as caught:
        call(*arguments, **options)
    return str(caught.value)


def test_tensors():
    torch = pytest.importorskip("torch")
    layer, x = recurra.LSTM(4, 5, num_layers=2, seed=0), torch.from_numpy(X.copy())
    expected = layer(X, lengths=LENGTHS)
    assert_same_bits(layer(x, lengths=torch.from_numpy(LENGTHS)), expected)
    first = recurra.LSTM(4, 5, num_layers=2, seed=0, batch_first=True)
    turned = x.permute(1, 0, 2)
    assert not turned.is_contiguous()
    assert_same_bits(first(turned)[0], layer(X)[0].swapaxes(0, 1))
    assert_same_bits(layer(x[::2, :, :])[0], layer(X[::2])[0])
    assert layer(x[:, :0])[0].shape == (6, 0, 5)
    assert np.shares_memory(recurra.Dropout(0.5)(x), x.numpy())
    logits = torch.randn(6, 3, 5)
    given = recurra.cross_entropy(logits, torch.from_numpy(CLASSES), torch.ones(5))
    assert_same_bits(given[1], recurra.cross_entropy(logits.numpy(), CLASSES, np.ones(5))[1])
    stream = recurra.Stream(recurra.GRU(4, 5, seed=0))
    assert_same_bits(stream(x[0, 0]), recurra.Stream(recurra.GRU(4, 5, seed=0))(X[0, 0]))


def test_tensors_that_are_gone_before_backward():
    torch = pytest.importorskip("torch")

    def gradients(of):
        model = recurra.Sequential(recurra.Linear(4, 4, seed=1), recurra.LSTM(4, 5, seed=0))
        x = of(X.copy())
        y, tape = model.forward(x)
        if of is not np.asarray:
            x.fill_(np.nan)
        del x
        gc.collect()
        return model.backward(tape, of(y)), dict(model.grads)

    assert_same_bits(gradients(torch.from_numpy), gradients(np.asarray))


def test_weights_as_tensors_are_copied():
    torch = pytest.importorskip("torch")
    theirs, layer = torch.nn.LSTM(4, 5), recurra.LSTM(4, 5, seed=0)
    layer.load_state_dict(theirs.state_dict())
    expected = layer.state_dict()
    with torch.no_grad():
        theirs.weight_ih_l0.fill_(7)
    assert_same_bits(layer.state_dict(), expected)
    assert message(layer.load_state_dict, theirs.double().state_dict()).endswith("pass weight_ih_l0.float()")
    assert "requires grad" in message(layer.load_state_dict, dict(theirs.float().named_parameters()))


def test_batches_of_a_data_loader():
    torch = pytest.importorskip("torch")
    sequences, targets = torch.randn(8, 6, 4), torch.randn(8, 5)

    def losses(batches):
        layers = recurra.LSTM(4, 5, seed=0, batch_first=True), recurra.Last(batch_first=True)
        model = recurra.Sequential(*layers)
        return recurra.fit(model, batches, recurra.mse, recurra.Adam(model), epochs=2).losses

    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(sequences, targets), batch_size=4)
    assert losses(loader) == losses([(x.numpy(), y.numpy()) for x, y in loader])


def test_tensors_that_are_refused():
    torch = pytest.importorskip("torch")
    layer, x = recurra.LSTM(4, 5, seed=0), torch.from_numpy(X)
    also = ", or make the layer with dtype=np.float64"
    assert message(layer, x.double()) == "x: expected float32, got float64: pass x.float()" + also
    assert message(recurra.LSTM(4, 5, dtype=float), x) == "x: expected float64, got float32: pass x.double()"
    assert message(layer, x.bfloat16()) == "x: expected float32, got torch.bfloat16: pass x.float()"
    assert message(layer, x.half()) == "x: expected float32, got float16: pass x.float()"
    assert message(layer, x, lengths=torch.ones(3)) == "lengths: expected integers, got float32: pass lengths.long()"
    grown = x.clone().requires_grad_()
    assert message(layer, grown).endswith("that requires grad: pass x.detach(), or use recurra.torch")
    layer(grown.detach())
    assert message(layer, x.to_sparse()).endswith("pass x.to_dense()")
    for wrong in (torch.empty(6, 3, 4, device="meta"), x.to(torch.complex64), torch.nn.Linear(4, 5)):
        with refused(TypeError, "x"):
            layer(wrong)
    y = torch.zeros(6, 3, 5)
    assert message(layer, x, out=y).endswith("got torch.Tensor: pass out.detach().numpy()")
    layer(x, out=y.detach().numpy())
    assert y.any()


def test_frames():
    pandas = pytest.importorskip("pandas")
    linear, rows = recurra.Linear(4, 5, seed=0), X[:, 0]
    frame = pandas.DataFrame(rows, columns=list("abcd"))
    assert_same_bits(linear(frame), linear(rows))
    assert_same_bits(recurra.GRU(4, 5, seed=0)(frame[::-1])[0], recurra.GRU(4, 5, seed=0)(rows[::-1])[0])
    assert np.shares_memory(recurra.Dropout(0.5)(frame), frame.to_numpy())
    series = pandas.Series(CLASSES[:, 0], index=list("uvwxyz"))
    assert_same_bits(recurra.Embedding(5, 2, seed=0)(series), recurra.Embedding(5, 2, seed=0)(CLASSES[:, 0]))
    assert recurra.accuracy(linear(frame), series) == recurra.accuracy(linear(rows), CLASSES[:, 0])
    assert_same_bits(recurra.pad([frame, frame[:2]])[0], recurra.pad([rows, rows[:2]])[0])
    assert message(recurra.mse, frame, frame.astype(float)).endswith('got float64: pass target.astype("float32")')
    mixed = pandas.DataFrame({"a": rows[:, 0], "b": ["text"] * 6})
    assert message(linear, mixed) == 'x: expected float32, got object: pass x.astype("float32")'
    sparse = frame.astype(pandas.SparseDtype(F32))
    assert message(linear, sparse) == "x: expected an array of float32, got a sparse one: pass x.sparse.to_dense()"


def test_arrays_of_jax():
    jnp = pytest.importorskip("jax.numpy")
    layer, x = recurra.LSTM(4, 5, seed=0), jnp.asarray(X)
    y, state, tape = layer.forward(x)
    expected, right, own = layer.forward(X)
    assert_same_bits((y, state), (expected, right))
    del x
    gc.collect()
    assert_same_bits(layer.backward(tape, jnp.asarray(y)), layer.backward(own, y))
    assert_same_bits(layer(X, lengths=jnp.asarray(LENGTHS)), layer(X, lengths=LENGTHS))
    half = jnp.asarray(X, jnp.bfloat16)
    assert message(layer, half) == "x: expected float32, got bfloat16: pass x.astype(np.float32)"


def test_sparse_matrices_are_refused():
    sparse = pytest.importorskip("scipy.sparse")
    for kind in (sparse.csr_matrix, sparse.coo_array):
        assert message(recurra.Linear(4, 5), kind(X[0])).endswith("pass x.toarray()")
