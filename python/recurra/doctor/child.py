"""Modules of this package run in fresh processes, which print JSON: other settings, and nothing else loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

LONGEST = 180.0  # seconds; importing sklearn and torch takes 5, and took 70 where twenty processes shared two cores


class Child:
    """A process that has been started."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def result(self) -> dict[str, Any]:
        """What it printed, once it has ended; {"error": the last line of its errors} if it failed."""
        try:
            out, err = self.process.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            return {"error": f"no end within {LONGEST:.0f} s"}
        except BaseException:  # Ctrl-C, which a terminal sends to all processes
            self.process.kill()
            raise
        for line in reversed(out.splitlines()):  # what it imports may print at its end, too
            with suppress(ValueError):
                printed = json.loads(line)
                if isinstance(printed, dict):
                    return printed
        last = (err.strip().splitlines() or ["nothing was printed"])[-1]
        return {"error": f"{last} (exit code {self.process.returncode})"}


def start(module: str, *arguments: str, cpus: set[int] | None = None, **environment: str) -> Child:
    """Runs a module of this package with further variables in its environment, on some of the CPUs."""
    return launch(["-m", f"{__package__}.{module}", *arguments], cpus, environment)


def start_bare(module: str, *arguments: str) -> Child:
    """Runs the text of a module of this package, without importing recurra for it."""
    return launch(["-c", Path(__file__).with_name(f"{module}.py").read_text(), *arguments], None, {})


def launch(command: list[str], cpus: set[int] | None, environment: dict[str, str]) -> Child:
    """A Python with these arguments."""
    process = subprocess.Popen(
        [sys.executable, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    if cpus:
        with suppress(OSError):  # it may have ended, or a sandbox forbids this: then it runs anywhere
            os.sched_setaffinity(process.pid, cpus)  # threads that it starts inherit it
    return Child(process)
