"""Layers inside real processes: forked children, Ctrl-C, copies and pickles, and memory over thousands of calls."""

from __future__ import annotations

import copy
import ctypes
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import calls
import recurra
from configs import CELLS, assert_same_bits, draw_config, make_data, make_layer


def start(code):
    """A fresh interpreter that runs `code`, which can import the modules beside this one."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent,
    )


def run(code, timeout=60):
    process = start(code)
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        pytest.fail(f"didn't end within {timeout} s:\n{out}\n{err}")
    assert process.returncode == 0, err
    return out


FORK = """
import os, pickle, sys
import numpy as np
import calls, recurra
from configs import draw_config, make_data, make_layer

recurra.set_num_threads(2)
rng = np.random.default_rng(0)
sizes = dict(input_size=13, hidden_size=37, num_layers=2, bidirectional=True, T=12, B=9)
config = draw_config(rng, cell="lstm", dtype=np.float32, **sizes)
data = make_data(config, rng)
layer = make_layer(config, data.params)
plan = {"threads": 2, "split": 1}

def digest():
    results, ran = calls.both(layer, config, data, plan=plan)
    return pickle.dumps({name: array.tobytes() for name, array in results.items()}), ran

before, ran = digest()
assert {r["threads"] for r in ran} == {2 if recurra.build_info()["threading"] != "none" else 1}, ran

def child_has_same_bits(generations):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            same = digest()[0] == before
            status = 0 if same and (generations == 1 or child_has_same_bits(generations - 1)) else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

assert child_has_same_bits(2)  # a child, which forks another after its own call
after, ran = digest()
assert after == before
assert {r["threads"] for r in ran} == {2 if recurra.build_info()["threading"] != "none" else 1}, ran
print(len(before))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_after_a_threaded_call_gets_the_same_bits():
    assert int(run(FORK)) > 10_000


# A call of 15 s, were it left alone. Two rows, so that two threads run it; the weights (18 MB) make a step slow, so
# that 15 s of outputs take little memory.
INTERRUPTED_FORWARD = """
import time
import numpy as np
import recurra

recurra.set_num_threads(2)
layer = recurra.LSTM(64, 1024, seed=0)
x = np.random.default_rng(0).standard_normal((1, 2, 64), np.float32)
few = np.broadcast_to(x, (50, 2, 64))
expected, _ = layer(few)
begin = time.monotonic()
layer(few)
steps = int(15 / (time.monotonic() - begin) * 50)
many = np.broadcast_to(x, (steps, 2, 64))
before = layer.state_dict()
while input() == "again":
    print("ready 1", flush=True)
    try:
        layer(many)
        print("finished", flush=True)
    except KeyboardInterrupt:
        print(time.monotonic(), flush=True)
assert all(np.array_equal(before[name], value) for name, value in layer.params.items())
assert not any(gradient.any() for gradient in layer.grads.values())
again, _ = layer(few)
assert np.array_equal(again, expected)
print("unchanged", flush=True)
"""

# A call of a second or so, since a tape for 10 s would take gigabytes, interrupted in its loop over time and in its
# large products.
INTERRUPTED_BACKWARD = """
import time
import numpy as np
import recurra

recurra.set_num_threads(2)
layer = recurra.LSTM(512, 512, seed=0)
rng = np.random.default_rng(0)
x = rng.standard_normal((1000, 16, 512), np.float32)
dy = rng.standard_normal((1000, 16, 512), np.float32)
_, _, tape = layer.forward(x)
layer.backward(tape, dy, retain=True, grads=layer.state_dict())  # a first call also waits for memory
begin = time.monotonic()
expected, _ = layer.backward(tape, dy, retain=True)
took = time.monotonic() - begin
before, grads = layer.state_dict(), {name: gradient.copy() for name, gradient in layer.grads.items()}
while input() == "again":
    print("ready", took, flush=True)
    finished = False
    try:
        layer.backward(tape, dy)  # would consume the tape
        finished = True  # a quicker machine than a moment ago, so the signal is still to come
        time.sleep(30)
    except KeyboardInterrupt:
        now = time.monotonic()
    if finished:
        for name, gradient in grads.items():
            layer.grads[name][...] = gradient
        _, _, tape = layer.forward(x)
    print("finished" if finished else now, flush=True)
assert all(np.array_equal(before[name], value) for name, value in layer.params.items())
assert all(np.array_equal(grads[name], value) for name, value in layer.grads.items())
layer.zero_grad()
dx, _ = layer.backward(tape, dy)
assert np.array_equal(dx, expected)
assert all(np.array_equal(grads[name], value) for name, value in layer.grads.items())
print("unchanged", flush=True)
"""


# Other calls that last, each with what it must leave as it was, and the share of it after which it is interrupted.
INTERRUPTED_CALL = """
import time
import numpy as np
import recurra
from recurra import functional

recurra.set_num_threads(2)
rng = np.random.default_rng(0)

def large(*shape):
    return np.full(shape, 0.5, np.float32)

{setup}
call()
begin = time.monotonic()
call()
took = time.monotonic() - begin
before = [value.copy() for value in state()]
while input() == "again":
    print("ready", took, flush=True)
    finished = False
    try:
        call()
        finished = True  # a quicker machine than a moment ago, so the signal is still to come
        time.sleep(30)
    except KeyboardInterrupt:
        now = time.monotonic()
    if finished:
        before = [value.copy() for value in state()]
    assert all(np.array_equal(a, b) for a, b in zip(before, state(), strict=True))
    print("finished" if finished else now, flush=True)
call()
print("unchanged", flush=True)
"""
# Much mathematics for few multiplications.
LONG_FORMULA = """
@recurra.formula(gates="g")
def Deep(a, s):
    v = a.g
    for _ in range(200):
        v = recurra.formula.tanh(v + 0.1 * s.h)
    return v

layer = Deep(3, 4, seed=0)
def state(): return layer.grads.values()
"""
LASTING = {
    "tanh": (
        """
x = np.zeros(300_000_000, np.float32)
def call(): return functional.tanh(x)
def state(): return []
""",
        0.1,
    ),
    "softmax": (
        """
x = np.zeros((1, 200_000_000), np.float32)
def call(): return recurra.softmax(x)
def state(): return []
""",
        0.1,
    ),
    "strided x": (
        """
layer = recurra.Linear(20_000, 1, seed=0)
x = large(20_000, 2_500).T
def call(): return layer(x)
def state(): return layer.state_dict().values()
""",
        0.3,
    ),
    "embedding": (
        """
layer = recurra.Embedding(1000, 8, seed=0)
tape = layer.forward(rng.integers(0, 1000, 10_000_000, np.int32))[1]
dy = large(10_000_000, 8)
def call(): layer.backward(tape, dy, retain=True)
def state(): return layer.grads.values()
""",
        0.3,
    ),
    "formula": (
        LONG_FORMULA
        + """
x = np.zeros((50_000, 1, 3), np.float32)
def call(): return layer(x)
""",
        0.3,
    ),
    "formula, backward": (
        LONG_FORMULA
        + """
dy, _, tape = layer.forward(np.zeros((20_000, 1, 3), np.float32))
def call(): layer.backward(tape, dy, retain=True)
""",
        0.3,
    ),
}


@pytest.mark.parametrize(
    ("code", "moments"),
    [
        (INTERRUPTED_FORWARD, (0.5,)),
        (INTERRUPTED_BACKWARD, (0.1, 0.3, 0.5)),
        *((INTERRUPTED_CALL.replace("{setup}", setup), (moment,)) for setup, moment in LASTING.values()),
    ],
    ids=["forward", "backward", *LASTING],
)
def test_ctrl_c_ends_a_long_call_within_a_fifth_of_a_second(code, moments):
    """From the signal to the exception, in one of three tries, at moments that are seconds or shares of the call."""
    process = start(code)
    watchdog = threading.Timer(90, process.kill)
    watchdog.start()
    try:
        waits = [next((w for w in tries(process, moment) if w <= 0.2), math.inf) for moment in moments]
        out, err = process.communicate("enough\n")
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()
    assert out.split() == ["unchanged"], err
    assert max(waits) <= 0.2, waits


def tries(process, moment):
    return (interrupted(process, moment) for _ in range(3))


def interrupted(process, moment):
    """Seconds from a SIGINT to KeyboardInterrupt; CLOCK_MONOTONIC is the same in both processes."""
    process.stdin.write("again\n")
    process.stdin.flush()
    ready, length = process.stdout.readline().split() or (process.stderr.read(), 0)
    assert ready == "ready"
    time.sleep(moment * float(length))
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    answer = process.stdout.readline().strip()
    assert answer, process.stderr.read()
    return float(answer) - sent if answer != "finished" else math.inf


# Of three rows the caller's own thread has the first and another thread two. When the first has come to its end, the
# call has as long again to go.
WAITING = """
import os, signal, threading, time
import numpy as np
import recurra

recurra.set_num_threads(2)
layer = recurra.LSTM(16, 512, seed=0)
layer._plan = {"threads": 2, "split": 1}
x = np.random.default_rng(0).standard_normal((500, 3, 16), np.float32)
layer(x)
begin = time.monotonic()
layer(x)
x = np.broadcast_to(x[:1], (int(1.5 / (time.monotonic() - begin) * 500), 3, 16))
out = np.empty((len(x), 3, 512), np.float32)

def interrupt():
    while out[-1, 0, 0] == 0:
        time.sleep(0.001)
    sent.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)

waits = []
while len(waits) < 3 and sum(wait <= 0.2 for wait in waits) < 2:
    sent, out[...] = [], 0
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        layer(x, out=out)
        time.sleep(30)
    except KeyboardInterrupt:
        waits.append(time.monotonic() - sent[0])
    thread.join()
print(*waits)
"""


def test_ctrl_c_ends_a_call_whose_own_thread_waits_for_the_others():
    """In two of three tries, as now and then the others are quicker, and there is nothing to wait for."""
    assert sorted(map(float, run(WAITING).split()))[1] <= 0.2


CALLS_WITHIN_A_CALL = """
import signal
import numpy as np
import recurra

recurra.set_num_threads(2)
large, small = recurra.LSTM(64, 512, num_layers=2, seed=0), recurra.LSTM(3, 5, seed=0)
rng = np.random.default_rng(0)
x, few = rng.standard_normal((120, 16, 64), np.float32), rng.standard_normal((4, 2, 3), np.float32)
y, _, tape = large.forward(x)
expected, _ = large.backward(tape, y, retain=True)
inner = []

def handler(*_):
    out, _, small_tape = small.forward(few)
    inner.append(small.backward(small_tape, out)[0].tobytes())

signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.06, 0.06)
while len(inner) < 5:
    dx, _ = large.backward(tape, y, retain=True)
    assert np.array_equal(dx, expected)
signal.setitimer(signal.ITIMER_REAL, 0)
print(len(set(inner)))
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")
def test_a_signal_handler_may_call_a_layer_while_a_long_call_polls():
    """The inner call, of one thread, must neither wait at the outer team's barriers nor use its workspace."""
    assert int(run(CALLS_WITHIN_A_CALL)) == 1


HANDLER_CHANGES_WEIGHTS = """
import signal
import numpy as np
import recurra

layer = recurra.Linear(8000, 8000, bias=False, seed=0)
x = np.ones((1, 8000), np.float32)
states = [layer.state_dict(), {"weight": layer.params["weight"] * 2}]
expected = [layer(x).copy(), layer(x) * 2]
turn = 0

def handler(*_):
    global turn
    turn += 1
    layer.load_state_dict(states[turn % 2])

signal.signal(signal.SIGALRM, handler)
within = 0
for moment in (0.06, 0.08, 0.1, 0.12, 0.15):
    layer.load_state_dict(states[turn % 2])  # to be packed anew
    before = turn
    signal.setitimer(signal.ITIMER_REAL, moment)
    copy = layer.state_dict()
    y, tape = layer.forward(x)
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert any(np.array_equal(copy["weight"], state["weight"]) for state in states)
    assert any(np.array_equal(y, values) for values in expected)
    within += turn > before
    if within == 3:
        break
    if np.array_equal(y, expected[turn % 2]):
        layer.backward(tape, y)
    else:
        try:
            layer.backward(tape, y)
            raise SystemExit("the tape is of other weights")
        except RuntimeError:
            pass
print(within)
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")
def test_a_signal_handler_may_change_weights_while_they_are_packed_or_copied():
    """Then that begins anew: a result is of the weights before or after, never of both."""
    assert int(run(HANDLER_CHANGES_WEIGHTS)) > 0


FORK_BESIDE_A_CHANGE = """
import os, threading
import numpy as np
import recurra

layer = recurra.Linear(1500, 1500, seed=0)
adam = recurra.Adam(layer)
done = threading.Event()

def train():
    while not done.is_set():
        adam.step()

thread = threading.Thread(target=train)
thread.start()
for _ in range(20):
    pid = os.fork()
    if pid == 0:
        layer(np.ones((1, 1500), np.float32))
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
done.set()
thread.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_while_another_thread_changes_the_weights_can_use_them():
    run(FORK_BESIDE_A_CHANGE)


MORE_THREADS_THAN_MEMORY = """
import resource
from pathlib import Path
import numpy as np
import recurra

recurra.set_num_threads(1024)
layer, linear = recurra.RNN(2, 8, seed=0), recurra.Linear(300, 3000, seed=0)
x, many = np.random.default_rng(0).standard_normal((3, 1024, 2)).astype(np.float32), np.ones((3000, 300), np.float32)
layer._plan = {"threads": 1}
expected, _ = layer(x)
layer._plan = {"threads": 1024, "split": 1}
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 600 * 2**20,) * 2)
for _ in range(2):
    assert np.array_equal(layer(x)[0], expected)
print(recurra._core.last_plan()["threads"])
try:
    linear(many)
except MemoryError:  # each thread that asks malloc for something may reserve 64 MB: the process lives on, that is all
    pass
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_threads_that_cannot_be_made_are_done_without():
    """GNU's OpenMP would end the process: "Thread creation failed"."""
    threads = int(run(MORE_THREADS_THAN_MEMORY))
    assert threads < 1024
    assert threads > 1 or recurra.build_info()["threading"] == "none"


DAEMON = """
import threading, time
import numpy as np
import recurra

layer = recurra.LSTM(64, 512, seed=0)
x = np.zeros((2000, 4, 64), np.float32)
threading.Thread(target=lambda: [layer(x) for _ in range(100)], daemon=True).start()
time.sleep(0.3)
"""

# The thread asks for the GIL again and again, the main one has it nearly always. So it is likely to be waiting for it
# when Python ends.
DAEMON_BESIDE_A_BUSY_MAIN_THREAD = """
import threading, time
import numpy as np
import recurra

layer = recurra.{layer}
x = {x}
started = threading.Event()

def calls():
    while True:
        started.set()
        layer(x)

threading.Thread(target=calls, daemon=True).start()
started.wait()
end = time.monotonic() + 0.1
while time.monotonic() < end:
    pass
"""
IN_SHORT_CALLS = {"layer": "Linear(64, 512, seed=0)", "x": "np.zeros((300, 64), np.float32)"}
IN_A_LONG_CALL = {"layer": "LSTM(64, 512, seed=0)", "x": "np.zeros((20000, 4, 64), np.float32)"}


def test_python_may_end_while_a_daemon_thread_is_in_a_call():
    run(DAEMON)


@pytest.mark.parametrize("calls", [IN_SHORT_CALLS, IN_A_LONG_CALL], ids=["short calls", "long call"])
def test_python_may_end_busy_while_a_daemon_thread_asks_for_the_gil(calls):
    """Where the thread that comes too late unwound the frames of a call, 17 of 20 such processes aborted."""
    code = DAEMON_BESIDE_A_BUSY_MAIN_THREAD.format(**calls)
    processes = [start(code) for _ in range(4)]  # that all pass by chance happens once in two thousand runs
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, errors


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle-{n}": lambda o, n=n: pickle.loads(pickle.dumps(o, n)) for n in range(2, pickle.HIGHEST_PROTOCOL + 1)},
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("cell", CELLS)
def test_layers_survive_copies(cell, how):
    """With the same results, options and gradients so far; what is done to a deep copy stays there."""
    rng = np.random.default_rng(CELLS.index(cell))
    config = draw_config(rng, cell=cell, hidden_size=11, num_layers=2, T=5, B=3)
    data = make_data(config, rng)
    layer = make_layer(config, data.params)
    layer.dropout = 0.5
    layer.grads["weight_hh_l0"][...] = 3
    expected, _ = calls.both(layer, config, data, rng=7)
    twin = COPIES[how](layer)
    assert type(twin) is type(layer)
    assert repr(twin) == repr(layer)
    results, _ = calls.both(twin, config, data, rng=7)
    assert_same_bits(results, expected)
    assert_same_bits(dict(twin.grads), dict(layer.grads))
    twin.load_state_dict({name: np.zeros_like(value) for name, value in data.params.items()})
    if how != "copy":
        twin.zero_grad()
        assert_same_bits(calls.both(layer, config, data, rng=7)[0], expected)
        assert (layer.grads["weight_hh_l0"] == 3).all()


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("make", [recurra.RNNCell, recurra.LSTMCell, recurra.GRUCell, recurra.Linear])
def test_cells_and_linear_survive_copies(make, how):
    layer = make(3, 5, seed=0)
    x = np.random.default_rng(0).standard_normal((4, 3), np.float32)
    expected = layer(x)
    assert_same_bits(COPIES[how](layer)(x), expected)


MEMORY = """
import ctypes, gc, threading
import numpy as np
import recurra

recurra.set_num_threads(2)
rng = np.random.default_rng(0)
layers = [recurra.LSTM(5, 9, num_layers=2, bidirectional=True, seed=0), recurra.GRU(5, 9, seed=0),
          recurra.GRU(5, 9, reset_after=False, dtype=np.float64, seed=0), recurra.RNN(5, 9, num_layers=2, seed=0)]
states = [layer.state_dict() for layer in layers]
opts = [recurra.Adam(layer) for layer in layers]

def call(n):
    layer, T, B = layers[n % len(layers)], *rng.integers(0, (20, 6))
    layer._plan = {"threads": 2, "split": 1} if n % 5 == 0 else None
    x = rng.standard_normal((T, B, 5)).astype(layer.dtype)
    lengths = rng.integers(0, T + 1, B) if n % 3 == 0 else None
    if n % 2:
        layer(x, lengths=lengths)
    else:
        y, _, tape = layer.forward(x, lengths=lengths)
        if n % 8:  # else a tape that is never used
            layer.backward(tape, y)
    if n % 100 == 0:
        opts[n // 100 % len(layers)].step()  # another version to pack
    if n % 70 == 0:
        thread = threading.Thread(target=layer, args=(x,))  # whose workspace must go with it
        thread.start()
        thread.join()

class Info(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Info

def in_use():
    gc.collect()
    info = libc.mallinfo2()
    return info.uordblks + info.hblkhd

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * {page}

for n in range(3000):
    call(n)
before = in_use(), resident()
for n in range(10_000):
    call(n)
print(in_use() - before[0], resident() - before[1])
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="needs the GNU C library")
def test_ten_thousand_calls_of_random_shapes_do_not_grow_memory():
    """What malloc has handed out stays within 20 bytes a call; a leaked tape would be thousands.

    The memory that is resident also grows with the holes between blocks of random sizes, up to 1.5 MB here and ever
    slower, without anything being lost: so it is only asked to stay within 400 bytes a call.
    """
    in_use, resident = map(int, run(MEMORY.replace("{page}", str(os.sysconf("SC_PAGE_SIZE")))).split())
    assert in_use < 200_000
    assert resident < 4_000_000
