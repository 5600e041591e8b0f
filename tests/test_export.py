"""`export_c`: what a header computes is what the model does."""

import shutil
import subprocess

import numpy as np
import pytest

import recurra
from exported import FMA, FUSED, Exported, answer, compile_c, needs_compiler, same_bits
from formula_cells import CELLS
from formulas_random import random_formula
from recurra import cells
from recurra.formula import cos, erf, exp, expm1, log, log1p, sigmoid, sin, sqrt, tanh
from recurra.formula.operations import InputShape
from recurra.formula_layer import layer_class

pytestmark = needs_compiler


def learned(layer, seed):
    """The layer with other numbers than zeros in what begins as zeros."""
    rng = np.random.default_rng(seed)
    state = layer.state_dict()
    for name, value in state.items():
        if value.ndim < 2 or name in {"h0", "c0"}:
            state[name] = (0.5 * rng.standard_normal(value.shape)).astype(np.float32)
    layer.load_state_dict(state)
    return layer


LAYERS = {
    "rnn": learned(recurra.RNN(3, 9, learned_state=True, seed=0), 0),
    "relu": recurra.RNN(1, 8, nonlinearity="relu", bias=False, seed=0),
    "gru": recurra.GRU(5, 13, batch_first=True, seed=1),
    "before": recurra.GRU(3, 17, num_layers=2, reset_after=False, seed=2),
    "lstm": learned(recurra.LSTM(7, 16, num_layers=2, learned_state=True, seed=3), 1),
    "one": recurra.LSTM(1, 1, seed=4),
    "projected": recurra.LSTM(4, 10, num_layers=2, proj_size=3, seed=5),
    "tokens": recurra.GRU(6, 7, tokens=True, seed=6),
    "linear": recurra.Linear(5, 11, seed=7),
    "no_bias": recurra.Linear(1, 1, bias=False, seed=8),
    "embedding": recurra.Embedding(6, 5, seed=9),
    "readout": recurra.Sequential(
        recurra.LSTM(3, 12, seed=10),
        recurra.Dropout(0.5),
        recurra.Linear(12, 9, seed=11),
        recurra.Tanh(),
        recurra.Linear(9, 4, seed=12),
        recurra.ReLU(),
        recurra.Sigmoid(),
        recurra.Dropout(0.5),
    ),
    "text": recurra.Sequential(
        recurra.Embedding(6, 5, seed=13),
        recurra.Sequential(recurra.GRU(5, 8, num_layers=2, seed=14), recurra.RNN(8, 6, seed=15)),
        recurra.Linear(6, 6, seed=16),
    ),
    "peephole": learned(cells.PeepholeLSTM(3, 8, num_layers=2, seed=17), 2),
    "front": recurra.Sequential(recurra.Dropout(0.1), recurra.Tanh(), recurra.Sigmoid(), recurra.Linear(4, 3, seed=18)),
    "no_end": recurra.Sequential(recurra.Linear(4, 6, seed=19), recurra.GRU(6, 5, seed=20)),
}


@pytest.fixture(scope="module")
def layers(tmp_path_factory):
    return Exported(tmp_path_factory.mktemp("layers"), LAYERS, *FMA)


SEVERAL = ("gru", "lstm", "before", "projected", "readout", "text", "peephole")


@pytest.fixture(scope="module")
def unfused(layers):
    return layers.built("-ffp-contract=off", names=SEVERAL)


def sequence(exported, name, steps, seed=0):
    rng = np.random.default_rng(seed)
    if exported.tokens[name]:
        return rng.integers(0, int(exported.macro(name, "TOKENS")), steps)
    return rng.standard_normal((steps, int(exported.macro(name, "INPUT_SIZE")))).astype(np.float32)


@pytest.mark.parametrize("name", LAYERS)
def test_a_header_gives_the_bits_of_the_call(layers, name):
    x = sequence(layers, name, 40)
    expected = answer(LAYERS[name], x)
    got = layers.run(name, x)
    assert same_bits(got, expected) or (not FUSED and np.abs(got - expected).max() < 2e-6)
    assert np.abs(expected).max() > 0.05


@pytest.mark.parametrize("name", SEVERAL)
def test_without_fma_it_is_within_rounding(layers, unfused, name):
    x = sequence(layers, name, 40)
    expected = answer(LAYERS[name], x)
    assert np.abs(layers.run(name, x, library=unfused) - expected).max() < 2e-6


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e38, 1e-40, -0.0])
def test_strange_numbers_give_what_the_call_gives(layers, value):
    for name in ("gru", "lstm", "relu", "readout"):
        x = sequence(layers, name, 4)
        x[1, 0] = value
        expected = answer(LAYERS[name], x)
        np.testing.assert_allclose(layers.run(name, x), expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("name", ["gru", "projected", "readout", "text"])
def test_a_step_is_a_stream_s_step(layers, name):
    x = sequence(layers, name, 20)
    stream = recurra.Stream(LAYERS[name])
    expected = np.stack([np.array(stream(x_t)) for x_t in x]).reshape(20, -1)
    got = layers.run(name, x)
    assert same_bits(got, expected) or (not FUSED and np.abs(got - expected).max() < 2e-6)


def test_last_is_the_step_s_own_result(tmp_path):
    model = recurra.Sequential(recurra.GRU(3, 4, seed=0), recurra.Last(), recurra.Linear(4, 2, seed=1))
    exported = Exported(tmp_path, {"last": model}, *FMA)
    x = sequence(exported, "last", 5)
    got = exported.run("last", x)
    for t in range(5):
        np.testing.assert_allclose(got[t], model(x[: t + 1]), atol=2e-6)


def test_layer_norm_is_within_rounding(tmp_path):
    model = recurra.Sequential(recurra.GRU(3, 19, seed=0), learned(recurra.LayerNorm(19, eps=1e-3), 0), recurra.Tanh())
    exported = Exported(tmp_path, {"norm": model}, *FMA)
    x = sequence(exported, "norm", 20)
    assert np.abs(exported.run("norm", x) - model(x)).max() < 2e-6


# ---- Formulas

HIDDEN, STEPS = 4, 5


def formula_layer(formula, seed):
    """One layer, or two where the second can read what the first gives."""
    raw, projects = formula.reads_input_itself, formula.projects
    options = {"proj_size": 2} if projects else {}
    layer = layer_class(formula)(HIDDEN if raw else 3, HIDDEN, num_layers=1 if raw else 2, seed=seed, **options)
    return learned(layer, seed)


def formula_models():
    formulas = {f"random{seed}": random_formula(seed).make() for seed in range(14)}
    own = (
        "layer_norm_lstm",
        "rg_lru",
        "s_lstm",
        "chain",
        "halves_and_sum",
        "pass_through",
        "two_stages_twice",
        "cornn",
    )
    formulas |= {name: CELLS[name] for name in own}
    return {name: formula_layer(formula, seed) for seed, (name, formula) in enumerate(formulas.items())}


@pytest.fixture(scope="module")
def formulas(tmp_path_factory):
    return Exported(tmp_path_factory.mktemp("formulas"), formula_models(), *FMA)


def check_formula(exported, name):
    rng = np.random.default_rng(1)
    layer = exported.models[name]
    shapes = {
        InputShape.PER_UNIT: (STEPS, 1, HIDDEN),
        InputShape.PER_STEP: (STEPS, 1),
        InputShape.PER_ROW: (1, HIDDEN),
    }
    inputs = {
        key: rng.standard_normal(shapes[shape]).astype(np.float32)
        for key, shape in layer.formula.declared.inputs.items()
    }
    x = rng.standard_normal((STEPS, layer.input_size)).astype(np.float32)
    expected = np.ascontiguousarray(answer(layer, x[:, None], inputs)[:, 0])
    got = exported.run(name, x, *inputs.values())
    if FUSED:
        assert same_bits(got, expected)
    np.testing.assert_allclose(got, expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("name", formula_models())
def test_a_formula_is_the_same_program(formulas, name):
    check_formula(formulas, name)


@pytest.mark.exhaustive
def test_many_formulas_are_the_same_programs(tmp_path):
    models = {f"random{seed}": formula_layer(random_formula(seed).make(), seed) for seed in range(8, 400)}
    kinds = {name.lower(): getattr(cells, name) for name in cells.__all__}
    models |= {name: formula_layer(kind.formula, 0) for name, kind in kinds.items() if isinstance(kind, type)}
    exported = Exported(tmp_path, models, *FMA)
    for name in models:
        check_formula(exported, name)


FUNCTIONS = {f.__name__: f for f in (sigmoid, tanh, exp, expm1, log, log1p, sin, cos, erf, sqrt)}
WIDTH = 2048  # numbers a step


def of_each(function):
    @recurra.formula()
    def each(x):
        return function(x.x)

    return each(WIDTH, WIDTH)


def test_functions_are_the_kernels_own(tmp_path):
    """From subnormal numbers to infinity, and closely around zero."""
    exported = Exported(tmp_path, {f"own_{name}": of_each(f) for name, f in FUNCTIONS.items()}, *FMA)
    unfused = exported.built("-ffp-contract=off")
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, (2, WIDTH), dtype=np.uint32).view(np.float32)
    bits[0, :6] = 0, -0.0, np.inf, -np.inf, np.nan, 1e-40
    x = np.concatenate([bits, (rng.standard_normal((4, WIDTH)) * [[0.1], [1], [10], [60]]).astype(np.float32)])
    for name in FUNCTIONS:
        expected = answer(exported.models[f"own_{name}"], x)
        got = exported.run(f"own_{name}", x)
        tiny = np.abs(x) < np.finfo(np.float32).tiny  # which the kernels take for zero
        small = np.abs(expected) < np.finfo(np.float32).tiny
        assert not FUSED or same_bits(got[~tiny & ~small], expected[~tiny & ~small]), name
        within = np.abs(x) < 1e5  # beyond, a sine is only certain to be in [-1, 1]
        other = exported.run(f"own_{name}", x, library=unfused)
        np.testing.assert_allclose(other[within & ~tiny], expected[within & ~tiny], rtol=5e-7, atol=1e-37)


# ---- The state


def test_tokens_out_of_range_change_nothing(layers):
    text = """
#include <stdio.h>
#include <string.h>
#include "text.h"
int main(void)
{
  text_state state, before;
  float y[TEXT_OUTPUT_SIZE] = {7.0f};
  memset(&state, 0, sizeof state);
  text_reset(&state);
  if (text_step(&state, 3, y) != 0) return 1;
  before = state;
  y[0] = 7.0f;
  if (text_step(&state, TEXT_TOKENS, y) != -1 || text_step(&state, -1, y) != -1) return 2;
  if (memcmp(&state, &before, sizeof state) || y[0] < 6.5f) return 3;
  return 0;
}
"""
    assert subprocess.run([compile_c(layers.folder, text)], check=False).returncode == 0


def test_a_copied_state_goes_its_own_way_and_a_reset_one_begins_anew(layers):
    text = """
#include <string.h>
#include "lstm.h"
int main(void)
{
  static float x[LSTM_INPUT_SIZE] = {1.0f, -0.5f}, y[LSTM_OUTPUT_SIZE], z[LSTM_OUTPUT_SIZE], first[LSTM_OUTPUT_SIZE];
  lstm_state state, fork;
  lstm_reset(&state);
  lstm_step(&state, x, first);
  fork = state;
  lstm_step(&state, x, y);
  lstm_step(&fork, x, z);
  if (memcmp(y, z, sizeof y) || !memcmp(y, first, sizeof y)) return 1;
  lstm_reset(&fork);
  lstm_step(&fork, x, z);
  return memcmp(z, first, sizeof z) ? 2 : 0;
}
"""
    assert subprocess.run([compile_c(layers.folder, text)], check=False).returncode == 0


def test_nothing_is_read_or_written_beyond_its_end(layers):
    """By the sanitizers, which the compiler brings or doesn't."""
    options = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"]
    try:
        compile_c(layers.folder, "int main(void) { return 0; }", *options)
    except AssertionError:
        pytest.skip("needs the compiler's sanitizers")
    names = ("before", "readout", "text", "projected")
    main = layers.source(names) + "int main(void)\n{\n"
    for name in names:
        size = f"{name.upper()}_{'TOKENS' if layers.tokens[name] else 'INPUT_SIZE'}"
        of = "int" if layers.tokens[name] else "float"
        main += f"  {{\n    {of} x[5 * {size}] = {{0}};\n    float y[5 * {name.upper()}_OUTPUT_SIZE];\n"
        main += f"    run_{name}(x, 5, y);\n  }}\n"
    made = compile_c(layers.folder, main + "  return 0;\n}\n", *options)
    result = subprocess.run([made], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


# ---- Compilers


COMPILERS = [
    ("gcc", "-std=c99", "-O2"),
    ("clang", "-std=c99", "-O0"),
    ("g++", "-std=c++11", "-O0"),
    *(
        pytest.param(compiler, language, level, marks=pytest.mark.exhaustive)
        for compiler in ("gcc", "clang", "g++", "clang++")
        for language in (("-std=c++98", "-std=c++20") if "+" in compiler else ("-std=c99", "-std=gnu17"))
        for level in ("-O1", "-O3", "-Os")
    ),
]


@pytest.mark.parametrize(("compiler", "language", "level"), COMPILERS)
def test_every_compiler_is_silent(layers, compiler, language, level):
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    options = ["-x", "c++"] if "+" in compiler else []
    compile_c(
        layers.folder, layers.source(["before", "text"]), *options, level, "-c", compiler=compiler, language=language
    )


def test_two_headers_fit_into_one_file_and_leave_no_macros(layers):
    macros = "defined(GRU_MULTIPLY_ADD) || defined(LSTM_MULTIPLY_ADD)"
    text = f'#include "gru.h"\n#include "lstm.h"\n#include "gru.h"\n#if {macros}\n#error two\n'
    compile_c(layers.folder, text + "#endif\nint main(void) { return GRU_INPUT_SIZE - 5; }\n", "-Wno-unused-function")
