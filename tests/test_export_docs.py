"""docs/export.md: its program compiles and prints what its Python prints; and examples/microphone.py."""

import re
import subprocess
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
