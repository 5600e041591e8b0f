"""Attention and AttentionPooling: PyTorch's numbers, gradients, and bits only of what is attended to."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import recurra
from configs import assert_same_bits, max_error, numeric_gradient
from refused import of_wrong_type, refused

KINDS = ("additive", "dot", "scaled_dot", "general")
POOLS = KINDS[:3]
every_kind = pytest.mark.parametrize("kind", KINDS)
every_pool = pytest.mark.parametrize("kind", POOLS)
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
every_layout = pytest.mark.parametrize("batch_first", [False, True])

# Tq, Tk, B, Q, M, hidden_size, lengths
CASES = [
    (1, 1, 1, 1, 1, 1, None),
    (3, 5, 2, 4, 4, None, None),
    (2, 7, 4, 5, 5, 3, [7, 0, 1, 4]),
    (11, 13, 3, 17, 17, 9, [1, 13, 6]),
    (1, 37, 5, 64, 64, 33, [37, 36, 1, 0, 17]),
    (0, 3, 2, 2, 2, 2, [3, 1]),
    (2, 0, 3, 3, 3, 2, [0, 0, 0]),
    (4, 6, 0, 3, 3, 2, None),
]


def attention_of(kind, Q, M, hidden=None, dtype=np.float64, **options):
    return recurra.Attention(Q, M, kind, hidden if kind == "additive" else None, dtype=dtype, seed=1, **options)


def pooling_of(kind, F, hidden=None, dtype=np.float64, **options):
    return recurra.AttentionPooling(F, kind, hidden if kind == "additive" else None, dtype=dtype, seed=1, **options)


def draw(case, dtype, seed=0, batch_first=False):
    """Queries, a memory with NaN beyond the ends, lengths, and gradients of context and weights."""
    Tq, Tk, B, Q, M, _, lengths = case
    rng = np.random.default_rng(seed)
    shapes = [(Tq, B, Q), (Tk, B, M), (Tq, B, M), (Tq, B, Tk)]
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    if lengths is not None:
        lengths = np.array(lengths)
        beyond = np.arange(Tk)[:, None] >= lengths
        arrays[1][beyond] = np.nan
        arrays[3][np.broadcast_to(beyond.T, (Tq, B, Tk))] = np.nan
    if batch_first:
        arrays = [np.ascontiguousarray(array.swapaxes(0, 1)) for array in arrays]
    return (*arrays, lengths)


def by_torch(torch, kind, params, q, m, lengths, dcontext, dweights):
    """The equations, time-major, and autograd; lengths of 0 give zeros."""
    tensors = {name: torch.tensor(value, dtype=torch.float64, requires_grad=True) for name, value in params.items()}
    asked = torch.tensor(q, dtype=torch.float64, requires_grad=True)
    given = torch.tensor(np.nan_to_num(m), dtype=torch.float64, requires_grad=True)
    if kind == "additive":
        left = torch.einsum("qbi,hi->qbh", asked, tensors["query.weight"])
        right = torch.einsum("kbi,hi->kbh", given, tensors["memory.weight"]) + tensors["memory.bias"]
        e = torch.einsum(
            "qbkh,h->qbk", torch.tanh(left[:, :, None] + right.permute(1, 0, 2)), tensors["score.weight"][0]
        )
    else:
        left = torch.einsum("qbi,mi->qbm", asked, tensors["query.weight"]) if kind == "general" else asked
        e = torch.einsum("qbm,kbm->qbk", left, given) * (q.shape[-1] ** -0.5 if kind == "scaled_dot" else 1)
    ends = torch.full((m.shape[1],), len(m)) if lengths is None else torch.tensor(lengths)
    inside = (torch.arange(len(m)) < ends[:, None])[None].expand(e.shape)
    alpha = torch.softmax(torch.where(inside, e, -1e300), -1) * inside if e.numel() else e
    context = torch.einsum("qbk,kbm->qbm", alpha, given)
    total = (context * torch.tensor(dcontext, dtype=torch.float64)).sum()
    total = total + (alpha * torch.tensor(np.nan_to_num(dweights), dtype=torch.float64)).sum()
    total.backward()
    zero = lambda t: np.zeros(tuple(t.shape)) if t.grad is None else t.grad.numpy()  # noqa: E731
    grads = {name: zero(tensor) for name, tensor in tensors.items()}
    return context.detach().numpy(), alpha.detach().numpy(), zero(asked), zero(given), grads


@every_layout
@every_dtype
@pytest.mark.parametrize("case", CASES, ids=str)
@every_kind
def test_the_equations(kind, case, dtype, batch_first):
    torch = pytest.importorskip("torch")
    layer = attention_of(kind, *case[3:6], dtype=dtype, batch_first=batch_first)
    q, m, dcontext, dweights, lengths = draw(case, dtype)
    expected = by_torch(torch, kind, layer.state_dict(), q, m, lengths, dcontext, dweights)
    turn = (lambda a: np.ascontiguousarray(a.swapaxes(0, 1))) if batch_first else (lambda a: a)
    context, weights, tape = layer.forward(turn(q), turn(m), lengths=lengths)
    dq, dm = layer.backward(tape, turn(dcontext), turn(dweights))
    limit = 1e-10 if dtype == np.float64 else 2e-6
    for got, ref in zip((context, weights, dq, dm), expected, strict=False):
        assert got.flags.c_contiguous
        assert max_error(turn(got), ref) <= limit
    for name, gradient in layer.grads.items():
        assert max_error(gradient, expected[4][name]) <= limit, name
    assert_same_bits(layer(turn(q), turn(m), lengths=lengths), (context, weights))
    if lengths is not None:
        beyond = np.arange(len(m))[:, None] >= lengths
        assert_same_bits(turn(dm)[beyond], np.zeros_like(m[beyond]))
        gone = turn(weights)[np.broadcast_to(beyond.T, turn(weights).shape)]
        assert_same_bits(gone, np.zeros_like(gone))


@pytest.mark.parametrize("case", CASES[1:5], ids=str)
def test_a_head_of_pytorchs(case):
    """MultiheadAttention with one head is scaled dots of projected queries, keys and values."""
    torch = pytest.importorskip("torch")
    F, rng = case[3], np.random.default_rng(3)
    theirs = torch.nn.MultiheadAttention(F, 1, dtype=torch.float64)
    torch.nn.init.normal_(theirs.in_proj_bias)
    q, m, dcontext, _, lengths = draw(case, np.float64)
    keep = np.flatnonzero(lengths) if lengths is not None else np.arange(case[2])  # of length 0 theirs are NaN
    q, m, dcontext = (np.ascontiguousarray(a[:, keep]) for a in (q, m, dcontext))
    lengths = None if lengths is None else lengths[keep]
    m = np.nan_to_num(m, nan=1.0)
    parts = np.split(theirs.in_proj_weight.detach().numpy(), 3), np.split(theirs.in_proj_bias.detach().numpy(), 3)
    linear = [recurra.Linear(F, F, dtype=np.float64) for _ in range(2)]
    for layer, weight, bias in zip(linear, *(part[:2] for part in parts), strict=True):
        layer.load_state_dict({"weight": weight, "bias": bias})
    asked, given = (torch.tensor(a, requires_grad=True) for a in (q, m))
    mask = None if lengths is None else torch.tensor(np.arange(len(m)) >= lengths[:, None])
    _, alpha = theirs(asked, given, given, key_padding_mask=mask)
    slopes = rng.standard_normal(alpha.shape)
    (alpha * torch.tensor(slopes)).sum().backward()
    attention = recurra.Attention(F, F, "scaled_dot", dtype=np.float64)
    (queries, one), (keys, other) = linear[0].forward(q), linear[1].forward(m)
    _, weights, tape = attention.forward(queries, keys, lengths=lengths)
    assert max_error(weights.swapaxes(0, 1), alpha.detach().numpy()) <= 1e-12
    dqueries, dkeys = attention.backward(tape, None, slopes.swapaxes(0, 1).copy())
    assert max_error(linear[0].backward(one, dqueries), asked.grad.numpy()) <= 1e-10
    assert max_error(linear[1].backward(other, dkeys), given.grad.numpy()) <= 1e-10


@every_layout
@every_kind
def test_central_differences(kind, batch_first):
    M = 3 if kind in {"dot", "scaled_dot"} else 2
    case = (2, 4, 3, 3, M, 2, [4, 0, 2])
    layer = attention_of(kind, *case[3:6], batch_first=batch_first)
    q, m, dcontext, dweights, lengths = draw(case, np.float64, batch_first=batch_first)
    m, dweights, state = np.nan_to_num(m, nan=5.0), np.nan_to_num(dweights), layer.state_dict()

    def loss():
        layer.load_state_dict(state)
        context, weights = layer(q, m, lengths=lengths)
        return float(np.vdot(context, dcontext) + np.vdot(weights, dweights))

    numeric = {name: numeric_gradient(loss, array) for name, array in (state | {"q": q, "m": m}).items()}
    layer.load_state_dict(state)
    _, _, tape = layer.forward(q, m, lengths=lengths)
    dq, dm = layer.backward(tape, dcontext, dweights)
    for name, gradient in numeric.items():
        got = {"q": dq, "m": dm}[name] if name in "qm" else layer.grads[name]
        assert np.abs(got - gradient).max() <= 1e-8, name


@every_dtype
@every_kind
def test_a_sequences_bits_are_its_own(kind, dtype):
    """Alone, with another padding, among other queries, and from other layouts of memory."""
    layer = attention_of(kind, 19, 19, 7, dtype)
    case = (5, 23, 6, 19, 19, 7, [23, 1, 0, 17, 22, 5])
    q, m, dcontext, _, lengths = draw(case, dtype)
    context, weights, tape = layer.forward(q, m, lengths=lengths)
    dq, dm = layer.backward(tape, dcontext)
    for b, end in enumerate(lengths.tolist()):
        rows = slice(b, b + 1)
        for padding in (0, 9):
            memory = np.concatenate([m[:end, rows], np.full((padding, 1, 19), np.inf, dtype)])
            ends = lengths[rows] if padding or not end else None
            if not len(memory):
                continue
            one, own, tape = layer.forward(q[:, rows], memory, lengths=ends)
            assert_same_bits((one, own[..., :end]), (context[:, rows].copy(), weights[:, rows, :end].copy()))
            some, rest = layer.backward(tape, dcontext[:, rows])
            assert_same_bits((some, rest[:end]), (dq[:, rows].copy(), dm[:end, rows].copy()))
        step, _ = layer(q[2:3], m, lengths=lengths)
        assert_same_bits(step, context[2:3].copy())
    turned = attention_of(kind, 19, 19, 7, dtype, batch_first=True)
    turned.load_state_dict(layer.state_dict())
    got = turned(q.swapaxes(0, 1), m.swapaxes(0, 1), lengths=lengths)
    assert_same_bits(tuple(a.swapaxes(0, 1).copy() for a in got), (context, weights))
    q, m = np.asfortranarray(q[:, 0]), m[:, 0]
    alone, own, tape = layer.forward(q, m)
    assert_same_bits((alone, own), (context[:, 0].copy(), weights[:, 0].copy()))
    assert_same_bits(layer.backward(tape, dcontext[:, 0]), (dq[:, 0].copy(), dm[:, 0].copy()))


@every_layout
@every_kind
def test_a_layer_like_any_other(kind, batch_first):
    layer = attention_of(kind, 3, 3, batch_first=batch_first)
    case = (2, 4, 3, 3, 3, None, [4, 0, 2])
    q, m, dcontext, _, lengths = draw(case, np.float64, batch_first=batch_first)
    expected = {
        "additive": ["query.weight", "memory.weight", "memory.bias", "score.weight"],
        "general": ["query.weight"],
    }
    assert list(layer.params) == list(layer.state_dict()) == expected.get(kind, [])
    size = ", hidden_size=3" if kind == "additive" else f", kind={kind!r}"
    assert repr(layer) == f"Attention(3, 3{size}{', batch_first=True' * batch_first}, dtype=float64)"
    _, weights, tape = layer.forward(q, m, lengths=lengths)
    assert_same_bits(tape.weights, weights)
    expected = layer.backward(tape, dcontext, retain=True)
    layer.zero_grad()
    q[...], m[...] = 8, 9
    given = {name: np.zeros_like(value) for name, value in layer.params.items()}
    assert layer.backward(tape, dcontext, need_dx=False, grads=given, retain=True) == (None, None)
    assert_same_bits(layer.backward(tape, dcontext), expected)
    assert_same_bits(dict(layer.grads), given)
    for how in (copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))):
        assert_same_bits(how(layer)(q, m), layer(q, m))
    with refused(RuntimeError, "tape"):
        layer.backward(tape, dcontext)
    _, _, tape = layer.forward(q, m)
    with refused(RuntimeError, "tape"):
        copy.deepcopy(layer).backward(tape, dcontext)
    if layer.params:
        layer.load_state_dict(layer.state_dict())
        with refused(RuntimeError, "tape"):
            layer.backward(tape, dcontext)


@every_layout
def test_what_it_returns_is_the_callers(batch_first):
    """Changing the weights changes no gradient."""
    case = CASES[1]
    attention = attention_of("dot", 4, 4, batch_first=batch_first)
    q, m = draw(case, np.float64, batch_first=batch_first)[:2]
    gradients = []
    for factor in (1, 0):
        context, weights, tape = attention.forward(q, m)
        weights *= factor
        gradients.append(attention.backward(tape, np.ones_like(context)))
    assert_same_bits(*gradients)


def test_what_attention_refuses():
    for error, name, options in (
        (ValueError, "query_size", {"query_size": 0}),
        (ValueError, "memory_size", {"memory_size": 4, "kind": "dot"}),
        (ValueError, "kind", {"kind": "cosine"}),
        (TypeError, "kind", {"kind": None}),
        (ValueError, "hidden_size", {"kind": "general", "hidden_size": 3}),
        (TypeError, "batch_first", {"batch_first": 1}),
    ):
        with refused(error, name):
            recurra.Attention(**{"query_size": 3, "memory_size": 3} | options)
    layer = attention_of("additive", 3, 2, 4)
    q, m, dcontext, dweights, lengths = draw((2, 4, 3, 3, 2, 4, [4, 0, 2]), np.float64)
    _, _, tape = layer.forward(q, m, lengths=lengths)
    for wrong in of_wrong_type(q):
        with refused(TypeError, "queries"):
            layer(wrong, m)
    for wrong in (q[..., 1:], q[:, 1:], q[0, 0], q[None], q[:, 0]):
        with refused(ValueError, "queries"):
            layer(wrong, m)
    for wrong in (m[..., 1:], m[0, 0], m[None]):
        with refused(ValueError, "memory"):
            layer(q, wrong)
    for error, wrong in ((TypeError, [1, 2.5, 3]), (ValueError, lengths + 1), (ValueError, lengths[1:])):
        with refused(error, "lengths"):
            layer(q, m, lengths=wrong)
    with refused(ValueError, "lengths"):
        layer(q[:, 0], m[:, 0], lengths=lengths[:1])
    grads = dict(layer.grads)
    with refused(ValueError, "dcontext", grads):
        layer.backward(tape, dcontext[1:])
    with refused(ValueError, "dweights", grads):
        layer.backward(tape, dcontext, dweights[..., 1:])
    with refused(ValueError, "grads", grads):
        layer.backward(tape, dcontext, grads={})
    with refused(TypeError, "need_dx", grads):
        layer.backward(tape, dcontext, need_dx=1)
    with refused(TypeError, "tape"):
        layer.backward(None, dcontext)


# ---- AttentionPooling

POOLED = [
    (1, 1, 1, None, None),
    (5, 3, 4, 7, None),
    (7, 4, 5, None, [7, 0, 1, 4]),
    (33, 3, 17, 9, [33, 1, 20]),
    (0, 2, 3, 2, [0, 0]),
]


@every_layout
@every_dtype
@pytest.mark.parametrize("case", POOLED, ids=str)
@every_pool
def test_pooling_by_the_equations(kind, case, dtype, batch_first):
    torch = pytest.importorskip("torch")
    T, B, F, hidden, lengths = case
    layer = pooling_of(kind, F, hidden, dtype, batch_first=batch_first)
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((T, B, F)).astype(dtype), rng.standard_normal((B, F)).astype(dtype)
    lengths = None if lengths is None else np.array(lengths)
    beyond = np.zeros((T, B), bool) if lengths is None else np.arange(T)[:, None] >= lengths
    x[beyond] = np.nan
    tensors = {name: torch.tensor(value).double().requires_grad_() for name, value in layer.state_dict().items()}
    steps = torch.tensor(np.nan_to_num(x)).double().requires_grad_()
    read = torch.tanh(steps @ tensors["hidden.weight"].T + tensors["hidden.bias"]) if kind == "additive" else steps
    e = (read @ tensors["score.weight"].T)[..., 0] * (F**-0.5 if kind == "scaled_dot" else 1)
    inside = torch.tensor(~beyond)
    alpha = torch.softmax(torch.where(inside, e, -1e300), 0) * inside if T else e
    expected = torch.einsum("tb,tbf->bf", alpha, steps)
    (expected * torch.tensor(dy)).sum().backward()
    turn = (lambda a: np.ascontiguousarray(a.swapaxes(0, 1))) if batch_first else (lambda a: a)
    y, tape = layer.forward(turn(x), lengths=lengths)
    dx = turn(layer.backward(tape, dy))
    limit = 1e-10 if dtype == np.float64 else 2e-6
    assert max_error(y, expected.detach().numpy()) <= limit
    assert max_error(turn(tape.weights), alpha.detach().numpy()) <= limit
    assert max_error(dx, steps.grad.numpy()) <= limit
    for name, tensor in tensors.items():
        assert max_error(layer.grads[name], tensor.grad.numpy()) <= limit, name
    assert_same_bits(dx[beyond], np.zeros_like(dx[beyond]))
    for b in range(B):  # alone, without its padding
        end = T if lengths is None else lengths[b]
        if end:
            one, tape = layer.forward(x[:end, b])
            assert_same_bits((one, layer.backward(tape, dy[b])), (y[b], dx[:end, b].copy()))


@every_pool
def test_pooling_differences(kind):
    layer, lengths = pooling_of(kind, 3, 2), np.array([4, 0, 2])
    rng = np.random.default_rng(1)
    x, dy, state = rng.standard_normal((4, 3, 3)), rng.standard_normal((3, 3)), layer.state_dict()

    def loss():
        layer.load_state_dict(state)
        return float(np.vdot(layer(x, lengths=lengths), dy))

    numeric = {name: numeric_gradient(loss, array) for name, array in (state | {"x": x}).items()}
    layer.load_state_dict(state)
    _, tape = layer.forward(x, lengths=lengths)
    got = {"x": layer.backward(tape, dy)} | dict(layer.grads)
    for name, gradient in numeric.items():
        assert np.abs(got[name] - gradient).max() <= 1e-8, name


@every_layout
@every_pool
def test_pooling_in_a_model(kind, batch_first):
    """In the place of Last: lengths reach it, it trains, and it is copied."""
    gru = recurra.GRU(2, 3, bidirectional=True, batch_first=batch_first, seed=0)
    pooling = pooling_of(kind, 6, dtype=np.float32, batch_first=batch_first)
    model = recurra.Sequential(gru, pooling, recurra.Linear(6, 1, seed=1))
    rng, lengths = np.random.default_rng(0), np.array([5, 0, 2, 1])
    x = rng.standard_normal((4, 5, 2) if batch_first else (5, 4, 2)).astype(np.float32)
    expected = model[2](pooling(gru(x, lengths=lengths)[0], lengths=lengths))
    y, tape = model.forward(x, lengths=lengths)
    assert_same_bits(y, expected)
    assert_same_bits(model(x, lengths=lengths), expected)
    assert_same_bits(model.run(x, lengths=lengths)[0], expected)
    assert tape.kept[1].weights.shape == x.shape[:2]
    target = np.ones((4, 1), np.float32)
    losses = recurra.fit(model, [(x, target, lengths)], recurra.mse, recurra.Adam(model, lr=0.05), epochs=9).losses
    assert losses[-1] < losses[0]
    assert_same_bits(pickle.loads(pickle.dumps(model))(x), model(x))
    x[(np.arange(5) >= lengths[:, None]) if batch_first else (np.arange(5)[:, None] >= lengths)] = np.nan
    before = model.state_dict()
    recurra.fit(model, [(x, target, lengths)], recurra.mse, recurra.Adam(model, lr=0.05), epochs=1)
    assert all(np.isfinite(value).all() for value in model.state_dict().values())
    assert not np.array_equal(before["1.score.weight"], model.params["1.score.weight"])
    with refused(ValueError, "layers"):
        recurra.Sequential(gru, pooling, recurra.GRU(6, 6, batch_first=batch_first))
    with refused(ValueError, "layers"):
        recurra.Sequential(gru, recurra.AttentionPooling(5, batch_first=batch_first))
    with refused(ValueError, "layers"):
        recurra.Sequential(gru, recurra.AttentionPooling(6, batch_first=not batch_first))
    assert model.batch_first is batch_first


def test_what_pooling_refuses():
    for error, name, options in (
        (ValueError, "features", {"features": 0}),
        (ValueError, "kind", {"kind": "general"}),
        (ValueError, "hidden_size", {"hidden_size": 0}),
        (ValueError, "hidden_size", {"kind": "dot", "hidden_size": 3}),
    ):
        with refused(error, name):
            recurra.AttentionPooling(**{"features": 3} | options)
    layer, x = pooling_of("additive", 3), np.ones((4, 2, 3))
    for wrong in of_wrong_type(x):
        with refused(TypeError, "x"):
            layer(wrong)
    for wrong in (x[..., 1:], x[0, 0], x[None], x[:0]):
        with refused(ValueError, "x"):
            layer(wrong)
    with refused(ValueError, "lengths"):
        layer(x[:, 0], lengths=np.array([1]))
    _, tape = layer.forward(x)
    with refused(ValueError, "dy", dict(layer.grads)):
        layer.backward(tape, np.ones((3, 2)))
    assert_same_bits(layer(np.zeros((0, 2, 3)), lengths=np.array([0, 0])), np.zeros((2, 3)))
