"""Options of all recurrent layers: reverse, proj_size, masks within steps, learned states, resets."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import recurra
import recurra.cells
from configs import assert_same_bits, max_error, numeric_gradient
from formula_runs import (
    FORMULAS,
    cut,
    draw_call,
    is_of_rows,
    is_of_steps,
    make_layer,
    one_or_tuple,
    parts_of,
    plain,
    run,
)
from recurra._masks import chosen, dropout_mask
from recurra.formula import project, relu, sigmoid, tanh
from refused import refused

NAMES = tuple(FORMULAS)
every_formula = pytest.mark.parametrize("name", NAMES)
BUILT_IN = {"RNN": recurra.RNN, "LSTM": recurra.LSTM, "GRU": recurra.GRU, "MGU": recurra.cells.MGU}
every_layer = pytest.mark.parametrize("kind", BUILT_IN.values(), ids=BUILT_IN)


# ---- reverse


def from_the_end(array, lengths):
    """Each sequence's steps within its length the other way round."""
    result = array.copy()
    for b, length in enumerate(lengths.tolist()):
        result[:length, b] = array[:length, b][::-1]
    return result


@every_formula
def test_reverse_is_the_reversed_sequence(name):
    """Gradients of parameters are sums over steps in another order."""
    rng = np.random.default_rng([NAMES.index(name), 0])
    layer = make_layer(FORMULAS[name], rng, reverse=True, dtype=np.float64)
    options = {option: getattr(layer, option) for option in layer._options}
    twin = type(layer)(**options | {"reverse": False})
    twin.load_state_dict(layer.state_dict())
    call = draw_call(layer, rng, T=8, B=6)
    other = copy.copy(call)
    turned = lambda array: from_the_end(array, call.lengths)  # noqa: E731
    other.x, other.dy = turned(call.x), turned(call.dy)
    other.doutputs = {k: turned(d) for k, d in call.doutputs.items()}
    other.dstates = {key: {k: turned(d) for k, d in ds.items()} for key, ds in call.dstates.items()}
    other.inputs = {
        key: turned(value) if is_of_steps(layer, f"dinput {key}") else value for key, value in call.inputs.items()
    }
    results, _ = run(layer, call)
    for key, value in run(twin, other)[0].items():
        if is_of_steps(layer, key):
            beyond = np.arange(len(call.x))[:, None] >= call.lengths
            assert not value[beyond].any()
            assert_same_bits(results[key], turned(value), key)
        elif key.startswith(("grad ", "dinput ")):
            assert max_error(results[key], value) <= 1e-12
        else:
            assert_same_bits(results[key], value, key)


# ---- proj_size


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_proj_size_is_that_of_torch(num_layers, bidirectional):
    torch = pytest.importorskip("torch")
    options = {"num_layers": num_layers, "bidirectional": bidirectional, "proj_size": 3}
    T, B, I, H = 6, 4, 5, 7  # noqa: E741
    ours = recurra.LSTM(I, H, dtype=np.float64, seed=1, **options)
    theirs = torch.nn.LSTM(I, H, **options).double()
    state = ours.state_dict()
    names = {key: tuple(value.shape) for key, value in theirs.state_dict().items()}
    assert {key: value.shape for key, value in state.items()} == names
    theirs.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()}, strict=True)
    fresh = torch.nn.LSTM(I, H, **options).double()
    other = recurra.LSTM(I, H, dtype=np.float64, seed=2, **options)
    other.load_state_dict({key: value.numpy() for key, value in fresh.state_dict().items()})

    rng = np.random.default_rng(0)
    stacked = num_layers * (1 + bidirectional)
    x, dy = rng.standard_normal((T, B, I)), rng.standard_normal((T, B, 3 * (1 + bidirectional)))
    sizes = ((stacked, B, 3), (stacked, B, H))
    state, dstate = (tuple(rng.standard_normal(size) for size in sizes) for _ in range(2))
    y, final, tape = ours.forward(x, state)
    dx, dinitial = ours.backward(tape, dy, dstate)
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, *state)]
    y_theirs, final_theirs = theirs(tensors[0], tuple(tensors[1:]))
    loss = (y_theirs * torch.from_numpy(dy)).sum()
    loss += sum((s * torch.from_numpy(d)).sum() for s, d in zip(final_theirs, dstate, strict=True))
    loss.backward()
    results = [y, *final, dx, *dinitial, *ours.grads.values()]
    expected = [y_theirs, *final_theirs, *(t.grad for t in tensors), *(p.grad for p in theirs.parameters())]
    for result, value in zip(results, expected, strict=True):
        assert max_error(result, value.detach().numpy()) <= 1e-12
    with torch.no_grad():
        y_theirs, _ = fresh(tensors[0])
    assert max_error(other(x)[0], y_theirs.numpy()) <= 1e-12


# ---- recurrent_dropout and zoneout, beside what a user would write


def kept(mask, old, new):
    return recurra.formula.where(mask, old, new)


@recurra.formula(gates="a", inputs="m:row zh")
def MaskedRNN(a, s, x):
    return kept(x.zh, s.h, tanh(a.a(x.m * s.h)))


@recurra.formula(gates="i f g o", states="h c", inputs="m:row zh zc")
def MaskedLSTM(a, s, x):
    h = x.m * s.h
    c = sigmoid(a.f(h)) * s.c + sigmoid(a.i(h)) * tanh(a.g(h))
    return kept(x.zh, s.h, sigmoid(a.o(h)) * tanh(c)), kept(x.zc, s.c, c)


@recurra.formula(gates="r z n", inputs="m:row zh")
def MaskedGRU(a, s, x):
    h = x.m * s.h
    r, z = sigmoid(a.r(h)), sigmoid(a.z(h))
    n = tanh(a.n.x + r * a.n.h(h))
    return kept(x.zh, s.h, (1 - z) * n + z * s.h)


@recurra.formula(gates="r z n", inputs="m:row zh")
def MaskedPaperGRU(a, s, x):
    h = x.m * s.h
    r, z = sigmoid(a.r(h)), sigmoid(a.z(h))
    n = tanh(a.n(x.m * (r * s.h)))
    return kept(x.zh, s.h, (1 - z) * n + z * s.h)


@recurra.formula(gates="g", states="h c", scalars={"leak": 0.3}, inputs="noise")
def Noisy(a, s, u, x):
    c = s.c + u.leak * (tanh(a.g) - s.c)
    return relu(c + 0.1 * x.noise), c


@recurra.formula(gates="g", states="h c", scalars={"leak": 0.3}, inputs="noise m:row zh zc")
def MaskedNoisy(a, s, u, x):
    c = s.c + u.leak * (tanh(a.g(x.m * s.h)) - s.c)
    return kept(x.zh, s.h, relu(c + 0.1 * x.noise)), kept(x.zc, s.c, c)


MASKED = {
    "RNN": (recurra.RNN, {}, MaskedRNN),
    "LSTM": (recurra.LSTM, {}, MaskedLSTM),
    "GRU": (recurra.GRU, {}, MaskedGRU),
    "GRU of the paper": (recurra.GRU, {"reset_after": False}, MaskedPaperGRU),
    "formula": (Noisy, {}, MaskedNoisy),
}
RATES = {"recurrent_dropout": 0.4, "zoneout": 0.3}


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", MASKED)
def test_masks_are_those_of_a_formula_with_inputs(cell, bidirectional):
    kind, own, by_hand = MASKED[cell]
    T, B, H = 7, 5, 9
    options = {"num_layers": 2, "bidirectional": bidirectional, "dropout": 0.25}
    layer = kind(4, H, seed=0, **own, **options, **RATES)
    expected_layer = by_hand(4, H, seed=0, **options)
    assert_same_bits(expected_layer.state_dict(), layer.state_dict())
    call = draw_call(layer, np.random.default_rng(1), T, B, resets=0.1)
    rng, stacked = np.random.default_rng(2), 2 * (1 + bidirectional)
    dropout_mask(rng, (T, B, H * (1 + bidirectional)), 0.25, layer.dtype)  # between the layers, which both draw first
    masks = {"m": dropout_mask(rng, (stacked, B, H), 0.4, layer.dtype)}
    masks |= {f"z{name}": chosen(rng, (stacked, T, B, H), 0.3, layer.dtype) for name in layer.formula.states}
    assert {0, np.float32(1 / 0.6)} == set(masks["m"].ravel().tolist())
    results, _ = run(layer, call, rng=2)
    expected, _ = run(expected_layer, replace(call, inputs=call.inputs | masks), rng=2)
    assert_same_bits(results, {key: value for key, value in expected.items() if key in results})
    assert not np.array_equal(plain(layer, call)["y"], results["y"])
    layer.dropout = layer.recurrent_dropout = layer.zoneout = 0
    assert_same_bits(plain(layer, call)["y"], run(layer, call)[0]["y"])


@every_layer
def test_masks_on_request_alone(kind):
    """Off in plain calls, needing rng in forward; to be set; part of copies, pickles and representations."""
    layer = kind(4, 5, seed=0, **RATES)
    plain_layer = kind(4, 5, seed=0)
    x = np.random.default_rng(0).standard_normal((6, 3, 4)).astype(np.float32)
    assert_same_bits(layer(x), plain_layer(x))
    with refused(ValueError, "rng", dict(layer.params)):
        layer.forward(x)
    first = layer.forward(x, rng=3)[0]
    assert_same_bits(layer.forward(x, rng=3)[0], first)
    assert not np.array_equal(layer.forward(x, rng=4)[0], first)
    assert repr(layer) == f"{kind.__name__}(4, 5, recurrent_dropout=0.4, zoneout=0.3)"
    for how in (copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))):
        twin = how(layer)
        assert (repr(twin), twin.recurrent_dropout, twin.zoneout) == (repr(layer), 0.4, 0.3)
        assert_same_bits(twin.forward(x, rng=3)[0], first)
        twin.zoneout = 0
        assert layer.zoneout == 0.3
    layer.zoneout = {"h": 0.5}
    assert layer.zoneout == {"h": 0.5}
    layer.zoneout["h"] = 7  # a copy
    assert layer.zoneout == {"h": 0.5}
    assert pickle.loads(pickle.dumps(layer)).zoneout == {"h": 0.5}
    layer.recurrent_dropout = layer.zoneout = 0
    assert_same_bits(layer.forward(x)[0], layer(x)[0])
    assert repr(layer) == f"{kind.__name__}(4, 5)"


def test_rates_are_what_they_say():
    """The shares of zeros, and of kept units; one mask a sequence for all its steps."""
    layer = recurra.RNN(1, 400, seed=0, recurrent_dropout=0.25, zoneout=0.75)
    _, masks = layer._drawing(np.random.default_rng(0))(5, 20)
    mask, zone = masks.values()
    assert (mask.shape, zone.shape) == ((1, 20, 400), (1, 5, 20, 400))
    assert abs((mask == 0).mean() - 0.25) < 0.02
    assert abs(zone.mean() - 0.75) < 0.01
    assert set(zone.ravel().tolist()) == {0, 1}


@recurra.formula(gates={"g": "h c"}, states="h c")
def ReadsBoth(a, s):
    return tanh(a.g), 0.5 * s.c + s.h


@recurra.formula(gates="g")
def Projected(a):
    return project(tanh(a.g))


@every_layer
def test_wrong_rates(kind):
    layer = kind(4, 5, num_layers=2, **RATES)
    for name, rate in RATES.items():
        wrong = [(ValueError, value) for value in (1, 1.0, -0.1, np.nan, np.inf)]
        wrong += [(TypeError, value) for value in ("0.5", None, [0.5], 0.5j, True)]
        for error, value in wrong:
            with refused(error, name):
                kind(4, 5, **{name: value})
            with refused(error, name):
                setattr(layer, name, value)
            assert getattr(layer, name) == rate
    for error, value in ((ValueError, {"k": 0.1}), (ValueError, {"h": 1}), (TypeError, {"h": "1"})):
        with refused(error, r"zoneout(\['h'\])?"):
            kind(4, 5, zoneout=value)
        with refused(error, r"zoneout(\['h'\])?"):
            layer.zoneout = value


def test_what_cannot_be_masked():
    with refused(ValueError, "recurrent_dropout"):
        ReadsBoth(3, 4, recurrent_dropout=0.1)
    both = ReadsBoth(3, 4, zoneout=0.1)
    with refused(ValueError, "recurrent_dropout"):
        both.recurrent_dropout = 0.1
    assert both.recurrent_dropout == 0
    with refused(ValueError, "recurrent_dropout"):
        recurra.cells.SRU(4, 4, recurrent_dropout=0.1)
    for kind, options in ((recurra.LSTM, {"proj_size": 2}), (Projected, {"proj_size": 2})):
        for name in RATES:
            with refused(ValueError, name):
                kind(3, 4, **options, **{name: 0.1})
    layer = recurra.LSTM(3, 4, proj_size=2, zoneout={"c": 0.5}, seed=0)
    x = np.ones((5, 2, 3), np.float32)
    assert not np.array_equal(layer.forward(x, rng=0)[0], layer(x)[0])
    with refused(ValueError, "zoneout"):
        layer.zoneout = {"h": 0.5}


# ---- learned_state


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", [recurra.LSTM, recurra.GRU, recurra.cells.IntersectionRNN, recurra.cells.SLSTM])
def test_learned_states(kind, bidirectional):
    """As parameters: where they are used, their gradients, and that optimizers step them."""
    rng = np.random.default_rng(0)
    layers = 1 if kind is recurra.cells.IntersectionRNN else 2
    options = {"num_layers": layers, "bidirectional": bidirectional, "dtype": np.float64}
    layer = kind(8, 8, seed=0, learned_state=True, **options)
    twin = kind(8, 8, seed=0, **options)
    names = [f"{state}0" for state in layer.formula.states]
    stacked = layers * (1 + bidirectional)
    assert all(layer.params[name].shape == (stacked, 8) and not layer.params[name].any() for name in names)
    assert_same_bits({key: v for key, v in layer.state_dict().items() if key not in names}, twin.state_dict())
    state = layer.state_dict() | {name: rng.normal(0, 0.5, (stacked, 8)) for name in names}
    layer.load_state_dict(state)
    call = draw_call(twin, rng, T=5, B=4, resets=0.2)
    spread = [np.repeat(state[name][:, None], 4, 1) for name in names]
    given, none = call.hx, [None for _ in names]

    def with_state(hx):
        return replace(call, hx=hx)

    def shared(results):
        return {key: value for key, value in results.items() if key.removeprefix("grad ") not in names}

    assert_same_bits(shared(run(layer, call)[0]), run(twin, call)[0])  # hx that is given is used
    assert not any(run(layer, call)[0][f"grad {name}"].any() for name in names)
    results, expected = run(layer, with_state(none))[0], run(twin, with_state(spread))[0]
    assert_same_bits(plain(layer, with_state(none)), plain(twin, with_state(spread)))
    for key, value in shared(results).items():
        if key.startswith("dhx "):
            assert_same_bits(value, expected[key], key)
            continue
        assert_same_bits(value, expected[key], key)
    for name in names:
        summed = expected[f"dhx {name[:-1]}"].sum(axis=1)
        assert max_error(results[f"grad {name}"], summed) <= 1e-13
    if len(names) > 1:  # one of them given
        some = [given[0], *none[1:]]
        mixed = run(layer, with_state(some))[0]
        assert_same_bits(mixed["y"], run(twin, with_state([given[0], *spread[1:]]))[0]["y"])
        assert not mixed[f"grad {names[0]}"].any()
        assert mixed[f"grad {names[1]}"].any()
    x = call.x
    one, _ = layer(np.ascontiguousarray(x[:, 0]))
    assert_same_bits(one, layer(x[:, :1])[0][:, 0].copy())
    before = layer.state_dict()
    optimizer = recurra.SGD(layer, lr=0.1)
    y, _, tape = layer.forward(x)
    layer.backward(tape, y)
    optimizer.step()
    for name in names:
        assert_same_bits(layer.params[name].copy(), before[name] - 0.1 * layer.grads[name])
    for how in (copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))):
        assert_same_bits(how(layer)(x), layer(x))


def test_gradients_of_learned_states_by_differences():
    rng = np.random.default_rng(1)
    layer = recurra.LSTM(3, 4, num_layers=2, bidirectional=True, learned_state=True, dtype=np.float64, seed=0)
    x, dy = rng.standard_normal((5, 3, 3)), rng.standard_normal((5, 3, 8))
    options = {"lengths": np.array([5, 0, 3]), "resets": rng.random((5, 3)) < 0.2}
    state = layer.state_dict() | {name: rng.standard_normal((4, 4)) for name in ("h0", "c0")}
    layer.load_state_dict(state)
    y, _, tape = layer.forward(x, **options)
    layer.backward(tape, dy)

    def loss():
        layer.load_state_dict(state)
        return float((layer(x, **options)[0] * dy).sum())

    for name in ("h0", "c0", "weight_hh_l1"):
        assert max_error(layer.grads[name], numeric_gradient(loss, state[name])) <= 1e-8
    assert y.shape == dy.shape


@every_layer
def test_wrong_flags(kind):
    for name in ("learned_state", "reverse"):
        for value in (1, None, "yes", 0.5):
            with refused(TypeError, name):
                kind(4, 4, **{name: value})
    with refused(ValueError, "reverse"):
        kind(4, 4, reverse=True, bidirectional=True)


@pytest.mark.parametrize("value", [-1, 4, 5, 2.0, "2", None, True])
def test_wrong_proj_size(value):
    with refused((TypeError, ValueError), "proj_size"):
        recurra.LSTM(3, 4, proj_size=value)
    with refused((TypeError, ValueError), "proj_size"):
        Projected(3, 4, proj_size=value)
    with refused((TypeError, ValueError), "proj_size"):
        Noisy(3, 4, proj_size=value or 1)
    with refused(ValueError, "proj_size"):
        Projected(3, 4)  # which needs one


# ---- resets


def pieces_of(call):
    """(sequence, first step, end) from one reset to the next."""
    for b, length in enumerate(call.lengths.tolist()):
        edges = [0, *(t for t in range(1, length) if call.resets[t, b]), length]
        yield from ((b, begin, end, length) for begin, end in pairwise(edges))


@every_formula
def test_resets_are_sequences_cut_by_hand(name):
    """Each piece alone, from zeros; h0 counts where a sequence begins, in the reverse direction at its end."""
    rng = np.random.default_rng([NAMES.index(name), 5])
    layer = make_layer(FORMULAS[name], rng, dtype=(np.float32, np.float64)[NAMES.index(name) % 2])
    call = draw_call(layer, rng, T=9, B=5, resets=0.3)
    call.resets[0, :2] = True
    reverse = np.arange(len(call.hx[0])) % 2 == 1 if layer.bidirectional else np.zeros(len(call.hx[0]), bool)
    whole, _ = run(layer, call)
    assert_same_bits(plain(layer, call), {key: whole[key] for key in ("y", *(k for k in whole if k[:6] == "final "))})
    for b, begin, end, length in pieces_of(call):
        piece = cut(layer, call, slice(b, b + 1), slice(begin, end))
        piece.resets = None
        first, last = begin == 0, end == length
        dropped = first and length and call.resets[0, b]
        enters = np.where(reverse, last, first and not dropped)
        for hx, dfinal in zip(piece.hx, piece.dfinal, strict=True):
            hx[~enters] = 0
            dfinal[~np.where(reverse, first, last)] = 0
        results, _ = run(layer, piece)
        for key, value in results.items():
            if key.startswith("grad ") or is_of_rows(layer, key):
                continue  # sums over more than this piece
            if is_of_steps(layer, key):
                assert_same_bits(value[:, 0], whole[key][begin:end, b], key)
            elif key.startswith("final "):
                ends = np.where(reverse, first, last)
                assert_same_bits(value[ends, 0], whole[key][ends, b], key)
            else:
                assert_same_bits(value[enters, 0], whole[key][enters, b], key)
        if dropped:
            assert not any(whole[f"dhx {state}"][~reverse, b].any() for state in layer.formula.states)


@every_layer
def test_resets_with_dropout_of_all_kinds(kind):
    """Masks are drawn as without resets, and a reset at every step leaves nothing of the state."""
    layer = kind(4, 4, num_layers=2, dropout=0.3, seed=0, **RATES)
    x = np.random.default_rng(0).standard_normal((6, 3, 4)).astype(np.float32)
    resets = np.zeros((6, 3), bool)
    y, state, _ = layer.forward(x, rng=1)
    assert_same_bits(layer.forward(x, rng=1, resets=resets)[:2], (y, state))
    resets[3] = True
    cut_y, cut_state, _ = layer.forward(x, rng=1, resets=resets)
    assert_same_bits(cut_y[:3], y[:3])
    assert not np.array_equal(cut_y[3:], y[3:])
    final = one_or_tuple(parts_of(cut_state))
    batch_first = kind(4, 4, num_layers=2, batch_first=True, seed=0)
    twin = kind(4, 4, num_layers=2, seed=0)
    by_batch, same = batch_first(x.swapaxes(0, 1), resets=resets.T)
    assert_same_bits((np.ascontiguousarray(by_batch.swapaxes(0, 1)), same), twin(x, resets=resets))
    assert type(final) is type(state)
