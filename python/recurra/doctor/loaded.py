"""Imports the modules that its arguments name, then recurra, and prints as JSON which OpenMP libraries each brought.

It runs as a text, `python -c`, since a module of this package would import recurra before all else.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path

MAPS = Path("/proc/self/maps")
# Of GCC, of LLVM (also as ROCm's and PGI's), of Intel and of Microsoft; wheels bring copies with a hash in their name.
NAMES = re.compile(r"(libgomp|libomp|libiomp5|libiomp|vcomp\d*)(?=[-.])")


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
        except Exception as error:  # noqa: BLE001 (a broken neighbour is a finding)
            failed[module] = f"{type(error).__name__}: {error}"
        now = runtimes()
        brought[module] = [path for path in now if path not in seen]
        seen = now
    return {"known": MAPS.exists(), "brought": brought, "failed": failed}


if __name__ == "__main__":
    report = watched(sys.argv[1:])
    print(json.dumps(report))  # noqa: T201 (a line of its own: modules may print, too)
