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


needs_preload = pytest.mark.skipif(
    not sys.platform.startswith("linux") or COMPILER is None, reason="needs Linux and a C compiler"
)


def preloaded(library, command, **environment):
    """What a command says with the library.

    In one thread: GNU's OpenMP ends the process where it has no memory for a team, which isn't ours to mend.
    """
    own = {"LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        command, env=os.environ | own | environment, capture_output=True, text=True, timeout=300, check=False
    )


@needs_preload
@pytest.mark.parametrize("some", [["2"], pytest.param([], marks=pytest.mark.exhaustive)], ids=["some", "each"])
@pytest.mark.parametrize("allocator", ALLOCATORS)
def test_every_allocation_may_fail(failing_malloc, allocator, some):
    """Of every kind of call; with malloc as Python's allocator, its own small objects too.

    The first, the last and two by chance, as all of the thousands take 12 s.
    """
    done = preloaded(failing_malloc, [sys.executable, HERE / "memory_sweep.py", *some], PYTHONMALLOC=allocator)
    assert done.returncode == 0, done.stdout[-200:] + done.stderr[-2000:]
    counts = dict(line.rsplit(": ", 1) for line in done.stdout.splitlines())
    assert len(counts) == 53
    assert int(counts["lstm.forward"]) >= 20
    assert int(counts["embedding.backward"]) >= 4


@needs_preload
def test_a_step_of_a_stream_allocates_nothing(failing_malloc):
    """Counted over a thousand of each kind; Python's own small objects aren't malloc's."""
    done = preloaded(failing_malloc, [sys.executable, HERE / "stream_allocations.py"], PYTHONMALLOC="pymalloc")
    assert done.returncode == 0, done.stderr[-2000:]
    assert [int(count) for count in done.stdout.split()] == [0] * 14
