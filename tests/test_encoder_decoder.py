"""EncoderDecoder: its parts one by one, by the same bits; step by step; gradients through both; a toy task learned."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import recurra
from configs import assert_same_bits, max_error, numeric_gradient, slope_error
from refused import refused

TS, TT, B = 6, 4, 3
F64 = {"dtype": np.float64}
LENGTHS = np.array([6, 1, 4])
KINDS = (None, "additive", "dot", "scaled_dot", "general")


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def parts(kind, batch_first=False, both=False):
    """Of float64: source features 2, target features 3; the encoder may read both ways."""
    options = F64 | {"batch_first": batch_first}
    encoder = recurra.LSTM(2, 2 if both else 4, num_layers=2, bidirectional=both, seed=1, **options)
    decoder = recurra.Sequential(
        recurra.Linear(3, 5, seed=2, **F64), recurra.LSTM(5, 4, num_layers=2, seed=3, **options)
    )
    attention = None if kind is None else recurra.Attention(4, 4, kind, seed=4, **options)
    return encoder, decoder, attention


def side_by_side(state):
    return tuple(np.concatenate([h[0::2], h[1::2]], axis=-1) for h in state)


def apart(state):
    return tuple(
        np.stack([h[..., : h.shape[-1] // 2], h[..., h.shape[-1] // 2 :]], 1).reshape(
            -1, *h.shape[1:-1], h.shape[-1] // 2
        )
        for h in state
    )


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["all", "lengths"])
@pytest.mark.parametrize("both", [False, True], ids=["one", "both"])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_is_its_parts_one_by_one(kind, batch_first, both, lengths):
    model = recurra.EncoderDecoder(*parts(kind, batch_first, both))
    encoder, decoder, attention = parts(kind, batch_first, both)
    source, target = draw(TS, B, 2), draw(TT, B, 3, seed=1)
    if lengths is not None:
        source[np.arange(TS)[:, None] >= lengths] = np.nan
    if batch_first:
        source, target = (np.ascontiguousarray(a.swapaxes(0, 1)) for a in (source, target))
    memory, h, encoder_tape = encoder.forward(source, lengths=lengths)
    expected, decoder_tape = decoder.forward(target, [side_by_side(h) if both else h])
    if attention is not None:
        context, weights, attention_tape = attention.forward(expected, memory, lengths=lengths)
        expected = np.concatenate([expected, context], axis=-1)
    y, tape = model.forward((source, target), lengths=lengths)
    assert_same_bits(y, expected)
    assert_same_bits(model((source, target), lengths=lengths), y)
    run, state = model.run((source, target), lengths=lengths)
    assert_same_bits(run, y)
    assert_same_bits(state.states, decoder_tape.state)
    if attention is not None:
        assert_same_bits(state.weights, weights)
        assert_same_bits(tape.state.weights, weights)
    dy = draw(*y.shape, seed=2)
    dqueries, dmemory = dy[..., :4], None
    if attention is not None:
        dasked, dmemory = attention.backward(attention_tape, dy[..., 4:])
        dqueries = dqueries + dasked
    dtarget = decoder.backward(decoder_tape, dqueries)
    dh = decoder_tape.dstate[0]
    dsource, _ = encoder.backward(encoder_tape, dmemory, apart(dh) if both else dh)
    assert_same_bits(model.backward(tape, dy), (dsource, dtarget))
    grads = [layer.grads for layer in (encoder, decoder, attention) if layer is not None]
    assert_same_bits(list(model.grads.values()), [gradient for own in grads for gradient in own.values()])
    assert all(gradient.any() for gradient in model.grads.values())
    assert model.batch_first is batch_first


@pytest.mark.parametrize("kind", [None, "additive"])
def test_central_differences(kind):
    model = recurra.EncoderDecoder(*parts(kind, both=True))
    source, target, state = draw(TS, B, 2), draw(TT, B, 3, seed=1), model.state_dict()
    dy = draw(*model((source, target)).shape, seed=2)

    def loss():
        model.load_state_dict(state)
        return float(np.vdot(model((source, target), lengths=LENGTHS), dy))

    _, tape = model.forward((source, target), lengths=LENGTHS)
    got = dict(zip(("source", "target"), model.backward(tape, dy, retain=True), strict=True)) | dict(model.grads)
    own = {name: np.zeros_like(value) for name, value in state.items()}
    assert model.backward(tape, dy, need_dx=False, grads=own) is None
    assert_same_bits(own, dict(model.grads))
    for name, array in ({"source": source, "target": target} | state).items():
        assert slope_error(loss, array, got[name]) <= 1e-8, name


@pytest.mark.parametrize("kind", KINDS)
def test_step_by_step_is_the_whole(kind):
    """The target in pieces, on the way there and on the way back."""
    model = recurra.Sequential(
        recurra.EncoderDecoder(*parts(kind)), recurra.Linear(4 if kind is None else 8, 2, seed=5, **F64)
    )
    source, target = draw(TS, B, 2), draw(TT, B, 3, seed=1)
    y, tape = model.forward((source, target), lengths=LENGTHS)
    first, state = model.run((source, target[:1]), lengths=LENGTHS)
    pieces = [first]
    for step in range(1, TT):
        piece, state = model.run(target[step : step + 1], state)
        pieces.append(piece)
    assert_same_bits(np.concatenate(pieces), y)
    dy = draw(*y.shape, seed=2)
    dsource, dtarget = model.backward(tape, dy)
    whole = {name: gradient.copy() for name, gradient in model.grads.items()}
    model.zero_grad()
    _, one = model.forward((source, target[:2]), lengths=LENGTHS)
    _, other = model.forward(target[2:], one.state)
    later = model.backward(other, dy[2:])
    before, earlier = model.backward(one, dy[:2], other.dstate)
    assert max_error(before, dsource) <= 1e-13
    assert max_error(np.concatenate([earlier, later]), dtarget) <= 1e-13
    for name, gradient in whole.items():
        assert max_error(model.grads[name], gradient) <= 1e-13, name


def test_one_sequence_and_no_states_handed_over():
    encoder = recurra.Sequential(recurra.Embedding(5, 2, seed=0), recurra.GRU(2, 3, bidirectional=True, seed=1))
    decoder = recurra.Sequential(recurra.Embedding(7, 2, seed=2), recurra.LSTM(2, 4, seed=3))
    model = recurra.EncoderDecoder(encoder, decoder, recurra.Attention(4, 6, "general", seed=4), hand_over=False)
    source, target = np.array([[1, 4], [2, 0], [3, 3]]), np.array([[6, 1], [0, 2]])
    y, state = model.run((source, target))
    for b in range(2):
        one, own = model.run((source[:, b], target[:, b]))
        assert_same_bits(one, y[:, b].copy())
        assert_same_bits(own.weights, state.weights[:, b].copy())
    _, tape = model.forward((source, target))
    assert model.backward(tape, y) == (None, None)
    assert all(gradient.any() for gradient in model.grads.values())


def test_shared_embedding():
    """Of one table for both there is one name, one gradient, which is the sum, and one copy in a file."""
    table = recurra.Embedding(5, 3, seed=0, **F64)
    model = recurra.EncoderDecoder(
        recurra.Sequential(table, recurra.GRU(3, 4, seed=1, **F64)),
        recurra.Sequential(table, recurra.GRU(3, 4, seed=2, **F64)),
        recurra.Attention(4, 4, seed=3, **F64),
    )
    twin = copy.deepcopy(model)
    assert [name for name in model.params if name.endswith("0.weight")] == ["encoder.0.weight"]
    assert sum(len(leaf.params) for leaf in model.leaves()) == len(model.params) == len(model.grads)
    assert twin.encoder[0] is twin.decoder[0]
    source, target = np.array([[1, 4], [2, 0], [3, 3]]), np.array([[4, 1], [0, 2]])
    y, tape = model.forward((source, target))
    model.backward(tape, y, retain=True)
    state, whole = model.state_dict(), model.grads["encoder.0.weight"].copy()

    def loss():
        model.load_state_dict(state)
        return float((model((source, target)) ** 2).sum() / 2)

    assert np.abs(numeric_gradient(loss, state["encoder.0.weight"]) - whole).max() <= 1e-8
    model.load_state_dict(state)
    _, tape = model.forward((source, target))
    own = {name: np.zeros_like(value) for name, value in state.items()}
    model.backward(tape, y, grads=own)
    assert_same_bits(own, dict(model.grads))
    changed = {name: value + 1 for name, value in state.items()}
    twin.load_state_dict(changed)
    assert_same_bits(twin.state_dict(), changed)
    recurra.SGD(model, lr=1.0).step()
    np.testing.assert_allclose(model.params["encoder.0.weight"], state["encoder.0.weight"] - whole, atol=1e-12)


@pytest.mark.parametrize("kind", ["additive", pytest.param("scaled_dot", marks=pytest.mark.exhaustive)])
def test_it_learns_to_reverse(kind):
    """Digits of any number, said backwards, and read off where it looked."""
    digits, start, end = 10, 10, 11
    model = recurra.Sequential(
        recurra.EncoderDecoder(
            recurra.Sequential(recurra.Embedding(10, 16, seed=0), recurra.GRU(16, 24, bidirectional=True, seed=1)),
            recurra.Sequential(recurra.Embedding(12, 16, seed=2), recurra.GRU(16, 48, seed=3)),
            recurra.Attention(48, 48, kind, seed=4),
        ),
        recurra.Linear(96, 64, seed=5),
        recurra.Tanh(),
        recurra.Linear(64, 12, seed=6),
    )
    rng = np.random.default_rng(0)

    def batch(size=64):
        lengths = rng.integers(1, 8, size)
        source, answer = rng.integers(0, digits, (7, size)), np.full((8, size), -1)
        for b, length in enumerate(lengths):
            answer[:length, b], answer[length, b] = source[:length, b][::-1], end
        heard = np.concatenate([np.full((1, size), start), np.maximum(answer[:-1], 0)])
        return (source, heard), answer, lengths

    def loss(y, answer):
        return recurra.cross_entropy(y, answer, ignore_index=-1)

    adam = recurra.Adam(model, lr=0.01)
    recurra.fit(model, lambda _: (batch() for _ in range(250)), loss, adam, clip_norm=1.0)
    adam.lr = 0.003
    recurra.fit(model, lambda _: (batch() for _ in range(100)), loss, adam, clip_norm=1.0)
    x, answer, lengths = batch(200)
    said = model(x, lengths=lengths).argmax(-1)
    assert (said == answer)[answer >= 0].mean() > 0.95
    text = [int(digit) for digit in "3141592"]
    assert recurra.generate(model, (text, [start]), 20, temperature=0, stop=end).tolist() == [*text[::-1], end]
    _, state = model.run((np.array(text), np.array([start, *text[::-1]])))
    if kind == "additive":
        assert (state[0].weights[:7].argmax(-1) == np.arange(6, -1, -1)).mean() > 0.7


def test_generate_is_the_whole_again_and_again():
    model = recurra.Sequential(
        recurra.EncoderDecoder(
            recurra.GRU(3, 4, seed=0),
            recurra.Sequential(recurra.Embedding(6, 3, seed=1), recurra.Residual(recurra.GRU(3, 3, seed=2))),
            recurra.Attention(3, 4, seed=3),
            hand_over=False,
        ),
        recurra.Linear(7, 6, seed=4),
    )
    source, text = draw(5, 3).astype(np.float32), [2]
    for _ in range(9):
        text.append(int(model((source, np.array(text)))[-1].argmax()))
    assert recurra.generate(model, (source, [2]), 9, temperature=0).tolist() == text[1:]
    assert len(recurra.generate(model, (source, [2, 3]), 9, seed=0)) == 9
    with refused(TypeError, "x"):
        recurra.generate(model, [2, 3], 9)


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies(how):
    model = recurra.EncoderDecoder(*parts("additive"))
    x = draw(TS, B, 2), draw(TT, B, 3, seed=1)
    y, tape = model.forward(x)
    model.backward(tape, y)
    twin = how(model)
    assert repr(twin) == repr(model)
    assert "attention: Attention(4, 4, hidden_size=4, dtype=float64)" in repr(twin)
    assert_same_bits((twin(x), dict(twin.grads)), (model(x), dict(model.grads)))
    names = [name.split(".")[0] for name in model.state_dict()]
    assert list(dict.fromkeys(names)) == ["encoder", "decoder", "attention"]
    _, tape = model.forward(x)
    if how is not copy.copy:
        with refused(RuntimeError, "tape"):
            twin.backward(tape, y)
    else:
        twin.backward(tape, y)


def test_dropout_draws_from_one_generator():
    encoder, decoder, attention = parts("dot")
    encoder.dropout = decoder[1].dropout = 0.5
    model, x = recurra.EncoderDecoder(encoder, decoder, attention), (draw(TS, B, 2), draw(TT, B, 3, seed=1))
    with refused(ValueError, "rng"):
        model.forward(x)
    y, _ = model.forward(x, rng=1)
    assert_same_bits(model.forward(x, rng=1)[0], y)
    assert not np.array_equal(model.forward(x, rng=2)[0], y)
    rng = np.random.default_rng(1)
    _, h, _ = encoder.forward(x[0], rng=rng)
    assert_same_bits(decoder.forward(x[1], [h], rng=rng)[0], y[..., :4].copy())


def test_a_refused_gradient_changes_nothing():
    model = recurra.EncoderDecoder(*parts("additive"))
    state = recurra.encoder_decoder.DecoderState
    y, tape = model.forward((draw(TS, B, 2), draw(TT, B, 3)))
    wrong = np.zeros((2, B + 1, 4))
    for dstate, name in (
        (state(None, None, [(wrong, wrong)]), "dstate"),
        (state(np.ones((1, 1, 4)), None, [None]), "dstate.memory"),
        (state(np.ones((TS, B, 4), np.float32), None, [None]), "dstate.memory"),
    ):
        with refused((ValueError, TypeError), name):
            model.backward(tape, y, dstate)
        assert all(not gradient.any() for gradient in model.grads.values())
    model.backward(tape, y)


def test_what_is_refused():
    gru, other = recurra.GRU(2, 4, seed=0), recurra.GRU(2, 4, seed=1)
    for error, name, arguments, options in (
        (TypeError, "layers", (gru, recurra.GRUCell(2, 4)), {}),
        (TypeError, "attention", (gru, other, recurra.Linear(4, 4)), {}),
        (TypeError, "hand_over", (gru, other), {"hand_over": 1}),
        (ValueError, "hand_over", (gru, other), {"hand_over": False}),
        (ValueError, "hand_over", (gru, recurra.GRU(2, 5)), {}),
        (ValueError, "hand_over", (gru, recurra.LSTM(2, 4)), {}),
        (ValueError, "hand_over", (gru, recurra.GRU(2, 4, num_layers=2)), {}),
        (ValueError, "hand_over", (gru, recurra.Sequential(recurra.GRU(2, 4), recurra.GRU(4, 4))), {}),
        (ValueError, "hand_over", (recurra.Linear(2, 2), recurra.Linear(2, 2)), {}),
        (ValueError, "decoder", (gru, recurra.GRU(2, 4, reverse=True)), {}),
        (ValueError, "decoder", (gru, recurra.GRU(2, 2, bidirectional=True)), {}),
        (ValueError, "layers", (gru, recurra.GRU(2, 4, batch_first=True)), {}),
        (ValueError, "layers", (gru, other, recurra.Attention(4, 4, batch_first=True)), {}),
        (TypeError, "layers", (gru, recurra.GRU(2, 4, dtype=np.float64)), {}),
    ):
        with refused(error, name):
            recurra.EncoderDecoder(*arguments, **options)
    model = recurra.EncoderDecoder(gru, other, recurra.Attention(4, 4, seed=2))
    source, target = draw(TS, B, 2).astype(np.float32), draw(TT, B, 2, seed=1).astype(np.float32)
    y, state = model.run((source, target))
    for error, name, call in (
        (TypeError, "x", lambda: model(source)),
        (TypeError, "x", lambda: model((source, target, source))),
        (TypeError, "x", lambda: model.run((source, target), state)),
        (TypeError, "state", lambda: model.run(target, [state])),
        (ValueError, "lengths", lambda: model.run(target, state, lengths=LENGTHS)),
        (ValueError, "lengths", lambda: model((source, target), lengths=LENGTHS + 1)),
        (ValueError, "h0", lambda: model((source, target[:, 1:]))),
    ):
        with refused(error, name):
            call()
    _, tape = model.forward((source, target))
    grads = dict(model.grads)
    for error, name, arguments, options in (
        (ValueError, "dy", (y[..., 1:],), {}),
        (ValueError, "dy", (None,), {}),
        (TypeError, "dstate", (y, [None]), {}),
        (ValueError, "grads", (y,), {"grads": {}}),
    ):
        with refused(error, name, grads):
            model.backward(tape, *arguments, **options)
    model.backward(tape, y)
    with refused(RuntimeError, "tape"):
        model.backward(tape, y)
    batches = [((source, target), y)] * 2
    with refused(TypeError, "x"):  # a batch with a source of its own doesn't go on from the last
        recurra.fit(model, batches, recurra.mse, recurra.SGD(model, 0.1), carry_state=True)
