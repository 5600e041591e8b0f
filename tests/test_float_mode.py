"""The caller's floating-point mode changes no bit of a result, and no call changes the mode."""

from __future__ import annotations

import copy
import signal
import timeit
from contextlib import contextmanager

import numpy as np
import pytest

import calls
import float_modes
import recurra
from configs import CELLS, assert_same_bits, draw_config, make_data, make_layer
from float_modes import MODES, caller_mode, get_mode, set_mode
from recurra import _core, functional
from test_process import run

pytestmark = pytest.mark.skipif(not MODES, reason="needs Linux on x86-64 or AArch64")
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
every_team = pytest.mark.parametrize("threads", [1, 2])


@contextmanager
def num_threads(n):
    before = recurra.get_num_threads()
    recurra.set_num_threads(n)
    try:
        yield
    finally:
        recurra.set_num_threads(before)


def assert_same_in_all_modes(work):
    """work() returns arrays; its reference is what it returns in the usual mode."""
    with caller_mode(MODES["usual"]):
        expected = work()
    for name, mode in MODES.items():
        with caller_mode(mode):
            got = work()
        assert_same_bits(got, expected, name)


def fading(rng, *shape, dtype):
    """Standard normal times powers of two down to the least subnormal number and zero."""
    lowest = np.log2(float(np.finfo(dtype).smallest_subnormal))
    numbers = rng.standard_normal(shape) * 2.0 ** rng.uniform(lowest, 0, shape)
    return numbers.astype(dtype)


@every_team
@every_dtype
@pytest.mark.parametrize("cell", CELLS)
def test_cells(cell, dtype, threads):
    """Of weights so small that the gradient of the last step fades away within the sequence."""
    rng = np.random.default_rng(0)
    options = {"input_size": 7, "hidden_size": 19, "num_layers": 2, "bidirectional": True, "batch_first": False}
    config = draw_config(rng, cell=cell, dtype=dtype, lengths=False, state=True, T=60, B=5, **options)
    data = make_data(config, rng)
    tiny = dtype(2.0**-8 if dtype == np.float32 else 2.0**-40)
    for name, value in data.params.items():
        data.params[name] = value * tiny if "weight" in name else value
    data.x[::3] = fading(rng, *data.x[::3].shape, dtype=dtype)
    data.dy[:-1] = 0
    layer = make_layer(config, data.params)
    for plan in ({"threads": threads, "split": split} for split in (1, 3)):
        assert_same_in_all_modes(lambda plan=plan: calls.both(layer, config, data, plan=plan)[0])


@every_team
@every_dtype
def test_linear(dtype, threads):
    rng = np.random.default_rng(1)
    x, dy = fading(rng, 2000, 40, dtype=dtype), fading(rng, 2000, 60, dtype=dtype)
    x[:1000] = np.finfo(dtype).smallest_subnormal * 99
    layer = recurra.Linear(40, 60, dtype=dtype, seed=0)

    def work():
        layer.load_state_dict(layer.state_dict())  # to be packed anew
        y, tape = layer.forward(x)
        layer.zero_grad()
        dx = layer.backward(tape, dy)
        return {"y": y, "dx": dx, **copy.deepcopy(layer.grads)}

    with num_threads(threads):
        assert_same_in_all_modes(work)
        assert (work()["y"][:1000] == layer.params["bias"]).all()


@every_team
@every_dtype
def test_embedding(dtype, threads):
    rng = np.random.default_rng(2)
    layer = recurra.Embedding(30, 60, dtype=dtype, seed=0)
    x, dy = rng.integers(0, 30, 60_000), fading(rng, 60_000, 60, dtype=dtype)

    def work():
        layer.zero_grad()
        y, tape = layer.forward(x)
        layer.backward(tape, dy)
        return {"y": y, **copy.deepcopy(layer.grads)}

    with num_threads(threads):
        assert_same_in_all_modes(work)


OPTIMIZERS = {
    "sgd": lambda layer: recurra.SGD(layer, 0.1, weight_decay=0.01),
    "momentum": lambda layer: recurra.SGD(layer, 0.1, momentum=0.9),
    "nesterov": lambda layer: recurra.SGD(layer, 0.1, momentum=0.9, nesterov=True),
    "adam": lambda layer: recurra.Adam(layer, weight_decay=0.01),
    "adamw": recurra.AdamW,
}


@every_team
@every_dtype
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name, dtype, threads):
    """Two steps with gradients that fade, two without: moments fade too."""
    rng = np.random.default_rng(3)
    gradient, weight = fading(rng, 500, 600, dtype=dtype), fading(rng, 500, 600, dtype=dtype)

    def work():
        layer = recurra.Linear(600, 500, bias=False, dtype=dtype, seed=0)
        layer.load_state_dict({"weight": weight})
        optimizer = OPTIMIZERS[name](layer)
        for step in range(4):
            layer.grads["weight"][...] = gradient if step < 2 else 0
            optimizer.step()
        return layer.state_dict()

    with num_threads(threads):
        assert_same_in_all_modes(work)


@every_team
@every_dtype
@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softmax", "weighted_softmax", "mse"])
def test_functions(name, dtype, threads):
    rng = np.random.default_rng(4)
    x = rng.uniform(-110, 110, (3000, 100)).astype(dtype)
    x[:100] = fading(rng, 100, 100, dtype=dtype)
    weights = np.linspace(0, 1, len(x))
    work = {
        "tanh": lambda: functional.tanh(x),
        "sigmoid": lambda: functional.sigmoid(x),
        "softmax": lambda: recurra.softmax(x),
        "mse": lambda: [np.asarray(part) for part in recurra.mse(x, x[::-1])],
        "weighted_softmax": lambda: _core.weighted_softmax(x, weights),
    }[name]
    with num_threads(threads):
        assert_same_in_all_modes(work)


def test_a_refused_call_leaves_the_mode():
    layer = recurra.LSTM(3, 4, seed=0)
    _, _, tape = layer.forward(np.zeros((2, 3), np.float32))
    layer.backward(tape)
    with caller_mode(MODES["up"]):
        with pytest.raises(ValueError, match="x: expected"):
            layer(np.zeros((2, 5), np.float32))
        with pytest.raises(RuntimeError, match="tape"):
            layer.backward(tape)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")
@every_team
def test_a_signal_handler_runs_in_the_callers_mode(threads):
    """During a call; the mode it sets lasts, and a mode is left as it was when the handler raises."""
    layer = recurra.LSTM(16, 512, seed=0)
    few = np.zeros((200, 2, 16), np.float32)
    expected, _ = layer(few)
    least = min(timeit.repeat(lambda: layer(few), number=1, repeat=3))  # one alone may have waited for a CPU
    many = np.zeros((int(200 * max(1, 0.8 / least)), 2, 16), np.float32)  # 0.8 s or more
    seen = []

    def look(*_):
        seen.append(get_mode())
        set_mode(MODES["down"])
        if len(seen) == 2:
            raise InterruptedError

    before = signal.signal(signal.SIGALRM, look)
    try:
        with num_threads(threads):
            set_mode(MODES["up"])
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            y, _ = layer(many)
            assert seen == [MODES["up"]]
            assert get_mode() == MODES["down"]
            assert_same_bits(y[:200], expected)
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(InterruptedError):
                layer(many)
            assert seen[1] == get_mode() == MODES["down"]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        set_mode(MODES["usual"])


TRAPS = """
import numpy as np
import float_modes, recurra

recurra.set_num_threads(2)
x = np.full((40, 64, 64), 1e-40, np.float32)
x[0, 0, 0], x[1, 0, 0], x[2, 0, 0] = np.nan, np.inf, 3e38
layers = [recurra.LSTM(64, 64, seed=0), recurra.Linear(64, 64, seed=0)]
optimizers = [recurra.Adam(layer) for layer in layers]
dy = np.full((40, 64, 64), 1e-40, np.float32)
float_modes.set_mode(float_modes.TRAPPING)
for layer, optimizer in zip(layers, optimizers):
    tape = layer.forward(x)[-1]
    layer.backward(tape, dy)
    optimizer.step()
recurra.softmax(x)
mode = float_modes.get_mode()
float_modes.set_mode(float_modes.MODES["usual"])
assert mode == float_modes.TRAPPING
print("no trap")
"""


@pytest.mark.skipif(float_modes.TRAPPING is None, reason="needs x86-64")
def test_traps_of_the_caller_do_not_meet_ours():
    assert run(TRAPS) == "no trap\n"


# GOMP_parallel runs a function in every thread of the team that our calls have had made.
OTHERS = """
import ctypes
import numpy as np
import float_modes, recurra

recurra.set_num_threads(2)
recurra.Linear(256, 256, seed=0)(np.zeros((2000, 256), np.float32))
with open("/proc/self/maps") as file:
    path = next((line.split()[-1] for line in file if "libgomp" in line), None)
if path is None:
    print("no libgomp")
else:
    seen = ctypes.c_uint32(0)
    ctypes.CDLL(path).GOMP_parallel(float_modes.collect, ctypes.byref(seen), 2, 0)
    print(hex(seen.value & float_modes.FLUSH))
"""


def test_threads_that_serve_other_libraries_too_keep_the_usual_mode():
    seen = run(OTHERS).strip()
    if seen == "no libgomp":
        pytest.skip("needs GNU's OpenMP")
    assert seen == "0x0"
