"""Single steps, streams and narrow weights in the bench: everybody computes the same, and what the tables say of it."""

from __future__ import annotations

import json
import math
import mmap
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import recurra
from recurra.bench import cli
from recurra.bench.contestants import Entry, Source, Unsupported
from recurra.bench.narrow import cli as parts
from recurra.bench.narrow import clock, field, problem, stream, table
from recurra.bench.problem import Shape, Spec, difference
from recurra.bench.race import Result
from recurra.bench.worker import WorkerError

PROTOCOL = Path(__file__).parents[1] / "benchmarks" / "README.md"
QUICK = ["--hidden", "5", "--rounds", "1", "--milliseconds", "0.01"]


@pytest.fixture(autouse=True)
def _threads():
    """recurra's contestants set the number for the whole process."""
    threads = recurra.get_num_threads()
    yield
    recurra.set_num_threads(threads)


def silent(_):
    """Progress that nobody sees."""


# ---- The rows, and who takes part


def test_rows():
    rows = problem.steps(["gru"], [3, 7])
    assert [(row.layers, row.shape) for row in rows] == [(n, Shape(1, 1, h, h)) for n in (1, 2) for h in (3, 7)]
    assert rows[0].data().x.shape == (problem.COMPARED, 1, 3)
    assert [str(row) for row in rows[::2]] == ["gru step of 3", "gru step of 3, 2 layers"]
    assert [row.shape for row in problem.sequences(["lstm"], [7])] == [Shape(b, problem.STEPS, 7, 7) for b in (1, 16)]


def reference(spec):
    """y (T, B, H) by the NumPy reference, in float64."""
    y = spec.data().x.astype(np.float64)
    weights = {name: value.astype(np.float64) for name, value in spec.weights().items()}
    for layer in range(spec.layers):
        own = {f"{name}_l0": weights[f"{name}_l{layer}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
        y = recurra.reference.forward(spec.cell, y, own)[0]
    return y


@pytest.mark.parametrize("name", [*field.HOME, *field.PEERS])
def test_contestants_compute_the_same(name):
    """Step by step from zeros, in two layers too, and in sequences; a call can be made again and again."""
    source = field.HOME.get(name) or field.PEERS[name]
    if source.missing:
        pytest.skip(f"needs {', '.join(source.missing)}")
    desk, absent = field.Local(source.load()(1)), set()
    for spec in problem.steps(problem.CELLS, [5]) + problem.sequences(problem.CELLS, [5]):
        if name not in field.PARTS["step" if isinstance(spec, problem.Steps) else "narrow"]:
            continue
        try:
            answers = desk.prepare(spec)
        except Unsupported:
            absent.add(spec.cell)
            continue
        expected = reference(spec)
        found = difference(answers, {"y": expected.astype(np.float32)})
        assert found <= field.TOLERANCES.get(name, 1e-6), spec
        if name in field.TOLERANCES:  # narrow weights were in fact used
            assert found > 1e-5, spec
        assert desk.time(2) > 0
    assert absent == ({"gru"} if name == "ORT int8" else set())


def test_a_step_begins_where_the_last_ended():
    spec = problem.Steps("gru", False, Shape(1, 1, 5, 5))
    entry = field.HOME["recurra"].load()(1).prepare(spec, spec.weights(), spec.data())
    first, second = np.array(entry.run()), np.array(entry.run())
    assert np.abs(first - second).max() > 1e-3


def test_a_failing_contestant_of_ours_ends_the_run_and_a_peer_is_noted(capsys, monkeypatch):
    class Broken:
        version = "1"

        def __init__(self, _):
            pass

        def prepare(self, *_):
            raise MemoryError("too small")

    monkeypatch.setitem(sys.modules, "recurra.bench.broken", SimpleNamespace(Broken=Broken))
    broken, lost = Source(".broken", "Broken"), Source(".nowhere", "Nobody")
    missing = Source(".x", "X", ("no_such_module",))
    monkeypatch.setattr(field, "PEERS", {"ORT": broken, "torch": missing, "tract": lost})
    monkeypatch.setattr(field, "PARTS", {"narrow": ["recurra", "ORT", "torch", "tract"]})
    command = ["--only", "narrow", "--cells", "gru", *QUICK, "--peers"]
    assert cli.main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "ORT, gru: MemoryError: too small" in lines
    assert "torch: not installed (no_such_module)" in lines
    assert "tract: ModuleNotFoundError: No module named 'recurra.bench.nowhere'" in lines
    monkeypatch.setitem(field.HOME, "int8", broken)
    monkeypatch.setattr(field, "PARTS", {"narrow": ["recurra", "int8"]})
    assert cli.main(command) == 1
    assert capsys.readouterr().err == "error: int8, gru inference 1x50x5x5: MemoryError: too small\n"


def test_answers_that_differ_are_left_out():
    """By the tolerance of the contestant."""

    class Fake:
        def __init__(self, off):
            self.off = off

        def prepare(self, *_):
            return Entry(lambda: None, lambda: {"y": np.full((1, 1, 5), self.off, np.float32)})

    spec = Spec("gru", False, Shape(1, 1, 5, 5))
    desks = {n: field.Local(Fake(off)) for n, off in (("recurra", 0.0), ("ORT", 0.01), ("ORT int8", 0.01))}
    result = field.run(desks, spec, 1, 1e-6, silent)
    assert list(result.seconds) == ["recurra", "ORT int8"]
    assert result.absent["ORT"].startswith("its answers differ from recurra's by 1.0e-02")
    with pytest.raises(WorkerError, match=r"^bfloat16, gru inference 1x1x5x5: its answers differ"):
        field.run(desks | {"bfloat16": field.Local(Fake(0.02))}, spec, 1, 1e-6, silent)


def test_waiting_for_others_takes_no_time():
    """As another process that has the CPU; where the system's clock of a process is fine."""
    if clock.seconds is time.perf_counter:
        pytest.skip("this system's is not")
    desk = field.Local(None)
    desk.entry = Entry(lambda: time.sleep(0.02), dict)
    assert 0 < desk.time(1) < 0.01
    assert 0 < stream.seconds_of(desk.entry.run, 1) < 0.01


# ---- The tables


def results():
    """Two cells and sizes; int8 is 2, 4, 8 and 16 times as fast by medians, 1 by minima."""
    found = []
    for cell, hidden, factor in (("lstm", 8, 2), ("gru", 8, 4), ("lstm", 16, 8), ("gru", 16, 16)):
        seconds = {"recurra": [factor * 1e-4, 1e-4, 1.0], "int8": [1e-4, 1e-4, 1e-4]}
        found.append(Result(Spec(cell, False, Shape(1, 50, hidden, hidden)), {"int8": hidden / 1e3}, seconds))
    found[1].seconds["ORT"] = [4e-4]
    return found


def test_ratios():
    found = table.ratios("narrow", results())
    assert list(found) == ["int8 over recurra, B=1", "int8 over ORT, B=1", "recurra over ORT, B=1"]
    means = found["int8 over recurra, B=1"]
    assert list(means) == ["8", "16", "all"]
    assert [by_medians for by_medians, _ in means.values()] == pytest.approx(
        [8**0.5, 128**0.5, 2 ** ((1 + 2 + 3 + 4) / 4)]
    )
    assert [by_minima for _, by_minima in means.values()] == pytest.approx([1, 1, 1])
    assert list(found["int8 over ORT, B=1"]) == ["8", "all"]
    head, *lines = table.ratio_lines("narrow", results())
    assert head.split() == ["8", "16", "all"]
    assert lines[0] == "int8 over recurra, B=1    2.83 (1.00)    11.3 (1.00)    5.66 (1.00)"
    assert lines[1].split()[-3:] == ["–", "4.00", "(4.00)"]
    assert table.ratio_lines("narrow", []) == []


def test_rows_are_microseconds_a_step():
    board = table.Table(["recurra", "int8", "torch int8"])
    assert board.head().split()[3:] == ["recurra", "int8", "torch", "int8"]
    assert board.row(results()[0]).split() == ["lstm", "1", "1x50x8x8", "4.00", "2.00", "–"]


def test_differences_by_cell():
    found = results()
    del found[1].differences["int8"], found[3].differences["int8"]
    found[1].differences["ORT"] = 1e-6
    lines = [line.split() for line in table.differences(found, ["int8", "ORT"])]
    assert lines[1:] == [["int8", "1.6e-02", "1.2e-02", "–", "–"], ["ORT", "–", "–", "1.0e-06", "1.0e-06"]]


# ---- Streams


def test_streams_are_measured_in_turns(monkeypatch):
    """As many single steps as asked for, not a chunk's; the largest is seen, and what memory grew by."""
    made = {"empty call": 0, "mine": 0}

    def calling(name):
        def call():
            made[name] += 1

        return call

    readings = iter(range(0, 10_000_000, 1000))
    clock = iter(np.cumsum([5 if k % 2 == 0 else 2000 + 9000 * (k == 101) for k in range(200)]).tolist())
    monkeypatch.setattr(stream, "calls", lambda: {name: calling(name) for name in made})
    monkeypatch.setattr(stream, "memory", lambda: next(readings))
    monkeypatch.setattr(stream, "many", lambda *_: 3)
    monkeypatch.setattr(stream, "perf_counter_ns", lambda: next(clock))
    monkeypatch.setattr(stream, "CHUNK", 30)
    empty, mine = stream.measure(50, 4, 1e-3, silent)
    assert made == {"empty call": 50 + 4 * 3, "mine": 50 + 4 * 3}
    assert (empty.grown, mine.grown) == (2000, 2000)
    assert [len(each.rounds) for each in (empty, mine)] == [4, 4]
    assert empty.percentiles["p50"] == mine.percentiles["p50"] == 2.0
    assert {empty.percentiles["most"], mine.percentiles["most"]} == {2.0, 11.0}
    assert stream.lines([empty])[1].split()[-2:] == ["1.00", "2"]


def test_memory_is_what_is_resident():
    before = stream.memory()
    if not before:
        pytest.skip("this system doesn't say")
    kept = mmap.mmap(-1, 40 << 20)  # not from the heap, which may have as much at hand
    kept.write(bytes(range(256)) * (40 << 12))
    assert 30 << 20 < stream.memory() - before < 60 << 20
    kept.close()


# ---- The command


def test_the_command_prints_tables_and_writes_json(capsys, tmp_path):
    file = tmp_path / "small.json"
    affinity = os.sched_getaffinity(0) if sys.platform == "linux" else None
    threads = recurra.get_num_threads()
    assert cli.main(["--only", "step", "stream", "narrow", *QUICK, "--steps", "60", "--json", str(file)]) == 0
    out, err = capsys.readouterr()
    assert not err
    assert recurra.get_num_threads() == threads
    assert affinity is None or os.sched_getaffinity(0) == affinity
    lines = out.splitlines()
    assert lines[0].startswith("machine ")
    assert any(line.startswith(f"versions  recurra {recurra.__version__}") for line in lines)
    assert recurra.build_info()["isa"] in lines[2]
    rows = [line.split() for line in lines if re.match(r"(lstm|gru) ", line)]
    assert [row[:3] for row in rows] == [
        *([cell, layers, "1x1x5x5"] for cell in ("lstm", "gru") for layers in "12"),
        *([cell, "1", f"{batch}x50x5x5"] for cell in ("lstm", "gru") for batch in (1, 16)),
    ]
    assert all(float(value) > 0 for row in rows for value in row[3:])
    report = json.loads(file.read_text())
    assert list(report["parts"]) == ["step", "stream", "narrow"]
    assert report["build"] == recurra.build_info()
    documented = set(re.findall(r"`([\w.]+)`", PROTOCOL.read_text()))
    for part in ("step", "narrow"):
        record = report["parts"][part]
        assert record["notes"] == {}
        assert {*report, *record, *record["results"][0]} <= documented
        for result in record["results"]:
            assert result["absent"] == {}
            assert list(result["microseconds"]) == [n for n in field.PARTS[part] if n in field.HOME]
            assert all(0 <= value < 0.1 for value in result["differences"].values())
        mean = record["ratios"]["int8 over recurra, B=1" if part == "narrow" else "Stream over recurra, 2 layers"]
        assert mean["5"] == mean["all"]
        assert all(math.isfinite(value) and value > 0 for value in mean["all"])
    for each in report["parts"]["stream"]:
        assert {*each, *each["percentiles"]} <= documented
        assert each["steps"] == 60
        assert each["min"] == each["median"] == each["rounds"][0] > 0
        values = list(each["percentiles"].values())
        assert values == sorted(values)
        assert f"\n{each['name']} " in out


def test_each_build_has_a_process_of_its_own(monkeypatch, tmp_path):
    seen = []

    def run(command, env, check):
        assert not check
        seen.append((env["RECURRA_ISA"], parts.parse(command[3:])))
        Path(command[command.index("--json") + 1]).write_text(json.dumps({"build": env["RECURRA_ISA"]}))
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    names = recurra.build_info()["isas_available"]
    file = tmp_path / "all.json"
    options = ["--only", "narrow", "--cells", "gru", "--hidden", "5,6", "--peers", "--rounds", "2"]
    assert cli.main([*options, "--isas", ",".join(names), "--json", str(file)]) == 0
    assert json.loads(file.read_text()) == [{"build": name} for name in names]
    assert [name for name, _ in seen] == list(names)
    own = seen[0][1]
    assert (own.only, own.cells, own.hidden, own.peers, own.rounds) == (["narrow"], ["gru"], [5, 6], True, 2)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=3))
    with pytest.raises(SystemExit, match="3"):
        cli.main([*options, "--isas", names[0]])


BAD = [
    (["--only", "narrow", "--cells", "rnn"], "argument --cells: expected some of lstm, gru, got 'rnn'"),
    (["--only", "wide"], "argument --only: invalid choice: 'wide'"),
    (["--only"], "argument --only: expected at least one argument"),
    (["--only", "step", "--hidden", "0"], "argument --hidden: expected a positive integer, got '0'"),
    (["--only", "step", "--steps", "x"], "argument --steps: expected a positive integer, got 'x'"),
    (["--only", "step", "--isas", "sse"], "argument --isas: expected some of "),
    (["--only=step", "--shapes", "1x1x1x1"], "unrecognized arguments: --shapes"),
    (["--json", "no/such/file.json", "--only", "step"], "argument --json: can't write 'no/such/file.json'"),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=[" ".join(options) for options, _ in BAD])
def test_bad_options_are_refused(capsys, options, message):
    with pytest.raises(SystemExit, match="2"):
        cli.main(options)
    out, err = capsys.readouterr()
    assert message in err
    assert not out


def test_every_option_is_documented(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--only", "step", "--help"])
    options = set(re.findall(r"--[a-z]+", capsys.readouterr().out)) - {"--help"}
    assert options == {
        f"--{n}" for n in ("only", "cells", "hidden", "peers", "rounds", "milliseconds", "steps", "isas", "json")
    }
    section = PROTOCOL.read_text().split("## Single steps, streams and narrow weights")[1].split("\n## ")[0]
    assert options <= set(re.findall(r"--[a-z]+", section))
