"""One process with every library that brings threads of its own: PyTorch's OpenMP, scikit-learn's, OpenBLAS's and ours.

A repaired wheel brings a copy of GNU's OpenMP under a name of its own, so that there are several of the same symbols in
the process, all at work at once. Each in a fresh interpreter, since what counts is who was loaded first.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")
pytest.importorskip("threadpoolctl")

# What it prints without neighbours is what it must print among them.
OURS = """
import hashlib, os, threading
import numpy as np
import recurra

recurra.set_num_threads(2)
x = np.random.default_rng(0).standard_normal((30, 32, 48), np.float32)

def digest():
    layer = recurra.LSTM(48, 96, num_layers=2, bidirectional=True, seed=0)
    y, _, tape = layer.forward(x)
    layer.backward(tape, y)
    recurra.Adam(layer).step()
    parts = [y, *layer.grads.values(), *layer.params.values()]
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()

bits = [digest() for _ in range(3)]
"""
THEIRS = """
import numpy as np, sklearn.cluster, sklearn.ensemble, threadpoolctl, torch
from sklearn.ensemble import HistGradientBoostingClassifier

torch.set_num_threads(2)
matrix = np.random.default_rng(1).standard_normal((200, 200))
tensor = torch.from_numpy(matrix)

def theirs():
    labels = sklearn.cluster.KMeans(4, n_init=1, max_iter=10, random_state=0).fit_predict(matrix)  # OpenMP and OpenBLAS
    trees = HistGradientBoostingClassifier(max_iter=2, random_state=0).fit(matrix[:, :8], labels).predict(matrix[:, :8])
    return labels.tobytes(), trees.tobytes(), (matrix @ matrix).tobytes(), (tensor @ tensor).exp().sum().item()

def pools():
    # Without ours: which of the libraries is whose, their paths tell.
    known = {pool["filepath"]: pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
    return {path: n for path, n in known.items() if "recurra" not in path}, torch.get_num_threads()
"""
AMONG = """
expected, at_first = theirs(), pools()
done = threading.Event()
wrong = []

def go_on():
    while not done.is_set():
        if theirs() != expected:
            wrong.append("a neighbour's results")

beside = threading.Thread(target=go_on)
beside.start()
try:
    bits += [digest() for _ in range(3)]
finally:
    done.set()
    beside.join()
assert theirs() == expected
assert not wrong, wrong
assert pools() == at_first, (pools(), at_first)
assert recurra.get_num_threads() == 2
if hasattr(os, "fork"):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if digest() == bits[0] else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
bits.append(digest())
"""
LAST = "assert len(set(bits)) == 1, bits\nprint(bits[0])"
ORDERS = {"neighbours first": THEIRS + OURS + AMONG, "recurra first": OURS + THEIRS + AMONG}


def printed(code, **changes):
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code + LAST],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=Path(__file__).parent,
        env=os.environ | changes,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("order", ORDERS)
def test_several_openmps_in_one_process_all_give_their_bits(order):
    assert printed(ORDERS[order]) == printed(OURS)
