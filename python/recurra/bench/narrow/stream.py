"""Steps of a stream from Python, each timed by itself: percentiles, and what memory grows by."""

from __future__ import annotations

import gc
from dataclasses import asdict, dataclass, field
from functools import partial
from mmap import PAGESIZE
from pathlib import Path
from statistics import median
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import numpy as np

import recurra
from recurra import _core

from . import clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from recurra.bench.problem import Array

CHUNK = 10_000  # steps in a turn
EMPTY = "empty call"
PERCENTILES = {"p50": 50.0, "p99": 99.0, "p99.9": 99.9, "most": 100.0}


@dataclass
class Measured:
    """Of one stream.

    Args:
        name: what runs.
        steps: how many steps were timed one by one.
        rounds: µs a step, one value a turn of many.
        percentiles: µs of single steps, the clock's time with them.
        grown: bytes that the process's memory grew by during its steps.
    """

    name: str
    steps: int
    rounds: list[float] = field(default_factory=list)
    percentiles: dict[str, float] = field(default_factory=dict)
    grown: int = 0

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "median": median(self.rounds), "min": min(self.rounds)}


def models() -> dict[str, Any]:
    """Name -> model, by which the stream is called in the table."""
    narrow = {
        f"{kind.__name__} 2 × 128, int8": recurra.compress(kind(128, 128, num_layers=2, seed=0), "int8")
        for kind in (recurra.LSTM, recurra.GRU)
    }
    voice = recurra.Sequential(recurra.GRU(32, 32, seed=0), recurra.Linear(32, 8, seed=0))
    return {"LSTM 16": recurra.LSTM(16, 16, seed=0), "GRU 32, Linear 8": voice, **narrow}


def inputs(model: Any) -> int:
    """I of a model."""
    return int(model[0].input_size if isinstance(model, recurra.Sequential) else model.input_size)


def calls() -> dict[str, Callable[[], object]]:
    """Name -> one step into an array that is there; and the cheapest call that takes an array, to compare with."""
    found: dict[str, Callable[[], object]] = {}
    for name, model in models().items():
        x = np.random.default_rng(0).standard_normal((1, inputs(model))).astype(np.float32)
        stream = recurra.Stream(model)
        found[name] = partial(stream, x, out=stream(x))
    return {EMPTY: partial(_core.address, np.zeros((1, 32), np.float32)), **found}


def measure(steps: int, rounds: int, seconds: float, progress: Callable[[str], None]) -> list[Measured]:
    """All streams in turns.

    Args:
        steps: timed one by one of each.
        rounds, seconds: turns of many steps, and how long one takes.
        progress: told what is happening.
    """
    run = calls()
    found = {name: Measured(name, steps) for name in run}
    counts = {name: many(call, seconds) for name, call in run.items()}
    durations = {name: np.zeros(steps, np.int64) for name in run}  # zeros written, so that their pages are there
    for each in durations.values():
        each.fill(0)
    collecting = gc.isenabled()
    gc.disable()  # as in the other turns
    try:
        for turn in range(rounds):
            progress(f"streams: round {turn + 1} of {rounds}")
            for name, call in run.items():
                found[name].rounds.append(seconds_of(call, counts[name]) * 1e6)
        for start in range(0, steps, CHUNK):
            progress(f"streams: step {start} of {steps}")
            for name, call in run.items():
                before = memory()
                single_steps(call, durations[name][start : start + CHUNK])
                found[name].grown += memory() - before
    finally:
        if collecting:
            gc.enable()
    for name, each in durations.items():
        found[name].percentiles = percentiles(each)
    return list(found.values())


def many(call: Callable[[], object], seconds: float) -> int:
    """How many calls fill that time, at least 1; they warm as well."""
    count = 1
    while (pace := seconds_of(call, count)) * count < seconds / 4:
        count *= 2
    return max(1, round(seconds / pace))


def seconds_of(call: Callable[[], object], count: int) -> float:
    """A call, over so many."""
    start = clock.seconds()
    for _ in range(count):
        call()
    return (clock.seconds() - start) / count


def single_steps(call: Callable[[], object], durations: Array) -> None:
    """Nanoseconds of as many steps as there is room for."""
    for k in range(len(durations)):
        start = perf_counter_ns()
        call()
        durations[k] = perf_counter_ns() - start


def percentiles(durations: Array) -> dict[str, float]:
    """Nanoseconds -> µs."""
    return {name: float(np.percentile(durations, q)) / 1e3 for name, q in PERCENTILES.items()}


def memory() -> int:
    """Bytes of this process that are in memory; 0 where the system has no /proc."""
    file = Path("/proc/self/statm")
    return int(file.read_text().split()[1]) * PAGESIZE if file.exists() else 0


def lines(results: Iterable[Measured]) -> list[str]:
    """The table."""
    heads = ["µs a step", "least", *(f"{name} µs" for name in PERCENTILES), "p99.9 / p50", "grown KB"]
    found = [f"{'stream':18}" + "".join(f"  {head:>9}" for head in heads)]
    for each in results:
        p = each.percentiles
        cells = [median(each.rounds), min(each.rounds), *p.values(), p["p99.9"] / p["p50"]]
        values = [f"{value:.2f}" for value in cells] + [f"{each.grown / 1024:.0f}"]
        found.append(
            f"{each.name:18}" + "".join(f"  {v:>{max(9, len(h))}}" for v, h in zip(values, heads, strict=True))
        )
    return found
