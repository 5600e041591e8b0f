"""The command line: python -m recurra."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import recurra

from .contestants import HOME, PEERS
from .machine import cpu_model
from .plot import plot
from .problem import GATES, Shape, Spec
from .race import OURS, Disagreement, Result, race
from .table import Progress, Table, summary
from .worker import Worker, WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# A small and a middling network on one sequence, a small and a middling batch, and one that leaves every cache.
SHAPES = "1x100x32x32,1x100x128x128,16x50x128x128,32x100x128x256,64x20x512x1024"


def main(arguments: Sequence[str] | None = None) -> int:
    """Compares. Exit code 0; 1 if answers differ or a contestant breaks; 2 for bad options; 130 after Ctrl-C."""
    options = parse(arguments)
    try:
        compare(options)
    except (Disagreement, WorkerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # as in `python -m recurra | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python complains when it flushes at exit
        return 1
    return 0


def compare(options: argparse.Namespace) -> list[Result]:
    """Every row of the table, printed as it comes; then the files that were asked for."""
    specs = [
        Spec(cell, training, shape, options.dtype, options.threads)
        for cell in options.cells
        for training in (False, True)
        for shape in options.shapes
    ]
    progress = Progress(len(specs))
    results: list[Result] = []
    notes: dict[str, str] = {}
    with ExitStack() as stack:
        stack.callback(progress.clear)
        progress.show("starting")
        workers = start(options, stack, notes)
        about = describe(options, {name: worker.version() for name, worker in workers.items()})
        table = Table([name for name in workers if name != OURS], options.shapes)
        progress.clear()
        print(*headline(about, options), "", table.head(), sep="\n", flush=True)
        for spec in specs:
            result = race(workers, spec, options.rounds, options.milliseconds / 1e3, progress.show)
            progress.clear()
            print(table.row(result), flush=True)
            results.append(result)
            progress.done += 1
            notes |= {f"{name}, {spec.cell} {spec.mode}": reason for name, reason in result.absent.items()}
        print("", *summary(results, table.others), *(f"{about}: {reason}" for about, reason in notes.items()), sep="\n")
    if options.json:
        report = {**about, "results": [result.record() for result in results]}
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    if options.plot:
        plot(results, options.plot, " · ".join(headline(about, options)[:2]))
    return results


def start(options: argparse.Namespace, stack: ExitStack, notes: dict[str, str]) -> dict[str, Worker]:
    """The contestants' processes; what keeps a peer away goes to `notes`."""
    workers: dict[str, Worker] = {}
    for name, source in {**HOME, **(PEERS if options.peers else {})}.items():
        if source.missing:
            notes[name] = f"not installed ({', '.join(source.missing)})"
        else:
            workers[name] = Worker(name, options.threads)
            stack.callback(workers[name].close)
    for name in list(workers):
        with survived(name, notes):
            workers[name].version()  # all are starting by now; this waits for them
    return {name: worker for name, worker in workers.items() if name not in notes}


@contextmanager
def survived(name: str, notes: dict[str, str]) -> Iterator[None]:
    """Goes on without a peer that fails, noting why."""
    try:
        yield
    except WorkerError as error:
        if name in HOME:
            raise WorkerError(f"{name}: {error}") from error
        notes[name] = str(error)


def describe(options: argparse.Namespace, versions: dict[str, str]) -> dict[str, Any]:
    """What the figures depend on, beside the rows."""
    return {
        "machine": {"cpu": cpu_model(), "cpus": os.cpu_count(), "system": platform.platform()},
        "python": platform.python_version(),
        "versions": versions,
        "build": recurra.build_info(),
        "threads": options.threads,
        "dtype": options.dtype,
        "rounds": options.rounds,
    }


def headline(about: dict[str, Any], options: argparse.Namespace) -> list[str]:
    """What stands above the table."""
    versions = [f"{name} {version}" for name, version in about["versions"].items()]
    threads = "1 thread" if options.threads == 1 else f"{options.threads} threads"
    return [
        f"{versions[0]} against {', '.join(versions[1:])}",
        f"{about['machine']['cpu']} · {about['build']['isa']} · {threads} · {options.dtype} · Python {about['python']}",
        "difference: the largest in any output or gradient, relative to max(1, the largest value in that array)",
        f"µs: a call, median of {options.rounds} rounds taken in turns",
    ]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options; exits with code 2 and a message if one can't be."""
    parser = argparse.ArgumentParser(
        prog="python -m recurra",
        description="Compare recurra with a careful NumPy implementation: first the answers, then the time of a call.",
        allow_abbrev=False,
    )
    parser.add_argument("--shapes", type=listed(Shape.parse), default=SHAPES, help="BxTxIxH,… (default: %(default)s)")
    parser.add_argument("--cells", type=listed(cell), default=",".join(GATES), help="of %(default)s")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--threads", type=positive(int), default=1, help="for each contestant (default: 1)")
    parser.add_argument("--peers", action="store_true", help=f"add those of {', '.join(PEERS)} that are installed")
    parser.add_argument("--rounds", type=positive(int), default=7, help="turns of each contestant a row (default: 7)")
    parser.add_argument(
        "--milliseconds", type=positive(float), default=5.0, help="what a turn takes at least, about (default: 5)"
    )
    parser.add_argument("--json", type=writable, metavar="FILE", help="write everything measured")
    parser.add_argument("--plot", type=writable, metavar="FILE.png", help="draw the speed-ups (needs matplotlib)")
    options = parser.parse_args(arguments)
    if options.plot and find_spec("matplotlib") is None:
        parser.error("argument --plot: needs matplotlib: pip install 'recurra[plot]'")
    if options.plot and options.plot.suffix.lower() not in {".png", ".svg", ".pdf"}:
        parser.error(f"argument --plot: expected a name ending in .png, .svg or .pdf, got {str(options.plot)!r}")
    return options


def listed(convert: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    """For comma-separated values, each once."""

    def split(text: str) -> list[Any]:
        try:
            return list(dict.fromkeys(convert(part) for part in text.split(",")))
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return split


def cell(text: str) -> str:
    """A cell's name."""
    if text not in GATES:
        raise ValueError(f"expected some of {', '.join(GATES)}, got {text!r}")
    return text


def positive(kind: type[int | float]) -> Callable[[str], float]:
    """For numbers above 0."""

    def convert(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = 0
        if not 0 < value < 1e9:
            raise argparse.ArgumentTypeError(
                f"expected a positive {'integer' if kind is int else 'number'}, got {text!r}"
            )
        return value

    return convert


def writable(text: str) -> Path:
    """A file to be, in a directory that is there; said now rather than after the run."""
    path = Path(text)
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"can't write {text!r}")
    return path
