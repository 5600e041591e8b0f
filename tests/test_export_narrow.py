"""Exported compressed models: the bits of their own calls, and sums of integers that are exact."""

import subprocess

import numpy as np
import pytest

import recurra
from exported import FMA, FUSED, Exported, answer, compile_c, needs_compiler, same_bits
from formula_cells import CELLS
from recurra import cells
from recurra.formula_layer import layer_class
from test_export import learned, sequence
from test_export_arm import check_on_arm, needs_arm

ORIGINALS = {
    "relu": recurra.RNN(5, 8, nonlinearity="relu", bias=False, seed=0),
    "gru": recurra.GRU(5, 13, num_layers=2, batch_first=True, seed=1),
    "before": recurra.GRU(3, 17, reset_after=False, seed=2),
    "lstm": learned(recurra.LSTM(7, 16, num_layers=2, learned_state=True, seed=3), 1),
    "projected": recurra.LSTM(4, 10, num_layers=2, proj_size=3, seed=5),
    "tokens": recurra.GRU(6, 7, tokens=True, seed=6),
    "text": recurra.Sequential(
        recurra.Embedding(6, 5, seed=13),
        recurra.Sequential(recurra.GRU(5, 8, seed=14), recurra.Dropout(0.5), recurra.RNN(8, 6, seed=15)),
        recurra.Linear(6, 6, seed=16),
        recurra.Tanh(),
    ),
    "peephole": learned(cells.PeepholeLSTM(3, 8, seed=17), 2),
    "heads": learned(layer_class(CELLS["s_lstm"])(3, 6, seed=18), 3),
    "normed": learned(layer_class(CELLS["layer_norm_lstm"])(3, 21, seed=19), 4),
}


MODELS = {f"{name}_int8": recurra.compress(model) for name, model in ORIGINALS.items()} | {
    f"{name}_{weights}": recurra.compress(ORIGINALS[name], weights)
    for weights in ("bfloat16", "float16")
    for name in ("lstm", "text", "heads")
}


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    return Exported(tmp_path_factory.mktemp("narrow"), MODELS, *FMA)


@needs_compiler
@pytest.mark.parametrize("name", MODELS)
def test_a_compressed_model_gives_the_bits_of_its_call(narrow, name):
    x = sequence(narrow, name, 40)
    got, expected = narrow.run(name, x), answer(MODELS[name], x)
    if FUSED:
        assert same_bits(got, expected)
    # Where activations differ in their last bit, so may what h is rounded to: by one of 2047 levels.
    np.testing.assert_allclose(got, expected, atol=1e-3)
    original = answer(ORIGINALS[name.rpartition("_")[0]], x)
    assert not same_bits(got, original)
    np.testing.assert_allclose(got, original, atol=0.05)


@needs_compiler
def test_without_fma_it_is_within_rounding_or_a_level(narrow):
    names = ("lstm_int8", "text_int8", "lstm_bfloat16", "text_float16")
    unfused = narrow.built("-ffp-contract=off", names=names)
    for name in names:
        x = sequence(narrow, name, 40)
        apart = np.abs(narrow.run(name, x, library=unfused) - answer(MODELS[name], x)).max()
        assert apart < (1e-3 if name.endswith("int8") else 2e-6), name


@needs_compiler
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30, 1e-31, -0.0])
def test_strange_numbers_give_what_the_call_gives(narrow, value):
    for name in ("gru_int8", "lstm_int8", "relu_int8", "lstm_float16"):
        x = sequence(narrow, name, 4)
        x[1] = value
        expected = answer(MODELS[name], x)
        assert not FUSED or same_bits(narrow.run(name, x), expected)


@needs_compiler
def test_integer_sums_are_exact(tmp_path):
    """Of every depth that leaves something over, and of numbers whose sum needs all of 32 bits, or more."""
    depths = (1, 2, 3, 64, 8192, 8300)
    text, rng = "", np.random.default_rng(0)
    expected = []
    for depth in depths:
        model = recurra.Linear(depth, 6, bias=False, seed=0)
        w = rng.integers(-127, 128, (6, depth))
        w[0], w[:, 0] = 127, 127  # so that the scale of each row is 1
        model.load_state_dict({"weight": w.astype(np.float32)})
        recurra.export_c(recurra.compress(model), tmp_path / f"d{depth}.h", name=f"d{depth}")
        # x holds whole numbers up to 2047, so that they are their own levels.
        x = np.where(np.arange(depth) % 3 == 0, 2047, np.arange(depth) % 4094 - 2046)
        expected.append((w @ x).astype(np.float32))
        expected.append((w @ np.full(depth, 2047)).astype(np.float32))
        text += f"""
#include "d{depth}.h"
static void check{depth}(void)
{{
  static float x[{depth}], y[6];
  static d{depth}_state state;
  int i, turn;
  for (turn = 0; turn < 2; ++turn) {{
    for (i = 0; i < {depth}; ++i) x[i] = turn || i % 3 == 0 ? 2047.0f : (float)(i % 4094 - 2046);
    d{depth}_step(&state, x, y);
    for (i = 0; i < 6; ++i) printf("%.9g\\n", (double)y[i]);
  }}
}}
"""
    calls = "".join(f"  check{depth}();\n" for depth in depths)
    made = compile_c(tmp_path, f"#include <stdio.h>\n{text}int main(void)\n{{\n{calls}  return 0;\n}}\n", *FMA)
    printed = subprocess.run([made], capture_output=True, text=True, check=True).stdout.split()
    np.testing.assert_array_equal(np.array(printed, np.float32), np.concatenate(expected))
    assert max(np.abs(sums).max() for sums in expected) > 2**31


@needs_arm
def test_a_microcontroller_gives_the_same_bits_by_its_own_instructions(tmp_path):
    model = recurra.Sequential(recurra.GRU(5, 14, seed=0), recurra.LSTM(14, 8, seed=1), recurra.Linear(8, 3, seed=2))
    x = np.random.default_rng(0).standard_normal((6, 5)).astype(np.float32)
    check_on_arm(recurra.compress(recurra.Sequential(*model, recurra.Tanh())), x, "-O2", tmp_path)
