"""Dropout between layers: what it does to numbers, when it acts, and that a seed decides all of it.

A second layer of relu units with W_ih = 1, W_hh = 0 hands on what reaches it, so its output shows the mask.
"""

from __future__ import annotations

import copy
import pickle
from itertools import pairwise

import numpy as np
import pytest

import recurra
from configs import assert_same_bits

KINDS = (recurra.RNN, recurra.LSTM, recurra.GRU)
T, B, I, H = 60, 20, 3, 50  # noqa: E741
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def transparent(num_layers=2, **options):
    """Layers of relu whose first has positive outputs and whose others hand on their input."""
    layer = recurra.RNN(I, H, num_layers=num_layers, nonlinearity="relu", seed=0, **options)
    state = {name: np.zeros_like(value) for name, value in layer.params.items()}
    state["weight_ih_l0"] = np.abs(layer.params["weight_ih_l0"])
    state["bias_ih_l0"] = np.ones_like(layer.params["bias_ih_l0"])
    for k in range(1, num_layers):
        state[f"weight_ih_l{k}"] = np.eye(H, dtype=np.float32)
    layer.load_state_dict(state)
    return layer


def masks(layer, rng, x=None):
    """What each layer's output is divided by the output of the one before."""
    x = np.random.default_rng(1).random((T, B, I), np.float32) if x is None else x
    _, _, tape = layer.forward(x, rng=rng)
    outputs = list(tape.outputs)
    assert (outputs[0] >= 1).all()
    with np.errstate(invalid="ignore"):
        return [after / before for before, after in pairwise(outputs)]


@pytest.mark.parametrize("p", [0.1, 0.5, 0.75])
def test_a_share_of_p_is_dropped_and_the_rest_scaled_up(p):
    (mask,) = masks(transparent(dropout=p), rng=0)
    dropped = mask == 0
    np.testing.assert_allclose(mask[~dropped], 1 / (1 - p), rtol=1e-6)
    n = mask.size
    assert abs(dropped.mean() - p) < 5 * np.sqrt(p * (1 - p) / n)
    for axis, count in ((0, T), (1, B), (2, H)):  # along every axis: no row, step or unit is treated alike
        others = tuple({0, 1, 2} - {axis})
        shares = dropped.mean(others)
        assert np.abs(shares - p).max() < 5 * np.sqrt(p * (1 - p) * count / n)
        assert shares.std() > 0
    for axis in range(3):  # and neighbours along it are dropped together as often as if by chance
        both = np.logical_and(np.take(dropped, range(1, dropped.shape[axis]), axis), np.delete(dropped, -1, axis))
        assert abs(both.mean() - p * p) < 6 * p / np.sqrt(n)


def test_every_layer_but_the_last_has_a_mask_of_its_own():
    layer = recurra.RNN(I, H, num_layers=3, nonlinearity="relu", dropout=0.5, seed=0)
    first, second = masks(transparent(num_layers=3, dropout=0.5), rng=0)
    kept = first != 0  # what is dropped before can't show the second mask
    assert abs((second[kept] == 0).mean() - 0.5) < 0.02
    y, _, tape = layer.forward(np.ones((T, B, I), np.float32), rng=0)
    assert_same_bits(y, tape.outputs[-1])  # no mask after the last


@pytest.mark.parametrize("bidirectional", [False, True])
@every_kind
def test_the_seed_decides(kind, bidirectional):
    layer = kind(I, 7, num_layers=3, bidirectional=bidirectional, dropout=0.5, seed=0)
    x = np.random.default_rng(1).standard_normal((9, 4, I), np.float32)

    def run(rng):
        y, state, tape = layer.forward(x, rng=rng)
        return y, state, layer.backward(tape, y, need_dx=True)

    assert_same_bits(run(0), run(0))
    assert_same_bits(run(0), run(np.int64(0)))
    assert not np.array_equal(run(0)[0], run(1)[0])
    generator, same = np.random.default_rng(5), np.random.default_rng(5)
    first, second = run(generator), run(generator)
    assert not np.array_equal(first[0], second[0])
    assert_same_bits((first, second), (run(same), run(same)))
    again = kind(I, 7, num_layers=3, bidirectional=bidirectional, dropout=0.5, batch_first=True)
    again.load_state_dict(layer.state_dict())
    y, state, _ = again.forward(np.ascontiguousarray(x.swapaxes(0, 1)), rng=0)
    assert_same_bits((np.ascontiguousarray(y.swapaxes(0, 1)), state), run(0)[:2])


@every_kind
def test_when_it_acts(kind):
    """In forward of several layers; not in plain calls, with p = 0 or one layer; and layer 0 itself is untouched."""
    layer = kind(I, 7, num_layers=2, dropout=0.5, seed=0)
    x = np.random.default_rng(1).standard_normal((9, 4, I), np.float32)
    plain = layer(x)
    y, _, tape = layer.forward(x, rng=0)
    assert not np.array_equal(y, plain[0])
    assert_same_bits(layer(x), plain)
    layer.dropout = 0.0
    *without, tape_without = layer.forward(x)
    assert_same_bits(tuple(without), plain)
    assert_same_bits(tape.outputs[0], tape_without.outputs[0])
    generator = np.random.default_rng(0)
    assert_same_bits(layer.forward(x, rng=generator)[:2], plain)
    assert generator.random() == np.random.default_rng(0).random()  # and nothing was drawn
    with pytest.warns(UserWarning, match=r"^dropout: expected num_layers above 1 .*got dropout=0.5 and num_layers=1"):
        single = kind(I, 7, dropout=0.5, seed=0)
    assert_same_bits(single.forward(x)[:2], single(x))


@every_kind
def test_where_it_does_nothing_it_warns(kind):
    """Where the layer is made, or the attribute set; not for 0, nor for copies."""
    with pytest.warns(UserWarning, match="^dropout: expected num_layers above 1") as made:
        layer = kind(I, 7, dropout=0.5)
    single = kind(I, 7, dropout=0.0)
    with pytest.warns(UserWarning, match="^dropout: expected num_layers above 1") as changed:
        single.dropout = 0.1
    assert [warning.filename for warning in (*made, *changed)] == [__file__] * 2
    single.dropout = 0.0
    pickle.loads(pickle.dumps(layer))
    copy.copy(layer)


def test_what_is_dropped_has_no_gradient():
    """With layers that hand on their input, y is mask * x, so dx is mask * dy."""
    layer = recurra.RNN(H, H, num_layers=2, nonlinearity="relu", dropout=0.5, bias=False)
    ones, zeros = np.eye(H, dtype=np.float32), np.zeros((H, H), np.float32)
    layer.load_state_dict({name: ones if "_ih_" in name else zeros for name in layer.params})
    rng = np.random.default_rng(1)
    x, dy = rng.uniform(1, 2, (2, T, B, H)).astype(np.float32)
    y, _, tape = layer.forward(x, rng=0)
    mask = np.where(y == 0, np.float32(0), np.float32(2))
    assert np.array_equal(y, mask * x)
    dx, _ = layer.backward(tape, dy)
    assert np.array_equal(dx, mask * dy)
