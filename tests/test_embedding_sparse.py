"""Embedding(sparse=True): gradients of rows, optimizers that touch no others, PyTorch's SparseAdam and SGD."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from refused import refused

ROWS, WIDTH = 50, 8
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
OPTIMIZERS = {
    "SGD": lambda model: recurra.SGD(model, lr=0.1),
    "Adam": lambda model: recurra.Adam(model, lr=0.1),
    "AdamW": lambda model: recurra.AdamW(model, lr=0.1, weight_decay=0),
}
every_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)


def pair(dtype=np.float32, rows=ROWS, width=WIDTH, **options):
    """The same table with sparse gradients and without."""
    return [recurra.Embedding(rows, width, dtype=dtype, seed=0, sparse=sparse, **options) for sparse in (True, False)]


def backward(layer, tokens, seed=0):
    y, tape = layer.forward(tokens)
    layer.backward(tape, np.random.default_rng(seed).standard_normal(y.shape).astype(y.dtype))


def tokens_of(seed=0, rows=ROWS, shape=(6, 4)):
    return np.random.default_rng(seed).integers(0, rows, shape)


@every_dtype
@pytest.mark.parametrize("padding", [None, 3])
@pytest.mark.parametrize(
    ("rows", "shape"), [(50, (6, 4)), (50, ()), (50, (0, 3)), (9, (40, 7)), (5000, (13,)), (1, (5,))]
)
def test_the_rows_are_those_of_a_dense_gradient(rows, shape, padding, dtype):
    """To the bit, added up over several calls, whichever way the tokens are sorted; nothing of rows beside."""
    padding = None if rows == 1 else padding
    sparse, dense = pair(dtype, rows, padding_idx=padding)
    seen = np.empty(0, int)
    for seed in range(3):
        tokens = np.asarray(tokens_of(seed, rows, shape))
        for layer in (sparse, dense):
            backward(layer, tokens, seed)
        seen = np.union1d(seen, tokens)
        gradient = sparse.grads["weight"]
        assert gradient.rows.tolist() == [row for row in seen if row != padding]
        assert_same_bits(gradient.values, dense.grads["weight"][gradient.rows])
        assert_same_bits(gradient.to_dense(), dense.grads["weight"])
    assert_same_bits(sparse(tokens), dense(tokens))


@every_dtype
def test_sgd_is_that_of_a_dense_gradient(dtype):
    sparse, dense = pair(dtype, padding_idx=3)
    optimizers = [recurra.SGD(layer, lr=0.1) for layer in (sparse, dense)]
    for seed in range(5):
        norms = []
        for layer, optimizer in zip((sparse, dense), optimizers, strict=True):
            optimizer.zero_grad()
            backward(layer, tokens_of(seed), seed)
            norms.append(recurra.clip_grad_norm(layer, 1.0))
            optimizer.step()
        assert norms[0] == norms[1] > 1  # to the bit, as rows are of whole chains
    assert_same_bits(sparse.state_dict(), dense.state_dict())


@every_dtype
def test_the_formula_of_lazy_adam(dtype):
    """Moments stand still while a token isn't read; eps is added to the root of the square as it is."""
    sparse, _ = pair(dtype)
    lr, b1, b2, eps = 0.03, 0.8, 0.95, 1e-4
    adam = recurra.Adam(sparse, lr=lr, betas=(b1, b2), eps=eps)
    p = sparse.state_dict()["weight"].astype(np.float64)
    m, v = np.zeros_like(p), np.zeros_like(p)
    for t in range(1, 20):
        adam.zero_grad()
        backward(sparse, tokens_of(t), t)
        gradient = sparse.grads["weight"]
        rows, g = gradient.rows, gradient.values.astype(np.float64)
        adam.step()
        m[rows] = b1 * m[rows] + (1 - b1) * g
        v[rows] = b2 * v[rows] + (1 - b2) * g**2
        p[rows] -= lr * np.sqrt(1 - b2**t) / (1 - b1**t) * m[rows] / (np.sqrt(v[rows]) + eps)
    tolerance = 1e-5 if dtype is np.float32 else 1e-13
    np.testing.assert_allclose(sparse.params["weight"], p, rtol=tolerance, atol=tolerance)


@every_dtype
@pytest.mark.parametrize("kind", ["SGD", "SparseAdam"])
def test_torch(kind, dtype):
    torch = pytest.importorskip("torch")
    ours, _ = pair(dtype, padding_idx=3)
    theirs = torch.nn.Embedding(ROWS, WIDTH, padding_idx=3, sparse=True, dtype=getattr(torch, dtype.__name__))
    theirs.load_state_dict({"weight": torch.from_numpy(ours.state_dict()["weight"])})
    options = {"lr": 0.05} if kind == "SGD" else {"lr": 0.05, "betas": (0.8, 0.99), "eps": 1e-3}
    mine = (recurra.SGD if kind == "SGD" else recurra.Adam)(ours, **options)
    other = getattr(torch.optim, kind)(list(theirs.parameters()), **options)
    for seed in range(30):
        tokens = tokens_of(seed)
        y, tape = ours.forward(tokens)
        dy = np.random.default_rng(seed).standard_normal(y.shape).astype(dtype)
        mine.zero_grad()
        other.zero_grad()
        ours.backward(tape, dy)
        theirs(torch.from_numpy(tokens)).backward(torch.from_numpy(dy))
        expected = theirs.weight.grad.coalesce()
        got = ours.grads["weight"]
        keep = expected.indices()[0].numpy() != 3  # PyTorch's has a row of zeros for padding
        assert got.rows.tolist() == expected.indices()[0].numpy()[keep].tolist()
        np.testing.assert_allclose(got.values, expected.values().numpy()[keep], rtol=0, atol=1e-6)
        mine.step()
        other.step()
    tolerance = 1e-6 if dtype is np.float32 else 1e-12
    value = theirs.weight.detach().numpy()
    np.testing.assert_allclose(ours.params["weight"], value, rtol=tolerance, atol=tolerance * 5)


@every_optimizer
def test_no_other_row_is_touched(make):
    """Also where it would have shown: the other rows of a weight are NaN, and stay those bits."""
    sparse, _ = pair()
    weight = np.full((ROWS, WIDTH), np.nan, np.float32)
    used = np.array([3, 7, 40])
    weight[used] = 1
    sparse.load_state_dict({"weight": weight})
    optimizer = make(sparse)
    backward(sparse, used)
    optimizer.step()
    others = np.setdiff1d(np.arange(ROWS), used)
    assert_same_bits(sparse.params["weight"][others], weight[others])
    assert np.isfinite(sparse.params["weight"][used]).all()
    assert (sparse.params["weight"][used] != 1).all()
    for name, moment in optimizer.state_dict().items():
        if "." in name:
            assert moment[used].all()
            assert not moment[others].any()


@every_optimizer
def test_the_padding_row_stays_whatever_its_gradient(make):
    sparse, _ = pair(padding_idx=3)
    before, optimizer = sparse.state_dict()["weight"], make(sparse)
    sparse.grads["weight"].add(np.array([2, 3]), np.ones((2, WIDTH), np.float32))
    optimizer.step()
    assert_same_bits(sparse.params["weight"][3:], before[3:])
    assert (sparse.params["weight"][2] != before[2]).all()


@every_optimizer
def test_no_token_no_change(make):
    sparse, _ = pair()
    before, optimizer = sparse.state_dict(), make(sparse)
    backward(sparse, np.empty((0, 3), int))
    assert recurra.clip_grad_norm(sparse, 1e-3) == 0
    optimizer.step()
    assert_same_bits(sparse.state_dict(), before)


def test_zeroing_leaves_no_rows():
    sparse, _ = pair()
    model = recurra.Sequential(sparse, recurra.GRU(WIDTH, 3, seed=1))
    gradient = sparse.grads["weight"]
    for zero in (sparse.zero_grad, model.zero_grad, recurra.Adam(model).zero_grad, gradient.clear):
        backward(sparse, tokens_of())
        assert gradient.rows.size
        zero()
        assert sparse.grads["weight"] is gradient
        assert (gradient.rows.shape, gradient.values.shape) == ((0,), (0, WIDTH))


def test_clipping():
    sparse, dense = pair(width=5)
    linears = [recurra.Linear(5, 3, seed=1) for _ in range(2)]
    norms = []
    for layer, linear in zip((sparse, dense), linears, strict=True):
        backward(layer, tokens_of())
        linear.grads["weight"].fill(0.3)
        norms += [recurra.clip_grad_norm([layer, linear], 0.5), recurra.clip_grad_norm([layer, linear], 10)]
    np.testing.assert_allclose(norms[:2], norms[2:], rtol=1e-12)
    np.testing.assert_allclose(sparse.grads["weight"].to_dense(), dense.grads["weight"], rtol=1e-6)
    sparse.grads["weight"].values[0] = np.inf
    with pytest.raises(FloatingPointError, match=r"^grads: expected"):
        recurra.clip_grad_norm(sparse, 1, error_if_nonfinite=True)


# what goes together


@pytest.mark.parametrize("shape", [(3, 2), (30, 4)])
def test_in_a_sequential(shape):
    """Few tokens and many, where a dense gradient is that of a projected table; near, as sums have other orders."""
    sparse, dense = pair(np.float64)
    models = [recurra.Sequential(one, recurra.LSTM(WIDTH, 6, seed=1, dtype=np.float64)) for one in (sparse, dense)]
    assert models[0].grads["0.weight"] is sparse.grads["weight"]
    for model in models:
        y, tape = model.forward(tokens_of(shape=shape))
        model.backward(tape, np.ones_like(y))
    for name in models[1].grads:
        grads = [model.grads[name] for model in models]
        grads[0] = grads[0] if name != "0.weight" else grads[0].to_dense()
        np.testing.assert_allclose(*grads, rtol=1e-12, atol=1e-12, err_msg=name)
    own = {name: np.zeros_like(value) for name, value in models[0].params.items()}
    y, tape = models[0].forward(tokens_of(shape=shape))
    models[0].backward(tape, np.ones_like(y), grads=own, retain=True)
    assert_same_bits(own["0.weight"], sparse.grads["weight"].to_dense())
    rows = recurra.SparseRows((ROWS, WIDTH), np.float64)
    models[0].backward(tape, np.ones_like(y), grads=own | {"0.weight": rows})
    assert_same_bits(rows.to_dense(), own["0.weight"])


def test_a_dense_layer_takes_sparse_gradients_too():
    _, dense = pair()
    rows = recurra.SparseRows((ROWS, WIDTH))
    y, tape = dense.forward(np.array([4, 4, 2]))
    dense.backward(tape, np.ones_like(y), grads={"weight": rows})
    assert rows.rows.tolist() == [2, 4]
    assert rows.values[:, 0].tolist() == [1, 2]
    assert not dense.grads["weight"].any()
    dense.grads["weight"] = rows
    with refused(ValueError, "weight_decay"):
        recurra.AdamW(dense).step()
    with refused(ValueError, "momentum"):
        recurra.SGD(dense, lr=1, momentum=0.5).step()


def test_a_dense_gradient_of_a_sparse_layer_is_stepped_as_any():
    sparse, dense = pair()
    for layer in (sparse, dense):
        layer.grads["weight"] = np.ones((ROWS, WIDTH), np.float32)
        recurra.Adam(layer).step()
    assert_same_bits(sparse.state_dict(), dense.state_dict())


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda model: recurra.SGD(model, lr=1, momentum=0.9), "momentum"),
        (lambda model: recurra.SGD(model, lr=1, weight_decay=0.1), "weight_decay"),
        (recurra.AdamW, "weight_decay"),
        (lambda model: recurra.Adam(model, weight_decay=0.1), "weight_decay"),
    ],
)
def test_decay_and_momentum_are_refused(make, name):
    sparse, dense = pair()
    with refused(ValueError, name):
        make(sparse)
    make(dense)
    adam = recurra.Adam([{"params": sparse}, {"params": dense, "weight_decay": 0.1}])
    with refused(ValueError, "weight_decay"):
        adam.param_groups[0]["weight_decay"] = 0.1
    model = recurra.Sequential(sparse, recurra.GRU(WIDTH, 3, seed=1))
    decayed, spared = recurra.optim.decay_groups(model, 0.1)
    assert "0.weight" in spared["names"]
    assert "1.weight_hh_l0" in decayed["names"]
    recurra.AdamW([decayed, spared])


def test_an_optimizers_state():
    sparse, _ = pair()
    twin = copy.deepcopy(sparse)
    adam, other = recurra.Adam(sparse), recurra.Adam(twin)
    backward(sparse, tokens_of())
    adam.step()
    other.load_state_dict(adam.state_dict())
    twin.load_state_dict(sparse.state_dict())
    for layer, optimizer in ((sparse, adam), (twin, other)):
        optimizer.zero_grad()
        backward(layer, tokens_of(1))
        optimizer.step()
    assert_same_bits(twin.state_dict(), sparse.state_dict())


@pytest.mark.parametrize("how", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies(how):
    sparse, _ = pair()
    backward(sparse, tokens_of())
    twin = how(sparse)
    assert repr(twin) == "Embedding(50, 8, sparse=True)"
    assert twin.sparse
    before = sparse.grads["weight"].to_dense()
    assert_same_bits(twin.grads["weight"].to_dense(), before)
    recurra.clip_grad_norm(twin, 1e-3)
    twin.zero_grad()
    assert_same_bits(sparse.grads["weight"].to_dense(), before)


# what is refused


def test_gradients_that_were_tampered_with_are_refused():
    """Nothing is read or written beyond a table, and nothing changes."""
    sparse, _ = pair()
    linear = recurra.Linear(3, 2, seed=1)
    adam = recurra.Adam([linear, sparse])
    backward(sparse, np.array([3, 5, 9]))
    linear.grads["weight"].fill(1)
    gradient = sparse.grads["weight"]
    rows, values = gradient._parts
    wrong = [
        (ValueError, (np.array([3, 5, 50]), values)),
        (ValueError, (np.array([-1, 5, 9]), values)),
        (ValueError, (np.array([3, 9, 5]), values)),
        (ValueError, (np.array([3, 3, 5]), values)),
        (ValueError, (rows[:, None], values)),
        (ValueError, (rows[:2], values)),
        (TypeError, (rows * 1.0, values)),
        (TypeError, (rows.tolist(), values)),
        (TypeError, (rows, values.astype(np.float64))),
        (ValueError, (rows, values[:, :7])),
        (TypeError, (rows, None)),
        (TypeError, [rows, values]),
        (TypeError, (rows, values, values)),
        (TypeError, None),
    ]
    calls = (adam.step, adam.zero_grad, sparse.zero_grad, lambda: recurra.clip_grad_norm([linear, sparse], 1e-6))
    for error, parts in wrong:
        gradient._parts = parts
        for call in calls:
            with refused(error, ".*weight.*", dict(linear.params), dict(sparse.params), linear.grads, rows, values):
                call()
    gradient._parts = (rows, values)
    values.flags.writeable = False
    adam.step()  # reads them
    with refused(ValueError, r"grads\['weight'\]", linear.grads):
        recurra.clip_grad_norm([linear, sparse], 1e-6)


def test_gradients_of_some_rows_where_there_are_none():
    linear = recurra.Linear(3, 2, seed=0)
    linear.grads["bias"] = recurra.SparseRows((2, 3))
    with refused(TypeError, r"grads\['bias'\]", dict(linear.params)):
        recurra.SGD(linear, lr=1).step()
    sparse, _ = pair()
    y, tape = sparse.forward(np.arange(3))
    for rows in (recurra.SparseRows((ROWS + 1, WIDTH)), recurra.SparseRows((ROWS, WIDTH), np.float64)):
        with refused(ValueError, "weight"):
            sparse.backward(tape, y, grads={"weight": rows})
    with refused(ValueError, "dy"):
        sparse.backward(tape, y[:2])
    sparse.backward(tape, y)


def test_adding_rows_by_hand():
    rows = recurra.SparseRows((10, 2), np.float64)
    rows.add(np.array([7, 2]), np.array([[7, 7.5], [2, 2.5]]))
    rows.add(np.array([4, 7], np.uint8), np.ones((2, 2)))
    assert rows.rows.tolist() == [2, 4, 7]
    assert rows.values.tolist() == [[2, 2.5], [1, 1], [8, 8.5]]
    assert repr(rows) == "SparseRows(3 of (10, 2), float64)"
    one = np.ones((1, 2))
    for row, values in [([10], one), ([-1], one), ([1, 1], np.ones((2, 2))), ([1], np.ones((2, 2))), ([[1]], one)]:
        with refused(ValueError, "rows|values", rows.rows, rows.values):
            rows.add(np.array(row), values)
    for row, values in [([1.0], one), ([1], one.astype(np.float32))]:
        with refused(TypeError, "rows|values", rows.rows, rows.values):
            rows.add(np.array(row), values)
    with refused(TypeError, "dtype"):
        recurra.SparseRows((3, 2), int)


def test_a_tape_is_kept_if_the_gradient_cannot_be_added():
    class FullError(MemoryError):
        pass

    def add(_rows, _values):
        raise FullError

    sparse, _ = pair()
    y, tape = sparse.forward(np.arange(3))
    with pytest.raises(FullError):
        sparse._core.backward_rows(tape, y, add, False)
    sparse.backward(tape, y)
    with pytest.raises(RuntimeError, match=r"^tape: expected an unused one"):
        sparse.backward(tape, y)


# training


def test_it_trains():
    sparse, _ = pair()
    model = recurra.Sequential(sparse, recurra.GRU(WIDTH, 16, seed=1), recurra.Linear(16, ROWS, seed=2))
    x = tokens_of(shape=(8, 30))
    history = recurra.fit(
        model, [(x, x)] * 10, recurra.cross_entropy, recurra.Adam(model, lr=0.02), epochs=10, clip_norm=1.0, patience=3
    )
    assert history.losses[-1] < 0.2 < history.losses[0]


@pytest.mark.parametrize("make", [recurra.SGD, recurra.Adam], ids=["SGD", "Adam"])
@pytest.mark.parametrize("sparse", [True, False])
def test_a_step_that_is_not_finite_is_undone(make, sparse):
    """Weights and moments are what they were, of the rows too: training goes on as if that batch hadn't been."""
    ends = []
    for bad in (None, 0, 3):
        model = recurra.Sequential(
            recurra.Embedding(ROWS, WIDTH, seed=0, sparse=sparse), recurra.Linear(WIDTH, 3, seed=1)
        )
        optimizer, rng, count = make(model, lr=0.1), np.random.default_rng(0), iter(range(9))
        batches = [(tokens_of(seed), rng.standard_normal((6, 4, 3)).astype(np.float32)) for seed in range(5)]
        if bad is not None:
            batches.insert(bad, (tokens_of(99), np.zeros((6, 4, 3), np.float32)))

        def loss(prediction, target, optimizer=optimizer, count=count, bad=bad):
            optimizer.lr = 1e300 if next(count) == bad else 0.1
            return recurra.mse(prediction, target)

        history = recurra.fit(model, batches, loss, optimizer, nonfinite="skip")
        assert history.skipped == (bad is not None)
        ends.append((model.state_dict(), optimizer.state_dict()))
    for end in ends[1:]:
        assert_same_bits(end, ends[0])
