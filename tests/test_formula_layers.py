"""Layers of formulas, published and random, against the function itself: states, and every gradient."""

from __future__ import annotations

import os

import numpy as np
import pytest

import recurra
import recurra.cells
from formula_cells import CELLS
from formula_checks import Problem, assert_close
from formulas_random import random_formula
from recurra.formula.operations import Operation
from recurra.formula_layer import layer_class

LIBRARY = {name: getattr(recurra.cells, name).formula for name in recurra.cells.__all__ if name != "legendre"}
try:
    import torch  # noqa: F401
except ImportError:
    BY_TORCH = False
else:
    BY_TORCH = True
KINKS = range(Operation.MINIMUM, Operation.SELECT + 1)


def of_layer(problem, dtype=np.float64, plan=None):
    """States after each step and gradients of `problem.arrays()` by a layer of the problem's formula."""
    formula, steps = problem.formula, len(problem.douts)
    options = {"proj_size": problem.states[0].shape[1]} if formula.projects else {}
    layer = layer_class(formula)(problem.xs.shape[2], problem.hidden, dtype=dtype, seed=0, **options)
    layer._plan = plan
    layer.load_state_dict({f"{name}_l0": value.astype(dtype) for name, value in problem.params.items()})
    inputs = {name: value.astype(dtype) for name, value in problem.inputs.items()} or None
    names, output = formula.states, formula.declared.output
    hx = [state[None].astype(dtype) for state in problem.states]
    _, _, tape = layer.forward(problem.xs.astype(dtype), tuple(hx) if len(hx) > 1 else hx[0], inputs=inputs)
    assert list(tape.states) == [name for name in names if name != output]
    histories = [tape.outputs[0] if name == output else tape.states[name][0] for name in names]
    states = [[history[t] for history in histories] for t in range(steps)]
    douts = [np.array([step[k] for step in problem.douts], dtype) for k in range(len(names))]
    dinputs = {name: np.zeros_like(value) for name, value in (inputs or {}).items()} or None
    dx, dhx = layer.backward(
        tape,
        douts[names.index(output)],
        dstates={name: {0: dout} for name, dout in zip(names, douts, strict=True) if name != output},
        dinputs=dinputs,
    )
    dstates = [d[0] for d in (dhx if isinstance(dhx, tuple) else (dhx,))]
    dparams = [layer.grads[f"{name}_l0"] for name in problem.params]
    return states, [*dparams, *dstates, *(dinputs or {}).values(), dx]


def check(formula, seed, **sizes):
    problem = Problem(formula, seed, **sizes)
    states, gradients = of_layer(problem)
    expected = problem.steps(problem.arrays())
    names = [f"{name} at {t}" for t in range(len(expected)) for name in formula.states]
    assert_close([s for step in states for s in step], [s for step in expected for s in step], 1e-10, names)
    names = [*problem.params, *formula.states, *formula.declared.inputs, "x"]
    if BY_TORCH:
        assert_close(gradients, problem.by_torch(), 1e-10, names)
    elif not any(i.operation in KINKS for i in formula.program.instructions):
        problem.assert_slopes(gradients, names)  # which across a kink, or of a spike, would tell nothing


@pytest.mark.parametrize("name", LIBRARY)
def test_library(name):
    rng = np.random.default_rng(len(name))
    heads = LIBRARY[name].declared.heads
    hidden = heads * int(rng.integers(6 // heads, 19 // heads + 1))
    check(LIBRARY[name], seed=1, T=4, B=3, hidden=hidden)


@pytest.mark.parametrize("name", CELLS)
def test_shapes(name):
    heads = CELLS[name].declared.heads
    least = 5 if CELLS[name].projects else 1  # h has 4 features then
    for hidden, batch in ((least, 1), (17, 1), (4, 9), (5, 2)):
        check(CELLS[name], seed=2, T=2, B=batch, hidden=max(least, hidden) * heads)


def random_case(seed):
    drawn = random_formula(seed, smooth=not BY_TORCH)
    formula = drawn.make()
    rng = np.random.default_rng([seed, 1])
    hidden = int(rng.integers(5, 20)) // formula.declared.heads * formula.declared.heads
    input_size = hidden if "x.x" in drawn.source else 5  # even where what it does with x.x is of no use
    check(formula, seed, T=int(rng.integers(1, 5)), B=int(rng.integers(1, 4)), hidden=hidden, input_size=input_size)


SHARE = int(os.environ.get("RECURRA_RANDOM_FORMULAS", "30"))


@pytest.mark.parametrize("seed", range(SHARE))
def test_random_formula(seed):
    random_case(seed)
