"""`recurra.cells`: every formula's function, on arrays, over several steps, against plain NumPy from the papers."""

from __future__ import annotations

import numpy as np
import pytest

import recurra.cells
from cell_references import REFERENCES, formula_of
from formula_checks import Problem, assert_close
from recurra.cells import continuous, diagonal, spiking
from recurra.formula.operations import Role

T, B, I, H = 6, 3, 5, 8  # noqa: E741
every_cell = pytest.mark.parametrize("name", REFERENCES)
CELLS = [name for name in recurra.cells.__all__ if name != "legendre"]


def test_every_cell_has_a_reference():
    assert sorted(CELLS) == sorted(REFERENCES)


def draw_steps(reference, rng, input_size):
    """x and the inputs of all steps, as `run_step` takes them one by one."""
    x = rng.normal(0, 1, (T, B, input_size))
    shapes = {"unit": (T, B, H), "step": (T, B), "row": (B, H)}
    inputs = {name: reference.draw(name, rng, shapes[shape]) for name, shape in reference.inputs.items()}
    return x, [
        {name: array if reference.inputs[name] == "row" else array[t] for name, array in inputs.items()}
        for t in range(T)
    ]


@pytest.mark.parametrize("start", ["zeros", "anything"])
@every_cell
def test_function_against_the_paper(name, start):
    cell, reference = getattr(recurra.cells, name), REFERENCES[name]
    rng = np.random.default_rng(sorted(REFERENCES).index(name))
    input_size = H if reference.square else I
    params = reference.draw_params(rng, input_size, H)
    states = tuple(
        np.zeros((B, size)) if start == "zeros" else reference.draw(f"state {k}", rng, (B, size))
        for k, size in enumerate(reference.sizes(H))
    )
    x, inputs = draw_steps(reference, rng, input_size)
    expected = states
    for t in range(T):
        states = formula_of(cell).run_step(x[t], states, params, inputs[t])
        expected = reference.step(params | {"H": H}, x[t], *expected, **inputs[t])
        assert len(states) == len(expected)
        for got, right in zip(states, expected, strict=True):
            np.testing.assert_allclose(got, right, rtol=1e-9, atol=1e-11)


@every_cell
def test_program_against_autograd(name):
    """The compiled formula gives the states and gradients that PyTorch gets from the function."""
    pytest.importorskip("torch")
    formula, reference = formula_of(getattr(recurra.cells, name)), REFERENCES[name]
    problem = Problem(formula, T=4, B=B, hidden=H)
    rng = np.random.default_rng(0)
    for key in problem.params.keys() & reference.ranges.keys():
        problem.params[key] = reference.draw(key, rng, (H,))
    problem.states = [reference.draw(f"state {k}", rng, state.shape) for k, state in enumerate(problem.states)]
    states, gradients = problem.of_program()
    expected = problem.steps(problem.arrays())
    for got, right in zip(states, expected, strict=True):
        assert_close(got, right, 1e-10, formula.declared.states)
    names = [*problem.params, *formula.declared.states, *formula.declared.inputs, "x"]
    assert_close(gradients, problem.by_torch(), 1e-10, names)


@every_cell
def test_parameters(name):
    """The formula has the parameters that its reference takes, of the same shapes: the two orders of gates agree."""
    reference = REFERENCES[name]
    input_size = H if reference.square else I
    layout = formula_of(getattr(recurra.cells, name)).layout
    shapes = {}
    for parameter in layout.parameters:
        source = {Role.INPUT_WEIGHT: input_size, Role.RECURRENT_WEIGHT: H}.get(parameter.role)
        if parameter.name == "weight_hh" and reference.projected:
            source = reference.projected
        rows = parameter.blocks * H
        shapes[parameter.name] = (rows, source // parameter.heads) if source else (rows,)
        if parameter.role == Role.PROJECTION:
            shapes[parameter.name] = (reference.projected, H)
        if parameter.role == Role.SCALAR:
            shapes[parameter.name] = ()
    assert shapes == reference.shapes(input_size, H)


@every_cell
def test_docstring(name):
    """The first line says what it is; then an equation and a paper's year. The class adds what it has and needs."""
    cell = getattr(recurra.cells, name)
    text = cell.function.__doc__
    first, blank, *rest = text.splitlines()
    assert first.endswith(".")
    assert not blank
    assert any(line.startswith("        ") and "=" in line for line in rest)
    assert any(f"({year})" in text for year in range(1990, 2026))
    formula = formula_of(cell)
    assert all(f" {name} (" in cell.__doc__.replace("\n", " ") for name in formula.parameters)
    assert all(f" {name} (" in cell.__doc__ for name in formula.declared.inputs)
    assert ", ".join(formula.states) in cell.__doc__
    assert cell.__doc__.index("`recurra.FormulaLayer`") < cell.__doc__.index("\nExample:\n    >>> ")


# ---- Initial values, and what the papers promise of them

ONES_AND_ZEROS = {"gain": 1.0, "shift": 0.0}
INITIAL = {
    "PeepholeLSTM": {"p_i": 0.0, "p_f": 0.0, "p_o": 0.0},
    "FastRNN": {"alpha": -3.0, "beta": 3.0},
    "FastGRNN": {"b_z": 1.0, "b_h": 1.0, "zeta": 1.0, "nu": -4.0},
    "MIRNN": {"alpha": 1.0, "beta_h": 0.5, "beta_x": 0.5, "b": 0.0},
    "BRC": {"w_a": 0.0, "w_c": 0.0},
    "SRU": {"v_f": 0.0, "v_r": 0.0},
    "LeakyTanh": {"leak": 0.3},
    "LRU": {"gain": 1.0, "d": 1.0},
    "LMU": {"e_h": 0.0, "e_m": 0.0},
    "PhasedLSTM": {"open": 0.05},
}
DRAWN = {"IndRNN": {"w": (0, 1)}, "UnICORNN": {"w": (0, 1), "c": (-0.1, 0.1)}, "PhasedLSTM": {"shift": (0, 1)}}
DRAWN |= {"RGLRU": {"decay": None}, "LRU": {"nu": None, "theta": None}, "LMU": {"b": None}}  # more of these below
DRAWN["PhasedLSTM"]["period"] = (1, 1000)


@every_cell
def test_initial_values(name):
    declared = formula_of(getattr(recurra.cells, name)).declared
    values = declared.units | declared.scalars
    if name.startswith("LayerNorm"):
        assert values == {key: ONES_AND_ZEROS[key.split("_")[0]] for key in values}
        return
    assert {key: value for key, value in values.items() if not callable(value)} == INITIAL.get(name, {})
    drawn = {key: value for key, value in values.items() if callable(value)}
    assert drawn.keys() == DRAWN.get(name, {}).keys()
    for key, value in drawn.items():
        array = value(np.random.default_rng(0), 1000)
        assert array.shape == (1000,)
        if DRAWN[name][key]:
            low, high = DRAWN[name][key]
            assert low <= array.min() < low + 0.05 * (high - low)
            assert high - 0.05 * (high - low) < array.max() <= high


def test_input_of_the_legendre_memory():
    b = formula_of(recurra.cells.LMU).declared.units["b"]
    np.testing.assert_array_equal(b(None, 16), recurra.cells.legendre(16, 784.0)[1])


def test_decays_of_the_real_gated_unit():
    a = np.exp(-np.log1p(np.exp(diagonal.slow_decays(np.random.default_rng(0), 10_000))))
    assert a.min() > 0.9
    assert a.max() < 0.999
    np.testing.assert_allclose(np.mean(a**2), (0.9**2 + 0.999**2) / 2, rtol=1e-3)  # even over the ring's area


def test_eigenvalues_of_the_linear_recurrent_unit():
    rng = np.random.default_rng(0)
    size = np.exp(-np.exp(diagonal.log_of_decays(rng, 10_000)))
    angle = np.exp(diagonal.log_of_angles(rng, 10_000))
    assert 0 < size.min() < size.max() < 1
    np.testing.assert_allclose(np.mean(size**2), 0.5, atol=0.02)
    assert 0 < angle.min() < angle.max() <= 2 * np.pi
    np.testing.assert_allclose(np.mean(angle), np.pi, atol=0.1)


def test_periods_of_the_phased_lstm():
    drawn = continuous.periods(np.random.default_rng(0), 10_000)
    assert 1 <= drawn.min() < drawn.max() <= 1000
    np.testing.assert_allclose(np.median(drawn), np.sqrt(1000), rtol=0.1)


@pytest.mark.parametrize(("order", "theta"), [(1, 1.0), (4, 10.0), (12, 60.0)])
def test_legendre_matrices_are_exact(order, theta):
    """Against the eigenvectors of the continuous system, which take no series."""
    q = np.arange(order)
    a = np.array([[(2 * i + 1) * (-1.0 if i < j else (-1.0) ** (i - j + 1)) for j in q] for i in q]) / theta
    b = (2 * q + 1) * (-1.0) ** q / theta
    values, vectors = np.linalg.eig(a)
    exact = (vectors * np.exp(values)) @ np.linalg.inv(vectors)
    discrete_a, discrete_b = recurra.cells.legendre(order, theta)
    np.testing.assert_allclose(discrete_a, exact.real, atol=1e-7)
    np.testing.assert_allclose(discrete_b, np.linalg.solve(a, (exact.real - np.eye(order)) @ b), atol=1e-7)


def test_legendre_matrices_of_a_high_order():
    """A step of a window is two of one twice as long; eigenvectors are too close to each other here."""
    a, b = recurra.cells.legendre(64, 784.0)
    half_a, half_b = recurra.cells.legendre(64, 2 * 784.0)
    np.testing.assert_allclose(a, half_a @ half_a, atol=1e-12)
    np.testing.assert_allclose(b, half_a @ half_b + half_b, atol=1e-12)


def test_legendre_memory_remembers():
    """A slow signal half a window ago can be read from its memory, by Legendre's polynomials at the middle."""
    order, theta = 8, 40.0
    a, b = recurra.cells.legendre(order, theta)
    signal = np.sin(np.arange(200) / 15)
    m, read = np.zeros(order), []
    at_middle = np.array([np.polynomial.legendre.Legendre.basis(k)(0.0) for k in range(order)])
    for value in signal:
        m = a @ m + b * value
        read.append(at_middle @ m)
    np.testing.assert_allclose(read[60:], signal[40:-20], atol=0.04)


# ---- Slopes that aren't those of the values


def test_slope_of_a_spike():
    torch = pytest.importorskip("torch")
    v = torch.linspace(-2, 2, 101, dtype=torch.float64, requires_grad=True)
    fired = spiking.spike(v)
    (slope,) = torch.autograd.grad(fired.sum(), v)
    np.testing.assert_array_equal(fired.detach(), v.detach() > 0)
    np.testing.assert_allclose(slope, 1 / (1 + 25 * v.detach().abs()) ** 2)


def test_slope_of_an_adaptive_spike():
    torch = pytest.importorskip("torch")
    H = 101
    v = torch.linspace(-0.2, 0.3, H, dtype=torch.float64)[None].requires_grad_()
    zero, b = torch.zeros(1, H, dtype=torch.float64), torch.full((1, H), 0.05, dtype=torch.float64)
    shapes = REFERENCES["AdaptiveLIF"].shapes(1, H)
    params = {name: torch.zeros(shape, dtype=torch.float64) for name, shape in shapes.items()}
    z, new_v, new_b = formula_of(recurra.cells.AdaptiveLIF).run_step(zero[:, :1], (zero, v, b), params)
    (slope,) = torch.autograd.grad(z.sum(), v)
    threshold = 0.03 + 1.6 * new_b
    scaled = ((new_v - threshold) / threshold).detach()
    np.testing.assert_allclose(slope, np.exp(-1 / 20) * 0.3 * (1 - scaled.abs()).clamp(min=0) / threshold, atol=1e-12)
    assert 0 < (slope > 0).sum() < H


@pytest.mark.parametrize("bias", [-1e4, -17.0, -10.0, 0.0])
def test_bounded_slope_of_the_real_gated_unit(bias):
    """Where almost nothing is forgotten, the derivative of √(1 − a²) by 1 − a² is at most 1000."""
    torch = pytest.importorskip("torch")
    x, h = (torch.full((1, 1), value, dtype=torch.float64) for value in (1.0, 0.0))
    params = {
        "weight_ih": torch.zeros(2, 1, dtype=torch.float64),
        "bias_ih": torch.tensor([bias, 50.0], dtype=torch.float64, requires_grad=True),
        "decay": torch.tensor([0.0], dtype=torch.float64),
    }
    (y,) = formula_of(recurra.cells.RGLRU).run_step(x, (h,), params)
    (gradient,) = torch.autograd.grad(y.sum(), params["bias_ih"])
    rate = 8 * np.log(2) / (1 + np.exp(-min(bias, 700.0))) if bias > -700 else 0.0
    slope = min(1000.0, 0.5 / np.sqrt(-np.expm1(-2 * rate))) if rate else 1000.0
    of_rate = 2 * np.exp(-2 * rate) * slope
    np.testing.assert_allclose(gradient[0], of_rate * rate * (1 - rate / (8 * np.log(2))), rtol=1e-9, atol=0)


@pytest.mark.parametrize("size", [1e-30, 80.0])
def test_slstm_stays_finite(size):
    """Exponents that overflow by themselves, up and down, in float32."""
    rng = np.random.default_rng(0)
    reference = REFERENCES["SLSTM"]
    params = {name: array.astype(np.float32) for name, array in reference.draw_params(rng, I, H).items()}
    params["bias_ih"] = np.repeat(rng.choice([-size, size], 4), H).astype(np.float32)
    states = tuple(np.zeros((B, H), np.float32) for _ in range(4))
    for _ in range(20):
        x = rng.normal(0, 10, (B, I)).astype(np.float32)
        states = formula_of(recurra.cells.SLSTM).run_step(x, states, params, {})
        assert all(np.isfinite(state).all() for state in states)


def test_fraction():
    v = np.linspace(-7.99, 7.99, 1001)
    np.testing.assert_allclose(continuous.fraction(v), v - np.floor(v), atol=1e-12)
