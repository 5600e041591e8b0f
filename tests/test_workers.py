"""Worker processes of multiprocessing, concurrent.futures, joblib and PyTorch: they end, with the parent's bits.

Each in a fresh interpreter with a time limit, after its parent has made threads of its own, of Python and of OpenMP.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

METHODS = multiprocessing.get_all_start_methods()

# The parent calls from three threads at once, each of them with a team of OpenMP's, and one of them goes on calling
# while workers are made and at work.
PARENT = """
import threading, warnings
from concurrent.futures import ThreadPoolExecutor

warnings.simplefilter("ignore")  # of forks beside threads, which are what this is about
import numpy as np
{imports}
import worker_calls
from worker_calls import digest, digest_and_process

NUMBERS = list(range(4))
recurra.set_num_threads(2)
with ThreadPoolExecutor(3) as threads:
    expected = list(threads.map(digest, NUMBERS))
digest(0)  # the main thread, which is the one that forks, has a team too
assert len(set(expected)) == 4

done = threading.Event()

def go_on():
    while not done.is_set():
        digest(0)

beside = threading.Thread(target=go_on)
beside.start()
try:
{body}
finally:
    done.set()
    beside.join()
assert got == expected, (got, expected)
assert list(map(digest, NUMBERS)) == expected  # and the parent goes on
print("the same")
"""
WITHOUT_TORCH = "import recurra"
# Both of PyTorch's orders, with its own threads at work before any fork.
USED = "torch.set_num_threads(2)\n(torch.ones(600, 600) @ torch.ones(600, 600)).exp().sum()"
BESIDE_TORCH = {"torch first": f"import torch, recurra\n{USED}", "recurra first": f"import recurra, torch\n{USED}"}


def run(body, imports=WITHOUT_TORCH):
    run_code(PARENT.format(imports=imports, body="\n".join(f"    {line}" for line in body.strip().splitlines())))


def run_code(code, timeout=100):
    """Whatever is still running after the time is killed, its workers too."""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        pytest.fail(f"didn't end within {timeout} s:\n{out}\n{err}")
    assert process.returncode == 0, err
    assert out == "the same\n"


POOL = """
import multiprocessing
with multiprocessing.get_context("{method}").Pool(2) as pool:
    got = pool.map(digest, NUMBERS)
    assert pool.map(digest, NUMBERS[::-1]) == expected[::-1]  # workers that have been at work
"""
EXECUTOR = """
import multiprocessing, os
from concurrent.futures import ProcessPoolExecutor
with ProcessPoolExecutor(2, multiprocessing.get_context("{method}")) as pool:
    got, processes = zip(*pool.map(digest_and_process, NUMBERS))
got = list(got)
assert os.getpid() not in processes
"""
JOBLIB = """
import joblib
got = joblib.Parallel(n_jobs=2, backend="{backend}")(joblib.delayed(digest)(n) for n in NUMBERS)
"""
# Arrays of more than a megabyte reach the workers as memory maps that can't be written to, a layer's weights too.
JOBLIB_MAPS = """
import joblib
layer = recurra.LSTM(200, 300, seed=0)
x = np.random.default_rng(0).standard_normal((20, 100, 200), np.float32)
assert all(array.nbytes > 1e6 for array in (x, layer.params["weight_hh_l0"]))
mine = worker_calls.trained(recurra.LSTM(200, 300, seed=0), x)
theirs = joblib.Parallel(n_jobs=2)(joblib.delayed(worker_calls.trained)(layer, x) for _ in range(2))
assert theirs == [mine] * 2
got = expected
"""
DATA_LOADER = """
from torch.utils.data import DataLoader

class Digests(torch.utils.data.Dataset):
    def __len__(self):
        return len(NUMBERS)

    def __getitem__(self, n):
        info = torch.utils.data.get_worker_info()
        assert info is not None and info.num_workers == 2
        return digest(n)

loader = DataLoader(Digests(), batch_size=2, num_workers=2, multiprocessing_context="fork", persistent_workers=True)
for _ in range(2):
    got = [one for batch in loader for one in batch]
"""


@pytest.mark.parametrize("method", METHODS)
def test_a_pool_and_an_executor_of_processes(method):
    run((POOL + "assert got == expected\n" + EXECUTOR).format(method=method))


@pytest.mark.skipif("fork" not in METHODS, reason="needs fork")
@pytest.mark.parametrize("order", BESIDE_TORCH)
def test_a_pool_forked_beside_pytorch(order):
    """Whose wheel brings an OpenMP of its own."""
    pytest.importorskip("torch")
    run(POOL.format(method="fork"), BESIDE_TORCH[order])


@pytest.mark.skipif("fork" not in METHODS, reason="needs fork")
@pytest.mark.parametrize("order", BESIDE_TORCH)
def test_the_workers_of_a_data_loader(order):
    pytest.importorskip("torch")
    run(DATA_LOADER, BESIDE_TORCH[order])


# The library of threads comes from the parent, which never imported the package: it has used it by itself.
FIRST_IN_THE_WORKER = """
import warnings
warnings.simplefilter("ignore")
{used}

class Digests:
    def __len__(self):
        return 4

    def __getitem__(self, n):
        import recurra, worker_calls
        recurra.set_num_threads(2)
        return worker_calls.digest(n)

assert "recurra" not in __import__("sys").modules
{forked}
import worker_calls
assert got == [worker_calls.digest(n) for n in range(4)], got
print("the same")
"""
THREADS_OF_OPENMP = """
import ctypes
openmp = ctypes.CDLL("libgomp.so.1")
function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
body = function(lambda _: None)
openmp.GOMP_parallel.argtypes = [function, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
openmp.GOMP_parallel(body, None, 2, 0)
"""
FORKED_POOL = """
import multiprocessing
with multiprocessing.get_context("fork").Pool(2) as pool:
    got = pool.map(Digests().__getitem__, range(4))
"""
FORKED_LOADER = """
from torch.utils.data import DataLoader
got = [one for batch in DataLoader(Digests(), num_workers=2, multiprocessing_context="fork") for one in batch]
"""


@pytest.mark.skipif("fork" not in METHODS, reason="needs fork")
def test_a_forked_worker_that_imports_the_package_first_beside_openmp():
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        pytest.skip("needs GNU's OpenMP")
    run_code(FIRST_IN_THE_WORKER.format(used=THREADS_OF_OPENMP, forked=FORKED_POOL))


@pytest.mark.skipif("fork" not in METHODS, reason="needs fork")
def test_a_worker_of_a_data_loader_that_imports_the_package_first():
    pytest.importorskip("torch")
    run_code(FIRST_IN_THE_WORKER.format(used=f"import torch\n{USED}", forked=FORKED_LOADER))


@pytest.mark.parametrize("backend", ["loky", "multiprocessing", "threading"])
def test_jobs_of_joblib(backend):
    pytest.importorskip("joblib")
    run(JOBLIB.format(backend=backend))


def test_jobs_of_joblib_that_train_a_layer_of_read_only_memory():
    pytest.importorskip("joblib")
    run(JOBLIB_MAPS)
