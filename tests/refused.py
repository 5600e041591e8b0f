"""What it means that a call is refused: the right error, in the one form all messages have, and nothing changed."""

from __future__ import annotations

import copy
from contextlib import contextmanager

import numpy as np
import pytest

from configs import assert_same_bits

EXPECTED_GOT = r": expected .*got"


@contextmanager
def refused(error, name, *watched, form=EXPECTED_GOT):
    """The block must raise `error` with a message that begins "name: expected …, got …" (`name` is a pattern).

    All arrays in `watched`, which are arrays or tuples, lists and dicts of them, must keep their bits meanwhile.
    """
    before = copy.deepcopy(watched)
    with pytest.raises(error, match=rf"(?s)^{name}{form}") as caught:
        yield caught
    assert_same_bits(watched, before)


def of_wrong_type(array):
    """Zeros of its shape as everything else that might pass for the right type; each deserves a TypeError."""
    other = np.float64 if array.dtype == np.float32 else np.float32
    kinds = [other, np.float16, np.complex64, np.int32, np.bool_, object, array.dtype.newbyteorder()]
    return [np.zeros(array.shape, kind) for kind in kinds] + [np.zeros(array.shape).tolist(), "array"]


def of_wrong_shape(array):
    """Every axis one longer, an axis more, an axis less, all in a row; each deserves a ValueError."""
    shapes = [[n + (i == k) for i, n in enumerate(array.shape)] for k in range(array.ndim)]
    shapes += [(1, *array.shape), (*array.shape, 1), array.shape[1:]] + [(array.size,)] * (array.ndim > 1)
    return [np.zeros(shape, array.dtype) for shape in shapes]


def describe(value):
    """For the id of a test."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype.str}{list(value.shape)}"
    if isinstance(value, type):
        return value.__name__
    return repr(value)[:20]
