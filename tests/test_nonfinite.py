"""NaN and infinity stay in their own sequence, and start no earlier than at their own step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import calls
from configs import CELLS, Config, assert_same_bits, has_cell_state, make_data, make_layer
from recurra.definitions import FORMULAS

SMALL = Config("lstm", 3, 17, 2, True, True, np.float32, False, False, True, T=7, B=13)
ROW, STEP = 5, 4
PER_ROW = ("y", "h_n", "c_n", "outputs", "c_0", "c_1", "c_2", "dx", "dh0", "dc0")

every_cell = pytest.mark.parametrize("cell", CELLS)
every_value = pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)


def rows_of(results, rows):
    return {name: np.ascontiguousarray(a[:, rows]) for name, a in results.items() if name.startswith(PER_ROW)}


@pytest.mark.parametrize("tile_rows", [1, 3, 8])
@pytest.mark.parametrize("where", ["x", "h0", "c0"])
@every_value
@every_cell
def test_in_its_own_row(cell, value, where, tile_rows):
    """Both ways; all others are bit for bit what they are without it, and finite."""
    config = replace(SMALL, cell=cell)
    data = make_data(config, np.random.default_rng(1))
    layer = make_layer(config, data.params)
    plan = {"threads": 1, "tile_rows": tile_rows}
    clean, _ = calls.both(layer, config, data, plan=plan)
    array = getattr(data, where)
    if array is None:
        assert not has_cell_state(cell)
        array = data.x[:, :, :1]
    array[STEP % len(array), ROW] = value
    dirty, _ = calls.both(layer, config, data, plan=plan)
    others = [row for row in range(config.B) if row != ROW]
    expected = rows_of(clean, others)
    assert len(expected) >= 5
    assert all(np.isfinite(a).all() for a in expected.values())
    assert_same_bits(rows_of(dirty, others), expected)
    assert not np.array_equal(dirty["y"][:, ROW], clean["y"][:, ROW])


@every_cell
def test_nan_in_x_starts_at_its_step(cell):
    """In one direction; from there on all that depends on it is NaN, so no result hides it."""
    config = replace(SMALL, cell=cell, bidirectional=False)
    data = make_data(config, np.random.default_rng(1))
    layer = make_layer(config, data.params)
    clean, _, _ = calls.forward(layer, config, data)
    data.x[STEP, ROW, 1] = np.nan
    dirty, _, _ = calls.forward(layer, config, data)
    assert_same_bits(dirty["y"][:STEP], clean["y"][:STEP])
    assert np.isnan(dirty["y"][STEP:, ROW]).all()
    assert np.isnan(dirty["h_n"][:, ROW]).all()


@every_cell
def test_nan_in_the_weights_of_one_unit(cell):
    """Reaches that unit at the first step and, through the state, every unit at the second."""
    config = replace(SMALL, cell=cell, bidirectional=False, num_layers=1, state=False)
    data = make_data(config, np.random.default_rng(1))
    row = (
        3 if len(FORMULAS[cell].gates) == 1 else config.hidden_size + 3
    )  # the second gate, which is one unit's own affair
    data.params["weight_ih_l0"][row, 0] = np.nan
    y = calls.plain(make_layer(config, data.params), config, data)["y"]
    assert np.isnan(y[0, :, 3]).all()
    assert np.isfinite(np.delete(y[0], 3, axis=-1)).all()
    assert np.isnan(y[1:]).all()


@every_value
@every_cell
def test_gradients_of_one_row(cell, value):
    """What is wrong with dy of one sequence is no fault of the others; the weights, which all share, must show it."""
    config = replace(SMALL, cell=cell)
    data = make_data(config, np.random.default_rng(1))
    layer = make_layer(config, data.params)
    clean, _ = calls.both(layer, config, data)
    data.dy[STEP, ROW] = value
    dirty, _ = calls.both(layer, config, data)
    others = [row for row in range(config.B) if row != ROW]
    assert_same_bits(rows_of(dirty, others), rows_of(clean, others))
    assert not np.isfinite(dirty["weight_ih_l0"]).all()
