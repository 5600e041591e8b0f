"""Sequential: what its members do one by one, by the same bits; gradients, names, states, lengths and dropout."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import recurra
from configs import assert_same_bits, max_error, numeric_gradient, slope_error
from recurra import _core
from refused import refused

T, B, I, H, C = 6, 4, 3, 5, 2  # noqa: E741
LENGTHS = np.array([6, 0, 3, 1])


def draw(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def stack(dtype=np.float64, **options):
    """A model with everything in it: two recurrent members, one of them an LSTM, and a Sequential within."""
    return recurra.Sequential(
        recurra.LSTM(I, H, dtype=dtype, seed=1, **options),
        recurra.Dropout(0.3),
        recurra.GRU(H, H, num_layers=2, dropout=0.4, dtype=dtype, seed=2, **options),
        recurra.Sequential(recurra.Linear(H, 4, dtype=dtype, seed=3), recurra.Tanh()),
        recurra.Linear(4, C, dtype=dtype, seed=4),
    )


def draw_states(seed=0, dtype=np.float64):
    """One for the LSTM, one for the GRU."""
    h, c, g = (draw(n, B, H, seed=seed + n + i, dtype=dtype) for i, n in enumerate((1, 1, 2)))
    return [(h, c), g]


def by_hand(model, x, state, lengths, rng, dy, dstate):
    """What `stack` comes to when its members are called one by one."""
    rng = np.random.default_rng(rng)
    lstm, dropout, gru, (linear, tanh), out = model
    y, lstm_state, lstm_tape = lstm.forward(x, state[0], lengths=lengths)
    y, dropout_tape = dropout.forward(y, rng=rng)
    y, gru_state, gru_tape = gru.forward(y, state[1], lengths=lengths, rng=rng)
    y, linear_tape = linear.forward(y)
    y, tanh_tape = tanh.forward(y)
    y, out_tape = out.forward(y)
    d = linear.backward(linear_tape, tanh.backward(tanh_tape, out.backward(out_tape, dy)))
    d, dgru = gru.backward(gru_tape, d, dstate[1])
    dx, dlstm = lstm.backward(lstm_tape, dropout.backward(dropout_tape, d), dstate[0])
    return y, [lstm_state, gru_state], dx, [dlstm, dgru]


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["all", "lengths"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_is_its_members_one_by_one(batch_first, lengths):
    model, twin = (stack(np.float32, batch_first=batch_first) for _ in range(2))
    leading = (B, T) if batch_first else (T, B)
    x, dy = draw(*leading, I, dtype=np.float32), draw(*leading, C, seed=1, dtype=np.float32)
    state, dstate = draw_states(dtype=np.float32), draw_states(9, np.float32)
    expected = by_hand(twin, x, state, lengths, 5, dy, dstate)
    y, tape = model.forward(x, state, lengths=lengths, rng=5)
    assert_same_bits((y, tape.state), expected[:2])
    assert_same_bits((model.backward(tape, dy, dstate), tape.dstate), expected[2:])
    assert_same_bits(dict(model.grads), dict(twin.grads))
    assert all(gradient.any() for gradient in model.grads.values())

    model[1].p = model[2].dropout = 0  # without dropout, training and inference are the same
    y, tape = model.forward(x, state, lengths=lengths)
    assert_same_bits(model.run(x, state, lengths=lengths), (y, tape.state))
    y, tape = model.forward(x, lengths=lengths)
    assert_same_bits(model(x, lengths=lengths), y)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["all", "lengths"])
def test_central_differences(lengths):
    """Of x, of every parameter and of the initial states, with the masks of one seed."""
    model, x, state = stack(), draw(T, B, I), draw_states()
    dy, dstate = draw(T, B, C, seed=1), draw_states(9)
    parameters = model.state_dict()

    def loss():
        model.load_state_dict(parameters)
        y, tape = model.forward(x, state, lengths=lengths, rng=5)
        (h, c), g = tape.state
        (dh, dc), dg = dstate
        return sum(float(np.vdot(a, b)) for a, b in ((y, dy), (h, dh), (c, dc), (g, dg)))

    _, tape = model.forward(x, state, lengths=lengths, rng=5)
    got = {"dx": model.backward(tape, dy, dstate), "dh0": tape.dstate[0][0], "dc0": tape.dstate[0][1]}
    got |= {"dg0": tape.dstate[1]} | {name: gradient.copy() for name, gradient in model.grads.items()}
    arrays = {"dx": x, "dh0": state[0][0], "dc0": state[0][1], "dg0": state[1]} | parameters
    assert got.keys() == arrays.keys()
    for name, array in arrays.items():
        assert slope_error(loss, array, got[name]) <= 1e-7, name
        assert np.abs(got[name]).max() > 1e-3, name


@pytest.mark.parametrize("first", ["embedding", "tokens"])
def test_tokens(first):
    """Tokens in: no gradient of x, and the rest by central differences; many-to-one."""
    layers = [recurra.Embedding(7, I, dtype=np.float64, seed=0)] if first == "embedding" else []
    model = recurra.Sequential(
        *layers,
        recurra.GRU(I if layers else 7, H, dtype=np.float64, seed=1),
        recurra.Last(),
        recurra.Linear(H, C, dtype=np.float64, seed=2),
    )
    tokens, dy, parameters = np.random.default_rng(0).integers(0, 7, (T, B)), draw(B, C), model.state_dict()

    def loss():
        model.load_state_dict(parameters)
        return float(np.vdot(model(tokens, lengths=LENGTHS), dy))

    _, tape = model.forward(tokens, lengths=LENGTHS)
    assert model.backward(tape, dy) is None
    for name, array in parameters.items():
        assert np.abs(model.grads[name] - numeric_gradient(loss, array)).max() <= 1e-7, name
    _, tape = model.forward(tokens, lengths=LENGTHS)
    assert model.backward(tape, dy, need_dx=False) is None


def test_torch():
    """Embedding, LSTM, Linear and cross entropy, the same model in float64."""
    torch = pytest.importorskip("torch")
    ours = recurra.Sequential(
        recurra.Embedding(7, I, dtype=np.float64, seed=0),
        recurra.LSTM(I, H, num_layers=2, dtype=np.float64, seed=1),
        recurra.Linear(H, 7, dtype=np.float64, seed=2),
    )
    theirs = torch.nn.ModuleList([torch.nn.Embedding(7, I), torch.nn.LSTM(I, H, 2), torch.nn.Linear(H, 7)]).double()
    theirs.load_state_dict({name: torch.tensor(value) for name, value in ours.state_dict().items()})
    tokens = np.random.default_rng(0).integers(0, 7, (T + 1, B))
    y, tape = ours.forward(tokens[:-1])
    value, gradient = recurra.cross_entropy(y, tokens[1:])
    ours.backward(tape, gradient)
    embedding, lstm, linear = theirs
    logits = linear(lstm(embedding(torch.tensor(tokens[:-1])))[0])
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(tokens[1:]).flatten())
    loss.backward()
    np.testing.assert_allclose(y, logits.detach().numpy(), rtol=1e-12, atol=1e-13)
    assert value == pytest.approx(loss.item(), rel=1e-13)
    for name, parameter in theirs.named_parameters():
        np.testing.assert_allclose(ours.grads[name], parameter.grad.numpy(), rtol=1e-10, atol=1e-13)


def test_streaming_is_the_whole():
    """Piece by piece, with the states handed on, the same bits as at once."""
    model, x = stack(np.float32), draw(T, B, I, dtype=np.float32)
    expected = model.run(x)
    pieces, state = [], None
    for part in (x[:1], x[1:4], x[4:]):
        y, state = model.run(part, state)
        pieces.append(y)
    assert_same_bits((np.concatenate(pieces), state), expected)


def test_states_may_be_none():
    model, x = stack(), draw(T, B, I)
    zeros = [tuple(np.zeros_like(s) for s in draw_states()[0]), np.zeros_like(draw_states()[1])]
    expected = model.run(x, zeros)
    for state in (None, [None, None], [(None, None), None], (zeros[0], None)):
        assert_same_bits(model.run(x, state), expected)


def test_names_and_state_dict():
    """Prefixed names; params and grads are the members' own memory; copies are copies."""
    model = stack()
    own = {"0.": model[0], "2.": model[2], "3.0.": model[3][0], "4.": model[4]}
    names = [prefix + name for prefix, layer in own.items() for name in layer.params]
    for mapping in (model.params, model.grads, model.state_dict()):
        assert list(mapping) == names
    for prefix, layer in own.items():
        for name in layer.params:
            assert np.shares_memory(model.params[prefix + name], layer.params[name])
            assert model.grads[prefix + name] is layer.grads[name]
    with pytest.raises(TypeError):
        model.grads["4.bias"] = np.zeros(C)  # would be lost
    model.grads["4.bias"][...] = 3
    assert (model[4].grads["bias"] == 3).all()
    model.zero_grad()
    assert not any(gradient.any() for gradient in model.grads.values())
    assert model.leaves() == [model[0], model[2], model[3][0], model[4]]

    twin = recurra.Sequential(*(copy.deepcopy(layer) for layer in model))
    changed = {name: value + 1 for name, value in model.state_dict().items()}
    twin.load_state_dict(changed)
    assert_same_bits(twin.state_dict(), changed)
    assert_same_bits(twin(draw(T, B, I)), twin(draw(T, B, I)))
    assert not np.array_equal(twin(draw(T, B, I)), model(draw(T, B, I)))


def test_load_state_dict_is_all_or_nothing():
    model = stack()
    right = {name: value + 1 for name, value in model.state_dict().items()}
    last = "4.weight"
    wrong = {
        ValueError: [
            {name: value for name, value in right.items() if name != last},
            right | {"5.weight": right[last]},
            right | {last: right[last][:, :-1]},
            right | {last: right[last].T},
        ],
        TypeError: [right | {last: right[last].astype(np.float32)}, right | {last: right[last].tolist()}, list(right)],
    }
    for error, states in wrong.items():
        for state in states:
            with refused(error, "(state_dict|4.weight)", dict(model.params)):
                model.load_state_dict(state)
    model.load_state_dict(right)
    assert_same_bits(model.state_dict(), right)


def test_options_of_backward():
    """Gradients add up, in the members or a dict; need_dx; retain; x may change meanwhile."""
    model, x, dy = stack(), draw(T, B, I), draw(T, B, C, seed=1)
    _, tape = model.forward(x, rng=1)
    x[...] = 7
    dx = model.backward(tape, dy, retain=True)
    once = {name: gradient.copy() for name, gradient in model.grads.items()}
    given = {name: np.zeros_like(gradient) for name, gradient in once.items()}
    assert model.backward(tape, dy, need_dx=False, grads=given, retain=True) is None
    assert_same_bits(given, once)
    assert_same_bits(dict(model.grads), once)
    assert_same_bits(model.backward(tape, dy), dx)
    for name, gradient in model.grads.items():
        np.testing.assert_allclose(gradient, 2 * once[name], rtol=1e-12)
    with refused(RuntimeError, "tape"):
        model.backward(tape, dy)


def test_layers_before_the_first_parameters_are_left_out():
    """Without need_dx there is nothing to compute for them; with it there is."""
    model = recurra.Sequential(recurra.Tanh(), recurra.Linear(I, C, dtype=np.float64, seed=1))
    x, dy = draw(T, I), draw(T, C)
    _, tape = model.forward(x)
    assert model.backward(tape, dy, need_dx=False, retain=True) is None
    expected = (dy @ model[1].params["weight"]) * (1 - np.tanh(x) ** 2)
    np.testing.assert_allclose(model.backward(tape, dy), expected, rtol=1e-12)


def test_an_encoder_has_only_states():
    """dy None: what counts is the final state alone."""
    model = recurra.Sequential(recurra.GRU(I, H, dtype=np.float64, seed=1))
    x, dh = draw(T, B, I), draw(1, B, H)
    _, tape = model.forward(x)
    dx = model.backward(tape, None, [dh])
    _, _, own = model[0].forward(x)
    assert_same_bits(dx, model[0].backward(own, None, dh)[0])


def test_optimizers_see_all_of_it():
    model, twin, x = stack(), stack(), draw(T, B, I)
    for one, layers in ((model, model), (twin, twin.leaves())):
        optimizer = recurra.Adam(layers, lr=0.1)
        y, tape = one.forward(x, rng=1)
        one.backward(tape, y)
        optimizer.step()
    assert_same_bits(model.state_dict(), twin.state_dict())
    assert not any(np.array_equal(model.state_dict()[name], value) for name, value in stack().state_dict().items())


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies(how):
    """With the same results and gradients; a shallow copy shares its layers, the others share nothing."""
    model, x = stack(), draw(T, B, I)
    y, tape = model.forward(x, rng=1)
    model.backward(tape, y)
    twin = how(model)
    assert repr(twin) == repr(model)
    assert_same_bits((twin(x), dict(twin.grads)), (model(x), dict(model.grads)))
    shared = how is copy.copy
    assert (twin[0] is model[0]) == shared
    twin.zero_grad()
    assert any(gradient.any() for gradient in model.grads.values()) != shared
    _, tape = model.forward(x, rng=1)
    if shared:
        twin.backward(tape, y)
    else:
        with refused(RuntimeError, "tape"):
            twin.backward(tape, y)


def test_container():
    model = stack()
    assert len(model) == 5
    assert model[-1] is model[4]
    assert list(model) == [model[i] for i in range(5)]
    part = model[2:]
    assert isinstance(part, recurra.Sequential)
    assert part[0] is model[2]
    assert list(part.params) == [f"{i}.{name}" for i, at in ((0, 2), (1, 3), (2, 4)) for name in model[at].params]
    assert repr(model[3:]) == (
        "Sequential(\n    Sequential(\n        Linear(5, 4, dtype=float64),\n        Tanh(),\n    ),\n"
        "    Linear(4, 2, dtype=float64),\n)"
    )
    with pytest.raises(IndexError):
        model[5]


def test_errors_of_the_constructor():
    linear = recurra.Linear(3, 3)
    for wrong in (3, "Tanh", recurra.Tanh, [linear], recurra.GRUCell(3, 3), lambda x: x, None):
        with refused(TypeError, "layers"):
            recurra.Sequential(linear, wrong)
    with refused(TypeError, "layers"):
        recurra.Sequential(linear, recurra.Linear(3, 3, dtype=np.float64))
    gru = recurra.GRU(3, 3)
    for wrong in ([], [linear, linear], [recurra.Sequential(linear), linear], [linear, copy.copy(linear)]):
        with refused(ValueError, "layers"):
            recurra.Sequential(*wrong)
    with refused(ValueError, "layers"):
        recurra.Sequential(gru, recurra.Last(), recurra.GRU(3, 3))
    with refused(ValueError, "layers"):
        recurra.Sequential(gru, recurra.Last())[:0]
    tanh = recurra.Tanh()
    assert len(recurra.Sequential(tanh, linear, tanh)) == 3  # nothing to share in it


def test_errors_of_calls():
    """Each of them leaves parameters, gradients and the tape as they were."""
    model, x, dy = stack(), draw(T, B, I), draw(T, B, C)
    state, dstate = draw_states(), draw_states(9)
    _, tape = model.forward(x, state, rng=1)

    def refuses(error, name, call, form=r": expected .*got"):
        with refused(error, name, dict(model.params), dict(model.grads), x, dy, state, dstate, form=form):
            call()

    for call in (model.run, lambda x, state=None, lengths=None: model.forward(x, state, lengths=lengths, rng=1)):
        refuses(TypeError, "x", lambda call=call: call(x.astype(np.float32)))
        refuses(ValueError, "x", lambda call=call: call(x[..., 1:]))
        refuses(TypeError, "state", lambda call=call: call(x, state[1]))
        refuses(ValueError, "state", lambda call=call: call(x, state[:1]))
        refuses(ValueError, "state", lambda call=call: call(x, [*state, None]))
        refuses(ValueError, "h0", lambda call=call: call(x, [state[0], state[1][:1]]))
        refuses(ValueError, "lengths", lambda call=call: call(x, None, lengths=LENGTHS + 1))
    for rng in (None, 1.5):
        error = ValueError if rng is None else TypeError
        refuses(error, "rng", lambda rng=rng: model.forward(x, rng=rng))

    refuses(TypeError, "dy", lambda: model.backward(tape, dy.astype(np.float32)))
    refuses(TypeError, "dy", lambda: model.backward(tape, None))
    refuses(ValueError, "dy", lambda: model.backward(tape, dy[1:]))
    for wrong in (state[1], [state[1], state[1]], [(state[1],), None], [None, state[1].astype(np.float32)]):
        refuses(TypeError, "dstate", lambda wrong=wrong: model.backward(tape, dy, wrong))
    for wrong in (state[:1], [*state, None], [None, state[1][:1]], [(None, state[1]), None]):
        refuses(ValueError, "dstate", lambda wrong=wrong: model.backward(tape, dy, wrong))
    grads = model.state_dict()
    first = "0.bias_ih_l0"
    refuses(TypeError, "grads", lambda: model.backward(tape, dy, grads=list(grads)))
    refuses(TypeError, first, lambda: model.backward(tape, dy, grads=grads | {first: grads[first].tolist()}))
    refuses(ValueError, "grads", lambda: model.backward(tape, dy, grads={first: grads[first]}))
    refuses(ValueError, first, lambda: model.backward(tape, dy, grads=grads | {first: grads[first][1:]}))
    refuses(ValueError, "grads.*", lambda: model.backward(tape, dy, grads=dict(model.params)))
    strided = grads | {first: np.repeat(grads[first], 2)[::2]}
    refuses(ValueError, "grads.*", lambda: model.backward(tape, dy, grads=strided))
    for flag in ("need_dx", "retain"):
        refuses(TypeError, flag, lambda flag=flag: model.backward(tape, dy, **{flag: 1}))
    for wrong in (None, x, model[0].forward(x)[2]):
        refuses(TypeError, "tape", lambda wrong=wrong: model.backward(wrong, dy))
    refuses(RuntimeError, "tape", lambda: model.backward(stack().forward(x, rng=1)[1], dy))
    model.backward(tape, dy, dstate, grads=grads)
    refuses(RuntimeError, "tape", lambda: model.backward(tape, dy))
    _, tape = model.forward(x, rng=1)
    model.load_state_dict(model.state_dict())
    refuses(RuntimeError, "tape", lambda: model.backward(tape, dy))


@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "num_layers": 2}, {"batch_first": True}])
@pytest.mark.parametrize("kind", [recurra.RNN, recurra.LSTM, recurra.GRU])
@pytest.mark.parametrize("padding", [None, 3])
def test_an_embedding_is_projected_by_row_or_by_token(kind, options, padding):
    """Few tokens for the table and many give the same: outputs to the bit, gradients to rounding."""
    embedding = recurra.Embedding(11, 6, padding_idx=padding, dtype=np.float64, seed=0)
    layer = kind(6, 5, dtype=np.float64, seed=1, **options)
    model = recurra.Sequential(embedding, layer)
    rng = np.random.default_rng(2)
    tokens, lengths = rng.integers(0, 11, (7, 7)), rng.integers(0, 8, 7)
    assert model._table(tokens) is not None
    assert model._table(tokens[:1]) is None
    y, tape = model.forward(tokens, lengths=lengths)
    vectors, table_tape = embedding.forward(tokens)
    expected, _, layer_tape = layer.forward(vectors, lengths=lengths)
    assert_same_bits(y, expected)
    assert_same_bits(model(tokens, lengths=lengths), expected)
    dy = rng.standard_normal(y.shape)
    assert model.backward(tape, dy, retain=True) is None
    got = {name: gradient.copy() for name, gradient in model.grads.items()}
    model.zero_grad()
    dx, _ = layer.backward(layer_tape, dy)
    embedding.backward(table_tape, dx)
    assert max(max_error(got[name], gradient) for name, gradient in model.grads.items()) < 1e-14
    assert all(np.abs(gradient).max() > 1e-3 for gradient in got.values())
    own = {name: np.zeros_like(value) for name, value in model.params.items()}
    model.backward(tape, dy, grads=own)
    assert_same_bits(own, got)
    with pytest.raises(ValueError, match=r"^x: expected tokens in 0\.\.num_embeddings-1 = 0\.\.10, got 11"):
        model.forward(tokens + tokens.max() % 2 + 1)


@pytest.mark.parametrize("kind", [recurra.RNN, recurra.LSTM, recurra.GRU])
def test_an_embedding_and_a_way_back_in_stretches(kind):
    layer = kind(6, 5, seed=1)
    model = recurra.Sequential(recurra.Embedding(11, 6, seed=0), layer)
    tokens = np.random.default_rng(2).integers(0, 11, (60, 9))
    assert model._table(tokens) is not None
    results = []
    for stretch in (0, 1, 3):
        layer._plan = {"threads": 1, "delta_blocks": stretch}
        y, tape = model.forward(tokens)
        results.append({name: np.zeros_like(value) for name, value in model.params.items()})
        model.backward(tape, y, grads=results[-1])
        assert _core.last_plan()["delta_blocks"] == stretch
    assert_same_bits(results[1], results[0])
    assert_same_bits(results[2], results[0])


def test_an_embedding_of_empty_sequences():
    model = recurra.Sequential(recurra.Embedding(3, 2, seed=0), recurra.GRU(2, 4, seed=1))
    y, tape = model.forward(np.zeros((2, 5), np.int64), lengths=np.zeros(5, np.int64))
    model.backward(tape, np.ones_like(y))
    assert not any(gradient.any() for gradient in model.grads.values())


def test_layers_that_do_not_fit_are_refused():
    gru, pair = recurra.GRU(8, 16, seed=0), recurra.GRU(8, 16, bidirectional=True, seed=0)
    message = r"^layers: expected layer {}, {}, with {} = {}, what the one before it gives, got {}$"
    for layers, values in (
        ((gru, recurra.Linear(8, 1)), (1, "Linear", "in_features", 16, 8)),
        ((pair, recurra.Tanh(), recurra.Dropout(0.5), recurra.Linear(16, 1)), (3, "Linear", "in_features", 32, 16)),
        ((recurra.Embedding(5, 3), recurra.LSTM(5, 4)), (1, "LSTM", "input_size", 3, 5)),
        ((recurra.Sequential(gru, recurra.Last()), recurra.Linear(15, 1)), (2, "Linear", "in_features", 16, 15)),
    ):
        with pytest.raises(ValueError, match=message.format(*values)):
            recurra.Sequential(*layers)

    class Wider(recurra.Tanh):
        """May give any number of features."""

    recurra.Sequential(gru, Wider(), recurra.Linear(8, 1))
    recurra.Sequential(pair, recurra.ReLU(), recurra.Linear(32, 5), recurra.LSTM(5, 4))
