"""What recurra.torch asks of the core: networks over copies of arrays, gradients of some parameters in new arrays."""

from __future__ import annotations

import numpy as np
import pytest

import recurra
import recurra.cells
from configs import assert_same_bits

LAYERS = [
    (recurra.LSTM, {"num_layers": 2, "bidirectional": True}),
    (recurra.LSTM, {"proj_size": 3, "learned_state": True}),
    (recurra.GRU, {"bias": False, "num_layers": 3}),
    (recurra.GRU, {"reset_after": False}),
    (recurra.RNN, {"bidirectional": True}),
    (recurra.cells.PeepholeLSTM, {"num_layers": 2}),
    (recurra.cells.SLSTM, {}),
    (recurra.cells.LayerNormLSTM, {"bidirectional": True}),
    (recurra.cells.MinGRU, {}),
]


def arrays_of(layer):
    return tuple(layer.state_dict().values())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("kind", "options"), LAYERS)
def test_gradients_of_some_parameters(kind, options, dtype):
    """Those that are needed are what backward adds to zeros; the others are None, and change nothing."""
    rng = np.random.default_rng(1)
    layer = kind(3, 8, dtype=dtype, seed=0, **options)
    network = layer._core.holding(arrays_of(layer))
    for steps, batch in ((5, 4), (130, 3), (0, 2)):
        x = rng.standard_normal((steps, batch, 3)).astype(dtype)
        y, state, tape = layer.forward(x)
        dy = rng.standard_normal(y.shape).astype(dtype)
        layer.zero_grad()
        expected = layer.backward(tape, dy)
        _, own, kept = network.forward(x, None, None, False, None, None, None, None, None)
        assert np.array_equal(*(s[0] if isinstance(s, tuple) else s for s in (own, state)))
        names = list(layer.params)
        for needed in [[True] * len(names), [False] * len(names), *(rng.random((4, len(names))) < 0.5).tolist()]:
            dx, dstate, grads = network.gradients(kept, dy, None, None, True, needed, True)
            assert np.array_equal(dx, expected[0])
            pairs = zip(dstate, expected[1], strict=True) if isinstance(dstate, tuple) else [(dstate, expected[1])]
            assert all(np.array_equal(*pair) for pair in pairs)
            for name, wanted, gradient in zip(names, needed, grads, strict=True):
                assert (gradient is not None) == wanted
                assert gradient is None or np.array_equal(gradient, layer.grads[name]), name
        assert network.gradients(kept, dy, None, None, False, [False] * len(names), False)[0] is None
        with pytest.raises(RuntimeError, match="consumed"):
            network.gradients(kept, dy, None, None, False, [False] * len(names), False)


def test_gradients_from_tokens_and_with_a_state_in_the_place_of_the_learned():
    layer = recurra.GRU(7, 5, seed=0, learned_state=True)
    network = layer._core
    tokens = np.array([[1, 2, 6], [0, 0, 3]])
    h0 = np.ones((1, 3, 5), np.float32)
    for hx in (None, h0):
        y, _, tape = layer.forward(tokens, hx)
        dy = np.ones_like(y)
        layer.zero_grad()
        layer.backward(tape, dy, retain=True)
        for needed in ([True] * 5, [False, True, False, False, True], [False] * 5):
            _, _, grads = network.gradients(tape, dy, None, None, True, needed, True)
            for name, wanted, gradient in zip(layer.params, needed, grads, strict=True):
                assert (gradient is not None) == wanted
                assert gradient is None or np.array_equal(gradient, layer.grads[name]), name


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_holding(dtype):
    """Copies: later changes of the arrays don't matter, and are seen by `holds`, down to one bit."""
    layer = recurra.LSTM(3, 5, num_layers=2, dtype=dtype, seed=0)
    arrays = arrays_of(layer)
    network = layer._core.holding(arrays)
    x = np.random.default_rng(1).standard_normal((4, 2, 3)).astype(dtype)

    def run(network):
        return network.call(x, None, None, None, False, None, None, None, None)[0]

    assert_same_bits(run(network), layer(x)[0])
    assert network.holds(arrays)
    assert layer._core.holds(arrays)
    for array in arrays:
        flat = array.reshape(-1).view(f"u{array.itemsize}")
        for place in (0, flat.size - 1):
            flat[place] ^= 1
            assert not network.holds(arrays)
            flat[place] ^= 1
    assert network.holds(arrays)
    arrays[3][:] = np.nan
    assert not network.holds(arrays)
    assert network.holding(arrays).holds(arrays)
    assert_same_bits(run(network), layer(x)[0])
    turned = tuple(np.asfortranarray(array) for array in arrays_of(layer))
    assert network.holds(turned)
    assert_same_bits(run(network.holding(turned)), layer(x)[0])
    with pytest.raises(RuntimeError, match="another"):
        network.gradients(layer.forward(x)[2], None, None, None, True, [True] * 8, False)


def test_what_is_refused():
    layer = recurra.GRU(3, 5, seed=0)
    network, arrays = layer._core, arrays_of(layer)
    for call in (network.holds, network.holding):
        for wrong in (list(arrays), arrays[:3], None, 3, dict(layer.params)):
            with pytest.raises(TypeError, match="arrays: expected a tuple of 4 arrays"):
                call(wrong)
        with pytest.raises(ValueError, match="weight_ih_l0: expected"):
            call((arrays[1], *arrays[1:]))
        with pytest.raises(TypeError, match="weight_hh_l0: expected float32"):
            call((arrays[0], arrays[1].astype(np.float64), *arrays[2:]))
        with pytest.raises(TypeError, match="bias_hh_l0"):
            call((*arrays[:3], "abc"))
    tape = layer.forward(np.zeros((2, 1, 3), np.float32))[2]
    with pytest.raises(ValueError, match="needed"):
        network.gradients(tape, None, None, None, True, [True] * 3, False)
    with pytest.raises(TypeError):
        network.gradients(tape, None, None, None, True, 3, False)
    cell = recurra.GRUCell.from_layer(layer)
    cell_tape = cell.forward(np.zeros((1, 3), np.float32))[1]
    with pytest.raises(ValueError, match="parameters are all its own"):
        cell._core.gradients(cell_tape, None, None, None, True, [True] * 4, False)
    with pytest.raises(ValueError, match="dy: expected"):
        network.gradients(tape, np.zeros((3, 1, 5), np.float32), None, None, True, [True] * 4, False)
    network.gradients(tape, None, None, None, True, [True] * 4, False)
