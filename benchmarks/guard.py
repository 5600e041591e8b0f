"""Has a change made recurra slower? Ten calls, each by the time of a call of NumPy, against stored ones.

`python benchmarks/guard.py` takes some seconds. It exits with 1 if a row is more than a quarter slower than its
baseline in two measurements running, and with 0 on a machine without a baseline. `--update` stores this machine's in
results/guard.json. The protocol is in benchmarks/README.md.
"""

# pytest-benchmark (5.2) stores and compares times by its own clock alone: --benchmark-compare-fail takes min, max, mean
# and their like, extra_info isn't compared. On a shared machine the same call takes up to three times as long an hour
# later, and so does one of NumPy, so only the ratio of the two can be kept. asv could track ratios, but
# installs each commit anew, which takes minutes.

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import numpy as np

import recurra
from recurra.bench.machine import choose_cpus, cpu_model, worker_environment
from recurra.doctor.facts import cpu_numbers

BASELINES = Path(__file__).parent / "results" / "guard.json"
SLOWER = 1.25  # by which a row counts as slower
SECONDS, LONGEST = 1.2, 2.5  # of a measurement: of the process's own time, and by the wall where others have the CPU
TURN = 5e-4  # seconds of a row's turn, about
UPDATES = 5  # measurements of a baseline, of which each row has its median
# What a call of each kind is measured by: where a neighbour has the other half of a core, steps from Python became 1.4
# times as slow against the product, and Adam 1.2 times as fast.
PRODUCT, ELEMENTS, CALL = "product of 256x256", "sum of 65536", "sum of 16"
YARDSTICKS = {"step of an LSTM": CALL, "step of a Stream": CALL, "Adam": ELEMENTS}  # PRODUCT for all others


def rows():
    """Name -> a call, made of weights and data that stay."""
    rng = np.random.default_rng(0)

    def data(*shape):
        return rng.standard_normal(shape, np.float32)

    def forward(layer, *shape):
        x, y = data(*shape), np.empty((*shape[:-1], layer.hidden_size), np.float32)
        return lambda: layer(x, out=y)

    def training(layer, *shape):
        x, dy = data(*shape), data(*shape[:-1], layer.hidden_size)

        def train():
            layer.zero_grad()
            _, _, tape = layer.forward(x)
            layer.backward(tape, dy)

        return train

    def linear():
        _, tape = readout.forward(wide)
        readout.backward(tape, wide)

    cell, x_t, state = recurra.LSTMCell(64, 64, seed=0), data(1, 64), (data(1, 64), data(1, 64))
    stream, number, y_t = recurra.Stream(recurra.LSTM(16, 16, seed=0)), data(1, 16), data(1, 16)
    int8 = recurra.compress(recurra.LSTM(128, 128, seed=0))
    few, wide = data(20, 1, 128), data(64, 256)
    readout, steered = recurra.Linear(256, 256, seed=0), recurra.Linear(256, 256, seed=0)
    adam = recurra.Adam(steered)
    return {
        "step of an LSTM": lambda: cell(x_t, state),
        "step of a Stream": lambda: stream(number, y_t),
        "RNN forward": forward(recurra.RNN(128, 128, seed=0), 10, 16, 128),
        "LSTM forward": forward(recurra.LSTM(128, 128, seed=0), 10, 16, 128),
        "GRU forward": forward(recurra.GRU(128, 128, seed=0), 10, 16, 128),
        "LSTM training": training(recurra.LSTM(64, 96, seed=0), 8, 16, 64),
        "LSTM int8": lambda: int8(few),
        "formula forward": forward(recurra.cells.PeepholeLSTM(64, 64, seed=0), 20, 8, 64),
        "Linear training": linear,
        "Adam": adam.step,
    }


def yardsticks():
    """Name -> a call of NumPy, as those of `rows`."""
    squares, vectors, few = ([np.full(shape, 0.5, np.float32) for _ in "abc"] for shape in ((256, 256), 65536, 16))
    return {
        PRODUCT: lambda: np.matmul(squares[0], squares[1], out=squares[2]),
        ELEMENTS: lambda: np.add(vectors[0], vectors[1], out=vectors[2]),
        CALL: lambda: np.add(few[0], few[1], out=few[2]),
    }


def measure(seconds=SECONDS):
    """Name -> how many times as long as its yardstick a call takes, by the best turns of each in shared rounds."""
    recurra.set_num_threads(1)
    others = rows()
    calls = yardsticks() | others
    counts = {name: max(1, round(TURN / min(timed(call, 1) for _ in range(5)))) for name, call in calls.items()}
    best = dict.fromkeys(calls, float("inf"))
    gc.disable()
    end, last = process_time() + seconds, perf_counter() + LONGEST
    while process_time() < end and perf_counter() < last:
        for other in others:
            for name in (YARDSTICKS.get(other, PRODUCT), other):
                calls[name]()  # others have had the caches
                best[name] = min(best[name], timed(calls[name], counts[name]))
    gc.enable()
    return {name: best[name] / best[YARDSTICKS.get(name, PRODUCT)] for name in others}


def timed(call, count):
    """Seconds of one of so many calls."""
    start = perf_counter()
    for _ in range(count):
        call()
    return (perf_counter() - start) / count


def measured():
    """By a process of one thread on one CPU."""
    command = [sys.executable, __file__, "--measure"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=worker_environment(1))
    if cpus := choose_cpus(1):
        with suppress(OSError):  # a sandbox may forbid it
            os.sched_setaffinity(process.pid, cpus)
    out, _ = process.communicate()
    if process.returncode:
        raise SystemExit(process.returncode)
    return json.loads(out)


def machine():
    """Under what name baselines are stored: ratios depend on the CPU and on the instruction set. Empty without one."""
    if cpu_model() == platform.machine():  # "aarch64" is what many a CPU is called
        return ""
    return f"{cpu_model()} ({cpu_numbers()}) {recurra.build_info()['isa']}"


def slower(found, baseline):
    """The rows that are slower than SLOWER allows."""
    return [name for name, ratio in found.items() if name in baseline and ratio > SLOWER * baseline[name]]


def update(stored):
    """Writes this machine's baselines."""
    turns = [measured() for _ in range(UPDATES)]
    stored[machine()] = {name: float(f"{median(turn[name] for turn in turns):.3g}") for name in turns[0]}
    BASELINES.write_text(json.dumps(stored, indent=1) + "\n")
    print(f"{BASELINES}: {machine()}")
    return 0


def guard(stored):
    """Prints a line a row. Exit code 1 if one is slower twice."""
    baseline = stored.get(machine())
    if baseline is None:
        print(f"no baseline for {machine()}: python benchmarks/guard.py --update stores one")
        return 0
    found, again = measured(), {}
    suspects = slower(found, baseline)
    if suspects:
        again = measured()
    confirmed = [name for name in slower(again, baseline) if name in suspects]
    print(machine(), f"{'row':18} x NumPy  baseline  change", sep="\n")
    for name, ratio in found.items():
        change = f"{ratio / baseline[name] - 1:+7.0%}" if name in baseline else "    new"
        verdict = f"  again {again[name] / baseline[name] - 1:+.0%}" if name in suspects else ""
        verdict += "  SLOWER" if name in confirmed else ""
        print(f"{name:18} {ratio:7.3g}  {baseline.get(name, float('nan')):8.3g} {change}{verdict}")
    return int(bool(confirmed))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0], allow_abbrev=False)
    parser.add_argument("--update", action="store_true", help="store what is measured now as this machine's baseline")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)  # the process that measures
    options = parser.parse_args(arguments)
    if options.measure:
        print(json.dumps(measure()))
        return 0
    if not machine():
        print(f"no baseline: this system says of its CPU only that it is {platform.machine()}")
        return int(options.update)
    stored = json.loads(BASELINES.read_text()) if BASELINES.exists() else {}
    return update(stored) if options.update else guard(stored)


if __name__ == "__main__":
    sys.exit(main())
