"""The gallery's first steps, each run shortened: what it prints, the figures of its last line, and its picture."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

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


def test_vanilla_rnn_agrees_with_numpy_and_has_pytorchs_shapes():
    out, figures = example("vanilla_rnn", "--seed", "1")
    assert 0 < figures["difference"] < 1e-6
    shapes = re.findall(r"^(?:one layer|two layers|two layers, both ways) +(\(.*?\)) +(\(.*?\))$", out, re.MULTILINE)
    assert shapes == [
        ("(1, 10, 8)", "(1, 1, 8)"),
        ("(1, 10, 8)", "(2, 1, 8)"),
        ("(1, 10, 16)", "(4, 1, 8)"),
    ]
    for task in ("one-to-many", "many-to-one", "many-to-many, step by step", "many-to-many, encoder-decoder"):
        assert f"\n{task} " in out


def test_bptt_by_hand_sums_to_backwards_gradient():
    """The printed terms too, to the digits that are shown; and a bias of the forget gate keeps gradients."""
    out, figures = example("bptt_by_hand", "--steps", "60", "--seed", "1")
    assert figures["difference"] < 1e-14
    rows = re.findall(r"^t = \d(.*)$", out, re.MULTILINE)
    assert [len(row.split()) for row in rows] == [1, 2, 3, 4]
    assert sum(float(term) for row in rows for term in row.split()) == pytest.approx(figures["gradient"], abs=6e-4)
    assert max(figures[f"{kind}_bias_0"] for kind in ("rnn", "gru", "lstm")) < 1e-6
    assert figures["lstm_bias_0"] < 1e-3 * figures["lstm_bias_1"] < 1e-3 * figures["lstm_bias_3"]


def test_hihello_learns():
    out, figures = example("hihello", "--epochs", "6", "--seed", "1")
    strings = re.findall(r"^ +(\d+)  (\d\.\d{4})   '(.{24})'$", out, re.MULTILINE)
    assert [int(epoch) for epoch, _, _ in strings] == [1, 2, 3, 4, 5, 6]
    assert figures["loss_1"] > 2.5
    assert figures["loss"] < 1.3
    assert figures["right"] >= 16
    right = sum(a == b for a, b in zip(strings[-1][2], "My name is Ji Myung Hwa.", strict=True))
    assert figures["right"] == right
    assert figures["exact"] == (right == 24)


def test_regression_beats_the_naive_forecast():
    out, figures = example("regression", "--epochs", "100", "--seed", "1")
    assert figures["sixth_rmse"] < 0.05  # the values' own deviation is 0.29
    assert figures["gru_rmse"] < 0.75 * figures["naive_rmse"]
    assert 0.85 < figures["inside"] < 0.99
    assert len(re.findall(r"^\d days ahead +\d\.\d\d +\d\.\d\d +\d+\.\d\d$", out, re.MULTILINE)) == 7


def test_forecasts_beat_the_day_and_the_week_before():
    pytest.importorskip("sklearn")
    out, figures = example("forecast", "--epochs", "3", "--seed", "1")
    assert figures["gru_rmse"] < 0.7 * min(figures["day_rmse"], figures["week_rmse"])
    assert 0.6 < figures["inside"] < 0.9
    assert len(re.findall(r"^ *\d+ hours ahead( +\d+\.\d\d){3}$", out, re.MULTILINE)) == 4
