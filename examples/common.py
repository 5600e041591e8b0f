"""What the examples share: options, where pictures go, and the line of figures that ends each run."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import recurra

OUTPUT = Path(__file__).parent / "output"


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows the defaults that there are."""

    def _get_help_string(self, action):
        missing = action.default is None or action.default is False
        return action.help if missing else super()._get_help_string(action)


def parser(description):
    """A parser with the options that every example takes; the first line of `description` is what --help shows."""
    options = argparse.ArgumentParser(description=description.strip().splitlines()[0], formatter_class=Help)
    options.add_argument("--seed", type=int, default=0, help="of all that is drawn at random")
    options.add_argument("--threads", type=int, default=1, help="how many to compute with")
    return options


def parse(options, arguments=None):
    """The options' values; --threads takes effect here."""
    values = options.parse_args(arguments)
    if values.seed < 0 or values.threads < 1:
        options.error("--seed starts at 0, --threads at 1")
    recurra.set_num_threads(values.threads)
    return values


def restart_with(threads):
    """Starts the program anew if NumPy's BLAS has another number of threads, as it reads it while it is loaded."""
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    if not limits.items() <= os.environ.items():
        os.execve(sys.executable, sys.orig_argv, os.environ | limits)


def timed(call, *arguments, **options):
    """The seconds of a call, and what it returns."""
    start = time.perf_counter()
    result = call(*arguments, **options)
    return time.perf_counter() - start, result


def figure(width=8, height=4, rows=1, columns=1):
    """A matplotlib figure on white, and its axes (one, or an array)."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    return picture, picture.subplots(rows, columns)


def save(picture, name):
    """Writes examples/output/<name>.png and says so."""
    OUTPUT.mkdir(exist_ok=True)
    path = OUTPUT / f"{name}.png"
    picture.savefig(path, dpi=120)
    print(f"saved {path.relative_to(OUTPUT.parent.parent)}")


def finish(**figures):
    """The last line: name=value pairs, floats with four digits."""
    print(
        *(f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in figures.items())
    )
