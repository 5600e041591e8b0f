"""Kinds of bad input that once got an obscure error, or worse: one row for each place of a kind."""

from __future__ import annotations

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from recurra import _core
from refused import refused

F32 = np.float32
ZERO_AXES = np.zeros((), F32)  # has __iter__, and can't be iterated


def linear():
    return recurra.Linear(2, 3, seed=0)


def adam():
    return recurra.Adam(linear())


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("model", recurra.Adam),
        ("model", lambda value: recurra.clip_grad_norm(value, 1.0)),
        ("names", lambda value: recurra.Adam([{"params": linear(), "names": value}])),
        ("milestones", lambda value: recurra.schedules.MultiStepLR(adam(), value)),
        ("schedulers", lambda value: recurra.schedules.SequentialLR(adam(), value, [1])),
        ("batches", lambda value: fit(lambda _: value)),
    ],
)
@pytest.mark.parametrize("value", [ZERO_AXES, 1], ids=["no axes", "number"])
def test_what_has_no_members_is_no_list(name, call, value):
    with refused(TypeError, name):
        call(value)


def test_a_sequence_without_axes_is_no_list_of_sequences():
    for call in (recurra.pad, recurra.batches):
        with refused(ValueError, "sequences"):
            call(ZERO_AXES)


@pytest.mark.parametrize(
    ("error", "shape"),
    [(TypeError, 3), (TypeError, "ab"), (TypeError, (1.5, 2)), (ValueError, (3,)), (ValueError, (-1, 2))],
)
def test_sparse_rows_have_the_shape_of_a_table(error, shape):
    with refused(error, "shape"):
        recurra.SparseRows(shape)


@pytest.mark.parametrize("make", [recurra.SparseRows, lambda size, dtype: recurra.Linear(*size, dtype=dtype)])
def test_a_dtype_that_is_no_text_is_refused_by_name(make):
    with refused(TypeError, "dtype"):
        make((2, 3), dtype="\ud800")


def test_batches_are_asked_for_by_number():
    epoch = recurra.batches([np.zeros((2, 3), F32)] * 4, batch_size=2)(0)
    assert epoch[-1][0].shape == epoch[np.int64(1)][0].shape == (2, 2, 3)
    for index in (2, -3, 2**70):
        with refused(IndexError, "index"):
            epoch[index]
    for index in (1.0, "a", None, slice(2)):
        with refused(TypeError, "index"):
            epoch[index]


def fit(batches, **options):
    model = linear()
    recurra.fit(model, batches, recurra.mse, recurra.Adam(model), **options)


def test_a_reduction_may_not_change_the_shape_of_what_it_is_given():
    for size in (0, 3, 100):
        with refused(TypeError, "reduce"):
            batch = np.ones((4, 2), F32), np.ones((4, 3), F32)
            fit([batch], reduce=lambda array, size=size: array.resize(size, refcheck=False))


@pytest.mark.parametrize("row", [-2, 3, 4, 2**31, 2**62])
@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_the_row_that_stays_is_one_of_the_table(kind, row):
    layer = linear()
    before = layer.state_dict()

    def zeros():
        return {name: np.zeros_like(value) for name, value in before.items()}

    def step():
        if kind == "sgd":
            _core.sgd([(layer._parameters, zeros(), zeros(), row, 0)], [0], [(0.1, 0.9, 0.0, False)])
        else:
            moments = zeros(), zeros()
            _core.adam([(layer._parameters, zeros(), *moments, row, 0)], [0], [(0.1, 0.9, 0.9, 1e-8, 0.0)], False)

    with pytest.raises(RuntimeError, match=r"^layers: expected a row"):
        step()
    assert_same_bits(layer.state_dict(), before)
    scalar = _core.lent32({"a": ZERO_AXES.copy()})
    with pytest.raises(RuntimeError, match=r"^layers: expected a row"):
        _core.sgd([(scalar, {"a": ZERO_AXES.copy()}, None, 0, 0)], [0], [(0.1, 0.0, 0.0, False)])
