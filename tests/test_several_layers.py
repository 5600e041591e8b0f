"""Several layers change all at once or not at all; what another thread trains is read between its steps."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import recurra
from configs import assert_same_bits


def even_layer(value=0.0):
    """All of its numbers equal one."""
    layer = recurra.Linear(1000, 500, seed=0)
    layer.load_state_dict({name: np.full_like(array, value) for name, array in layer.params.items()})
    return layer


@pytest.mark.parametrize("how", ["params", "dict", "views", "model", "itself"])
def test_loading_what_another_thread_trains(how):
    """Its parameters all grow by one each step, so that a mixture of two steps shows."""
    trained, other = even_layer(), even_layer()
    for gradient in trained.grads.values():
        gradient.fill(-1)
    sgd, stop = recurra.SGD(trained, lr=1.0), threading.Event()
    model, source = recurra.Sequential(other), recurra.Sequential(trained)

    def train():
        while not stop.is_set():
            sgd.step()

    thread = threading.Thread(target=train)
    thread.start()
    try:
        end = time.monotonic() + 0.4
        while time.monotonic() < end:
            if how == "params":
                other.load_state_dict(trained.params)
            elif how == "dict":
                other.load_state_dict(dict(trained.params))
            elif how == "views":
                other.load_state_dict({name: array[::-1] for name, array in trained.params.items()})
            elif how == "model":
                model.load_state_dict(source.params)
            else:
                trained.load_state_dict(trained.params)
            seen = [np.unique(array) for array in (trained if how == "itself" else other).state_dict().values()]
            assert [len(numbers) for numbers in seen] == [1, 1]
            assert seen[0] == seen[1]
    finally:
        stop.set()
        thread.join()


def test_views_are_loaded_as_they_are():
    """Turned, reversed, repeated: of the copy that is taken the same is loaded as of the parameters."""
    source, other = recurra.Linear(4, 4, seed=0), recurra.Linear(4, 4, seed=1)
    weight, bias = source.params["weight"], source.params["bias"]
    views = [weight, weight.T, weight[::-1], weight[:, ::-1], weight[::-1, ::-1].T, np.broadcast_to(bias, (4, 4))]
    views += [np.broadcast_to(weight[2:3, 1:2], (4, 4)), weight.reshape(2, 8).T.reshape(4, 4)]
    for view in views:
        for vector in (bias, bias[::-1], weight[1], weight[:, 2], weight[::-1, 3]):
            state = {"weight": view.copy(), "bias": vector.copy()}
            other.load_state_dict({"weight": view, "bias": vector})
            assert_same_bits(other.state_dict(), state)


# Two layers, of which the second's arrays must be copied, or its moments made, when there is no memory for that.
NO_MEMORY = """
import resource
import numpy as np
import recurra

small, large = recurra.Linear(10, 10, seed=0), recurra.Linear(3000, 3000, seed=1)
model = recurra.Sequential(small, recurra.Tanh(), recurra.Linear(10, 3000, seed=2), large)
layers = [small, large]
turned = np.asfortranarray(large.state_dict()["weight"])
state = {name: value + 1 for name, value in model.state_dict().items()} | {"3.weight": turned}
for gradient in small.grads.values():
    gradient.fill(1)
large.grads["weight"] = turned
sgd, fresh, momentum = recurra.SGD(layers, lr=1), recurra.Adam(layers), recurra.SGD(layers, lr=1, momentum=0.5)
bits = [small.state_dict(), {name: value.copy() for name, value in small.grads.items()}]

def unchanged():
    now = [small.state_dict(), small.grads]
    return all(np.array_equal(a[name], b[name]) for a, b in zip(bits, now) for name in a)

with open("/proc/self/statm") as file:
    size = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 2**24, resource.RLIM_INFINITY))
calls = {"load": lambda: model.load_state_dict(state), "sgd": sgd.step, "adam": fresh.step, "momentum": momentum.step,
         "clip": lambda: recurra.clip_grad_norm(layers, 1e-3)}
for name, call in calls.items():
    try:
        call()
    except MemoryError:
        assert unchanged(), name
    else:
        raise AssertionError(f"no MemoryError from {name}")
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
fresh.step()
assert fresh.state_dict()["step"] == 1
assert not unchanged()
model.load_state_dict(state)
print("done")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_without_memory_nothing_changes():
    command = [sys.executable, "-c", NO_MEMORY]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "done\n"
