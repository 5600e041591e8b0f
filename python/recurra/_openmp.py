"""Imported before the compiled half, to prepare the library of threads that it is linked with, GNU's OpenMP.

By itself that library has waiting threads spin for milliseconds. On a machine with something else to do, a training
loop on two threads then took 4 to 9 times as long as on one. It reads the variable once, when it is loaded; the user's
own setting stays.

And in a forked child it would wait for ever for threads that stayed with the parent. Where the fork comes after this
import, the compiled half sees it. A worker that PyTorch's DataLoader forks and that imports this package first has that
library from its parent, whose threads PyTorch used: PyTorch's wheel brings one of the same name.
"""

from __future__ import annotations

import os

FORKED_WITHOUT_EXEC = 0x40  # of the flags in /proc/self/stat, as Linux has them: PF_FORKNOEXEC


def _read(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 (pathlib takes 3 ms to import, a sixth of all)
        return file.read()


def _openmp_in(process: int | str) -> bool:
    """Whether a process has loaded it; True if that can't be seen."""
    try:
        return b"libgomp" in _read(f"/proc/{process}/maps")
    except OSError:
        return True


def _inherited() -> bool:
    """Whether this process was forked from one that had OpenMP loaded. On systems without /proc it isn't known: no."""
    try:
        flags = int(_read("/proc/self/stat").rpartition(b")")[2].split()[6])
    except (OSError, ValueError, IndexError):
        return False
    return bool(flags & FORKED_WITHOUT_EXEC) and _openmp_in("self") and _openmp_in(os.getppid())


_inherits = _inherited()  # before the compiled half brings the library itself

if "GOMP_SPINCOUNT" not in os.environ and "OMP_WAIT_POLICY" not in os.environ:
    os.environ["GOMP_SPINCOUNT"] = "1000"
    try:
        from . import _core
    finally:
        del os.environ["GOMP_SPINCOUNT"]  # it is nothing for child processes to inherit
else:
    from . import _core

if _inherits:
    _core.enter_forked_child()
