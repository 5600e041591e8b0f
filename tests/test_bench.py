"""python -m recurra: rows, answers, turns, files and errors. Nothing here asserts a time."""

from __future__ import annotations

import io
import json
import math
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import recurra
from configs import assert_same_bits, max_error
from recurra.bench import cli, contestants
from recurra.bench import race as races
from recurra.bench.budget import Budget, guess_pace, share
from recurra.bench.contestants import PEERS, Entry, Numpy, Source, Unsupported
from recurra.bench.machine import THREAD_VARIABLES, choose_cpus, cpu_model
from recurra.bench.numpy_cells import NUMPY_LAYERS
from recurra.bench.plot import plot
from recurra.bench.problem import CELLS, TOLERANCE, Shape, Spec, difference
from recurra.bench.race import FEWEST, OURS, Disagreement, Result, race
from recurra.bench.table import Progress, Table, microseconds, summary, times
from recurra.bench.worker import Desk, Worker, WorkerError

PROTOCOL = Path(__file__).parents[1] / "benchmarks" / "README.md"
TINY = ["--rounds", "1", "--milliseconds", "0.1", "--cells", "lstm", "--shapes", "2x3x4x5"]
SHAPE = Shape(2, 3, 4, 5)
DTYPES = ("float32", "float64")


# ---- The problem


def test_shapes():
    assert Shape.parse("16x50x128x64") == Shape(batch=16, steps=50, inputs=128, hidden=64)
    assert str(Shape.parse(" 1x2x3x4 ")) == "1x2x3x4"
    for wrong in ("", "1", "1x2x3", "1x2x3x4x5", "0x2x3x4", "-1x2x3x4", "1x2x3x4.0", "axbxcxd", "1X2X3X4", "²x2x3x4"):
        with pytest.raises(ValueError, match="expected BxTxIxH"):
            Shape.parse(wrong)


@pytest.mark.parametrize("cell", CELLS)
def test_operations_of_a_call(cell):
    """A multiply-add is two; training has three products where inference has one."""
    spec, (batch, steps, inputs, hidden) = Spec(cell, False, SHAPE), SHAPE
    products = sum(2 * steps * batch * value.size for name, value in spec.weights().items() if "weight" in name)
    assert spec.flops == products == 2 * steps * batch * spec.gates * hidden * (inputs + hidden)
    assert Spec(cell, True, SHAPE).flops == 3 * products


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cell", CELLS)
def test_weights_and_data(cell, dtype):
    """PyTorch's names and shapes, the same each time, and what a layer of recurra takes."""
    spec = Spec(cell, True, SHAPE, dtype)
    weights, data = spec.weights(), spec.data()
    assert_same_bits((spec.weights(), tuple(spec.data())), (weights, tuple(data)))
    assert (data.x.shape, data.dy.shape) == ((3, 2, 4), (3, 2, 5))
    assert {value.dtype for value in [*weights.values(), *data]} == {np.dtype(dtype)}
    assert all(0.5 / 5**0.5 < np.abs(value).max() <= 1 / 5**0.5 for value in weights.values())
    getattr(recurra, cell.upper())(4, 5, dtype=dtype).load_state_dict(weights)


def test_difference():
    """Relative to the largest value of each array, but to no less than 1."""
    ours = {"y": np.array([1.0, 2.0]), "h_n": np.array([[100.0]])}
    assert difference(ours, ours) == 0
    assert difference(ours, ours | {"y": np.array([1.0, 4.0])}) == 0.5
    assert difference(ours, ours | {"h_n": np.array([[200.0]])}) == 0.5
    assert difference({"y": np.array([0.0])}, {"y": np.array([0.125])}) == 0.125
    assert math.isnan(difference(ours, ours | {"y": np.array([1.0, np.nan])}))
    assert math.isnan(difference(ours | {"y": np.array([np.nan, 2.0])}, ours))
    for other in ({"y": ours["y"]}, ours | {"c_n": ours["y"]}, ours | {"y": np.array([[1.0, 2.0]])}):
        with pytest.raises(ValueError, match="different names or shapes"):
            difference(ours, other)


# ---- NumPy's cells and the other contestants


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (2, 5, 3, 4), (7, 12, 9, 16)], ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_numpy_cells_agree_with_the_reference(cell, sizes):
    """Outputs and all gradients, in float64; also once more in the same buffers, and with other weights."""
    spec = Spec(cell, True, Shape(*sizes), "float64")
    weights, (x, dy) = spec.weights(), spec.data()
    layer = NUMPY_LAYERS[cell](weights, spec.shape.steps, spec.shape.batch)
    for scale in (1.0, 1.0, 0.5):
        scaled = {name: value * scale for name, value in weights.items()}
        layer.load(scaled)
        y, state, tape = recurra.reference.forward("rnn_tanh" if cell == "rnn" else cell, x, scaled)
        dx, _, grads = recurra.reference.backward(tape, dy)
        states = state if isinstance(state, tuple) else (state,)
        expected = {"y": y, "dx": dx} | grads | {name: s[0] for name, s in zip(("h_n", "c_n"), states, strict=False)}

        inferred = layer.infer(x).copy(), [s.copy() for s in layer.state]
        assert_same_bits((layer.forward(x).copy(), list(layer.state)), inferred)
        results = {"y": inferred[0], "dx": layer.backward(x, dy)} | layer.grads
        results |= dict(zip(("h_n", "c_n"), inferred[1], strict=False))
        assert results.keys() == expected.keys()
        for name, value in expected.items():
            assert max_error(results[name], value) < 1e-13, name


@pytest.mark.parametrize("cell", CELLS)
def test_numpy_cells_may_spare_dx(cell):
    """hello_numpy.py does."""
    spec = Spec(cell, True, SHAPE)
    (x, dy), layers = spec.data(), [NUMPY_LAYERS[cell](spec.weights(), 3, 2) for _ in range(2)]
    for layer, need_dx in zip(layers, (True, False), strict=True):
        layer.dx.fill(7)
        layer.forward(x)
        layer.backward(x, dy, need_dx)
    assert_same_bits(layers[0].grads, layers[1].grads)
    assert (layers[1].dx == 7).all()
    assert not (layers[0].dx == 7).all()


def may_sit_out(name, spec):
    """As benchmarks/README.md says."""
    return name in {"ONNX Runtime", "OpenVINO"} and (spec.training or spec.dtype == "float64")


@pytest.mark.parametrize("name", ["recurra", *PEERS])
def test_contestants_compute_the_same(name):
    """In their processes, as in a run: every row's answers, and that calls can be timed."""
    if missing := contestants.SOURCES[name].missing:
        pytest.skip(f"needs {', '.join(missing)}")
    worker, absent = Worker(name, 1), []
    try:
        assert re.match(r"\d+\.\d+", worker.version())
        for spec in (Spec(c, training, SHAPE, dtype) for c in CELLS for training in (False, True) for dtype in DTYPES):
            expected = Numpy(1).prepare(spec, spec.weights(), spec.data()).answers()
            assert len(expected) == 1 + len(spec.states) + 5 * spec.training
            try:
                answers = worker.prepare(spec)
            except Unsupported:
                absent.append(spec)
                continue
            assert difference(answers, expected) <= TOLERANCE[spec.dtype], spec
            assert worker.calls_in(1e-5)[0] >= 1
            assert worker.time(2) > 0
    finally:
        worker.close()
    assert [str(spec) for spec in absent if not may_sit_out(name, spec)] == []


def test_a_source_knows_what_it_lacks():
    assert Source(".contestants", "Numpy").missing == []
    assert Source(".nowhere", "Nobody", ("numpy", "no_such_module")).missing == ["no_such_module"]
    assert Source(".contestants", "Numpy").load() is Numpy


# ---- A process for each


def test_workers_are_held_to_their_threads():
    """By the environment, and on Linux by their CPUs; and they are gone when closed."""
    worker = Worker("NumPy", 1)
    try:
        assert worker.version() == np.__version__
        if sys.platform == "linux":
            assert len(choose_cpus(1)) == 1
            assert os.sched_getaffinity(worker.process.pid) == choose_cpus(1)
            environment = Path(f"/proc/{worker.process.pid}/environ").read_text().split("\0")
            assert {f"{name}=1" for name in THREAD_VARIABLES} <= set(environment)
    finally:
        worker.close()
    assert worker.process.poll() is not None


def test_more_threads_than_cpus_are_not_pinned():
    assert choose_cpus(100_000) == set()


def test_what_goes_wrong_in_a_worker_is_told():
    worker = Worker("NumPy", 1)
    try:
        with pytest.raises(WorkerError, match="AssertionError"):
            worker.time(1)  # nothing is prepared
        assert worker.version() == np.__version__  # it goes on
        worker.process.kill()
        with pytest.raises(WorkerError, match="its process ended with code -9"):
            worker.version()
    finally:
        worker.close()


def test_a_turn_makes_as_many_calls_as_asked():
    """After one that isn't timed; and calls_in finds out how many fill a while."""
    made = []

    class Counting:
        version = "1"

        def prepare(self, *_):
            return Entry(lambda: made.append(1), dict)

    desk = Desk(Counting())
    assert desk.prepare(Spec("rnn", False, SHAPE)) == {}
    assert desk.time(5) > 0
    assert len(made) == 6
    assert desk.calls_in(1e-3)[0] > 10
    assert desk.calls_in(1e-9)[0] == 1


# ---- A row


class Fake:
    """A worker without a process: NumPy's answers, changed, and seconds that it is told."""

    def __init__(self, name, change=None, seconds=1e-3, log=None, fail=None, calls=3):
        self.name, self.change, self.seconds, self.fail, self.calls = name, change or {}, seconds, fail, calls
        self.log = [] if log is None else log

    def version(self):
        return "1.0"

    def prepare(self, spec):
        if self.fail:
            raise self.fail
        return Numpy(1).prepare(spec, spec.weights(), spec.data()).answers() | self.change

    def calls_in(self, seconds):
        assert seconds > 0
        return self.calls, self.seconds

    def time(self, calls):
        assert calls == self.calls
        self.log.append(self.name)
        return self.seconds

    def close(self):
        self.log.append(f"{self.name} closed")


def field(*fakes):
    """Workers by name: recurra and NumPy, and others or others instead of them."""
    return {worker.name: worker for worker in (Fake("recurra"), Fake("NumPy", seconds=2e-3), *fakes)}


def test_turns_go_round():
    log = []
    workers = {name: Fake(name, log=log) for name in ("recurra", "NumPy", "PyTorch")}
    result = race(workers, Spec("gru", True, SHAPE), rounds=3, seconds=0.1)
    assert log == [*workers, *reversed(workers), *workers]
    assert {name: len(seconds) for name, seconds in result.seconds.items()} == dict.fromkeys(workers, 3)


@pytest.mark.parametrize(("rounds", "made"), [(1, 1), (FEWEST, FEWEST), (7, FEWEST)])
def test_a_row_whose_time_is_over_has_the_fewest_rounds(monkeypatch, rounds, made):
    monkeypatch.setattr(races, "QUICK", 0)
    result = race(field(), Spec("gru", True, SHAPE), rounds, 0.1, deadline=0)
    assert {name: len(seconds) for name, seconds in result.seconds.items()} == {OURS: made, "NumPy": made}


def test_quick_rounds_are_made_even_so(monkeypatch):
    monkeypatch.setattr(races, "QUICK", math.inf)
    assert race(field(), Spec("gru", True, SHAPE), 7, 0.1, deadline=0).rounds == 7


@pytest.mark.parametrize(("calls", "made"), [((1, 1), 2), ((1, 3), 3), ((3, 3), 3)], ids=str)
def test_warming_up_by_slow_turns_is_the_first_round(calls, made):
    log = []
    ours, numpy = (Fake(name, seconds=0.06, calls=k, log=log) for name, k in zip((OURS, "NumPy"), calls, strict=True))
    result = race({OURS: ours, "NumPy": numpy}, Spec("rnn", False, SHAPE), 3, 0.1)
    assert result.seconds == {OURS: [0.06] * 3, "NumPy": [0.06] * 3}
    assert (log.count(OURS), log.count("NumPy")) == (made, made)


def test_the_longest_rows_give_way():
    """A row's share: nothing beyond its least where nothing is left, and all that it wants while there is enough."""
    assert share([1, 1, 1], [2, 2, 9], 0) == 0
    assert share([1, 1, 1], [2, 3, 9], 14) >= 2
    assert share([1, 1, 1], [9, 2, 3], 100) == pytest.approx(9)
    assert share([1, 1, 1], [9, 2, 3], 9) == pytest.approx(4)
    assert share([4, 1, 1], [9, 9, 9], 8) == pytest.approx(2)
    assert share([1, 4, 1], [9, 9, 9], 8) == pytest.approx(2)


def test_a_budget_learns_what_calls_take():
    specs = [Spec("lstm", training, Shape(64, 20, 512, 1024)) for training in (False, True)]
    budget = Budget(seconds=30, rounds=7, turn=5e-3, contestants=2, pace=1e-11)
    assert budget.cost(specs[0], 7) < budget.cost(specs[1], 7) < budget.cost(specs[1], 8)
    cost, estimate = budget.cost(specs[1], 7), budget.estimate(specs)
    budget.learn(specs[0], [4e-11 * specs[0].flops, 6e-11 * specs[0].flops])
    assert budget.cost(specs[1], 7) == pytest.approx(5 * cost, rel=0.1)
    assert estimate < budget.estimate(specs) == 30
    assert 29 < budget.left(specs) < 30  # of which some time has gone
    budget.learn(specs[1], [1e-8 * specs[1].flops])
    least, most = budget.costs(specs)
    assert 30 < budget.estimate(specs) == sum(least) < sum(most)
    assert Budget(30, 1, 5e-3, 2, 1e-11).costs(specs)[0] == Budget(30, 1, 5e-3, 2, 1e-11).costs(specs)[1]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cell", CELLS)
def test_a_guess_of_the_pace_for_each_cell(cell, dtype):
    threads = recurra.get_num_threads()
    assert 0 < guess_pace(cell, dtype) < math.inf
    assert recurra.get_num_threads() == threads


def test_a_result_and_its_line():
    spec = Spec("lstm", True, SHAPE)
    result = race(field(Fake("PyTorch", seconds=0.5e-3)), spec, rounds=2, seconds=0.1)
    assert result.differences == {"NumPy": 0, "PyTorch": 0}
    assert (result.speedup("NumPy"), result.speedup("PyTorch"), result.speedup("JAX")) == (2, 0.5, None)
    assert result.best_other == "PyTorch"
    assert result.gflops == spec.flops / 1e-3 / 1e9
    table = Table(["NumPy", "PyTorch", "JAX"], [SHAPE])
    heads, cells = (re.split(r" {2,}", line) for line in (table.head(), table.row(result)))
    assert dict(zip(heads, cells, strict=True)) == {
        "cell": "lstm",
        "mode": "training",
        "BxTxIxH": "2x3x4x5",
        "recurra": "1000",
        "NumPy": "2000",
        "PyTorch": "500.0",
        "JAX": "–",
        "× NumPy": "2.00",
        "× best": "0.50",
        "best": "PyTorch",
        "turns": "2",
    }
    lines = summary([result, result], ["NumPy", "PyTorch"])
    assert lines[0] == "answers: recurra's are within 0.0e+00 of everybody's in all rows"
    assert lines[2] == "training: geometric mean of the speed-ups 2.00 over NumPy, 0.50 over PyTorch"
    assert [microseconds(s) for s in (None, 1e-6, 0.5)] == ["–", "1.0", "500000"]
    assert [times(f) for f in (None, 0.123, 9.99, 43.21)] == ["–", "0.12", "9.99", "43.2"]


def test_progress_is_one_line_of_a_terminal(monkeypatch):
    """Rewritten in place, never wider, with the seconds that are left where they are known."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", "40")
    progress = Progress(3)
    progress.show("starting")
    progress.done, progress.end = 1, time.monotonic() + 60
    progress.show("lstm training " + 50 * "x")
    progress.clear()
    first, second, last = sys.stderr.getvalue().split("\r\x1b[K")[1:]
    assert (first, last) == ("[1/3, 0 s] starting", "")
    assert second.startswith("[2/3, 60 s left] lstm training xx")
    assert len(second) == 39


def test_a_median_isnt_moved_by_one_bad_round():
    result = Result(Spec("rnn", False, SHAPE), seconds={"recurra": [1.0, 9.0, 1.0], "NumPy": [2.0, 2.0, 9.0]})
    assert result.speedup("NumPy") == 2
    assert result.record()["microseconds"]["recurra"] == {"median": 1e6, "min": 1e6, "rounds": [1e6, 9e6, 1e6]}


@pytest.mark.parametrize("wrong", [1e-3, np.nan], ids=str)
@pytest.mark.parametrize("where", ["y", "h_n", "dx", "weight_hh_l0"])
def test_disagreement_with_numpy_ends_the_race(where, wrong):
    spec = Spec("gru", True, SHAPE)
    change = {where: Fake("").prepare(spec)[where] + np.float32(wrong)}
    with pytest.raises(Disagreement, match=r"^NumPy, gru training 2x3x4x5: its answers differ from recurra's by "):
        race(field(Fake("NumPy", change)), spec, 1, 0.1)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"change": {"y": np.full((3, 2, 5), 2, np.float32)}}, "its answers differ from recurra's by"),
        ({"fail": WorkerError("out of order")}, "out of order"),
        ({"fail": Unsupported("inference only")}, "inference only"),
    ],
    ids=["differs", "fails", "sits out"],
)
def test_a_peer_that_cannot_is_left_out_of_the_row(options, reason):
    log = []
    result = race(field(Fake("PyTorch", log=log, **options)), Spec("rnn", True, SHAPE), 1, 0.1)
    assert result.absent["PyTorch"].startswith(reason)
    assert result.record()["absent"] == result.absent
    assert list(result.seconds) == ["recurra", "NumPy"]
    assert not log


@pytest.mark.parametrize("name", ["recurra", "NumPy"])
def test_recurra_and_numpy_may_not_fail(name):
    with pytest.raises(WorkerError, match=f"^{name}, rnn inference 2x3x4x5: no memory$"):
        race(field(Fake(name, fail=WorkerError("no memory"))), Spec("rnn", False, SHAPE), 1, 0.1)


# ---- The command


def assert_facts(lines):
    """The head of a report: machine, CPUs, kernels, threads, versions, each as wide as a terminal at most."""
    head = lines[: lines.index("")]
    text = " ".join(" ".join(head).split())
    names = [line.split()[0] for line in head if not line.startswith(" ")]
    assert names == ["machine", "CPUs", "kernels", "threads", "versions"]
    for part in (cpu_model(), recurra.build_info()["isa"], f"recurra {recurra.__version__}", f"NumPy {np.__version__}"):
        assert part in text
    assert max(map(len, head)) <= 80


def test_the_command_prints_a_table_and_writes_json(capsys, tmp_path):
    """And stays silent on standard error, where progress would be if that were a terminal."""
    file = tmp_path / "results.json"
    assert cli.main([*TINY, "--json", str(file)]) == 0
    out, err = capsys.readouterr()
    assert not err
    lines = out.splitlines()
    assert_facts(lines)
    about = lines.index("") + 1
    assert re.fullmatch(r"recurra against NumPy: float32, 1 thread each, in about \d+ s", lines[about])
    assert lines[about + 1] == "2 rows: lstm; inference and training; 1 shape BxTxIxH"
    answers = next(line for line in lines if line.startswith("answers: "))
    assert re.fullmatch(r"answers: off by lstm \d\.\de-\d\d \(1e-04 is wrong\)", answers)
    assert max(map(len, lines)) <= 80
    head = next(k for k, line in enumerate(lines) if line.startswith("cell "))
    rows = [re.split(r" {2,}", line) for line in lines[head : head + 3]]
    assert rows[0] == ["cell", "mode", "BxTxIxH", "recurra", "NumPy", "× NumPy", "GFLOP/s", "turns"]
    assert [row[:3] for row in rows[1:]] == [["lstm", mode, "2x3x4x5"] for mode in ("inference", "training")]
    assert all(float(cell) > 0 for row in rows[1:] for cell in row[3:])
    assert [line.split(":")[0] for line in lines[-3:]] == ["answers", "inference", "training"]

    report = json.loads(file.read_text())
    facts = {"machine", "python", "versions", "blas", "build", "date", "threads", "dtype", "rounds"}
    assert report.keys() == facts | {"results"}
    assert report["machine"].keys() == {"cpu", "model", "cpus", "affinity", "quota", "system"}
    assert report["versions"] == {"recurra": recurra.__version__, "NumPy": np.__version__}
    assert report["build"] == recurra.build_info()
    assert (report["threads"], report["dtype"], report["rounds"]) == (1, "float32", 1)
    documented = set(re.findall(r"`(\w+)`", PROTOCOL.read_text()))
    assert len(report["results"]) == 2
    for result, mode in zip(report["results"], ("inference", "training"), strict=True):
        assert {*report, *report["machine"], *result, *result["microseconds"]["NumPy"]} <= documented
        spec = Spec("lstm", mode == "training", SHAPE)
        assert (result["cell"], result["mode"], result["flops"]) == ("lstm", mode, spec.flops)
        assert [result[name] for name in ("batch", "steps", "input_size", "hidden_size")] == [2, 3, 4, 5]
        assert (result["dtype"], result["threads"], result["absent"]) == ("float32", 1, {})
        assert 0 <= result["differences"]["NumPy"] <= TOLERANCE["float32"]
        own, numpy = (result["microseconds"][name] for name in ("recurra", "NumPy"))
        assert own["rounds"] == [own["median"]] == [own["min"]]
        assert result["speedups"] == pytest.approx({"NumPy": numpy["median"] / own["median"]})
        assert result["gflops"] == pytest.approx(spec.flops / own["median"] / 1e3)


def test_the_command_draws_a_plot(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    file = tmp_path / "speed.png"
    assert cli.main([*TINY[:4], "--cells", "rnn,gru", "--shapes", "1x2x3x4,2x3x4x5", "--plot", str(file)]) == 0
    png = file.read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(png[16:20], "big") >= 1280  # pixels
    assert capsys.readouterr().out.count("x3x4x5  ") == 4


def test_a_plot_names_everybody_and_whom_it_is_about(tmp_path):
    """In a picture whose text can be read: contestants, also those that sit training out, machine, versions, day."""
    pytest.importorskip("matplotlib")
    seconds = {"recurra": [1.0], "NumPy": [3.0], "PyTorch": [1.5]}
    results = [Result(Spec("gru", True, SHAPE), seconds=seconds)]
    results += [Result(Spec(cell, False, SHAPE), seconds=seconds | {"OpenVINO": [6.0]}) for cell in ("rnn", "gru")]
    about = {
        "machine": {"cpu": "A CPU", "model": "family 7"},
        "python": "3.9",
        "versions": {"recurra": "0.1", "NumPy": "9.8", "PyTorch": "7.6"},
        "blas": "someblas 5",
        "build": {"isa": "avx2"},
        "date": "2031-02-03T04:05",
        "threads": 2,
        "dtype": "float32",
    }
    plot(results, tmp_path / "speed.svg", about)
    drawn = re.findall(r"<!-- (.*?) -->", (tmp_path / "speed.svg").read_text(encoding="utf-8"))
    assert {"Times as fast as NumPy", "forward", "RNN", "GRU", "2x3x4x5", "PyTorch", "OpenVINO", "3.0"} <= set(drawn)
    assert "A CPU (family 7) · avx2 · 2 threads each · float32" in drawn
    assert "recurra 0.1 · NumPy 9.8 (someblas 5) · Python 3.9 · PyTorch 7.6" in drawn
    assert any(line.endswith("2031-02-03") for line in drawn)


def test_a_plot_without_matplotlib_is_refused_before_the_run(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(cli, "find_spec", lambda _: None)
    with pytest.raises(SystemExit, match="2"):
        cli.main([*TINY, "--plot", str(tmp_path / "speed.png")])
    assert "needs matplotlib: pip install 'recurra[plot]'" in capsys.readouterr().err


BAD = [
    (["--cells", "lstm,elman"], "argument --cells: expected some of rnn, lstm, gru, got 'elman'"),
    (["--cells", ""], "argument --cells: expected some of rnn, lstm, gru, got ''"),
    (["--shapes", "1x2x3x4,1x2x3"], "argument --shapes: expected BxTxIxH, four positive integers"),
    (["--dtype", "float16"], "argument --dtype: invalid choice: 'float16'"),
    (["--threads", "0"], "argument --threads: expected a positive integer, got '0'"),
    (["--threads", "1025"], "argument --threads: expected 1024 at most, got 1025"),
    (["docter"], "expected options, or the word doctor by itself, got 'docter'"),
    (["--rounds", "1.5"], "argument --rounds: expected a positive integer, got '1.5'"),
    (["--milliseconds", "nan"], "argument --milliseconds: expected a positive number, got 'nan'"),
    (["--json", "no/such/directory/file.json"], "argument --json: can't write 'no/such/directory/file.json'"),
    (["--plot", "."], "argument --plot: can't write '.'"),
    (["--plot", "speed.bmp"], "expected a name ending in .png, .svg or .pdf, got 'speed.bmp'"),
    (["--peer"], "unrecognized arguments: --peer"),
    (["--rounds"], "argument --rounds: expected one argument"),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=[" ".join(options) for options, _ in BAD])
def test_bad_options_are_refused(capsys, monkeypatch, options, message):
    monkeypatch.setattr(cli, "find_spec", lambda _: True)  # whether matplotlib is there or not
    with pytest.raises(SystemExit, match="2"):
        cli.main(options)
    out, err = capsys.readouterr()
    assert message in err
    assert "Traceback" not in err
    assert not out


def test_every_option_is_documented(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--help"])
    options = set(re.findall(r"--[a-z]+", capsys.readouterr().out)) - {"--help"}
    assert len(options) == 11
    assert options == {name for name in re.findall(r"--[a-z]+", PROTOCOL.read_text()) if name in options}


def test_a_broken_peer_and_a_missing_one_are_noted(capsys, monkeypatch):
    """What they are compared with goes on without them."""
    broken = Source(".contestants", "Nobody")  # whose process doesn't know it
    monkeypatch.setattr(cli, "PEERS", {"Broken": broken, "Missing": Source(".x", "X", ("no_such_module",))})
    assert cli.main([*TINY, "--peers"]) == 0
    out = capsys.readouterr().out
    assert "Broken: KeyError: 'Broken'" in out.splitlines()
    assert "Missing: not installed (no_such_module)" in out.splitlines()
    assert "Broken µs" not in out


def fakes(monkeypatch, **changed):
    """cli.Worker replaced by fakes, some with changes -> what they log."""
    log = []
    monkeypatch.setattr(cli, "Worker", lambda name, _: changed.get(name) or Fake(name, log=log))
    for fake in changed.values():
        fake.log = log
    return log


def test_answers_that_differ_are_an_error(capsys, monkeypatch):
    wrong = np.ones((3, 2, 5), np.float32)
    log = fakes(monkeypatch, NumPy=Fake("NumPy", {"y": wrong}))
    assert cli.main(TINY) == 1
    out, err = capsys.readouterr()
    assert re.fullmatch(r"error: NumPy, lstm inference 2x3x4x5: its answers differ from recurra's by \S+\n", err)
    assert not re.search(r"^lstm ", out, re.MULTILINE)  # no row of such answers
    assert sorted(log) == ["NumPy closed", "recurra closed"]  # and no time of them


def test_a_peer_that_differs_or_sits_out_is_noted(capsys, monkeypatch, tmp_path):
    wrong = Fake("PyTorch", {"y": np.ones((3, 2, 5), np.float32)})
    fakes(monkeypatch, PyTorch=wrong, JAX=Fake("JAX", fail=Unsupported("no time")))
    monkeypatch.setattr(cli, "PEERS", {name: Source(".contestants", "Numpy") for name in ("PyTorch", "JAX")})
    file = tmp_path / "results.json"
    assert cli.main([*TINY, "--peers", "--json", str(file)]) == 0
    out = capsys.readouterr().out
    assert "JAX, lstm training: no time" in out.splitlines()
    assert re.search(r"^PyTorch, lstm inference: its answers differ from recurra's by \S+$", out, re.MULTILINE)
    for result in json.loads(file.read_text())["results"]:
        assert result["microseconds"].keys() == {"recurra", "NumPy"}
        assert result["absent"].keys() == {"PyTorch", "JAX"}


def test_a_failing_recurra_or_numpy_is_an_error(capsys, monkeypatch):
    fakes(monkeypatch, recurra=Fake("recurra", fail=WorkerError("MemoryError")))
    assert cli.main(TINY) == 1
    assert capsys.readouterr().err == "error: recurra, lstm inference 2x3x4x5: MemoryError\n"


def test_ctrl_c_ends_it_and_its_processes(capsys, monkeypatch):
    log = fakes(monkeypatch, NumPy=Fake("NumPy", fail=KeyboardInterrupt()))
    assert cli.main(TINY) == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert sorted(log) == ["NumPy closed", "recurra closed"]


def test_what_will_be_done_is_said_before_anything_is_started(capsys, monkeypatch):
    """All of it, for whoever watches a machine that is slow to start processes or lacks a peer."""
    said = []

    def start(*_):
        said.append(capsys.readouterr().out)
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "Worker", start)
    monkeypatch.setattr(cli, "PEERS", {"Missing": Source(".x", "X", ("no_such_module",)), "Slow": Source(".y", "Y")})
    flushed = []
    monkeypatch.setattr(
        cli, "print", lambda *a, flush=False, **k: (flushed.append(flush), print(*a, **k)), raising=False
    )
    assert cli.main(["--threads", "2", "--peers"]) == 130
    lines = said[0].splitlines()
    assert_facts(lines)
    about = lines.index("") + 1
    assert re.fullmatch(r"recurra against NumPy, Slow: float32, 2 threads each, in about \d+ (s|min)", lines[about])
    assert lines[about + 1].startswith("30 rows: rnn, lstm, gru; inference and training; 5 shapes")
    assert flushed[0]


def test_ctrl_c_while_it_is_loaded_has_no_traceback(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Interrupt:\n"
        "    def find_spec(name, *_):\n"
        "        if name == 'recurra.bench.cli':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt)\n"
    )
    environment = dict(os.environ) | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "recurra"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (130, "", "interrupted\n")


def test_it_ends_without_a_word_when_nobody_reads_on():
    """As in python -m recurra | head -1."""
    command = [sys.executable, "-m", "recurra", *TINY, "--milliseconds", "200"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("machine ")
    process.stdout.close()
    assert not process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 1
