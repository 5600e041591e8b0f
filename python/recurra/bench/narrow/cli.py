"""The parts of `python -m recurra --only`: their options, and the runs."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import recurra
from recurra.bench.cli import describe, listed, positive, writable
from recurra.bench.machine import choose_cpus
from recurra.bench.race import OURS
from recurra.bench.table import Progress
from recurra.doctor import facts

from . import stream, table
from .field import PEERS, gather, one_thread, run
from .problem import CELLS, HIDDEN, sequences, steps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PARTS = ("step", "stream", "narrow")


def compare(options: argparse.Namespace) -> None:
    """Every part, printed as it comes; then the file that was asked for."""
    if options.isas:
        reports = [in_process(isa, options) for isa in options.isas]
        write(options.json, reports)
        return
    about = describe(options)
    print(*facts.lines(about, threads=1, width=min(shutil.get_terminal_size().columns, 120)), sep="\n", flush=True)
    parts: dict[str, Any] = {}
    with ExitStack() as stack:
        stack.enter_context(one_thread())
        stack.enter_context(one_cpu())
        for part in options.only:
            parts[part] = streams(options) if part == "stream" else rows(part, options, about["versions"])
    write(options.json, {**about, "parts": parts})


def rows(part: str, options: argparse.Namespace, versions: dict[str, str]) -> dict[str, Any]:
    """Single steps or sequences."""
    specs = (steps if part == "step" else sequences)(options.cells, options.hidden or HIDDEN[part])
    notes: dict[str, str] = {}
    field = gather(part, options.peers, notes)
    versions |= {name: desk.version() for name, desk in field.items() if name in PEERS}
    board, progress, results = table.Table(list(field)), Progress(len(specs)), []
    print("", f"{part}: µs a step, medians of {options.rounds} rounds in turns", board.head(), sep="\n", flush=True)
    for spec in specs:
        result = run(field, spec, options.rounds, options.milliseconds / 1e3, progress.show)
        progress.clear()
        print(board.row(result), flush=True)
        results.append(result)
        progress.done += 1
        notes |= {f"{name}, {spec.cell}": reason for name, reason in result.absent.items()}
    print(
        "",
        *table.differences(results, [name for name in field if name != OURS]),
        "",
        *table.ratio_lines(part, results),
        sep="\n",
    )
    print(*(f"{about}: {reason}" for about, reason in notes.items()), sep="\n", end="\n" if notes else "")
    return table.record(part, results) | {"notes": notes}


def streams(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Percentiles of single steps."""
    progress = Progress(1)
    print("", f"stream: µs a step, and percentiles of {options.steps} steps timed one by one", sep="\n", flush=True)
    found = stream.measure(options.steps, options.rounds, options.milliseconds / 1e3, progress.show)
    progress.clear()
    print(*stream.lines(found), sep="\n", flush=True)
    return [each.record() for each in found]


def in_process(isa: str, options: argparse.Namespace) -> Any:
    """The report of a process that is held to one build of the kernels; it prints as it goes."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.json"
        command = [sys.executable, "-m", "recurra", "--only", *options.only, "--cells", ",".join(options.cells)]
        command += ["--rounds", str(options.rounds), "--milliseconds", str(options.milliseconds)]
        command += ["--steps", str(options.steps), "--json", str(file)] + ["--peers"] * options.peers
        command += ["--hidden", ",".join(map(str, options.hidden))] if options.hidden else []
        done = subprocess.run(command, env={**os.environ, "RECURRA_ISA": isa}, check=False)
        if done.returncode:
            raise SystemExit(done.returncode)
        print(flush=True)
        return json.loads(file.read_text())


def write(path: Path | None, report: Any) -> None:
    """As JSON, if a file was named."""
    if path:
        path.write_text(json.dumps(report, indent=1) + "\n")


@contextmanager
def one_cpu() -> Iterator[None]:
    """On Linux this process is held to the CPU that a race's processes would have; afterwards to those of before."""
    cpus = choose_cpus(1)
    if not cpus:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options; exits with code 2 and a message if one can't be."""
    parser = argparse.ArgumentParser(
        prog="python -m recurra",
        description="Time single steps, streams, and sequences with narrow weights: one thread, all in one process.",
        allow_abbrev=False,
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, required=True, help="the parts")
    parser.add_argument("--cells", type=listed(cell), default=",".join(CELLS), help="some of (default: %(default)s)")
    parser.add_argument("--hidden", type=listed(positive(int)), help="sizes H, with as many inputs (default: 4 to 512)")
    parser.add_argument("--peers", action="store_true", help=f"add those of {', '.join(PEERS)} that are installed")
    parser.add_argument(
        "--rounds", type=positive(int), default=7, help="turns of each contestant a row (default: %(default)s)"
    )
    parser.add_argument(
        "--milliseconds", type=positive(float), default=5.0, help="a turn at least, about (default: %(default)s)"
    )
    parser.add_argument(
        "--steps", type=positive(int), default=100_000, help="of a stream, timed one by one (default: %(default)s)"
    )
    parser.add_argument(
        "--isas", type=listed(isa), help="the run once in each of these builds of the kernels (default: the CPU's own)"
    )
    parser.add_argument("--json", type=writable, metavar="FILE", help="write everything measured (default: nothing)")
    parser.set_defaults(threads=1, dtype="float32")
    options = parser.parse_args(arguments)
    options.only = list(dict.fromkeys(options.only))
    return options


def cell(text: str) -> str:
    """A cell's name."""
    if text not in CELLS:
        raise ValueError(f"expected some of {', '.join(CELLS)}, got {text!r}")
    return text


def isa(text: str) -> str:
    """One that this CPU has."""
    available = recurra.build_info()["isas_available"]
    if text not in available:
        raise ValueError(f"expected some of {', '.join(available)}, got {text!r}")
    return text
