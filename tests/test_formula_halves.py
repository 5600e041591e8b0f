"""`a.g.h(v)`: a gate's recurrent half alone, of a value of this step instead of the state."""

from __future__ import annotations

import numpy as np
import pytest

from formula_checks import check
from recurra.formula import formula, sigmoid, tanh


@formula(gates="f g")
def two_layers(a, s):
    v = tanh(a.f)
    return sigmoid(a.g.h(v)) * s.h + v


@formula(gates="f g")
def both_halves(a, s):
    return tanh(a.f.x * a.f.h(sigmoid(s.h))) + a.g.x + tanh(a.g.h(s.h))


two_layers, both_halves = two_layers.formula, both_halves.formula


def test_a_called_half_has_no_input_weights():
    assert [(p.name, p.blocks) for p in two_layers.layout.parameters] == [
        ("weight_ih", 1),
        ("weight_hh", 2),
        ("bias_ih", 1),
        ("bias_hh", 2),
    ]


def test_value():
    rng = np.random.default_rng(0)
    params = {"weight_ih": (3, 2), "weight_hh": (6, 3), "bias_ih": 3, "bias_hh": 6}
    params = {name: rng.normal(size=shape) for name, shape in params.items()}
    x, h = rng.normal(size=(4, 2)), rng.normal(size=(4, 3))
    v = np.tanh(x @ params["weight_ih"].T + params["bias_ih"] + h @ params["weight_hh"][:3].T + params["bias_hh"][:3])
    right = h / (1 + np.exp(-v @ params["weight_hh"][3:].T - params["bias_hh"][3:])) + v
    np.testing.assert_allclose(two_layers.run_step(x, (h,), params)[0], right)


@pytest.mark.parametrize("own", [two_layers, both_halves], ids=lambda own: own.declared.name)
def test_program(own):
    check(own, gradients="differences")


def test_halves_are_no_gates():
    with pytest.raises(TypeError, match=r"a\.g\.x: expected to be read only, .* got a call"):
        formula(gates="g")(lambda a: a.g.x(a.g.h))
    with pytest.raises(AttributeError, match=r"a\.g\.h: expected no part, got x"):
        formula(gates="g")(lambda a: a.g.h.x)


def test_one_gate_is_called_with_one_value():
    with pytest.raises(ValueError, match=r"a\.g: expected one vector"):
        formula(gates="g")(lambda a, s: a.g.h(tanh(s.h)) + a.g.h(sigmoid(s.h)))


def test_a_gate_alone_is_a_state():
    h = np.ones((1, 1))
    params = {"weight_ih": h, "weight_hh": 2 * h, "bias_ih": h[0], "bias_hh": h[0]}
    np.testing.assert_array_equal(formula(gates="g")(lambda a: a.g).formula.run_step(h, (h,), params)[0], 5 * h)
    check(formula(gates="g")(lambda a: a.g).formula, gradients="differences")
