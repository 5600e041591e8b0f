"""generate: greedy, sampled and top-k text against the same computed the slow way; frequencies; errors."""

from __future__ import annotations

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from recurra.generate import _without_embedding
from refused import refused

C = 7


def make_model(cell=recurra.GRU, dtype=np.float32, seed=0, **options):
    """A model with opinions: weights three times as large as they are at first."""
    model = recurra.Sequential(
        recurra.Embedding(C, 4, dtype=dtype, seed=seed),
        cell(4, 16, dtype=dtype, seed=seed + 1, **options),
        recurra.Linear(16, C, dtype=dtype, seed=seed + 2),
    )
    model.load_state_dict({name: value * 3 for name, value in model.state_dict().items()})
    return model


def constant(logits):
    """A model whose logits are these, whatever it reads."""
    linear = recurra.Linear(1, len(logits), dtype=np.float64)
    linear.load_state_dict({"weight": np.zeros((len(logits), 1)), "bias": np.array(logits, np.float64)})
    return recurra.Sequential(recurra.Embedding(len(logits), 1, dtype=np.float64, seed=0), linear)


def slowly(model, prompt, length, u, temperature=1.0, top_k=None):
    """Runs the whole text anew for every token, and samples by the definition."""
    text = list(prompt)
    for draw in u[:length]:
        logits = model(np.array(text))[-1].astype(np.float64)
        order = np.argsort(-logits, kind="stable")
        if temperature == 0:
            text.append(int(order[0]))
            continue
        allowed = order[:top_k] if top_k and top_k < C else np.arange(C)
        p = np.zeros(C)
        p[allowed] = np.exp((logits[allowed] - logits.max()) / temperature)
        p /= p.sum()
        reached = 0.0
        for token in allowed:
            reached += p[token]
            if reached > draw:
                break
        text.append(int(token))
    return text[len(prompt) :]


@pytest.mark.parametrize(
    "options",
    [{}, {"temperature": 0.4}, {"temperature": 3}, {"top_k": 3}, {"top_k": 2, "temperature": 2}, {"top_k": 99}],
    ids=str,
)
@pytest.mark.parametrize("cell", [recurra.RNN, recurra.LSTM, recurra.GRU])
def test_is_the_whole_text_read_anew(cell, options):
    """Streaming with the state carried changes nothing; one draw a token."""
    model, prompt = make_model(cell), [3, 1, 4]
    u = np.random.default_rng(5).random(60)
    expected = slowly(model, prompt, 60, u, **options)
    text = recurra.generate(model, prompt, 60, seed=5, **options)
    assert text.dtype == np.int64
    assert text.tolist() == expected
    assert len(set(expected)) > 2


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("cell", "options"),
    [
        (recurra.RNN, {"nonlinearity": "relu"}),
        (recurra.LSTM, {"num_layers": 2}),
        (recurra.GRU, {"num_layers": 2}),
        (recurra.GRU, {"reset_after": False}),
    ],
)
def test_the_embedding_multiplied_in_gives_the_same_bits(cell, options, dtype, bias):
    model = make_model(cell, dtype, bias=bias, **options)
    assert _without_embedding(model, C - 1) is model
    folded = _without_embedding(model, C)
    assert len(folded.leaves()) == 2
    tokens = np.random.default_rng(2).integers(0, C, (9, 5))
    y, states = model.run(tokens)
    same, same_states = folded.run(tokens)
    assert_same_bits(same, y)
    for state, same_state in zip(states, same_states, strict=True):
        assert_same_bits(np.array(same_state), np.array(state))


def test_a_subclass_stays_what_it_is():
    class Negated(recurra.Sequential):
        def run(self, *arguments):
            y, states = super().run(*arguments)
            return -y, states

    class Sized(recurra.GRU):
        def __init__(self, size):
            super().__init__(size, size, seed=0)

    for model in (
        Negated(recurra.Embedding(C, 4, seed=0), recurra.GRU(4, 8, seed=1), recurra.Linear(8, C, seed=2)),
        recurra.Sequential(recurra.Embedding(C, 8, seed=0), Sized(8), recurra.Linear(8, C, seed=2)),
    ):
        expected = slowly(lambda text, model=model: model.run(text)[0], [1, 2], 20, np.zeros(20), temperature=0)
        assert recurra.generate(model, [1, 2], 20, temperature=0).tolist() == expected


@pytest.mark.parametrize("options", [{"temperature": 0}, {"top_k": 1}, {"temperature": 1e-300}], ids=str)
def test_greedy(options):
    model = make_model(recurra.LSTM)
    expected = slowly(model, [0], 40, np.zeros(40), temperature=0)
    assert recurra.generate(model, [0], 40, seed=1, **options).tolist() == expected


@pytest.mark.parametrize("batch_first", [False, True])
def test_options_of_the_layers_do_not_matter(batch_first):
    """Two layers, batch_first, dropout (which is off), float64; a model in a model; a bare layer over tokens."""
    inner = make_model(num_layers=2, dropout=0.9, batch_first=batch_first)
    plain = make_model(num_layers=2)
    expected = recurra.generate(plain, [1, 2], 30, seed=3)
    assert_same_bits(recurra.generate(inner, [1, 2], 30, seed=3), expected)
    nested = recurra.Sequential(recurra.Sequential(*inner), recurra.Dropout(0.5))
    assert_same_bits(recurra.generate(nested, np.array([1, 2], np.uint8), 30, seed=3), expected)
    assert len(recurra.generate(make_model(dtype=np.float64), [1], 5)) == 5
    bare = recurra.generate(recurra.GRU(C, C, batch_first=batch_first, seed=0), [1], 20, seed=0)
    assert set(bare.tolist()) <= set(range(C))


def test_seeds():
    """The same seed, the same text; a generator goes on; None is another text every time."""
    model = make_model()

    def text(seed):
        return recurra.generate(model, [1], 50, seed=seed).tolist()

    assert text(1) == text(1) == text(np.random.default_rng(1))
    assert len({tuple(text(seed)) for seed in (1, 2, None, None)}) == 4
    rng = np.random.default_rng(1)
    assert text(rng) != text(rng)


def test_frequencies():
    """Tokens come as often as softmax says, within 5 standard deviations; those at -inf never."""
    logits = np.array([1.0, -np.inf, 0.0, 2.0, -1.0])
    for temperature in (0.5, 1.0, 2.0):
        p = recurra.softmax(logits / temperature)
        text = recurra.generate(constant(logits), [0], 20_000, temperature=temperature, seed=0)
        share = np.bincount(text, minlength=5) / 20_000
        assert (np.abs(share - p) <= 5 * np.sqrt(p * (1 - p) / 20_000)).all()
    text = recurra.generate(constant(logits), [0], 2000, top_k=2, seed=0)
    assert set(text.tolist()) == {0, 3}
    equal = constant([1.0, 1.0, 1.0])
    assert set(recurra.generate(equal, [0], 200, top_k=2, seed=0).tolist()) == {0, 1}
    assert set(recurra.generate(equal, [0], 20, temperature=0).tolist()) == {0}


class Largest(np.random.Generator):
    """Draws the largest number below 1 only, or 0."""

    def __init__(self, value):
        super().__init__(np.random.PCG64(0))
        self.value = value

    def random(self, size):
        return np.full(size, self.value)


@pytest.mark.parametrize("classes", [2, 3, 7, 100])
def test_the_ends_of_the_draws(classes):
    """0 and 1 - 2⁻⁵³ never choose a token of probability 0, nor one beyond the last."""
    logits = np.random.default_rng(classes).standard_normal(classes)
    logits[[0, -1]] = -np.inf
    logits[classes // 2] = 3
    model, possible = constant(logits), np.flatnonzero(np.isfinite(logits))
    for value, token in ((0.0, possible[0]), (1 - 2**-53, possible[-1])):
        for options in ({}, {"temperature": 5.0}, {"top_k": classes}):
            assert recurra.generate(model, [0], 3, seed=Largest(value), **options).tolist() == [token] * 3


def test_stop():
    """The text ends with it, and is as without it until then."""
    model = make_model()
    whole = recurra.generate(model, [1], 200, seed=4)
    for stop in (0, np.int64(5)):
        first = int(np.flatnonzero(whole == stop)[0])
        assert_same_bits(recurra.generate(model, [1], 200, seed=4, stop=stop), whole[: first + 1])
    assert_same_bits(recurra.generate(model, [1], 200, seed=4, stop=99), whole)


def test_huge_logits():
    """±1e4 overflow nowhere."""
    for logits, token in (([1e4, -1e4, 0], 0), ([-1e4, -1e4, 1e4], 2)):
        for temperature in (1e-3, 1.0, 100.0):
            text = recurra.generate(constant(logits), [0], 5, temperature=temperature, seed=0)
            assert text.tolist() == [token] * 5


def test_a_model_that_learned_a_sentence_recites_it():
    sentence = np.array([0, 1, 2, 3, 1, 4, 5, 1, 6])
    model = make_model(recurra.LSTM)
    recurra.fit(
        model,
        [(sentence[:-1, None], sentence[1:, None])],
        recurra.cross_entropy,
        recurra.Adam(model, lr=0.02),
        epochs=150,
    )
    text = recurra.generate(model, [0], 50, temperature=0, stop=6)
    assert text.tolist() == sentence[1:].tolist()


def test_errors():
    model = make_model()

    def refuses(error, name, prompt=(1, 2), length=3, model=model, **options):
        with refused(error, name):
            recurra.generate(model, prompt, length, **options)

    for wrong in (None, 3, "model", lambda x: x):
        refuses(TypeError, "model", model=wrong)
    refuses(ValueError, "model", model=recurra.Sequential(recurra.GRU(C, C, bidirectional=True)))
    refuses(ValueError, "model", model=recurra.Sequential(recurra.GRU(C, C), recurra.Last()))
    for wrong in ([], [[1, 2]], 1, "text"):
        refuses(ValueError, "prompt", wrong)
    for wrong in ([1.0], ["a"], [True], np.array([1.5])):
        refuses(TypeError, "prompt", wrong)
    for wrong in ([C], [-1]):
        refuses(ValueError, "x", wrong)
    for name in ("length", "top_k"):
        for wrong in (1.0, "1", True):
            refuses(TypeError, name, **{name: wrong})
        for wrong in (0, -1):
            refuses(ValueError, name, **{name: wrong})
    for wrong in ("1", None, True):
        refuses(TypeError, "temperature", temperature=wrong)
    for wrong in (-1, np.nan, np.inf):
        refuses(ValueError, "temperature", temperature=wrong)
    for wrong in (1.0, "1", True, [1]):
        refuses(TypeError, "stop", stop=wrong)
    refuses(TypeError, "seed", seed="1")
    refuses(ValueError, "seed", seed=-1)


def test_errors_of_prompts():
    for wrong, form in (([], "at least one token, got none"), ([[1, 2]], r"one sequence of tokens \(T,\), .*\(1, 2\)")):
        with refused(ValueError, "prompt", form=f": expected {form}"):
            recurra.generate(make_model(), wrong, 3)


def test_a_bidirectional_layer_anywhere_is_refused():
    class Own(recurra.Sequential):
        pass

    inner = recurra.GRU(C, C, bidirectional=True, seed=0)
    for model in (inner, Own(inner), recurra.Sequential(recurra.Embedding(C, C), Own(inner), recurra.Linear(2 * C, C))):
        with refused(ValueError, "model"):
            recurra.generate(model, [1], 3)


@pytest.mark.parametrize("options", [{}, {"top_k": 2}, {"temperature": 0}], ids=str)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_no_numbers(bad, options):
    """A model that has diverged says so, instead of the last token for ever."""
    with refused(ValueError, "logits"):
        recurra.generate(constant([0.0, bad, 1.0]), [0], 3, seed=0, **options)
    with refused(ValueError, "logits"):
        recurra.generate(constant([-np.inf] * 3), [0], 3, seed=0, **options)
