"""What the other tests draw and compare with: draws reach all they should, comparisons refuse all they should."""

from __future__ import annotations

import math

import numpy as np
import pytest

from configs import CELLS, assert_same_bits, draw_config, make_data, max_error


def test_draws():
    """What the other tests draw stays within its bounds and reaches all of it."""
    rng = np.random.default_rng(0)
    drawn = [draw_config(rng) for _ in range(600)]
    for field, least, most in [("input_size", 1, 70), ("hidden_size", 1, 130), ("T", 0, 40), ("B", 0, 33)]:
        values = [getattr(config, field) for config in drawn]
        assert min(values) == least, field
        assert max(values) == most, field
    choices = ("cell", "num_layers", "bidirectional", "bias", "dtype", "batch_first", "lengths", "state")
    assert {config.cell for config in drawn} == set(CELLS)
    assert {config.num_layers for config in drawn} == {1, 2, 3}
    for field in choices[2:]:
        assert len({getattr(config, field) for config in drawn}) == 2, field
    sizes = [config.hidden_size for config in drawn]
    assert sum(size in (3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129) for size in sizes) > 150
    assert all(draw_config(rng, cell="gru", T=7, lengths=True).T == 7 for _ in range(10))


def test_draw_is_repeatable_and_padded_with_nan():
    config = draw_config(np.random.default_rng(5), lengths=True, state=True, T=6, B=9, cell="lstm", num_layers=2)
    data, again = (make_data(config, np.random.default_rng(6)) for _ in range(2))
    assert_same_bits(vars(data), vars(again))
    padding = np.arange(6)[:, None] >= data.lengths
    assert padding.any()
    for array in (data.x, data.dy, *data.doutputs.values(), *data.dstates["c"].values()):
        assert np.array_equal(np.isnan(array), np.broadcast_to(padding[:, :, None], array.shape))
    bound = 1 / math.sqrt(config.hidden_size)
    assert all(0.9 * bound < np.abs(p).max() <= bound * (1 + 1e-7) for p in data.params.values() if p.size > 100)


def test_same_bits_tells_bits():
    nan, other = np.array([0x7FC00000, 0x7FC00001], np.uint32).view(np.float32)
    assert_same_bits({"a": (np.array([nan, 0.0]), None)}, {"a": (np.array([nan, 0.0]), None)})
    one = np.ones((2, 3), np.float32)
    assert_same_bits(one, np.asfortranarray(one))
    differing = [
        (np.array([0.0]), np.array([-0.0])),
        (np.array([nan]), np.array([other])),
        (one, np.nextafter(one, 2)),
        (one, one.astype(np.float64)),
        (one, one[:1]),
        (one, None),
        ([one], [one, one]),
        ({"a": one}, {"b": one}),
    ]
    for a, b in differing:
        with pytest.raises(AssertionError):
            assert_same_bits(a, b)


def test_max_error_refuses_nan_and_broadcasting():
    one, nan = np.ones((2, 3)), np.array([[1, 1, np.nan]] * 2)
    assert max_error(one, 4 * one) == 0.75
    assert max_error(0.5 * one, 0.25 * one) == 0.25  # absolute, where the reference is small
    assert max_error(one[:0], one[:0]) == 0
    assert not max_error(nan, one) <= 1
    assert not max_error(one, nan) <= 1
    with pytest.raises(AssertionError):
        max_error(one, one[:1])
