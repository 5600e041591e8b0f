"""`describe` of layers: numbers are those of real layers, and a tape takes the bytes that it says."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import recurra
from recurra import cells


class _Mallinfo2(ctypes.Structure):
    """The allocator's account of itself, as the GNU C library has it."""

    NAMES = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in NAMES.split()]


def allocated():
    """Bytes that are handed out, in blocks of the heap and in mapped ones."""
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = _Mallinfo2
    info = mallinfo2()
    return info.uordblks + info.hblkhd


def has_mallinfo2():
    return sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "mallinfo2")


def number(text, what):
    return int(re.search(rf"^  {what}: ([\d,]+)", text, re.MULTILINE)[1].replace(",", ""))


TAPES = {
    "states": (cells.PeepholeLSTM, {}),
    "stages": (cells.LayerNormGRU, {}),
    "directions": (cells.MGU, {"num_layers": 2, "bidirectional": True}),
    "projection": (cells.ProjectedLSTM, {"num_layers": 2, "proj_size": 24}),
    "an input": (cells.LeakyRNN, {}),
    "an input of a number": (cells.CfC, {"num_layers": 2}),
}


T, B, FEATURES, H = 150, 40, 30, 72


def measured(case):
    """The bytes that a tape takes in a process that has made nothing else but another one before.

    The first call may leave the thread's scratch memory behind; both tapes live, so the second can't take its blocks.
    """
    kind, options = TAPES[case]
    layer = kind(FEATURES, H, **options, seed=0)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((T, B, FEATURES), np.float32)
    shapes = {"noise": (T, B, H), "dt": (T, B)}
    inputs = {name: rng.random(shapes[name], np.float32) for name in kind.formula.declared.inputs} or None
    first = layer.forward(x, inputs=inputs)
    before = allocated()
    y, state, tape = layer.forward(x, inputs=inputs)
    taken = allocated() - before - y.nbytes
    del first, tape, state
    return taken


@pytest.fixture(scope="module")
def taken():
    """Bytes by case, each of a process of its own, which are forked where the imports are done."""
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, timeout=60, check=True, env=env)
    return dict(zip(TAPES, map(int, done.stdout.split()), strict=True))


@pytest.mark.skipif(not has_mallinfo2(), reason="needs the GNU C library from 2.33 on")
@pytest.mark.parametrize("case", TAPES)
def test_a_tape_takes_what_is_said(case, taken):
    """But for the pages that large blocks are rounded to, and small things."""
    kind, options = TAPES[case]
    text = kind.describe(FEATURES, H, **options, steps=T, batch=B)
    said = number(text, rf"a tape of T = {T} steps and B = {B} sequences, in float32")
    assert said > 6e6
    assert 0 <= taken[case] - said < 100_000


@pytest.mark.parametrize("case", TAPES)
def test_numbers_are_those_of_a_layer(case):
    kind, options = TAPES[case]
    text = kind.describe(30, 72, **options)
    assert text.startswith(kind.describe() + "\n")
    assert "tape of" not in text
    layer = kind(30, 72, **options)
    assert number(text, "parameters") == sum(value.size for value in layer.params.values())
    for name, value in layer.params.items():
        assert (f"\n  {name} {value.shape}\n" in text) != name.endswith("_reverse")
    matrices = sum(2 * value.size for value in layer.params.values() if value.ndim == 2)
    assert matrices < number(text, "FLOPs a step and sequence") < matrices + 72 * 200 * layer.num_layers * 2


def test_flops_are_those_of_the_formula():
    """Of the minimal gated unit as docs/cells.md has it: 4 I + 4 H + 7 a unit."""
    text = cells.MGU.describe(5, 3)
    assert "FLOPs a step, sequence and unit: 4 I + 4 H + 7\n" in text
    assert number(text, "FLOPs a step and sequence") == 3 * (4 * 5 + 4 * 3 + 7)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"input_size": 3}, TypeError, "hidden_size: expected a positive integer"),
        ({"steps": 3, "batch": 2}, TypeError, "input_size: expected a positive integer"),
        ({"input_size": 3, "hidden_size": 0}, ValueError, "hidden_size: expected"),
        ({"input_size": 3, "hidden_size": 4, "steps": 5}, TypeError, "batch: expected a positive integer"),
        ({"input_size": 3, "hidden_size": 4, "proj_size": 2}, ValueError, "proj_size: expected 0"),
    ],
)
def test_sizes_that_are_missing_or_wrong(arguments, error, message):
    with pytest.raises(error, match=message):
        cells.MGU.describe(**arguments)


def test_built_in_layers_have_none():
    assert not hasattr(recurra.LSTM, "describe")


if __name__ == "__main__":
    for name in TAPES:
        if os.fork() == 0:
            print(measured(name), flush=True)
            os._exit(0)
        os.wait()
