"""What a newcomer runs first: the example, the blocks of README and documentation, and the commands README has."""

from __future__ import annotations

import importlib
import os
import re
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import recurra

ROOT = Path(__file__).parents[1]
HELLO = ROOT / "examples" / "hello_rnn.py"
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "api").glob("*.md")),
]

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def python(*arguments, text=None, folder=None):
    """One thread: where others use the CPUs as well, two may wait for each other most of the time."""
    command, env = [sys.executable, *map(str, arguments)], os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=60, check=False, env=env, cwd=folder
    )


def ends(monkeypatch, example, *arguments):
    """With which status it ends by itself, in this process: a fresh one takes longer than all that it does."""
    monkeypatch.setattr(sys, "argv", [str(example), *arguments])
    monkeypatch.syspath_prepend(str(example.parent))
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(example), run_name="__main__")
    return end.value.code


def hello(*arguments):
    """Its output, and the name=value pairs of the last line."""
    result = python(HELLO, *arguments)
    assert result.returncode == 0, result.stderr
    assert not result.stderr
    pairs = [pair.split("=") for pair in result.stdout.splitlines()[-1].split()]
    return result.stdout, {name: float(value) for name, value in pairs}


# ---- The example


def test_hello_rnn_learns_the_sentence():
    """From the loss of a network that knows nothing to one that recites; NumPy's begins where recurra's does."""
    cells = ["rnn", "lstm", "gru"]
    out, figures = hello("--epochs", "120", "--seed", "0")
    names = ("loss_0", "loss_100", "numpy_loss_100", "recited", "seconds", "numpy_seconds", "fast_numpy_seconds")
    assert list(figures) == [f"{cell}_{name}" for cell in cells for name in names]
    firsts = re.findall(r"^ +0 +(\d\.\d\de\S+) +(\d\.\d\de\S+)$", out, re.MULTILINE)
    assert len(firsts) == len(cells)
    for cell, (ours, numpys) in zip(cells, firsts, strict=True):
        assert figures[f"{cell}_loss_0"] == pytest.approx(float(ours), abs=6e-3)  # of three digits
        assert float(ours) > 1.5
        assert abs(float(ours) - float(numpys)) <= 1.01e-2
        assert figures[f"{cell}_loss_100"] < 0.2
        assert figures[f"{cell}_numpy_loss_100"] < 0.2
        assert figures[f"{cell}_recited"] == 1


@pytest.mark.parametrize("kind", [recurra.RNN, recurra.LSTM, recurra.GRU])
def test_hello_numpy_trains_the_same_plain_and_fast(kind, monkeypatch):
    monkeypatch.syspath_prepend(str(HELLO.parent))
    train = importlib.import_module("hello_numpy").train
    initial = kind(5, 4, seed=0).state_dict() | recurra.Linear(4, 3, seed=1).state_dict()
    rng = np.random.default_rng(2)
    x, target = (rng.standard_normal((7, n)).astype(np.float32) for n in (5, 3))
    plain, fast = (train(kind.__name__.lower(), initial, x, target, 20, fast=fast) for fast in (False, True))
    assert plain == pytest.approx(fast, rel=1e-4)
    assert plain[-1] < plain[0] / 1.05


def test_hello_rnn_repeats_and_depends_on_the_seed():
    def losses(*options):
        figures = hello("--epochs", "5", *options)[1]
        return {name: value for name, value in figures.items() if "numpy" not in name and "seconds" not in name}

    def of(cell):
        return {name: value for name, value in every.items() if name.startswith(cell)}

    every = losses()
    assert losses("--seed", "0", "--threads", "2", "--cell", "gru") == of("gru") != {}
    assert losses("--seed", "1", "--cell", "rnn")["rnn_loss_0"] != every["rnn_loss_0"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epochs", "0"], "--epochs starts at 1"),
        (["--epochs", "many"], "argument --epochs: invalid int value"),
        (["--threads", "0"], "--seed starts at 0, --threads at 1"),
        (["--seed", "-1"], "--seed starts at 0"),
        (["--cell", "transformer"], "argument --cell: invalid choice"),
        (["--cells"], "unrecognized arguments"),
    ],
    ids=str,
)
def test_hello_rnn_refuses_bad_options(options, message, monkeypatch, capsys):
    assert ends(monkeypatch, HELLO, *options) == 2
    out, err = capsys.readouterr()
    assert message in " ".join(err.split())
    assert not out


EXAMPLES = {path.stem for path in HELLO.parent.glob("*.py")} - {"common"}
RECIPES = {"distributed_torch", "distributed_mpi", "search_joblib"}  # to be quoted, without options; test_distributed


@pytest.mark.parametrize("example", sorted(EXAMPLES - RECIPES))
def test_help_says_what_each_option_is_by_default(example, monkeypatch, capsys):
    """But for switches, and for those that stand for nothing by default."""
    if example in {"digits", "draw_digit", "forecast", "gan", "spikes", "word2vec"}:
        pytest.importorskip("sklearn")
    assert ends(monkeypatch, HELLO.with_name(f"{example}.py"), "--help") == 0
    options = re.findall(r"^  (-.*(?:\n   .*)*)", capsys.readouterr().out, re.MULTILINE)
    assert len(options) >= 3
    for option in map(str.split, options):
        assert len(option) > 3, option  # more than its name
        assert "None)" not in option
        if (
            option[0] not in {"-h,", "--file", "--recurrent"}
            and "given," not in option
            and "{rnn,lstm,gru}" not in option
        ):
            assert "(default:" in option, option


# ---- The documentation


def blocks(document, language):
    """The contents of its fenced blocks in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)


# Module, and how a block that needs it says so.
NEIGHBOURS = {"torch": "import torch", "sklearn": "from sklearn", "safetensors": "recurra.save("}


def script(document, neighbour):
    """Its Python blocks as one script, each line where it is in the document; without those with other neighbours."""
    others = [line for module, line in NEIGHBOURS.items() if module != neighbour]
    lines = []
    for part in re.split(r"^(```python\n.*?^```$)", document.read_text(), flags=re.MULTILINE | re.DOTALL):
        wanted = part.startswith("```python") and not any(line in part for line in others)
        inside = part.split("\n")[1:-1]
        lines.append("\n".join(["", *inside, ""]) if wanted else "\n" * part.count("\n"))
    return "".join(lines)


@every_document
def test_blocks_run(document, tmp_path):
    """In one session; and where all prints have what they show beside them, that is what they show."""
    if blocks(document, "python"):
        run_blocks(document, tmp_path)


@every_document
@pytest.mark.parametrize("neighbour", NEIGHBOURS)
def test_blocks_run_with_a_neighbour(document, neighbour, tmp_path):
    if any(NEIGHBOURS[neighbour] in block for block in blocks(document, "python")):
        if find_spec(neighbour) is None:
            pytest.skip(f"needs {neighbour}")
        run_blocks(document, tmp_path, neighbour)


def run_blocks(document, folder, neighbour=None):
    code = script(document, neighbour)
    result = python("-", text=code, folder=folder)
    assert result.returncode == 0, result.stderr
    shown = re.findall(r"^ *print\(.*?\)(?:  # (.*))?$", code, re.MULTILINE)
    if all(shown):
        assert result.stdout.splitlines() == shown


def test_quickstart_says_what_its_prints_show():
    """Or the test above wouldn't compare."""
    code = "\n".join(blocks(ROOT / "docs" / "quickstart.md", "python"))
    prints = re.findall(r"\bprint\(.*", code)
    assert len(prints) > 20
    assert all("  # " in line for line in prints)


def test_readme_has_one_command_to_try_and_one_to_test():
    """CI types the second one."""
    commands = blocks(ROOT / "README.md", "sh")
    assert len(commands) == 2
    assert "python -m recurra" in commands[0]
    assert "pytest" in commands[1]


@every_document
def test_links_lead_somewhere(document):
    """To files, and to headings by the names that GitHub gives them. Not all files are in a source distribution."""
    left_out = [ROOT / name for name in (".ci", ".github", "benchmarks/results") if not (ROOT / name).exists()]
    for file, anchor in re.findall(r"\]\((?!https?://)([^)#]*)(?:#([^)]*))?\)", document.read_text()):
        target = (document.parent / file).resolve() if file else document
        if any(target.is_relative_to(folder) for folder in left_out):
            continue
        assert target.exists(), file
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}
