"""The gallery's digits, each run shortened: what it prints, the figures of its last line, and its picture."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name, *arguments, picture=None):
    """Its output, and the name=value pairs of the last line; it must have drawn its picture anew."""
    path = EXAMPLES / "output" / f"{picture or name}.png"
    path.unlink(missing_ok=True)
    command, env = [sys.executable, EXAMPLES / f"{name}.py", *arguments], os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)
    assert result.returncode == 0, result.stderr
    assert not result.stderr
    assert path.read_bytes().startswith(b"\x89PNG")
    pairs = [pair.split("=") for pair in result.stdout.splitlines()[-1].split()]
    return result.stdout, {key: float(value) for key, value in pairs}


def test_digits_reads_most_after_a_few_epochs():
    """And what it says of single digits agrees with the accuracy."""
    out, figures = example("digits", "--epochs", "12", "--seed", "1")
    assert figures["accuracy"] > 0.8  # 0.1 is chance
    assert figures["loss"] < 0.7
    wrong, unseen, which = re.search(r"^(\d+) of (\d+) unseen digits misread: (.*)$", out, re.MULTILINE).groups()
    assert len(which.split(", ")) == int(wrong)
    assert abs(figures["accuracy"] - (1 - int(wrong) / int(unseen))) < 1e-4


def test_draw_digit_draws_legibly():
    """Nearer to the mean of its label than a real digit is, and not all alike."""
    out, figures = example("draw_digit", "--epochs", "12", "--seed", "1")
    losses = [float(loss) for loss in re.findall(r"^epoch +\d+ .* (\d\.\d+)$", out, re.MULTILINE)]
    assert [round(figures["loss"], 4) < loss < figures["real_mse"] for loss in losses] == [True]
    assert figures["mse"] < 0.5 * figures["real_mse"]
    assert figures["loss"] < 0.75 * figures["real_mse"]
    assert figures["legible"] > 0.9
    assert 0.2 < figures["spread"] < 1.2


@pytest.mark.parametrize(
    ("picture", "options"),
    [("gan", ["--steps", "1500"]), ("gan_recurrent", ["--recurrent", "--steps", "800"])],
    ids=["feedforward", "recurrent"],
)
def test_gan_becomes_recognisable(picture, options):
    """From nothing; how far it is so early varies from run to run."""
    out, figures = example("gan", "--seed", "2", *options, picture=picture)
    assert len(re.findall(r"^step +\d+  discriminator \d\.\d{3}  generator \d\.\d{3}  ", out, re.MULTILINE)) == 8
    assert figures["real"] > 0.7
    assert figures["untrained"] < 0.02
    assert figures["recognised"] > 0.05
    assert figures["classes"] >= 2
