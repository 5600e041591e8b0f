"""The whole race: recurra against every peer that is installed, over cells, modes, shapes, threads, and special cases.

`python benchmarks/compare.py` takes about an hour and writes benchmarks/results/<machine>.json and its picture; `--only
plain --cells lstm --modes inference --rounds 3` takes a part of it, `--only cells` that of cells written as formulas.
README.md beside this file has the protocol.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from math import exp, log
from pathlib import Path
from statistics import median

import numpy as np

import recurra
from recurra.bench.cells.problem import FORMULAS, CellSpec
from recurra.bench.contestants import HOME, OWN_CELLS, PEERS, VARIANTS
from recurra.bench.machine import choose_cpus, cpu_model
from recurra.bench.problem import CELLS, Shape, Spec
from recurra.bench.race import OURS, race
from recurra.bench.table import Progress
from recurra.bench.worker import Worker, WorkerError

HERE = Path(__file__).parent
SHAPES = [
    Shape(*sizes)
    for sizes in [
        (1, 100, 32, 32), (1, 100, 128, 128), (1, 100, 256, 256), (1, 100, 512, 512), (8, 100, 64, 64),
        (16, 50, 128, 128), (32, 100, 128, 256), (64, 50, 256, 512), (128, 30, 128, 128), (64, 20, 512, 1024),
    ]
]  # fmt: skip
SOME = [SHAPES[1], SHAPES[5], SHAPES[6]]
RAGGED = [Shape(16, 200, 128, 128), Shape(32, 200, 128, 256), Shape(64, 200, 64, 64)]
OWN = [SHAPES[0], SHAPES[1], SHAPES[5], SHAPES[6]]
STEPS = [Shape(1, 1, hidden, hidden) for hidden in (16, 64, 128, 256)]
COLOURS = ("#8fb8a0", "#1f5fa8", "#e08a5b")  # of the cells, in the picture
KINDS = ("plain", "threads", "float64", "bidirectional", "ragged", "step", "cells")


def specs(kind, cells, modes):
    """The rows of one part of the race."""
    if kind == "cells":
        yield from (CellSpec(c, training, s) for c in cells if c in FORMULAS for training in modes for s in OWN)
    for cell in cells:
        for training in modes if cell in CELLS else []:
            base = Spec(cell, training, SHAPES[0])
            if kind in {"plain", "threads"}:
                yield from (replace(base, shape=s, threads=1 + (kind == "threads")) for s in SHAPES)
            elif kind == "float64":
                yield from (replace(base, shape=s, dtype="float64") for s in SOME)
            elif kind == "bidirectional":
                yield from (replace(base, shape=s, layers=2, directions=2) for s in SOME)
            elif kind == "ragged" and cell != "rnn":
                yield from (replace(base, shape=s, ragged=True) for s in RAGGED)
            elif kind == "step" and cell != "rnn" and not training:
                yield from (replace(base, shape=s, carried=True) for s in STEPS)


class Machine:
    """benchmarks/rates.cpp, on one of the CPUs that the race runs on: a context, in which it can be asked."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        program = Path(self.folder.name) / "rates"
        command = [os.environ.get("CXX", "c++"), "-O3", "-march=native", "-ffp-contract=fast", "-std=c++17"]
        subprocess.run([*command, HERE / "rates.cpp", "-o", program], check=True)
        self.command = ["taskset", "-c", str(min(choose_cpus(1))), program] if choose_cpus(1) else [program]
        self.process = subprocess.Popen(
            [*self.command, "pace"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()
        self.folder.cleanup()

    def rates(self):
        """The best of many moments, with the activations' rates."""
        lines = subprocess.run(self.command, check=True, capture_output=True, text=True).stdout.split()
        return {name: float(value) for name, value in (line.split("=") for line in lines)} | activation_rates()

    def gflops(self):
        """float32 multiply-adds, as fast as they are now."""
        self.process.stdin.write("\n")
        return float(self.process.stdout.readline())


def activation_rates():
    """Nanoseconds a value, the best of some moments: the difference between 4096 values and half of them, without the
    call's own time.
    """
    rates, x = {}, np.random.default_rng(0).standard_normal(4096).astype(np.float32)
    for name, function in (("sigmoid", recurra.functional.sigmoid), ("tanh", recurra.functional.tanh)):
        whole, half = (
            min(timed(lambda function=function, part=part: function(part)) for _ in range(50)) for part in (x, x[:2048])
        )
        rates[name + "_ns"] = (whole - half) / 2048 * 1e9
    return rates


def timed(call, calls=100):
    """Seconds a call."""
    from time import perf_counter

    begin = perf_counter()
    for _ in range(calls):
        call()
    return (perf_counter() - begin) / calls


def floor(spec, rates):
    """Seconds that one thread can't do without: products at the FMA rate or weights at the caches' pace, activations.

    Hoisted FLOPs ÷ peak + T · max(recurrent FLOPs ÷ peak, weight bytes in L2 ÷ its rate + the rest ÷ L3's), for
    training with two such walks and two more products, + activations ÷ their own rate.
    """
    inputs = [spec.shape.inputs] + [spec.directions * spec.shape.hidden] * (spec.layers - 1)
    return sum(spec.directions * layer_floor(spec, size, rates) for size in inputs)


def layer_floor(spec, inputs, rates):
    """The same of one direction of one layer."""
    _, steps, _, hidden = spec.shape
    gates, rows = spec.gates, spec.rows
    peak = rates["fma_gflops"] * 1e9 * (0.5 if spec.dtype == "float64" else 1)
    size = gates * hidden * hidden * (8 if spec.dtype == "float64" else 4)
    near = min(size, rates["l2_bytes"])
    weights = (
        near / (rates["l2_gbs"] * 1e9) + (size - near) / (rates["l3_gbs"] * 1e9) if size > rates["l1_bytes"] else 0
    )
    walk = steps * max(2 * rows / steps * gates * hidden * hidden / peak, weights)
    projection = 2 * rows * gates * hidden * inputs / peak
    product = 2 * rows * gates * hidden * (inputs + hidden) / peak
    sigmoids, tanhs = gates - 1, len(spec.states)  # tanh of one gate, the candidate, and of a cell state
    factor = 2 if spec.dtype == "float64" else 1
    cells = rows * hidden * factor * (sigmoids * rates["sigmoid_ns"] + tanhs * rates["tanh_ns"]) * 1e-9
    if not spec.training:
        return projection + walk + cells
    return 2 * projection + 2 * walk + product + cells


def run(options, machine):
    """Every row, printed as it comes, by the worker processes of its number of threads."""
    rates = machine.rates()
    print(cpu_model(), recurra.build_info()["isa"], rates, sep="\n")
    records, rows = (
        [],
        [s for kind in options.only for s in ((kind, s) for s in specs(kind, options.cells, options.modes))],
    )
    progress = Progress(len(rows))
    for own, threads in sorted({(kind == "cells", spec.threads) for kind, spec in rows}):
        with ExitStack() as stack:
            workers = {}
            for name, source in (OWN_CELLS if own else {**HOME, **PEERS, **VARIANTS}).items():
                if not source.missing:
                    workers[name] = Worker(f"{name} cells" if own else name, threads)
                    stack.callback(workers[name].close)
            for kind, spec in rows:
                if ((kind == "cells"), spec.threads) != (own, threads):
                    continue
                wanted = {n: w for n, w in workers.items() if n not in VARIANTS or kind in {"ragged", "step"}}
                speeds = []
                try:
                    result = race(
                        wanted,
                        spec,
                        options.rounds,
                        options.milliseconds / 1e3,
                        progress.show,
                        (lambda speeds=speeds: speeds.append(machine.gflops())) if threads == 1 else lambda: None,
                    )
                except WorkerError as error:
                    progress.clear()
                    print(f"{kind} {spec}: {error}")
                    continue
                record = {"kind": kind, **result.record()}
                if threads == 1:  # others use the machine too: the floor is that of its speed between the rounds
                    record["pace"] = median(speeds) / rates["fma_gflops"]
                if own:
                    record["before"] = before_first_call(workers, result)
                elif threads == 1:
                    record["floor"] = floor(spec, rates) / record["pace"] / result.median(OURS)
                if kind == "threads":
                    add_best_of_both(record, records)
                if kind == "ragged":
                    full = race({OURS: workers[OURS]}, replace(spec, ragged=False), options.rounds, 0.005)
                    record["full"] = full.median(OURS) * 1e6
                    record["alive"] = spec.rows / (spec.shape.batch * spec.shape.steps)
                records.append(record)
                progress.clear()
                progress.done += 1
                print(line(kind, spec, result, record), flush=True)
    return {"machine": {"cpu": cpu_model(), "system": platform.platform(), "rates": rates}, "rows": records}


def before_first_call(workers, result):
    """Seconds of each that are spent once, on defining, converting and compiling: what the first answers took beyond a
    call.
    """
    return {name: max(0.0, workers[name].ready() - result.median(name)) for name in result.seconds}


def add_best_of_both(record, records):
    """To a row of two threads: the ratio to the best peer with one thread or two, if the row of one has run."""
    key = ("cell", "mode", "batch", "steps", "input_size", "hidden_size")
    for one in records:
        if one["kind"] == "plain" and all(one[name] == record[name] for name in key):
            peers = [t["median"] for r in (one, record) for name, t in r["microseconds"].items() if name != OURS]
            record["best_of_both"] = min(peers) / record["microseconds"][OURS]["median"]


def line(kind, spec, result, record):
    """One row as text."""
    best = result.best_other
    floor_text = f"{record['floor']:.2f} of floor, pace {record['pace']:.2f}" if "floor" in record else ""
    if "before" in record:
        ratios = ", ".join(f"{ratio:.2f} × {name}" for name, ratio in record["speedups"].items())
        before = ", ".join(f"{name} {seconds * 1e3:.1f}" for name, seconds in record["before"].items())
        floor_text = f"({ratios}; ms before the first call: {before})"
    if "best_of_both" in record:
        floor_text = f"{record['best_of_both']:.2f} × the best of one thread and two"
    return (
        f"{kind:13} {spec.threads} {spec.cell:9} {spec.mode:9} {spec.shape!s:14} {result.median(OURS) * 1e6:10.1f} µs  "
        f"{result.gflops:6.1f} GFLOP/s  {result.speedup(best):5.2f} × {best:12} {floor_text}"
    )


def best_ratio(record):
    """The best peer's time over ours."""
    return min(record["speedups"].values())


def summary(report):
    """Geometric means and minima of the ratios to the best peer, by part, threads and mode; of cells to each peer."""
    groups = {}
    own = [record for record in report["rows"] if record["kind"] == "cells"]
    for record in report["rows"]:
        groups.setdefault((record["kind"], record["threads"], record["mode"]), []).append(best_ratio(record))
        if "best_of_both" in record:
            groups.setdefault(("best of both", 2, record["mode"]), []).append(record["best_of_both"])
    for record in own:
        for name, ratio in record["speedups"].items():
            for mode in (record["mode"], "both modes"):
                groups.setdefault((f"cells over {name}", record["threads"], mode), []).append(ratio)
    for (kind, threads, mode), ratios in groups.items():
        mean = exp(sum(map(log, ratios)) / len(ratios))
        print(
            f"{kind}, {threads} threads, {mode}: geometric mean {mean:.2f}, least {min(ratios):.2f}, {len(ratios)} rows"
        )
    for name in OWN_CELLS if own else ():
        if waits := [record["before"][name] * 1e3 for record in own if name in record["before"]]:
            print(f"{name}, ms before the first call of a cell: median {median(waits):.1f}, most {max(waits):.1f}")
    times = {
        (r["cell"], r["mode"], r["batch"], r["hidden_size"], r["threads"]): r
        for r in report["rows"]
        if r["kind"] in {"plain", "threads"}
    }
    scaling = [
        times[(*key[:4], 1)]["microseconds"][OURS]["median"] / record["microseconds"][OURS]["median"]
        for key, record in times.items()
        if key[4] == 2 and (*key[:4], 1) in times
    ]
    if scaling:
        print(f"2 threads over 1: median {median(scaling):.2f}, least {min(scaling):.2f}")


def draw(report, path):
    """Ratio to the best peer, one panel a mode, one thread."""
    from matplotlib.figure import Figure

    rows = [r for r in report["rows"] if r["kind"] == "plain"]
    figure = Figure(figsize=(11, 6.5), layout="constrained", facecolor="white")
    for panel, mode in zip(figure.subplots(2, 1, sharex=True), ("inference", "training"), strict=True):
        for k, (cell, colour) in enumerate(zip(CELLS, COLOURS, strict=True)):
            own = [r for r in rows if (r["cell"], r["mode"]) == (cell, mode)]
            bars = panel.bar(
                [i + (k - 1) * 0.27 for i in range(len(own))], [best_ratio(r) for r in own], 0.25, color=colour
            )
            panel.bar_label(bars, [f"{best_ratio(r):.1f}" for r in own], fontsize=7)
            bars.set_label(cell.upper())
        panel.axhline(1, color="#444444", linewidth=1)
        panel.set_ylabel(f"{mode}: times as fast\nas the best peer")
        panel.set_xticks(range(len(SHAPES)), [str(s) for s in SHAPES], rotation=20, fontsize=8)
        panel.grid(axis="y", color="#dddddd")
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False, ncols=3)
    figure.suptitle(f"recurra, one thread, float32, {report['machine']['cpu']}", fontsize=11)
    figure.savefig(path, dpi=110)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS), help="parts (default: all)")
    cells = [*CELLS, *FORMULAS]
    options.add_argument("--cells", nargs="+", choices=cells, default=cells, help="default: all")
    modes = ["inference", "training"]
    options.add_argument("--modes", nargs="+", choices=modes, default=modes, help="default: both")
    options.add_argument("--rounds", type=int, default=7, help="turns of each contestant a row (default: %(default)s)")
    options.add_argument(
        "--milliseconds", type=float, default=20, help="what a turn takes at least, about (default: %(default)s)"
    )
    options.add_argument("--output", type=Path, help="a .json file (default: results/<machine>.json beside this one)")
    values = options.parse_args()
    values.modes = [mode == "training" for mode in values.modes]
    name = re.sub(r"\W+", "-", f"{cpu_model()} {recurra.build_info()['isa']}").strip("-").lower()
    path = values.output or HERE / "results" / f"{name}.json"
    with Machine() as machine:
        report = run(values, machine)
    summary(report)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n")
    if any(r["kind"] == "plain" for r in report["rows"]):
        draw(report, path.with_suffix(".png"))
    print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
