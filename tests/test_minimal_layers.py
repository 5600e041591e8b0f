"""Layers of one's own that have `forward`, `backward` and `leaves` and nothing else, and weights that parts share."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import recurra
from configs import assert_same_bits, max_error, numeric_gradient
from refused import refused

T, B, I, H = 5, 3, 4, 6  # noqa: E741
F64 = {"dtype": np.float64}


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


class Wrapping:
    """tanh of a Linear, whose layer does the work."""

    def __init__(self, size=H, seed=3):
        self.linear = recurra.Linear(size, size, seed=seed, **F64)

    def forward(self, x):
        y, tape = self.linear.forward(x)
        return np.tanh(y), (np.tanh(y), tape)

    def backward(self, tape, dy):
        y, tape = tape
        return self.linear.backward(tape, dy * (1 - y * y))

    def leaves(self):
        return [self.linear]


class Gain:
    """NumPy alone: x times a vector, which it is the leaf of."""

    def __init__(self, size=H):
        self.params = {"gain": 1 + draw(size, seed=4) / 9}
        self.grads = {"gain": np.zeros(size)}

    def forward(self, x):
        return x * self.params["gain"], x.copy()

    def backward(self, tape, dy):
        self.grads["gain"] += (dy * tape).sum((0, 1))
        return dy * self.params["gain"]

    def leaves(self):
        return [self]


class Two:
    """Two leaves, one of each kind, and a backward with options."""

    def __init__(self):
        self.gain, self.linear = Gain(), recurra.Linear(H, H, seed=5, **F64)

    def forward(self, x, *, lengths=None, rng=None):
        self.lengths, self.rng = lengths, rng
        y, one = self.gain.forward(x)
        y, other = self.linear.forward(y)
        return y, (one, other)

    def backward(self, tape, dy, *, need_dx=True, grads=None, retain=False):  # noqa: ARG002
        own = None if grads is None else {name: grads["1." + name] for name in self.linear.params}
        dy = self.linear.backward(tape[1], dy, grads=own, retain=retain)
        gain = self.gain.grads if grads is None else {"gain": grads["0.gain"]}
        gain["gain"] += (dy * tape[0]).sum((0, 1))
        return dy * self.gain.params["gain"]

    def leaves(self):
        return [self.gain, self.linear]


NAMES = {
    Wrapping: ["1.0.weight", "1.0.bias"],
    Gain: ["1.gain"],
    Two: ["1.0.gain", "1.1.weight", "1.1.bias"],
}
every_kind = pytest.mark.parametrize("kind", NAMES)


def model_of(kind, wrap=recurra.Sequential):
    first = [recurra.GRU(I, H, seed=1, **F64)] if wrap is recurra.Sequential else [recurra.Linear(H, H, seed=1, **F64)]
    return wrap(*first, kind(), *([recurra.Linear(H, 2, seed=2, **F64)] if wrap is recurra.Sequential else []))


@every_kind
@pytest.mark.parametrize("wrap", [recurra.Sequential, recurra.Parallel, recurra.Residual])
def test_all_else_is_derived(wrap, kind):
    """Names, gradients there or in a dict, copies, state_dict there and back."""
    model, x = model_of(kind, wrap), draw(T, B, I if wrap is recurra.Sequential else H)
    assert [name for name in model.params if name.startswith("1.")] == NAMES[kind]
    assert list(model.params) == list(model.grads) == list(model.state_dict())
    state, (y, tape) = model.state_dict(), model.forward(x)
    assert_same_bits(model(x), y)
    assert_same_bits(model.run(x)[0], y)
    dy = draw(*y.shape, seed=1)
    dx = model.backward(tape, dy)

    def loss():
        model.load_state_dict(state)
        return float(np.vdot(model(x), dy))

    arrays = state | {"x": x}
    numeric = {name: numeric_gradient(loss, array) for name, array in arrays.items()}
    for name, gradient in numeric.items():
        assert np.abs((dx if name == "x" else model.grads[name]) - gradient).max() <= 1e-7, name
    model.load_state_dict(state)
    before = {name: gradient.copy() for name, gradient in model.grads.items()}
    own = {name: np.zeros_like(value) for name, value in state.items()}
    _, tape = model.forward(x)
    model.backward(tape, 2 * dy, grads=own)
    assert_same_bits(dict(model.grads), before)
    assert all(max_error(own[name], 2 * gradient) <= 1e-14 for name, gradient in before.items())
    twin = copy.deepcopy(model)
    assert_same_bits(twin(x), model(x))
    changed = {name: value + 1 for name, value in state.items()}
    twin.load_state_dict(changed)
    assert_same_bits(twin.state_dict(), changed)
    assert_same_bits(model.state_dict(), state)
    with refused(ValueError, NAMES[kind][-1], twin.state_dict()):
        twin.load_state_dict(changed | {NAMES[kind][-1]: np.zeros(1)})
    model.zero_grad()
    assert not any(gradient.any() for gradient in model.grads.values())
    assert model.leaves()[1:][: len(model[1].leaves())] == model[1].leaves()


def test_it_is_itself_in_the_model():
    layer = Two()
    model = recurra.Sequential(recurra.GRU(I, H, seed=1, **F64), layer)
    assert model[1] is layer
    assert repr(layer) in repr(model)
    lengths = np.array([5, 0, 2])
    model.forward(draw(T, B, I), lengths=lengths, rng=7)
    assert layer.lengths is lengths
    assert isinstance(layer.rng, np.random.Generator)
    model(draw(T, B, I))
    assert layer.lengths is None
    assert recurra.Sequential(model, recurra.Linear(H, 1, **F64))[0][1] is layer


def test_a_bare_one_is_a_model():
    """fit steps a layer of ours inside of it."""
    layer = Wrapping()
    x, before = draw(T, B, H), layer.linear.state_dict()
    history = recurra.fit(layer, [(x, 0.5 * x)], recurra.mse, recurra.Adam(layer, lr=0.01), epochs=20)
    assert history.losses[-1] < history.losses[0]
    assert not np.array_equal(layer.linear.params["weight"], before["weight"])


@every_kind
@pytest.mark.parametrize("wrap", [recurra.Sequential, recurra.Parallel, recurra.Residual])
def test_optimizers_and_fit_take_it(wrap, kind):
    """Every parameter moves, clipped; patience gives the best weights back; a step into infinity is undone."""
    model, x = model_of(kind, wrap), draw(T, B, I if wrap is recurra.Sequential else H)
    target, before = 0.3 * model(x)[::-1], model.state_dict()
    adam = recurra.Adam(model, lr=0.01)
    history = recurra.fit(model, [(x, target)], recurra.mse, adam, epochs=30, clip_norm=1.0, patience=3)
    assert history.losses[-1] < history.losses[0]
    assert not any(np.array_equal(value, before[name]) for name, value in model.params.items())
    best = model.state_dict()
    adam.lr = 1e308
    with np.errstate(all="ignore"):
        assert recurra.fit(model, [(x, target)], recurra.mse, adam, epochs=3).stopped == "nonfinite"
    assert all(np.isfinite(value).all() for value in model.params.values())
    model.load_state_dict(best)
    assert_same_bits(model.state_dict(), best)


def test_leaves_are_checked():
    class Wrong(Gain):
        def __init__(self, params, grads):
            self.params, self.grads = params, grads

    ones = np.ones(H)
    for error, name, layer in (
        (TypeError, "layers", Wrong(None, {})),
        (TypeError, r"params\['gain'\]", Wrong({"gain": [1.0]}, {"gain": ones})),
        (TypeError, r"params\['gain'\]", Wrong({"gain": np.ones(H, int)}, {"gain": ones})),
        (TypeError, r"grads\['gain'\]", Wrong({"gain": ones}, {})),
        (TypeError, r"grads\['gain'\]", Wrong({"gain": ones}, {"gain": np.ones(H + 1)})),
        (TypeError, "layers", Wrong({"gain": ones.astype("f4")}, {"gain": ones.astype("f4")})),
    ):
        with refused(error, name):
            recurra.Sequential(recurra.Linear(H, H, **F64), layer)

    class Stranger(Wrapping):
        @property
        def params(self):
            return {"weight": np.ones(3)}

    with refused(ValueError, "params"):
        dict(recurra.Sequential(Stranger()).params)


# ---- Shared weights


class Unrolled(recurra.Composite):
    """An LSTM over the sequence, then one more step from its final state by a cell with the same weights."""

    def __init__(self, cell_first=False):
        super().__init__()
        layer = recurra.LSTM(I, H, seed=1, **F64)
        if cell_first:
            self.cell, self.layer = recurra.LSTMCell.from_layer(layer), layer
        else:
            self.layer, self.cell = layer, recurra.LSTMCell.from_layer(layer)

    def forward(self, x):
        _, (h, c), one = self.layer.forward(x[:-1])
        (h, _), other = self.cell.forward(x[-1], (h[0], c[0]))
        return h, (one, other)

    def __call__(self, x):
        return self.forward(x)[0]

    def backward(self, tape, dy, *, need_dx=True, grads=None, retain=False):
        options = {"need_dx": need_dx, "retain": retain}
        last, (dh, dc) = self.cell.backward(tape[1], (dy, None), grads=self.grads_of("cell", grads), **options)
        dstate = dh[None], dc[None]
        dx, _ = self.layer.backward(tape[0], None, dstate, grads=self.grads_of("layer", grads), **options)
        return np.concatenate([dx, last[None]]) if need_dx else None


@pytest.mark.parametrize("cell_first", [False, True])
def test_a_layer_and_its_cell(cell_first):
    """One name and one gradient each, which is that of a layer over the whole sequence."""
    model = recurra.Sequential(Unrolled(cell_first), recurra.Linear(H, 2, seed=2, **F64))
    whole = recurra.Sequential(recurra.LSTM(I, H, seed=1, **F64), recurra.Last(), recurra.Linear(H, 2, seed=2, **F64))
    names = [f"0.layer.{name}" for name in whole[0].params]
    assert list(model.params) == list(model.grads) == list(model.state_dict()) == [*names, "1.weight", "1.bias"]
    assert model.leaves() == [model[0].layer, model[1]]
    x, dy = draw(T, B, I), draw(B, 2, seed=1)
    y, tape = model.forward(x)
    expected, other = whole.forward(x)
    assert_same_bits(y, expected)
    own = {name: np.zeros_like(value) for name, value in model.params.items()}
    assert_same_bits(model.backward(tape, dy, retain=True), whole.backward(other, dy))
    model.backward(tape, dy, grads=own)
    for given, gradient, reference in zip(own.values(), model.grads.values(), whole.grads.values(), strict=True):
        assert max_error(gradient, reference) <= 1e-14
        assert max_error(given, reference) <= 1e-14
    changed = {name: value + 1 for name, value in model.state_dict().items()}
    twin = copy.deepcopy(model)
    twin.load_state_dict(changed)
    assert_same_bits(twin.state_dict(), changed)
    assert twin[0].cell.params["weight_ih"][0, 0] == changed["0.layer.weight_ih_l0"][0, 0]
    for one in (model, whole):
        recurra.Adam(one, lr=0.1).step()
    assert max_error(model.params["0.layer.weight_hh_l0"], whole.params["0.weight_hh_l0"]) <= 1e-12
    model.zero_grad()
    assert not any(gradient.any() for gradient in model[0].cell.grads.values())


def test_branches_may_share():
    """Of the same layer twice in one chain it stays an error, as it mostly is one."""
    linear = recurra.Linear(H, H, seed=0, **F64)
    model = recurra.Parallel(linear, recurra.Sequential(recurra.Tanh(), linear), join="sum")
    assert list(model.params) == ["0.weight", "0.bias"]
    x = draw(T, H)
    y, tape = model.forward(x)
    model.backward(tape, y, retain=True)
    np.testing.assert_allclose(model.grads["0.weight"], y.T @ x + y.T @ np.tanh(x), atol=1e-12)
    own = {name: np.zeros_like(value) for name, value in model.params.items()}
    model.backward(tape, y, grads=own)
    assert_same_bits(own, dict(model.grads))
    with refused(ValueError, "layers"):
        recurra.Sequential(linear, recurra.Tanh(), linear)
    both = recurra.Sequential(linear, recurra.Residual(recurra.Tanh(), linear))
    assert list(both.params) == ["0.weight", "0.bias"]
    assert both.leaves() == [linear]
    _, tape = both.forward(x)
    both.zero_grad()
    both.backward(tape, y, retain=True)
    own = {name: np.zeros_like(value) for name, value in both.params.items()}
    both.backward(tape, y, grads=own)
    assert_same_bits(own, dict(both.grads))
