"""The command line: python -m recurra doctor."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from recurra.bench.table import Progress

from . import bits, facts, openmp, speed, threads, versions
from .finding import LEVELS, Finding, coloured, lines

Check = Callable[[dict[str, Any], argparse.Namespace], list[Finding]]
CHECKS: dict[str, Check] = {
    "versions": lambda _, __: versions.check(),
    "bits": lambda _, __: bits.check(),
    "threads": lambda about, _: threads.check(about["machine"], about["build"], os.environ),
    "openmp": lambda about, options: openmp.check(options.beside, about["build"]["threading"] == "OpenMP", os.environ),
    "speed": lambda _, __: speed.check(),
}


def main(arguments: Sequence[str]) -> int:
    """Checks and prints. Exit code 0; 1 if there is a fault; 2 for bad options."""
    options = parse(arguments)
    about = facts.gather()
    width = min(shutil.get_terminal_size().columns, 120)
    if not options.json:
        print(*facts.lines(about, width=width), "", sep="\n", flush=True)
    findings: list[Finding] = []
    progress = Progress(len(options.only))
    for name in options.only:
        progress.show(name)
        found = CHECKS[name](about, options)
        progress.clear()
        progress.done += 1
        findings += found
        for finding in found:
            if not options.json:
                print(*lines(finding, width, coloured(sys.stdout)), sep="\n", flush=True)
    counts = {level: sum(finding.level == level for finding in findings) for level in LEVELS}
    if options.json:
        print(json.dumps({**about, "findings": [asdict(finding) for finding in findings]}, indent=1))
    else:
        print("", summary(counts), sep="\n")
    return int(counts["fault"] > 0)


def summary(counts: dict[str, int]) -> str:
    """One sentence: what the exit code says, too."""
    faults, warnings = counts["fault"], counts["warning"]
    said = [f"{n} {word}" + "s" * (n != 1) for n, word in ((faults, "fault"), (warnings, "warning")) if n]
    return " and ".join(said) if said else "All is well."


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options; exits with code 2 and a message if one can't be."""
    parser = argparse.ArgumentParser(
        prog="python -m recurra doctor",
        description="Check this installation, in some seconds: versions, bits, threads, OpenMP libraries and speed. "
        "A finding is a line, ok, warning or fault, with what to do about it. The exit code is 1 if there is a fault.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--only", type=names, default=list(CHECKS), metavar="CHECK,…", help=f"some of {','.join(CHECKS)} (default: all)"
    )
    parser.add_argument(
        "--beside",
        type=modules,
        default=[],
        metavar="MODULE,…",
        help="import these before recurra, such as torch,sklearn, to see the OpenMP libraries that they bring",
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON instead")
    return parser.parse_args(arguments)


def names(text: str) -> list[str]:
    """Of checks."""
    wrong = [part for part in text.split(",") if part not in CHECKS]
    if wrong:
        raise argparse.ArgumentTypeError(f"expected some of {', '.join(CHECKS)}, got {wrong[0]!r}")
    return [name for name in CHECKS if name in text.split(",")]


def modules(text: str) -> list[str]:
    """Names that can be imported, by their form."""
    wrong = [part for part in text.split(",") if not all(word.isidentifier() for word in part.split("."))]
    if wrong:
        raise argparse.ArgumentTypeError(f"expected names of modules such as torch,sklearn, got {wrong[0]!r}")
    return text.split(",")
