"""What a stream refuses, and that its states are as before."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from formula_cells import CELLS
from own_layers import Residual
from recurra import _core
from recurra.formula_layer import layer_class
from refused import of_wrong_shape, of_wrong_type, refused

F32 = np.float32


def made(batch=1, inputs=3):
    reader = recurra.LSTM(inputs, 5, seed=0, tokens=False)
    model = recurra.Sequential(reader, recurra.GRU(5, 4, seed=0), recurra.Linear(4, 2, seed=0))
    stream = recurra.Stream(model, batch)
    stream.many(np.ones((4, batch, inputs), F32))
    return stream


class Watch:
    """The states and an array that must stay as they are in the block."""

    def __init__(self, stream, error, name, *arrays):
        self.stream, self.context = stream, refused(error, name, *arrays)

    def __enter__(self):
        self.before = self.stream.state
        return self.context.__enter__()

    def __exit__(self, *error):
        done = self.context.__exit__(*error)
        assert_same_bits(self.stream.state, self.before)
        return done


@pytest.mark.parametrize("batch", [1, 3])
def test_wrong_x(batch):
    stream = made(batch)
    for block in (False, True):
        x = np.zeros((5, batch, 3) if block else (batch, 3), F32)
        call = stream.many if block else stream
        for wrong in [*of_wrong_type(x), None, 0.5, 1, np.float64(1), True, b"x"]:
            with Watch(stream, TypeError, "x"):
                call(wrong)
        for wrong in of_wrong_shape(x):
            if wrong.shape in {(5 + block, 1, 3), (6, batch, 3), (3,), (1, 3)}:
                continue  # another number of steps, or one sequence without its axis
            with Watch(stream, ValueError, "x"):
                call(wrong)
        with Watch(stream, TypeError if block else ValueError, "x"):
            call(F32(1))
        with Watch(stream, TypeError, "x"):
            call(np.ma.masked_array(x))


def test_what_would_fit_one_sequence_does_not_fit_a_batch():
    stream = made(3, inputs=1)
    for wrong in (np.zeros(3, F32), np.zeros(1, F32), F32(1), np.array(F32(1)), np.zeros((1, 1), F32)):
        with Watch(stream, ValueError, "x"):
            stream(wrong)
    with Watch(stream, ValueError, "x"):
        stream.many(np.zeros((7, 1), F32))


@pytest.mark.parametrize("batch", [1, 3])
def test_wrong_out(batch):
    stream = made(batch)
    for block in (False, True):
        x = np.zeros((5, batch, 3) if block else (batch, 3), F32)
        out = np.zeros((*x.shape[:-1], 2), F32)
        call = stream.many if block else stream
        for wrong in [*of_wrong_type(out), 0.5, F32(1)]:
            with Watch(stream, TypeError, "out"):
                call(x, out=wrong)
        for wrong in of_wrong_shape(out):
            with Watch(stream, ValueError, "out", wrong):
                call(x, out=wrong)
        out.flags.writeable = False
        with Watch(stream, ValueError, "out", out):
            call(x, out=out)
        with Watch(stream, ValueError, "out"):
            call(x, np.broadcast_to(np.zeros(2, F32), out.shape))


def test_wrong_tokens():
    model = recurra.Sequential(recurra.Embedding(5, 3, seed=0), recurra.GRU(3, 4, seed=0))
    for batch in (1, 2):
        stream = recurra.Stream(model, batch)
        stream.many(np.ones((3, batch), np.int64))
        good = np.zeros(batch, np.int64)
        for wrong in (5, -1, 2**40):
            bad = good.copy()
            bad[-1] = wrong
            for call, x in ((stream, bad), (stream.many, np.stack([good, good, bad]))):
                with Watch(stream, ValueError, "x"):
                    call(x)
            if batch == 1:
                for x in (wrong, 2**80, np.int64(-3), np.array(wrong)):
                    with Watch(stream, ValueError, "x"):
                        stream(x)
        for wrong in (np.zeros(batch, F32), np.zeros(batch, bool), 1.0, F32(1), None, "a", True, [0] * batch):
            with Watch(stream, TypeError, "x"):
                stream(wrong)
        for wrong in (np.zeros((batch, 3), np.int64), np.zeros(batch + 1, np.int64)):
            with Watch(stream, ValueError, "x"):
                stream(wrong)
    with Watch(stream, ValueError, "x"):
        stream(1)  # for two sequences


def test_integers_that_may_be_features():
    """As for the layer itself: with tokens=False, and where a layer of one feature can't tell."""
    for layer in (recurra.GRU(4, 5, seed=0, tokens=False), recurra.GRU(1, 5, seed=0)):
        stream = recurra.Stream(layer)
        for wrong in (0, np.int64(0), np.zeros(1, np.int64)):
            with Watch(stream, TypeError, "x"):
                stream(wrong)
    raw = layer_class(CELLS["rg_lru"])
    with refused(TypeError, "x"):
        recurra.Stream(raw(5, 5, seed=0))(2)


def test_a_sequence_is_for_many():
    for stream, several in ((made(), np.zeros((4, 3), F32)), (made(2), np.zeros((4, 2, 3), F32))):
        with Watch(stream, ValueError, "x") as caught:
            stream(several)
        assert str(caught.value).endswith(": many(x) takes several steps at once")
        with Watch(stream, ValueError, "x") as caught:
            stream(several[..., :2])
        assert "many" not in str(caught.value)


def test_wrong_arguments():
    stream, x = made(), np.zeros(3, F32)
    for call in (stream, stream.many):
        for arguments, named in (((), {}), ((x, None, x), {}), ((x, None), {"out": x}), ((x,), {"y": x})):
            with pytest.raises(TypeError):
                call(*arguments, **named)
    assert_same_bits(stream(x_t=x, out=None), made()(x))


@pytest.mark.parametrize("batch", [1, 2])
def test_wrong_states(batch):
    stream = made(batch)
    (h, c), g = stream.state
    for error, wrong in (
        (TypeError, h),
        (TypeError, "ab"),
        (TypeError, {0: h, 1: g}),
        (ValueError, [(h, c)]),
        (ValueError, [(h, c), g, g]),
        (TypeError, [h, g]),
        (TypeError, [(h, c, c), g]),
    ):
        with Watch(stream, error, r"state(\[.\])?"):
            stream.state = wrong
    for kind, wrongs in ((TypeError, of_wrong_type), (ValueError, of_wrong_shape)):
        for wrong in wrongs(g):
            if kind is ValueError and batch == 1 and wrong.shape == (1, 4):
                continue
            with Watch(stream, kind, "h0"):
                stream.state = [(np.ones_like(h), None), wrong]
        for wrong in wrongs(c):
            if kind is ValueError and batch == 1 and wrong.shape == (1, 5):
                continue
            with Watch(stream, kind, "c0"):
                stream.state = [(np.ones_like(h), wrong), None]
    for error, owner in ((AttributeError, "state"), (TypeError, "_states")):
        with pytest.raises(error):
            delattr(stream, owner)


def test_wrong_rows():
    stream = made(3)
    for wrong in (3, -1, 10**30, [10**30], [0, 3], np.array([0, -1]), [True], np.array([True]), np.ones((1, 3), bool)):
        with Watch(stream, ValueError, "rows"):
            stream.reset(wrong)
    with Watch(stream, ValueError, "rows"):
        stream.reset(np.array([[0], [1]]))
    for wrong in (0.0, "a", [0.0], [True, 0, 1], [[0], [1]], np.zeros(2), [None]):
        with Watch(stream, TypeError, "rows"):
            stream.reset(wrong)
    for wrong in (np.ma.array([True, True, False], mask=[True, False, False]), np.ma.array([0, 1])):
        with Watch(stream, TypeError, "rows"):
            stream.reset(wrong)
    with Watch(stream, TypeError, "rows"):
        stream.reset(np.zeros(3).view(Pretender))
    stream.reset(np.array([False, True, False]).view(Pretender))


class Pretender(np.ndarray):
    """It says of itself what isn't so."""

    dtype = property(lambda _: np.dtype(bool))
    shape = property(lambda _: (7,))


def test_what_can_not_be_a_stream():
    gru = recurra.GRU(3, 4, seed=0)
    inputs = layer_class(CELLS["leaky"])(3, 4, seed=0)
    for error, model in (
        (ValueError, recurra.GRU(3, 4, bidirectional=True)),
        (ValueError, recurra.GRU(3, 4, reverse=True)),
        (ValueError, recurra.Sequential(gru, recurra.GRU(4, 4, reverse=True))),
        (ValueError, recurra.Sequential(recurra.Linear(3, 4), recurra.Last(bidirectional=True))),
        (TypeError, recurra.Sequential(gru, recurra.LayerNorm(4))),
        (TypeError, recurra.Sequential(gru, recurra.AttentionPooling(4, seed=0))),
        (TypeError, recurra.Sequential(gru, recurra.Parallel(recurra.Linear(4, 4, seed=0), recurra.ReLU()))),
        (TypeError, recurra.Sequential(gru, Residual(recurra.Linear(4, 4, seed=0)))),
        (TypeError, type("Own", (recurra.Sequential,), {"run": lambda *_: None})(gru)),
        (TypeError, type("Own", (recurra.Linear,), {})(4, 4)),
        (ValueError, recurra.Sequential(recurra.Tanh(), recurra.Dropout())),
        (ValueError, inputs),
        (TypeError, recurra.GRUCell(3, 4)),
        (TypeError, recurra.GRU),
        (TypeError, None),
        (TypeError, [gru]),
    ):
        with refused(error, "model|layers"):
            recurra.Stream(model)
    for wrong in (0, -1):
        with refused(ValueError, "batch"):
            recurra.Stream(gru, wrong)
    for wrong in (1.0, "1", True, None):
        with refused(TypeError, "batch"):
            recurra.Stream(gru, wrong)
    with pytest.raises((MemoryError, ValueError)):
        recurra.Stream(gru, 2**60)


def test_parts_are_checked():
    """Nothing that can be handed to the core ends the process."""
    gru, linear = (layer._core.stream_part() for layer in (recurra.GRU(3, 4), recurra.Linear(4, 2)))
    double = recurra.Linear(4, 2, dtype=np.float64)._core.stream_part()
    table = recurra.Embedding(3, 4)._core.stream_part()
    for parts in ((), ("tanh",), (linear, gru), (gru, double), (gru, table), ("sine", gru), (None,), (gru, 3)):
        with pytest.raises((TypeError, ValueError)):
            _core.Stream(parts, 1, False, True, "")
    for arguments in (
        ((gru,), 0, False, True, ""),
        ((linear,), 1, False, False, ""),
        ([gru], 1, False, True, ""),
        ((gru,), 1, False, True, None),
        (),
    ):
        with pytest.raises((TypeError, ValueError)):
            _core.Stream(*arguments)
    for layer in (recurra.GRU(3, 4, bidirectional=True), recurra.GRU(3, 4, reverse=True), recurra.GRUCell(3, 4)):
        with pytest.raises(ValueError, match="expected"):
            layer._core.stream_part()
    for wrong in (int, 3, type(lambda: 0)):
        with pytest.raises(TypeError):
            _core.seal(wrong)
    with pytest.raises(TypeError):
        object.__new__(recurra.Stream)
    with pytest.raises(TypeError):
        recurra.Stream.__call__(3, np.zeros(3, F32))
    with pytest.raises(AttributeError):
        made().other = 1


def test_a_closed_stream():
    stream, x = made(), np.zeros(3, F32)
    stream.close()
    for use in (
        lambda: stream(x),
        lambda: stream.many(x[None]),
        stream.reset,
        stream.fork,
        lambda: stream.state,
        lambda: setattr(stream, "state", None),
        lambda: stream.batch,
    ):
        with refused(ValueError, "stream"):
            use()
    stream.close()
    assert stream.closed


def test_streams_stay_in_their_process():
    stream = made()
    for use in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match=r"fork\(\)"):
            use(stream)
