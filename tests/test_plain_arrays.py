"""What looks like an array and isn't a plain one: the right number, or an error that says what to write."""

from __future__ import annotations

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from refused import refused

X = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
RATES = np.random.default_rng(1).random((5, 4)).astype(np.float32)
TOKENS = np.array([1, 0, 3, 2, 1])


class Strange(np.ndarray):
    """Multiplies, compares and copies as it likes."""

    def __mul__(self, other):
        return np.zeros(3)

    __rmul__ = __sub__ = __rsub__ = __abs__ = __ge__ = __mul__

    def copy(self, *_):
        return np.zeros(1)

    def reshape(self, *_):
        return np.zeros(1)


CALLS = {
    "mse": (recurra.mse, X, RATES),
    "mse lengths": (lambda x, t: recurra.mse(x, t, lengths=np.array([5, 2, 1, 3])), X, RATES),
    "binary_cross_entropy": (recurra.binary_cross_entropy, X, RATES),
    "cross_entropy": (lambda x: recurra.cross_entropy(x, TOKENS), X),
    "cross_entropy weight": (lambda w: recurra.cross_entropy(X, TOKENS, w[0]), RATES),
    "position_weights": (lambda w: recurra.mse(X, RATES, position_weights=w), RATES),
    "softmax": (lambda x: recurra.softmax(x, 0), X),
    "sigmoid": (recurra.sigmoid, X),
    "tanh": (recurra.functional.tanh, X),
    "Tanh": (recurra.Tanh(), X),
    "ReLU": (lambda x: recurra.ReLU().forward(x)[0], X),
    "Sigmoid": (lambda x: recurra.Sigmoid().forward(x)[0], X),
    "Dropout": (lambda x: recurra.Dropout(0.5).forward(x, rng=0)[0], X),
    "Last": (recurra.Last(), X),
    "LayerNorm": (recurra.LayerNorm(4), X),
    "Attention": (lambda q, m: recurra.Attention(4, 4, "dot")(q, m)[0], X, RATES),
    "AttentionPooling": (recurra.AttentionPooling(4, seed=0), X),
}
every_call = pytest.mark.parametrize("name", CALLS)


KINDS = (np.matrix, Strange, np.memmap)
# But for the row of a matrix, which is a matrix.
PAIRS = [(name, kind) for name in CALLS for kind in KINDS if (name, kind) != ("cross_entropy weight", np.matrix)]


@pytest.mark.parametrize(("name", "kind"), PAIRS, ids=lambda value: getattr(value, "__name__", value))
def test_subclasses_count_as_the_array_they_are(name, kind):
    call, *arrays = CALLS[name]
    got, expected = call(*(array.view(kind) for array in arrays)), call(*arrays)
    if isinstance(got, tuple):
        assert got[0] == expected[0]
        got, expected = got[1], expected[1]
    assert type(got) is np.ndarray
    assert_same_bits(got, expected)


@pytest.mark.parametrize("kind", [np.matrix, Strange], ids=lambda kind: kind.__name__)
def test_subclasses_of_gradients(kind):
    for layer in (recurra.Tanh(), recurra.ReLU(), recurra.Dropout(0.0), recurra.Last()):
        y, tape = layer.forward(X)
        dy = RATES[: len(y)] if y.ndim == 2 else RATES[0]
        if dy.ndim == 1 and kind is np.matrix:
            continue
        expected = layer.backward(tape, dy, retain=True)
        assert_same_bits(layer.backward(tape, dy.view(kind)), expected)


@every_call
def test_masked_arrays_are_refused(name):
    call, *arrays = CALLS[name]
    for i in range(len(arrays)):
        given = [np.ma.masked_array(array, array > 0.5) if k == i else array for k, array in enumerate(arrays)]
        with refused(TypeError, r"\w+", form=r": expected a plain numpy.ndarray, got a masked one: "):
            call(*given)


def test_masked_targets_are_refused_with_a_cure_that_works():
    logits = np.array([[2.0, 0.0], [0.0, 2.0], [5.0, 0.0]])
    targets = np.ma.masked_array([0, 1, 1], mask=[0, 0, 1])
    with refused(TypeError, "targets", form=r": expected .*got .*position_weights=~np\.ma\.getmaskarray\(targets\)"):
        recurra.cross_entropy(logits, targets)
    value, _ = recurra.cross_entropy(logits, targets.data, position_weights=~np.ma.getmaskarray(targets))
    assert value == pytest.approx(np.log1p(np.exp(-2)))
    with refused(TypeError, "lengths"):
        recurra.Last()(np.zeros((2, 3, 4)), lengths=np.ma.masked_array([1, 2, 2]))
    with refused(TypeError, "prompt"):
        recurra.generate(recurra.RNN(3, 3, seed=0), np.ma.masked_array([1, 2]), 2)


class Frame:
    """Of a package that says itself how to make an array."""

    def to_numpy(self, dtype):
        return X.astype(dtype)


@pytest.mark.parametrize(
    ("given", "cure"),
    [
        (X.tolist(), r"np\.array\(target, np\.float32\)"),
        (Frame(), r"target\.to_numpy\(np\.float32\)"),
        (X.astype(np.float64), r"target\.astype\(np\.float32\)"),
        (X.astype(int), r"target\.astype\(np\.float32\)"),
    ],
)
def test_errors_say_what_to_write(given, cure):
    """For this very argument, and what they say is right."""
    with pytest.raises(TypeError, match=rf"^target: expected .*got .*{cure}$") as caught:
        recurra.mse(X, given)
    advice = str(caught.value).partition(": pass ")[2]
    recurra.mse(X, eval(advice, {"np": np, "target": given}))
