"""The gallery's cells of one's own, resets and spikes, each run shortened: what it prints, its figures, its picture."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name, *arguments):
    """Its output, and the name=value pairs of the last line; it must have drawn its picture anew."""
    picture = EXAMPLES / "output" / f"{name}.png"
    picture.unlink(missing_ok=True)
    command, env = [sys.executable, EXAMPLES / f"{name}.py", *arguments], os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)
    assert result.returncode == 0, result.stderr
    assert not result.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    pairs = [pair.split("=") for pair in result.stdout.splitlines()[-1].split()]
    return result.stdout, {key: float(value) for key, value in pairs}


def test_own_cell_decides_and_remembers():
    """Where motion is clear, nearly always; where it is hardly there, not much more often than by chance."""
    out, figures = example("own_cell", "--updates", "400", "--seed", "1")
    assert len(re.findall(r"^update +\d+  loss \d\.\d{4}  right \d+%$", out, re.MULTILINE)) == 4
    assert figures["right_where_clear"] > 0.95
    assert 0.7 < figures["right"] < 0.95
    assert figures["loss"] < 0.4


def test_own_cell_obeys_dales_law(monkeypatch):
    """Whatever V is."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    own_cell = importlib.import_module("own_cell")
    layer, free = (own_cell.Rates(3, own_cell.UNITS, seed=seed) for seed in (0, 1))
    own_cell.constrain(layer, free)
    W = layer.params["weight_hh_l0"]
    assert (W[:, : own_cell.EXCITATORY] >= 0).all()
    assert (W[:, own_cell.EXCITATORY :] <= 0).all()
    assert not np.diag(W).any()
    assert np.array_equal(np.abs(W), np.abs(free.params["weight_hh_l0"]) * (1 - np.eye(own_cell.UNITS)))


def test_a_policy_with_memory_earns_more():
    _, figures = example("recurrent_policy", "--updates", "200", "--longest", "8", "--seed", "1")
    assert figures["with_memory"] > 0.6
    assert abs(figures["without"]) < 0.25


def test_spikes_tell_digits():
    pytest.importorskip("sklearn")
    out, figures = example("spikes", "--epochs", "8", "--seed", "1")
    assert re.search(r"^epoch +5  loss 0\.\d{4}  unseen digits \d\d\.\d%$", out, re.MULTILINE)
    assert figures["accuracy"] > 0.8  # 0.1 is chance
    assert 20 < figures["spikes_a_digit"] < 500
