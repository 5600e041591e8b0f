"""docs/export.md: its program compiles and prints what its Python prints; and examples/microphone.py."""

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from exported import FMA, FUSED, compile_c, needs_compiler

ROOT = Path(__file__).parents[1]


def block(language):
    return re.search(
        rf"^```{language}\n(.*?)^```$", (ROOT / "docs" / "export.md").read_text(), re.MULTILINE | re.DOTALL
    )[1]


@needs_compiler
def test_the_program_prints_what_python_prints(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    exec(block("python"), {})
    expected = capfd.readouterr().out.split()
    assert len(expected) == 8
    made = compile_c(tmp_path, block("c"), *FMA)
    printed = subprocess.run([made], capture_output=True, text=True, check=True).stdout.split()
    np.testing.assert_allclose(np.array(printed, float), np.array(expected, float), atol=2e-6 if FUSED else 1e-3)


def test_a_keyword_goes_from_sound_to_c():
    command = [sys.executable, ROOT / "examples" / "microphone.py", "--epochs", "30", "--clips", "120"]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)
    assert result.returncode == 0, result.stderr
    figures = {key: float(value) for key, value in (pair.split("=") for pair in result.stdout.splitlines()[-1].split())}
    assert figures["accuracy"] > 0.8
    assert abs(figures["accuracy"] - figures["int8_accuracy"]) < 0.05
    assert 20_000 < figures["header_bytes"] < 60_000
    assert math.isnan(figures["c_us"]) or 0 < figures["c_us"] < 100
    assert figures.get("apart", 0) < (2e-6 if FUSED else 1e-2)
