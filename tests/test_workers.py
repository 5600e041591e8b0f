"""Worker processes of multiprocessing, concurrent.futures, joblib and PyTorch: they end, with the parent's bits.

Each in a fresh interpreter with a time limit, after its parent has made threads of its own, of Python and of OpenMP.
"""

from __future__ import annotations

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


def run(body, imports=WITHOUT_TORCH, timeout=100):
    """Whatever is still running after the time is killed, its workers too."""
    code = PARENT.format(imports=imports, body="\n".join(f"    {line}" for line in body.strip().splitlines()))
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
def test_a_pool_of_processes(method):
    run(POOL.format(method=method))


@pytest.mark.parametrize("method", METHODS)
def test_an_executor_of_processes(method):
    run(EXECUTOR.format(method=method))


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


@pytest.mark.parametrize("backend", ["loky", "multiprocessing", "threading"])
def test_jobs_of_joblib(backend):
    pytest.importorskip("joblib")
    run(JOBLIB.format(backend=backend))


def test_jobs_of_joblib_that_train_a_layer_of_read_only_memory():
    pytest.importorskip("joblib")
    run(JOBLIB_MAPS)
