"""Imports the modules that its arguments name, then recurra, and prints JSON.

It says which OpenMP libraries each brought, and whether a forked child computes.

It runs as a text, `python -c`, since a module of this package would import recurra before all else.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import sys
import time
from pathlib import Path

MAPS = Path("/proc/self/maps")
PATIENCE = 30.0  # seconds for a child's call of some ms, on a busy machine
# Of GCC, of LLVM (also as ROCm's and PGI's) and of Intel; wheels bring copies with a hash in their name.
NAMES = re.compile(r"(libgomp|libomp|libiomp5|libiomp)(?=[-.])")


def runtimes() -> list[str]:
    """Paths of the OpenMP libraries in this process, in the order of their addresses; none where there is no /proc."""
    if not MAPS.exists():
        return []
    paths = dict.fromkeys(line.split(maxsplit=5)[5] for line in MAPS.read_text().splitlines() if line.count("/"))
    return [path for path in paths if NAMES.match(path.rsplit("/", 1)[-1])]


def watched(modules: list[str]) -> dict[str, object]:
    """ "brought": module -> the libraries that came with its import; "failed": module -> why it wasn't imported."""
    brought: dict[str, list[str]] = {}
    failed: dict[str, str] = {}
    seen = runtimes()
    for module in dict.fromkeys([*modules, "numpy", "recurra"]):
        try:
            importlib.import_module(module)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (a broken neighbour is a finding)
            failed[module] = f"{type(error).__name__}: {error}"
        now = runtimes()
        brought[module] = [path for path in now if path not in seen]
        seen = now
    return {"known": MAPS.exists(), "brought": brought, "failed": failed, "forked": forked()}


def forked() -> bool | None:
    """Whether recurra still computes in a child that is forked after threads were used; None where that isn't tried."""
    if sys.platform != "linux":
        return None
    import numpy as np

    import recurra

    recurra.set_num_threads(2)
    layer, x = recurra.LSTM(48, 96, seed=0), np.ones((16, 24, 48), np.float32)
    layer(x)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            layer(x)
            status = 0
        finally:
            os._exit(status)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


if __name__ == "__main__":
    report = watched(sys.argv[1:])
    print(f"\n{json.dumps(report)}")  # noqa: T201 (a line of its own: modules may print, too)
