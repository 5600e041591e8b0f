"""The command line: python -m recurra."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import textwrap
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from statistics import median
from time import monotonic
from typing import TYPE_CHECKING, Any

from recurra.doctor import facts

from .budget import Budget, guess_pace
from .contestants import HOME, PEERS
from .plot import plot
from .problem import CELLS, Shape, Spec
from .race import FEWEST, OURS, Disagreement, Result, compare_answers, race
from .table import Progress, Table, summary
from .worker import Worker, WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

# A small and a middling network on one sequence, a small and a middling batch, and one that leaves every cache.
SHAPES = "1x100x32x32,1x100x128x128,16x50x128x128,32x100x128x256,64x20x512x1024"

MOST_THREADS = 1024  # which set_num_threads takes
SECONDS = 30.0  # with what may be misjudged, less than 40


def main(arguments: Sequence[str] | None = None) -> int:
    """Compares. Exit code 0; 1 if answers differ or a contestant breaks; 2 for bad options; 130 after Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if any(argument.split("=")[0] == "--only" for argument in arguments):
            from .narrow import cli as parts  # which have options of their own

            parts.compare(parts.parse(arguments))
        else:
            compare(parse(arguments))
    except (Disagreement, WorkerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # as in `python -m recurra | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python complains when it flushes at exit
        return 1
    except OSError as error:  # of a file that can't be written
        print(f"error: {error}", file=sys.stderr)
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
    sources = {**HOME, **(PEERS if options.peers else {})}
    notes = {n: f"not installed ({', '.join(s.missing)})" for n, s in sources.items() if s.missing}
    names = [name for name in sources if name not in notes]
    turn = options.milliseconds / 1e3
    budget = Budget(options.seconds, options.rounds, turn, len(names), guess_pace(options.cells[0], options.dtype))
    about = describe(options)
    width = min(shutil.get_terminal_size().columns, 120)
    print(*facts.lines(about, options.threads, width), "", sep="\n", flush=True)
    print(work(names, options, specs, budget.estimate(specs)), "", sep="\n", flush=True)
    progress = Progress(len(specs))
    results: list[Result] = []
    with ExitStack() as stack:
        stack.callback(progress.clear)
        progress.show("starting")
        workers = start(names, options.threads, stack, notes)
        about["versions"] = {name: worker.version() for name, worker in workers.items()}
        budget.contestants = len(workers)
        table = Table([name for name in workers if name != OURS], options.shapes)
        answers = agreement(workers, specs, progress.show)
        progress.clear()
        peers = ", ".join(f"{name} {about['versions'][name]}" for name in workers if name not in HOME)
        print(*[f"peers: {peers}"] * (len(peers) > 0), answers, "", table.head(), sep="\n", flush=True)
        for k, spec in enumerate(specs):
            progress.end = monotonic() + budget.left(specs[k:])
            deadline = budget.deadline(specs[k:])
            result = race(workers, spec, options.rounds, turn, progress.show, deadline=deadline)
            budget.learn(spec, [median(seconds) for seconds in result.seconds.values()])
            progress.clear()
            print(table.row(result), flush=True)
            results.append(result)
            progress.done += 1
            notes |= {f"{name}, {spec.cell} {spec.mode}": reason for name, reason in result.absent.items()}
    print("", *summary(results, table.others), *(f"{who}: {reason}" for who, reason in notes.items()), sep="\n")
    if options.json:
        report = {**about, "results": [result.record() for result in results]}
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    if options.plot:
        plot(results, options.plot, about)
    return results


def agreement(workers: Mapping[str, Worker], specs: Sequence[Spec], progress: Callable[[str], None]) -> str:
    """The answers of each cell and mode, on the shape of middling work, before anything is timed; each row has its own.

    Returns:
        A line with the largest difference of each cell.

    Raises:
        Disagreement: recurra and NumPy don't compute the same.
    """
    shape = sorted({spec.shape for spec in specs}, key=lambda shape: Spec("rnn", False, shape).flops)
    middling = [spec for spec in specs if spec.shape == shape[len(shape) // 2]]
    worst: dict[str, float] = {}
    for spec in middling:
        found = compare_answers(workers, spec, progress)
        agreed = [value for name, value in found.differences.items() if name not in found.absent]
        worst[spec.cell] = max([worst.get(spec.cell, 0.0), *agreed])
    shown = ", ".join(f"{cell} {value:.1e}" for cell, value in worst.items())
    return f"answers: off by {shown} ({middling[0].tolerance:.0e} is wrong)"


def start(names: Sequence[str], threads: int, stack: ExitStack, notes: dict[str, str]) -> dict[str, Worker]:
    """The contestants' processes; what keeps a peer away goes to `notes`."""
    workers: dict[str, Worker] = {}
    for name in names:
        workers[name] = Worker(name, threads)
        stack.callback(workers[name].close)
    for name in names:
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


def describe(options: argparse.Namespace) -> dict[str, Any]:
    """What the figures depend on, beside the rows; the versions of peers are known when they have started."""
    return facts.gather() | {"threads": options.threads, "dtype": options.dtype, "rounds": options.rounds}


def work(names: Sequence[str], options: argparse.Namespace, specs: Sequence[Spec], seconds: float) -> str:
    """What will be done, how long that takes, and how to read it."""
    shapes = f"{len(options.shapes)} shape" + "s" * (len(options.shapes) > 1)
    cells, rows = ", ".join(options.cells), f"{len(specs)} row" + "s" * (len(specs) > 1)
    threads = "1 thread" if options.threads == 1 else f"{options.threads} threads"
    ours, *others = names
    who = f"{ours} against {', '.join(others)}: {options.dtype}, {threads} each, in about {duration(seconds)}"
    return (
        f"{textwrap.fill(who, 80)}\n"
        f"{rows}: {cells}; inference and training; {shapes} BxTxIxH\n"
        f"µs a call, median of up to {options.rounds} turns; × NumPy: times as fast as NumPy"
    )


def duration(seconds: float) -> str:
    """To about a digit: 1 s, 20 s, 3 min."""
    return f"{seconds / 60:.0f} min" if seconds > 90 else f"{ceil(seconds / 5) * 5 if seconds > 5 else ceil(seconds)} s"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options; exits with code 2 and a message if one can't be."""
    parser = argparse.ArgumentParser(
        prog="python -m recurra",
        description="Compare recurra with a careful NumPy implementation: first the answers, then the time of a call. "
        "python -m recurra doctor checks the installation instead.",
        allow_abbrev=False,
    )
    parser.add_argument("--shapes", type=listed(Shape.parse), default=SHAPES, help="BxTxIxH,… (default: %(default)s)")
    parser.add_argument("--cells", type=listed(cell), default=",".join(CELLS), help="some of (default: %(default)s)")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32", help="default: %(default)s")
    parser.add_argument("--threads", type=positive(int), default=1, help="for each contestant (default: %(default)s)")
    parser.add_argument(
        "--peers", action="store_true", help=f"add those of {', '.join(PEERS)} that are installed (default: no)"
    )
    parser.add_argument(
        "--rounds", type=positive(int), default=7, help="turns of each contestant a row, at most (default: %(default)s)"
    )
    parser.add_argument(
        "--milliseconds", type=positive(float), default=5.0, help="a turn at least, about (default: %(default)s)"
    )
    parser.add_argument(
        "--seconds",
        type=positive(float),
        default=SECONDS,
        help=f"the run, about: the longest rows have fewer rounds, but no fewer than {FEWEST} (default: %(default)s)",
    )
    parser.add_argument("--json", type=writable, metavar="FILE", help="write everything measured (default: nothing)")
    parser.add_argument(
        "--plot", type=writable, metavar="FILE.png", help="draw the speed-ups; needs matplotlib (default: nothing)"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="PART",
        help="step, stream, narrow: small networks step by step and narrow weights instead, with options of their own "
        "(--only step --help)",
    )
    if arguments and not arguments[0].startswith("-"):
        parser.error(f"expected options, or the word doctor by itself, got {arguments[0]!r}")
    options = parser.parse_args(arguments)
    if options.threads > MOST_THREADS:
        parser.error(f"argument --threads: expected {MOST_THREADS} at most, got {options.threads}")
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
    if text not in CELLS:
        raise ValueError(f"expected some of {', '.join(CELLS)}, got {text!r}")
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
