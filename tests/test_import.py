"""What `import recurra` leaves alone: neighbours stay unimported, the process as it was. And the names that wait."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import recurra
from recurra import _lazy

HERE = Path(__file__).parent
FUNCTIONS = sorted(_lazy.HOMES.keys() - _lazy.ABOUT_NEIGHBOURS)
EXTRAS = {"torch": "torch", "sklearn": "scikit-learn"}  # module, and what pip calls it

# Notes, and refuses, every attempt to import what isn't ours to bring in, whether it is installed or not.
WATCHED = """
import sys
NEIGHBOURS = {
    "torch", "onnx", "onnxruntime", "openvino", "keras", "tensorflow", "jax", "sklearn", "scipy", "pandas", "polars",
    "matplotlib", "tqdm", "safetensors", "joblib", "h5py", "mpi4py", "threadpoolctl", "IPython", "psutil", "pytest",
}
tried = []

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in NEIGHBOURS:
            tried.append(name)
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Watch())
"""
WAYS = {
    "import": "import recurra",
    "star": "from recurra import *\nassert LSTM and cells and reference",
    "dir": "import recurra\nassert {'LSTM', 'cells', 'save', 'to_onnx'} <= set(dir(recurra))",
    "help": "import pydoc, recurra\nassert 'Long short-term memory' in pydoc.render_doc(recurra)",
    "every name that dir shows": "import recurra\nfor name in dir(recurra): getattr(recurra, name)",
    "modules of the package": "import recurra.cells, recurra.reference, recurra.functional, recurra.formula",
}


def python(code, **changes):
    """The lines that a fresh interpreter prints; it may import what is beside this file."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))} | changes
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, cwd=HERE, env=env)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_no_neighbour_is_imported():
    """In any way, each of which reaches for more than those before it; what was tried in vain is tried again."""
    code = "\n".join(f"{statements}\nprint({way!r}, tried)" for way, statements in WAYS.items())
    assert python(f"{WATCHED}\n{code}") == [f"{way} []" for way in WAYS]


def test_what_takes_milliseconds_and_is_rarely_needed_waits():
    """All of the import takes 18 ms beside NumPy's; of these pathlib alone took 3. What NumPy brings costs nothing."""
    slow = ["pathlib", "difflib", "inspect", "json", "tempfile", "numpy.typing", "recurra.reference", "recurra.cells"]
    names = ", ".join(map(repr, slow))
    code = "import sys, numpy\nbefore = set(sys.modules)\nimport recurra\nnew = set(sys.modules) - before\n"
    assert python(f"{code}print(sorted(new & {{{names}}}))") == ["[]"]


# ---- Names that are imported where they are asked for


@pytest.mark.parametrize("name", sorted(_lazy.HOMES))
def test_a_name_that_waits_is_there_when_it_is_asked_for(name):
    home = _lazy.HOMES[name]
    if name in _lazy.ABOUT_NEIGHBOURS:
        pytest.importorskip(name)
    module = import_module(home, "recurra")
    assert getattr(recurra, name) is (module if home == f".{name}" else getattr(module, name))


@pytest.mark.parametrize("statement", ["import recurra.{0}", "from recurra import {0}", "import recurra; recurra.{0}"])
def test_a_module_without_its_neighbour_says_what_to_install(statement):
    code, names = WATCHED, sorted(_lazy.ABOUT_NEIGHBOURS)
    for name in names:
        code += f"\ntry:\n    exec({statement.format(name)!r})\nexcept ImportError as error:\n    print(error)"
    assert python(code) == [
        f"recurra.{name}: expected {EXTRAS[name]}, which is missing: pip install 'recurra[{name}]'" for name in names
    ]


@pytest.mark.parametrize("name", sorted(_lazy.ABOUT_NEIGHBOURS))
def test_a_module_about_a_neighbour_can_be_imported(name):
    pytest.importorskip(name)
    assert python(
        f"import recurra.{name} as m, recurra\nassert m is recurra.{name}\nprint({name!r} in dir(recurra))"
    ) == ["True"]


def test_dir_shows_what_can_be_had_without_a_neighbour():
    assert set(FUNCTIONS) | set(recurra.__all__) <= set(dir(recurra))
    assert dir(recurra) == sorted(set(dir(recurra)))


def test_an_unknown_name_is_none():
    with pytest.raises(AttributeError, match=r"^module 'recurra' has no attribute 'lstm'$"):
        _ = recurra.lstm
    assert not hasattr(recurra, "tourch")


def test_type_checkers_are_told_of_the_names_that_wait():
    """In the block of `recurra/__init__.py` that only they read, each from its own module."""
    tree = ast.parse(Path(recurra.__file__).read_text())
    block = [node for node in tree.body if isinstance(node, ast.If)][-1]
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    told = {a.asname or a.name: f".{n.module or a.name}" for n in block.body for a in n.names}
    assert told == _lazy.HOMES


# ---- The process as it was

# Every line is a property of the process, asked for before the import, after it and after calls of several threads.
STATE = """
import gc, json, locale, os, random, signal, sys, warnings
import numpy as np
import float_modes

def state():
    handled = [s for s in signal.valid_signals() if s not in (signal.SIGKILL, signal.SIGSTOP)]
    return {
        "environment": dict(os.environ),
        "CPUs": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "priority": os.nice(0),
        "numpy.seterr": np.geterr(),
        "numpy.print": repr(np.get_printoptions()),
        "numpy.random": repr(np.random.get_state()),
        "random": random.getstate(),
        "warnings": repr(warnings.filters),
        "signals": [repr(signal.getsignal(s)) for s in handled],
        "locale": locale.setlocale(locale.LC_ALL),
        "floats": float_modes.get_mode() if float_modes.MODES else None,
        "recursion": sys.getrecursionlimit(),
        "switches": sys.getswitchinterval(),
        "hooks": repr([sys.excepthook, sys.displayhook, sys.path, sys.path_hooks, sys.getprofile(), sys.gettrace()]),
        "gc": [gc.isenabled(), gc.get_threshold(), len(gc.callbacks)],
        "folder": os.getcwd(),
        "neighbour": neighbour(),
    }

def compare(before, when):
    after = state()
    for what, value in before.items():
        assert after[what] == value, (when, what, value, after[what])
"""
AROUND = """
before = state()
import recurra
compare(before, "after the import")
tasks = len(os.listdir("/proc/self/task")) if os.path.exists("/proc/self/task") else 0
recurra.set_num_threads(2)
layer = recurra.LSTM(64, 96, num_layers=2, bidirectional=True, seed=0)
x = np.random.default_rng(0).standard_normal((20, 8, 64), np.float32)
y, _, tape = layer.forward(x)
layer.backward(tape, y)
recurra.Adam(layer).step()
compare(before, "after calls")
print("as it was")
"""
NEIGHBOURS_STATES = {
    "numpy": "def neighbour(): return None",
    "torch": """
import torch

def neighbour():
    # Also what it computes with: MKL and its OpenMP may count for themselves.
    return [torch.get_num_threads(), torch.get_num_interop_threads(), torch.get_rng_state().tolist(),
            torch.get_default_dtype() == torch.float32, torch.is_grad_enabled(),
            torch.__config__.parallel_info().partition("std::thread")[0]]
""",
    "threadpoolctl": """
import threadpoolctl
known = {pool["filepath"] for pool in threadpoolctl.threadpool_info()}

def neighbour():
    return [pool for pool in threadpoolctl.threadpool_info() if pool["filepath"] in known]
""",
}


@pytest.mark.parametrize("threads", [None, "3"])
@pytest.mark.parametrize("neighbour", NEIGHBOURS_STATES)
def test_import_and_calls_leave_the_process_as_it_was(neighbour, threads):
    if find_spec(neighbour) is None:
        pytest.skip(f"needs {neighbour}")
    changes = {"OMP_NUM_THREADS": threads} if threads else {}
    assert python(STATE + NEIGHBOURS_STATES[neighbour] + AROUND, **changes) == ["as it was"]


def test_import_makes_no_thread():
    if not Path("/proc/self/task").exists():
        pytest.skip("needs /proc")
    tasks = "len(os.listdir('/proc/self/task'))"
    code = f"import os, numpy\nbefore = {tasks}\nimport recurra\nrecurra.LSTM(3, 4, seed=0)\nprint({tasks} - before)"
    assert python(code) == ["0"]
