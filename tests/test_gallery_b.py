"""The gallery's text examples, each run shortened: what it prints, the figures of its last line, and its picture."""

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


def test_char_lm_learns():
    out, figures = example("char_lm", "--characters", "50000", "--seed", "1")
    reports = re.findall(r"^ *(\d+)/12 +(\d+\.\d\d) +(\d+\.\d\d)  def ", out, re.MULTILINE)
    assert [int(number) for number, _, _ in reports] == list(range(1, 13))
    assert float(reports[0][1]) > 20
    assert figures["perplexity"] == pytest.approx(float(reports[-1][2]), abs=0.01)
    assert float(reports[0][2]) > 15
    assert figures["perplexity"] < 9
    assert figures["characters_per_second"] > 0


def test_char_lm_reads_another_file_with_another_cell(tmp_path):
    file = tmp_path / "counting.txt"
    file.write_text("one, two, three, four, fünf\n" * 1000, "utf-8")
    out, figures = example("char_lm", "--file", str(file), "--cell", "LSTM", "--prompt", "one, two, ")
    assert out.startswith("26600 characters of 14 kinds")
    assert figures["perplexity"] < 1.5


def test_word2vec_brings_words_of_a_kind_together():
    """Of eight kinds, a word's nearest is of its own for an eighth at most before anything is learned."""
    pytest.importorskip("sklearn")
    out, figures = example("word2vec", "--batches", "400", "--seed", "1")
    assert figures["words"] > 40
    assert figures["cbow_same_kind"] > 0.25
    assert figures["skip_gram_same_kind"] > 0.25
    for name in ("cbow", "skip_gram"):
        first, last = re.search(rf"^{name}: loss (\d\.\d+) at first, (\d\.\d+) in the end$", out, re.MULTILINE).groups()
        assert float(last) < 0.9 * float(first)
    assert len(re.findall(r"^ *\w+: \w+(, \w+){5}$", out, re.MULTILINE)) == 16


def test_word2vec_trains_one_model():
    pytest.importorskip("sklearn")
    _, figures = example("word2vec", "--model", "skip_gram", "--batches", "10")
    assert set(figures) == {"words", "skip_gram_same_kind"}


def test_highlight_tells_kinds_of_tokens():
    out, figures = example("highlight", "--characters", "120000", "--epochs", "3", "--seed", "1")
    accuracies = re.findall(r"^epoch \d: loss \d\.\d+, accuracy in unseen modules (\d+\.\d\d)%$", out, re.MULTILINE)
    assert figures["accuracy"] == pytest.approx(float(accuracies[-1]) / 100, abs=1e-4)
    assert float(accuracies[0]) / 100 < figures["accuracy"]
    assert figures["accuracy"] > 0.6  # the most frequent kind is 30 %
    assert "\ndef rgb_to_yiq(r, g, b):\n" in out
    assert "\033" not in out


def test_dates_get_better():
    out, figures = example("dates", "--steps", "240", "--seed", "1")
    written = re.findall(r"loss (\d\.\d+), .*% right; (.+) -> ([\d-]{10})$", out, re.MULTILINE)
    assert len(written) == 15
    assert float(written[0][0]) > 1.5
    assert figures["loss"] < 1.1
    assert all(re.fullmatch(r"\d{4}-[01]\d-[0-3]\d", answer) for _, _, answer in written[-3:])
    assert 0 <= figures["exact"] < 0.5


def test_attention_finds_where_to_look():
    """Most dates are right after a sixth of what dates.py learns from without it."""
    out, figures = example("attention", "--steps", "300", "--seed", "1")
    written = re.findall(r"loss (\d\.\d+), .*% right; (.+) -> ([\d-]{10})$", out, re.MULTILINE)
    assert len(written) == 15
    assert float(written[0][0]) > 1
    assert figures["loss"] < 0.5
    assert 0.3 < figures["exact"] <= 1
