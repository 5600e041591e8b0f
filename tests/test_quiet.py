"""Under numpy.seterr(all="raise") nothing of ours raises for what is no error: what underflows is 0."""

from __future__ import annotations

import numpy as np
import pytest

import recurra
from configs import CELLS, Config, assert_same_bits, make_data

TINY, HUGE = {"float32": (1e-38, 3e38), "float64": (1e-308, 1e308)}, 1e4


@np.errstate(all="ignore")
def arrays(dtype):
    """Of numbers whose products and exponentials leave the range on either side."""
    rng = np.random.default_rng(0)
    tiny, huge = TINY[np.dtype(dtype).name]
    sizes = np.array([tiny, 1e-20, 1, HUGE, huge / 4])
    x = (rng.standard_normal((5, 4, 3)).clip(-1, 1) * sizes[:, None, None]).astype(dtype)
    return x, rng.random((5, 4, 3)).astype(dtype), rng.integers(0, 3, (5, 4))


@np.errstate(all="ignore")
def network(cell, dtype):
    """Inputs that saturate a cell, and gradients that fade."""
    config = Config(cell, 3, 4, 2, True, True, dtype, False, True, True, 6, 3)
    data, fading = make_data(config, np.random.default_rng(0)), dtype(1e-30)
    states = (data.h0 * fading, data.c0) if config.has_cell_state else (data.h0 * fading,)
    return (
        (np.nan_to_num(data.x) * HUGE).astype(dtype),
        data.params,
        states,
        data.lengths,
        np.nan_to_num(data.dy) * fading,
    )


def losses(dtype):
    x, t, classes = arrays(dtype)
    lengths, weights = np.array([5, 3, 0, 1]), np.full((5, 4), 1e-320)
    for options in (
        {},
        {"lengths": lengths},
        {"position_weights": weights},
        {"lengths": lengths, "batch_first": False},
    ):
        yield recurra.mse(x, t, **options)[1]
        yield recurra.binary_cross_entropy(x, t, **options)[1]
        yield recurra.cross_entropy(x, classes, **options)[1]
    yield recurra.cross_entropy(x, classes, np.array([1e-300, 1, 1e-10]))[1]
    yield recurra.softmax(x)
    yield recurra.sigmoid(x)


def feedforward(dtype):
    x = arrays(dtype)[0]
    faint = np.full_like(x, 1e-37)
    norm, pooling = recurra.LayerNorm(3, dtype=dtype), recurra.AttentionPooling(3, dtype=dtype, seed=0)
    stateless = recurra.Tanh(), recurra.Sigmoid(), recurra.ReLU(), recurra.Dropout(0.5), recurra.Last()
    for layer in (*stateless, norm, pooling, recurra.Residual(recurra.Tanh())):
        y, tape = layer.forward(x, **({"rng": 0} if isinstance(layer, recurra.Dropout) else {}))
        yield y
        yield layer.backward(tape, faint[: len(y)] if y.ndim == 3 else faint[0])


def training(dtype):
    model = recurra.Sequential(
        recurra.Embedding(3, 4, seed=0, dtype=dtype),
        recurra.LSTM(4, 4, seed=1, dtype=dtype),
        recurra.Linear(4, 3, dtype=dtype, seed=2),
    )
    tokens = arrays(dtype)[2]
    optimizer = recurra.Adam(model, lr=1e-30, weight_decay=1e-30)
    history = recurra.fit(model, [(tokens, tokens)], recurra.cross_entropy, optimizer, epochs=2, clip_norm=1e-35)
    yield np.array(history.losses)
    yield from model.state_dict().values()
    yield recurra.generate(model, [0, 1], 8, temperature=1e-3, seed=0)
    yield recurra.generate(model, [0, 1], 8, temperature=1e300, top_k=2, seed=0)


def reference(dtype):
    for cell in CELLS:
        x, params, states, lengths, dy = network(cell, dtype)
        y, state, tape = recurra.reference.forward(
            cell, x, params, states if len(states) > 1 else states[0], num_layers=2, bidirectional=True, lengths=lengths
        )
        yield y
        yield state[0] if isinstance(state, tuple) else state
        yield recurra.reference.backward(tape, dy)[0]
    yield recurra.reference.sigmoid(arrays(dtype)[0])
    yield recurra.reference.relu(arrays(dtype)[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("calls", [losses, feedforward, training, reference], ids=lambda calls: calls.__name__)
def test_nothing_raises(calls, dtype):
    with np.errstate(all="ignore"):
        expected = list(calls(dtype))
    assert expected
    with np.errstate(all="raise"):
        got = [result.copy() for result in calls(dtype)]
        before = np.geterr()
    assert_same_bits(got, expected)
    assert before == dict.fromkeys(before, "raise")  # and the caller's setting is as it was
