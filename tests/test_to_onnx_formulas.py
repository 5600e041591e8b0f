"""Layers of formulas as a Scan: every cell of the library, every function, as ONNX Runtime computes them."""

from __future__ import annotations

import math

import numpy as np
import pytest

import recurra
from recurra import formula as f

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx_nodes import assert_close, by_runtime
from recurra.onnx.reader import from_onnx
from recurra.onnx.symbols import Symbol
from recurra.onnx.writer import to_onnx
from test_to_onnx import checked, drawn, flat, named

T, B, H = 5, 3, 4
BOUND = 2e-6
CELLS = [name for name in recurra.cells.__all__ if isinstance(getattr(recurra.cells, name), type)]


def inputs_of(layer, rng):
    """Random arrays for what a formula reads besides x, time-major, positive as gaps in time are."""
    shapes = {0: (T, B, H), 1: (T, B), 2: (B, H)}
    declared = layer.formula.declared.inputs
    return {name: rng.uniform(0.1, 1, shapes[int(kind)]).astype(np.float32) for name, kind in declared.items()}


def in_layout(layer, name, array):
    swapped = layer.batch_first and not (name != "x" and layer.formula.declared.inputs[name] == 2)
    return np.ascontiguousarray(array.swapaxes(0, 1)) if swapped else array


@pytest.mark.parametrize("name", CELLS)
def test_cells_of_the_library(name):
    rng = np.random.default_rng(list(name.encode()))
    kind = getattr(recurra.cells, name)
    size = H if kind.formula.reads_input_itself else 3
    own = {"proj_size": 2} if kind.formula.projects else {}
    for options in ({"bidirectional": True}, {"reverse": True, "batch_first": True, "learned_state": True}):
        layer = drawn(kind(size, H, **own, **options), rng)
        arrays = {n: in_layout(layer, n, a) for n, a in inputs_of(layer, rng).items()}
        x = in_layout(layer, "x", rng.standard_normal((T, B, size)).astype(np.float32))
        given = {"inputs": arrays} if arrays else {}
        lengths = np.array([2, T, 1])
        exported = checked(layer, lengths=True, opset=18)
        expected = named(exported, *layer(x, lengths=lengths, **given))
        inputs = {"x": x, "lengths": lengths, **arrays}
        assert_close(by_runtime(exported, inputs), expected, 2 * BOUND)
        assert_close(from_onnx(exported).run(inputs), expected, 2 * BOUND)
        states = [rng.uniform(-0.5, 0.5, s.shape).astype(np.float32) for s in flat(layer(x, **given)[1])]
        names = [f"{state}0_0" for state in layer.formula.states]
        expected = named(exported, *layer(x, tuple(states) if len(states) > 1 else states[0], **given))
        results = by_runtime(exported, {"x": x, **arrays, **dict(zip(names, states, strict=True))})
        assert_close(results, expected, 2 * BOUND)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("bias", [False, True])
def test_projected_lstm(layers, bias):
    rng = np.random.default_rng([layers, bias])
    layer = drawn(recurra.LSTM(3, 6, layers, bias=bias, proj_size=2, bidirectional=True), rng)
    x = rng.standard_normal((T, B, 3)).astype(np.float32)
    exported = checked(layer)
    assert {node.op_type for node in exported.graph.node} >= {"Scan"}
    assert_close(by_runtime(exported, {"x": x}), named(exported, *layer(x)), BOUND)


ONE = {
    "negate": lambda v: -v,
    "abs": abs,
    "power": lambda v: (1 + abs(v)) ** -3 + v**2 + abs(v) ** 0.5,
    "square": f.square,
    "sqrt": lambda v: f.sqrt(abs(v)),
    "exp": f.exp,
    "expm1": f.expm1,
    "expm1 near 0": lambda v: 1e4 * f.expm1(1e-4 * v),
    "log": lambda v: f.log(abs(v) + 0.1),
    "log1p": lambda v: f.log1p(abs(v)),
    "log1p near 0": lambda v: 1e4 * f.log1p(1e-4 * v),
    "sin": f.sin,
    "cos": f.cos,
    "erf": f.erf,
    "sigmoid": f.sigmoid,
    "relu": f.relu,
    "leaky_relu": lambda v: f.leaky_relu(v, 0.2),
    "elu": lambda v: f.elu(v, 0.7),
    "softplus": f.softplus,
    "log_sigmoid": f.log_sigmoid,
    "silu": f.silu,
    "gelu": f.gelu,
    "gelu by tanh": lambda v: f.gelu(v, "tanh"),
    "hard_sigmoid": lambda v: f.hard_sigmoid(3 * v),
    "hard_tanh": f.hard_tanh,
    "clip": lambda v: f.clip(v, -0.3, None) + f.clip(v, None, 0.2),
    "minimum": lambda v: f.minimum(v, 0.1) - f.maximum(v, -v),
    "comparisons": lambda v: f.where((v > 0.5) | ((v < -0.1) & ~(v <= -0.6)), v, 2 * v),
    "equal": lambda v: f.where(f.equal(v, f.relu(v)), 3.0, v) + f.where(f.not_equal(v, abs(v)), v, 1.0),
    "condition as a factor": lambda v: (v >= 0) * v,
    "value as a condition": lambda v: f.where(f.relu(v), 1.0, -1.0) * v,
    "mean": lambda v: v - f.mean(v) + f.mean(1.5 * f.mean(v)),
    "given_slope": lambda v: f.given_slope(f.where(v > 0, 1.0, 0.0), v),
    "divide": lambda v: 1 / (2 + v / 3) + math.pi,
}


@pytest.mark.parametrize("case", ONE)
def test_functions(case):
    rng = np.random.default_rng(list(case.encode()))
    function = ONE[case]

    @recurra.formula(gates="n")
    def Cell(a):
        return f.tanh(function(a.n)) + 0 * a.n if case == "mean" else f.tanh(function(a.n))

    layer = drawn(Cell(3, 8), rng)
    x = rng.standard_normal((T, B, 3)).astype(np.float32)
    exported = checked(layer)
    assert_close(by_runtime(exported, {"x": x}), named(exported, *layer(x)), 2 * BOUND)


def test_every_function_has_a_symbol():
    assert set(Symbol.functions) == set(f.arrays.NUMPY)


def test_values_of_all_shapes():
    """Constants, units alone, means, numbers of a step and of a row, where a state is wanted or is multiplied."""

    @recurra.formula(
        gates={"n": "h", "m": "h", "k": "z"},
        states="h z w v",
        units={"p": 0.3},
        scalars={"q": 0.5},
        inputs="noise dt:step fixed:row",
        output="z",
    )
    def Odd(a, s, u, x):
        h = f.tanh(a.n(f.mean(s.h)) + x.dt + a.k.z) + x.fixed * u.q
        return h, f.sigmoid(a.m.x + a.m.h + x.noise * s.v), u.p, 0.25

    rng = np.random.default_rng(0)
    layer = drawn(Odd(3, H, 2, bidirectional=True), rng)
    arrays = inputs_of(layer, rng)
    x = rng.standard_normal((T, B, 3)).astype(np.float32)
    for lengths in (None, np.array([1, T, 3])):
        exported = checked(layer, lengths=lengths is not None)
        inputs = {"x": x, **arrays} | ({} if lengths is None else {"lengths": lengths})
        expected = named(exported, *layer(x, lengths=lengths, inputs=arrays))
        assert_close(by_runtime(exported, inputs), expected, BOUND)


def test_heads():
    @recurra.formula(gates="n r", heads=2)
    def Blocks(a, s):
        return f.tanh(a.n) * f.sigmoid(a.r(f.relu(s.h)))

    rng = np.random.default_rng(1)
    layer = drawn(Blocks(3, 8), rng)
    x = rng.standard_normal((T, B, 3)).astype(np.float32)
    exported = checked(layer)
    assert_close(by_runtime(exported, {"x": x}), named(exported, *layer(x)), BOUND)


def test_a_model_with_a_formula_in_it():
    rng = np.random.default_rng(2)
    model = drawn(
        recurra.Sequential(
            recurra.Embedding(7, 3), recurra.cells.LEM(3, H, 2), recurra.GRU(H, 5), recurra.Last(), recurra.Linear(5, 2)
        ),
        rng,
    )
    x = rng.integers(0, 7, (T, B))
    exported = checked(model)
    assert_close(by_runtime(exported, {"x": x}), named(exported, *model.run(x)), BOUND)


def test_names_of_inputs_that_are_taken():
    @recurra.formula(gates="n", inputs="lengths")
    def Taken(a, x):
        return f.tanh(a.n) * x.lengths

    @recurra.formula(gates="n", inputs="y")
    def Output(a, x):
        return f.tanh(a.n) * x.y

    with pytest.raises(ValueError, match="model: expected other names of a formula's inputs, got 'y'"):
        to_onnx(Output(3, 4))
    to_onnx(Taken(3, 4))
    with pytest.raises(ValueError, match="model: expected other names of a formula's inputs, got 'lengths'"):
        to_onnx(Taken(3, 4), lengths=True)
