"""When memory runs out: a MemoryError, nothing changed, and the next call is right."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
COMPILER = shutil.which("cc")
# From 3.12 on, CPython itself dies where it has no memory for the small objects of a generator expression within an
# __init__ (NumPy and recurra not even imported), as PyFunction_NewWithQualName reads a code object that was freed.
ALLOCATORS = ["pymalloc", "malloc"] if sys.version_info < (3, 12) else ["pymalloc"]


@pytest.fixture(scope="module")
def failing_malloc(tmp_path_factory):
    """A library to preload; see failing_malloc.c."""
    library = tmp_path_factory.mktemp("preload") / "failing_malloc.so"
    source = HERE / "failing_malloc.c"
    built = subprocess.run(
        [COMPILER, "-O1", "-shared", "-fPIC", "-o", library, source], capture_output=True, text=True, check=False
    )
    if built.returncode != 0:
        pytest.skip(f"needs a C compiler and the GNU C library: {built.stderr[:200]}")
    return library


@pytest.mark.skipif(not sys.platform.startswith("linux") or COMPILER is None, reason="needs Linux and a C compiler")
@pytest.mark.parametrize("allocator", ALLOCATORS)
def test_every_allocation_may_fail(failing_malloc, allocator):
    """Each in turn, of every kind of call; with malloc as Python's allocator, its own small objects too.

    In one thread: GNU's OpenMP ends the process where it has no memory for a team, which isn't ours to mend.
    """
    own = {"LD_PRELOAD": str(failing_malloc), "PYTHONMALLOC": allocator, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, HERE / "memory_sweep.py"],
        env=os.environ | own | {"OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-200:] + done.stderr[-2000:]
    counts = dict(line.rsplit(": ", 1) for line in done.stdout.splitlines())
    assert len(counts) == 50
    assert int(counts["lstm.forward"]) >= 20
    assert int(counts["embedding.backward"]) >= 4
