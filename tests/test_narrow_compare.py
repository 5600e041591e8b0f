"""`recurra.compare`: the differences are those of the layers' own outputs, layer by layer."""

from __future__ import annotations

import numpy as np
import pytest

import recurra
from narrow_models import floats
from recurra.formula import tanh
from refused import refused

TOKENS = np.random.default_rng(0).integers(0, 20, (7, 3))
LENGTHS = np.array([7, 0, 4])


def rms(values):
    return np.sqrt(np.mean(values.astype(np.float64) ** 2))


def expected(a, b):
    return (float(np.abs(b - a).max()), rms(b.astype(np.float64) - a), rms(a))


def test_of_a_sequential():
    model = recurra.Sequential(
        recurra.Embedding(20, 6, seed=0),
        recurra.LSTM(6, 9, seed=1),
        recurra.Tanh(),
        recurra.Last(),
        recurra.Linear(9, 4, seed=2),
    )
    narrow = recurra.compress(model)
    result = recurra.compare(model, narrow, TOKENS)
    names = [(row.layer, row.of) for row in result.rows]
    assert names == [
        ("0 Embedding", "y"), ("1 LSTM", "y"), ("1 LSTM", "c_n"), ("2 Tanh", "y"), ("3 Last", "y"), ("4 Linear", "y"),
    ]  # fmt: skip
    for k, row in ((0, 0), (1, 1), (2, 3), (3, 4), (4, 5)):
        ours, theirs = model[: k + 1](TOKENS), narrow[: k + 1](TOKENS)
        np.testing.assert_allclose(result.rows[row][2:], expected(ours, theirs), rtol=1e-12)
        assert result.rows[row].largest > 0
    cells = [one[:2].run(TOKENS)[1][0][1] for one in (model, narrow)]
    np.testing.assert_allclose(result.rows[2][2:], expected(*cells), rtol=1e-12)
    assert result.nbytes == (narrow.nbytes_before, narrow.nbytes)
    lines = str(result).splitlines()
    assert len(lines) == 8
    assert lines[0].split() == ["layer", "of", "largest", "RMS", "RMS", "of", "itself"]
    assert lines[2].split() == ["1", "LSTM", "y", *(f"{number:.2g}" for number in result.rows[1][2:])]
    assert lines[-1] == f"{narrow.nbytes_before:,} -> {narrow.nbytes:,} bytes"
    assert not any(any(row[2:4]) for row in recurra.compare(model, model, TOKENS).rows)


@pytest.mark.parametrize("batch_first", [False, True])
def test_stacks_states_and_lengths(batch_first):
    """Layer by layer within a stack, without what is beyond the ends; the last one is the whole."""
    options = {"num_layers": 3, "bidirectional": True, "batch_first": batch_first, "learned_state": True}
    model = recurra.GRU(5, 8, seed=0, **options)
    model.load_state_dict(model.state_dict() | {"h0": floats(6, 8)})
    narrow = recurra.compress(model)
    x = floats(3, 7, 5) if batch_first else floats(7, 3, 5)
    for hx in (None, floats(6, 3, 8)):
        result = recurra.compare(model, narrow, x, hx, lengths=LENGTHS)
        assert [row.layer for row in result.rows] == ["GRU, layer 0", "GRU, layer 1", "GRU, layer 2"]
        ys = [layer(x, hx, lengths=LENGTHS)[0] for layer in (model, narrow)]
        steps = np.arange(7)
        real = steps < LENGTHS[:, None] if batch_first else steps[:, None] < LENGTHS
        np.testing.assert_allclose(result.rows[-1][2:], expected(*(y[real] for y in ys)), rtol=1e-12)
        assert all(row.rms < row.largest < 0.05 < row.size for row in result.rows)


def test_formulas_with_inputs_and_resets():
    @recurra.formula(gates="g", states="h z", inputs="noise", scalars={"rate": 0.5})
    def Noisy(a, s, u, x):
        z = tanh(a.g + x.noise)
        return s.h + u.rate * (z - s.h), z

    model = Noisy(5, 6, num_layers=2, seed=0)
    narrow = recurra.compress(model, "bfloat16")
    x, resets = floats(7, 3, 5), np.random.default_rng(0).random((7, 3)) < 0.3
    for noise in (floats(7, 3, 6), floats(2, 7, 3, 6)):
        options = {"inputs": {"noise": noise}, "resets": resets}
        result = recurra.compare(model, narrow, x, **options)
        assert [row.of for row in result.rows] == ["y", "z_n"] * 2
        ys = [layer(x, **options)[0] for layer in (model, narrow)]
        np.testing.assert_allclose(result.rows[2][2:], expected(*ys), rtol=1e-12)


def test_other_models():
    gru = recurra.GRU(4, 4, seed=0)
    for model in (recurra.Residual(gru), recurra.Parallel(gru, recurra.Linear(4, 2, seed=1), join="tuple")):
        rows = recurra.compare(model, recurra.compress(model), floats(5, 2, 4)).rows
        assert {row.layer for row in rows} == {type(model).__name__}
        assert all(row.largest > 0 for row in rows)
    model = recurra.Sequential(recurra.Residual(gru), recurra.Tanh())
    narrow, state = recurra.compress(model), [[floats(1, 2, 4)]]
    rows = recurra.compare(model, narrow, floats(5, 2, 4), state).rows
    assert [row.of for row in rows] == ["y", "state[0][0]", "y"]
    ys = [one.run(floats(5, 2, 4), state)[0] for one in (model, narrow)]
    np.testing.assert_allclose(rows[2][2:], expected(*ys), rtol=1e-12)
    source = recurra.EncoderDecoder(recurra.GRU(4, 5, seed=0), recurra.GRU(4, 5, seed=1))
    rows = recurra.compare(source, recurra.compress(source), (floats(5, 2, 4), floats(3, 2, 4))).rows
    assert rows[0].of == "y"


def test_what_is_refused():
    model = recurra.Sequential(recurra.GRU(3, 4, seed=0), recurra.Linear(4, 2, seed=1))
    narrow = recurra.compress(model)
    x = floats(5, 2, 3)
    with refused(ValueError, "narrow", form=": expected the model's layers, GRU, Linear, got GRU"):
        recurra.compare(model, narrow[:1], x)
    with refused(ValueError, "narrow"):
        recurra.compare(
            model, recurra.compress(recurra.Sequential(recurra.GRU(3, 4, seed=0), recurra.Linear(4, 3, seed=1))), x
        )
    for wrong in (None, 3, "model"):
        with refused(TypeError, "model, narrow"):
            recurra.compare(wrong, narrow, x)
    with refused(ValueError, "x"):
        recurra.compare(model, narrow, floats(5, 2, 4))
    with refused(ValueError, "lengths"):
        recurra.compare(model, narrow, x, lengths=np.array([1, 6]))
    with refused(TypeError, "state"):
        recurra.compare(model, narrow, x, floats(1, 2, 4))
    with refused(TypeError, "x"):
        recurra.compare(model[0], narrow[0], [1, 2])
    assert np.isnan(recurra.compare(model, narrow, x * np.nan).rows[0].largest)
    assert recurra.compare(model[0], narrow[0], x[:0]).rows[0][2:] == (0, 0, 0)
