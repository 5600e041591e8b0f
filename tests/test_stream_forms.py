"""What a stream may be given: arrays with and without a batch, numbers, tokens, any strides, `out`."""

from __future__ import annotations

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from test_stream import in_blocks, sound, stepped


def test_forms_of_one_sequence():
    """With and without the axis of the batch; a number where there is one feature; y has the axes that x has."""
    model = recurra.Sequential(recurra.GRU(1, 8, seed=0), recurra.Linear(8, 2, seed=0))
    x = sound(60, 1, 1)
    y = model(x)
    forms = {
        (1, 1): lambda x_t: x_t,
        (1,): lambda x_t: x_t[0],
        (): lambda x_t: x_t[0, 0],
        "0-d": lambda x_t: np.array(x_t[0, 0]),
    }
    for form in forms.values():
        stream = recurra.Stream(model)
        for x_t, y_t in zip(x, y, strict=True):
            assert_same_bits(stream(form(x_t)), y_t if form(x_t).ndim == 2 else y_t[0])
    for block, expected in ((x, y), (x[:, 0], y[:, 0]), (x[:, 0, 0], y[:, 0])):
        assert_same_bits(recurra.Stream(model).many(block), expected)
    double = recurra.Stream(recurra.Linear(1, 1, dtype=np.float64, seed=0))
    assert_same_bits(double(0.5), double(np.array([0.5])))
    assert_same_bits(double(np.float64(0.5)), double(np.array([0.5])))


def strided(shape, dtype=np.float32):
    """Views of that shape that aren't contiguous, in several ways."""
    big = np.zeros([2 * n + 1 for n in shape], dtype)
    yield big[tuple(slice(1, None, 2) for _ in shape)]
    yield big[tuple(slice(n, None if n == 0 else 0, -1) for n in shape)]
    yield np.zeros(shape[::-1], dtype).T
    raw = np.zeros(int(np.prod(shape)) * np.dtype(dtype).itemsize + 1, np.uint8)
    yield np.ndarray(shape, dtype, raw.data, 1)  # not aligned


@pytest.mark.parametrize("first", ["recurrent", "linear"])
def test_views_and_out(first):
    """Any strides of x and of out; out may be x."""
    middle = recurra.GRU(5, 5, seed=0)
    model = recurra.Sequential(*((middle,) if first == "recurrent" else (recurra.Linear(5, 5, seed=0), middle)))
    x = sound(36, 3, 5)
    y = model(x)
    for x_like, out in zip(strided((3, 5)), strided((3, 5)), strict=True):
        stream = recurra.Stream(model, 3)
        for x_t, y_t in zip(x, y, strict=True):
            x_like[...] = x_t
            assert stream(x_like, out=out) is out
            assert_same_bits(np.array(out), y_t)
    for x_like, out in zip(strided(x.shape), strided(y.shape), strict=True):
        x_like[...] = x
        stream = recurra.Stream(model, 3)
        assert stream.many(x_like, out=out) is out
        assert_same_bits(np.array(out), y)
        stream.reset()
        assert_same_bits(np.array(stream.many(x_like, x_like)), y)
    stream = recurra.Stream(model, 3)
    for x_t, y_t in zip(x.copy(), y, strict=True):
        assert_same_bits(stream(x_t, x_t), y_t)
    wide = recurra.Linear(150, 150, seed=0)  # whose last products read x when y has been begun
    x_t = sound(1, 150)
    expected = wide(x_t)
    assert_same_bits(recurra.Stream(wide)(x_t, x_t), expected)
    both = np.zeros((37, 3, 5), np.float32)  # out begins a step behind x
    both[:-1] = x
    stream.reset()
    assert_same_bits(stream.many(both[:-1], both[1:]), y)


def test_subclasses_of_arrays_are_arrays():
    class Own(np.ndarray):
        pass

    stream, x = recurra.Stream(recurra.Linear(3, 2, seed=0)), sound(1, 3)
    assert_same_bits(stream(x.view(Own)), stream(x))
    out = np.zeros((1, 2), np.float32).view(Own)
    assert stream(x, out) is out
    assert_same_bits(np.asarray(out), stream(x))


@pytest.mark.parametrize("tokens", [None, True])
@pytest.mark.parametrize("embedded", [True, False])
def test_tokens(embedded, tokens):
    reader = recurra.GRU(4 if embedded else 9, 12, seed=1, tokens=tokens)
    members = [recurra.Embedding(9, 4, seed=0)] if embedded else []
    model = recurra.Sequential(*members, reader, recurra.Linear(12, 3, seed=2))
    for batch in (1, 4):
        text = np.random.default_rng(batch).integers(0, 9, (40, batch))
        y = model(text)
        for dtype in (np.int64, np.uint8, ">i4"):
            stream = recurra.Stream(model, batch)
            assert_same_bits(stepped(stream, text.astype(dtype)), y)
            stream.reset()
            assert_same_bits(in_blocks(stream, text.astype(dtype), [1, 35]), y)
            assert_same_bits(stream.many(text[:0]), y[:0])
        wide = np.zeros((batch, 3), np.int64)
        stream.reset()
        for row, y_t in zip(text, y, strict=True):
            wide[:, 1] = row
            assert_same_bits(stream(wide[:, 1]), y_t)
        if batch == 1:
            for kind in (int, np.int64, np.uint16, np.array):
                stream.reset()
                for token, y_t in zip(text[:, 0].tolist(), y, strict=True):
                    assert_same_bits(stream(kind(token)), y_t[0])
            stream.reset()
            assert_same_bits(stream.many(text[:, 0]), y[:, 0])
    if not embedded:  # features too
        x = sound(20, 2, 9)
        assert_same_bits(stepped(recurra.Stream(model, 2), x), model(x))
