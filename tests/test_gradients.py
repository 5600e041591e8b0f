"""Gradients against central differences in float64: every parameter, input and state, of every cell.

The loss is a weighted sum of everything a call returns, the weights being the gradients handed to backward. With steps
of 1e-5 the truncation and rounding of (f(x + ε) - f(x - ε)) / 2ε stay below 1e-8 here, a tenth of what is allowed.
"""

from __future__ import annotations

import numpy as np
import pytest

import calls
from configs import CELLS, draw_config, has_cell_state, make_cell, make_data, make_layer, near_kink

STEP = 1e-5
TOLERANCE = 1e-7  # times max(1, |numeric|)
NETWORKS = {
    "one layer": {"num_layers": 1, "bidirectional": False, "lengths": False, "bias": True},
    "no bias": {"num_layers": 2, "bidirectional": False, "lengths": True, "bias": False},
    "bidirectional": {"num_layers": 1, "bidirectional": True, "lengths": True, "bias": True},
    "stacked": {"num_layers": 3, "bidirectional": True, "lengths": True, "bias": True},
}


def numeric(loss, array):
    """Central differences of loss() with respect to each element of `array`, which is changed in place and back."""
    flat, gradient = array.reshape(-1), np.empty(array.size)
    assert np.shares_memory(flat, array)
    for i, value in enumerate(flat.tolist()):
        flat[i] = value + STEP
        above = loss()
        flat[i] = value - STEP
        below = loss()
        flat[i] = value
        gradient[i] = (above - below) / (2 * STEP)
    return gradient.reshape(array.shape)


def assert_close(gradients, numerics):
    assert gradients.keys() == numerics.keys()
    for name, expected in numerics.items():
        assert gradients[name].shape == expected.shape, name
        assert expected.size, name
        assert np.abs(expected).max() > 1e-3, name  # or there is nothing to see
        worst = np.max(np.abs(gradients[name] - expected) / np.maximum(1, np.abs(expected)))
        assert worst <= TOLERANCE, f"{name} is off by {worst:.2g}"


def draw_case(rng, cell, **fixed):
    """A small network, and data with lengths of 0, T and something between, away from the kinks of relu."""
    while True:
        I, H, T, B = (int(n) for n in rng.integers([2, 3, 4, 3], [6, 10, 7, 5]))  # noqa: E741
        config = draw_config(
            rng, cell=cell, dtype=np.float64, state=True, input_size=I, hidden_size=H, T=T, B=B, **fixed
        )
        data = make_data(config, rng)
        if config.lengths and not {0, T} < set(data.lengths):
            continue
        # A step of 1e-5 moves a pre-activation by less than 1e-3 in networks this small.
        if not near_kink(calls.of_reference(config, data)[1], margin=1e-3):
            return config, data


def loss_of(layer, config, data, rng=None):
    """A function of what `data` and the layer hold when it is called: Σ results · their gradients."""
    weights = {"y": data.dy, "h_n": data.dh_n, "c_n": data.dc_n}
    weights |= {f"outputs_{layer}": d for layer, d in data.doutputs.items()}
    weights |= {f"{name}_{layer}": d for name, ds in data.dstates.items() for layer, d in ds.items()}
    weights = {name: np.nan_to_num(w) for name, w in weights.items() if w is not None}

    def loss():
        results, _, _ = calls.forward(layer, config, data, rng=rng)
        assert results.keys() == weights.keys()
        return sum(float(np.vdot(results[name], w)) for name, w in weights.items())

    return loss


def check(config, data, layer, rng=None):
    results, tape, _ = calls.forward(layer, config, data, rng=rng)
    gradients, _ = calls.backward(layer, config, data, tape)
    loss = loss_of(layer, config, data, rng)

    def loss_of_params():
        layer.load_state_dict(data.params)
        return loss()

    numerics = {"dx": numeric(loss, data.x), "dh0": numeric(loss, data.h0)}
    if config.has_cell_state:
        numerics["dc0"] = numeric(loss, data.c0)
    numerics |= {name: numeric(loss_of_params, value) for name, value in data.params.items()}
    assert_close(gradients, numerics)
    return results


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("cell", CELLS)
def test_gradients(cell, network):
    rng = np.random.default_rng([CELLS.index(cell), *network.encode()])
    config, data = draw_case(rng, cell, **NETWORKS[network])
    check(config, data, make_layer(config, data.params))


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_through_dropout(cell):
    """The mask comes from the seed, so it is the same in every call; two layers, since it lies between layers."""
    rng = np.random.default_rng([CELLS.index(cell), 1])
    config, data = draw_case(rng, cell, num_layers=2, bidirectional=True, lengths=True, bias=True)
    layer = make_layer(config, data.params)
    without, _, _ = calls.forward(layer, config, data)
    layer.dropout = 0.4
    results = check(config, data, layer, rng=5)
    assert np.array_equal(results["outputs_0"], without["outputs_0"])
    assert not np.array_equal(results["y"], without["y"])


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_of_a_single_step(cell):
    """The cells, which take single steps."""
    rng = np.random.default_rng([CELLS.index(cell), 2])
    B, I, H = 3, 4, 5  # noqa: E741
    layer = make_cell(cell, I, H, dtype=np.float64, seed=rng)
    x, *state = (rng.standard_normal((B, n)) for n in ([I, H, H] if has_cell_state(cell) else [I, H]))
    dstate = [rng.standard_normal((B, H)) for _ in state]
    params = layer.state_dict()

    def as_state(arrays):
        return tuple(arrays) if has_cell_state(cell) else arrays[0]

    def as_list(given):
        return list(given) if has_cell_state(cell) else [given]

    def loss():
        layer.load_state_dict(params)
        return sum(float(np.vdot(s, d)) for s, d in zip(as_list(layer(x, as_state(state))), dstate, strict=True))

    _, tape = layer.forward(x, as_state(state))
    dx, dprevious = layer.backward(tape, as_state(dstate))
    gradients = {"dx": dx} | dict(zip(("dh", "dc"), as_list(dprevious), strict=False)) | dict(layer.grads)
    numerics = {"dx": numeric(loss, x)} | {n: numeric(loss, s) for n, s in zip(("dh", "dc"), state, strict=False)}
    assert_close(gradients, numerics | {name: numeric(loss, value) for name, value in params.items()})
