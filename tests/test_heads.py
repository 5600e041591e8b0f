"""Cells whose weights are block-diagonal, one block for each head, where the last panel is narrower than the others."""

from __future__ import annotations

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from recurra.formula import tanh


@recurra.formula(gates="g", heads=2)
def Headed(a):
    """One column, so that a panel takes four vectors of units."""
    return tanh(a.g)


@pytest.mark.parametrize("weights", ["float32", "int8", "bfloat16", "float16"])
@pytest.mark.parametrize("hidden", [4, 20, 40, 80, 96, 144, 160, 288])
def test_a_row_by_itself_has_the_bits_it_has_in_a_batch(hidden, weights):
    layer = Headed(5, hidden, seed=0)
    model = layer if weights == "float32" else recurra.compress(layer, weights)
    x = np.random.default_rng(hidden).standard_normal((3, 2, 5), np.float32)
    y, h = model(x)
    alone = [model(x[:, b : b + 1]) for b in range(2)]
    assert_same_bits(y, np.concatenate([one[0] for one in alone], axis=1))
    assert_same_bits(h, np.concatenate([one[1] for one in alone], axis=1))


@pytest.mark.parametrize("hidden", [20, 80, 96, 160])
def test_heads_are_a_dense_layer_with_zeros(hidden):
    @recurra.formula(gates="g")
    def Dense(a):
        return tanh(a.g)

    layer, dense = Headed(5, hidden, seed=1), Dense(5, hidden, seed=1)
    state = layer.state_dict()
    half = hidden // 2
    full = np.zeros((hidden, hidden), np.float32)
    full[:half, :half], full[half:, half:] = np.split(state["weight_hh_l0"], 2)
    dense.load_state_dict(state | {"weight_hh_l0": full})
    x = np.random.default_rng(hidden).standard_normal((4, 1, 5), np.float32)
    assert_same_bits(layer(x)[0], dense(x)[0])
