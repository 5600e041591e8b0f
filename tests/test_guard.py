"""benchmarks/guard.py: what counts as slower, and what is stored. Nothing here asserts a time."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

FILE = Path(__file__).parents[1] / "benchmarks" / "guard.py"


@pytest.fixture
def guard(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_file_location("guard", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "BASELINES", tmp_path / "guard.json")
    monkeypatch.setattr(module, "cpu_model", lambda: "a CPU with a name")
    return module


def pretend(monkeypatch, guard, *measurements):
    """Measurements to come, one after the other."""
    left = list(measurements)
    monkeypatch.setattr(guard, "measured", lambda: left.pop(0))
    return left


def test_stored_baselines_have_the_rows_that_are_measured(guard):
    file = FILE.parent / "results" / "guard.json"
    if not file.exists():
        pytest.skip("a source distribution has no results")
    stored = json.loads(file.read_text())
    assert stored
    for baseline in stored.values():
        assert baseline.keys() == guard.rows().keys()


def test_ten_rows_are_measured_against_their_yardsticks(guard):
    found = guard.measure(0.05)
    assert len(found) == 10
    assert found.keys() > guard.YARDSTICKS.keys()
    assert set(guard.YARDSTICKS.values()) < guard.yardsticks().keys()
    assert all(0 < ratio < 1e4 for ratio in found.values())


def test_a_machine_without_a_baseline_is_no_failure(guard, capsys):
    assert guard.main([]) == 0
    assert capsys.readouterr().out.startswith(f"no baseline for {guard.machine()}: python benchmarks/guard.py --update")


def test_a_cpu_without_a_name_has_no_baseline(guard, monkeypatch, capsys):
    guard.BASELINES.write_text('{"": {"Adam": 1}}')
    monkeypatch.setattr(guard, "cpu_model", guard.platform.machine)
    assert (guard.main([]), guard.main(["--update"])) == (0, 1)
    assert capsys.readouterr().out.count("no baseline: this system") == 2


def test_an_update_keeps_other_machines_and_takes_medians(guard, monkeypatch):
    guard.BASELINES.write_text('{"another": {"Adam": 1}}')
    left = pretend(monkeypatch, guard, *({"Adam": ratio} for ratio in (0.5, 0.1, 0.30001, 0.2, 9.0)))
    assert guard.main(["--update"]) == 0
    assert left == []
    assert json.loads(guard.BASELINES.read_text()) == {"another": {"Adam": 1}, guard.machine(): {"Adam": 0.3}}


@pytest.mark.parametrize(
    ("first", "second", "code"), [(1.2, None, 0), (1.3, 1.2, 0), (1.3, 1.3, 1), (0.4, None, 0)], ids=str
)
def test_a_row_is_slower_if_it_is_so_twice(guard, monkeypatch, capsys, first, second, code):
    guard.BASELINES.write_text(json.dumps({guard.machine(): {"Adam": 1.0, "Linear": 1.0}}))
    measurements = [{"Adam": ratio, "Linear": 1.0, "new": 7.0} for ratio in (first, second) if ratio]
    left = pretend(monkeypatch, guard, *measurements)
    assert guard.main([]) == code
    assert left == []
    out = capsys.readouterr().out
    assert out.count("SLOWER") == code
    assert ("again" in out) == (second is not None)
    assert next(line for line in out.splitlines() if line.startswith("new")).endswith("new")
