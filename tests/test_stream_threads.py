"""Streams in threads, in the face of Ctrl-C, and over a million steps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import recurra
from configs import assert_same_bits

F32 = np.float32


def sound(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, F32)


def busy(stream):
    try:
        stream.reset([])
    except RuntimeError:
        return True
    return False


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_a_child_forked_during_a_call_goes_on_from_before_it():
    model = recurra.GRU(8, 256, 2, seed=0)
    stream, x, long = recurra.Stream(model), sound(1, 8), sound(20000, 1, 8)
    stream(x)
    expected = stream.fork()(x)
    thread = threading.Thread(target=lambda: stream.many(long))
    thread.start()
    while not busy(stream):
        time.sleep(0.0005)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if np.array_equal(stream(x), expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    thread.join()


def test_streams_of_one_model_in_threads():
    """Eight at once, small ones that keep the GIL and large ones that give it up, over the same weights."""
    for size, steps in ((16, 400), (300, 12)):
        model = recurra.Sequential(recurra.GRU(4, size, 2, seed=0), recurra.Linear(size, 3, seed=1))
        inputs = [sound(steps, 1, 4, seed=i) for i in range(8)]
        streams = [recurra.Stream(model) for _ in range(8)]
        results = [None] * 8

        def run(i, inputs=inputs, streams=streams, results=results):
            results[i] = np.stack([streams[i](x_t) for x_t in inputs[i]])

        threads = [threading.Thread(target=run, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for x, y in zip(inputs, results, strict=True):
            assert_same_bits(y, model(x))


def test_one_stream_in_two_threads_at_once():
    """The second is refused, whatever it asks; the first one's result is right."""
    layer = recurra.LSTM(64, 256, seed=0)
    stream, x = recurra.Stream(layer, 4), sound(1000, 4, 64)
    expected, state = layer(x)
    result = []
    thread = threading.Thread(target=lambda: result.append(stream.many(x)))
    thread.start()
    while not busy(stream):
        pass
    uses = [
        lambda: stream(x[0]),
        lambda: stream.many(x),
        stream.fork,
        stream.reset,
        stream.close,
        lambda: stream.state,
        lambda: setattr(stream, "state", None),
    ]
    for use in uses:
        with pytest.raises(RuntimeError, match="one call at a time"):
            use()
    assert thread.is_alive()
    thread.join()
    assert_same_bits(result[0], expected)
    assert_same_bits(stream.state, state)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")
@pytest.mark.parametrize("what", ["KeyboardInterrupt", "a call"])
def test_ctrl_c_leaves_the_states_as_they_were(what):
    """And a handler can't use the stream whose call it interrupts."""
    layer = recurra.LSTM(16, 128, seed=0)
    stream, x = recurra.Stream(layer, 2), sound(30_000, 2, 16)
    stream.many(x[:7])
    before = stream.state

    def handler(*_):
        if what == "a call":
            stream(x[0])
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    began = time.perf_counter()
    try:
        with pytest.raises(KeyboardInterrupt if what == "KeyboardInterrupt" else RuntimeError):
            stream.many(x)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert time.perf_counter() - began < 0.25
    assert_same_bits(stream.state, before)
    assert_same_bits(stream.many(x[7:20]), layer(x[:20])[0][7:])


GROWTH = """
import resource
import numpy as np, recurra
from pathlib import Path
stream = recurra.Stream(recurra.Sequential(recurra.GRU(2, 5, seed=0), recurra.Linear(5, 3, seed=0)))
x = np.ones(2, np.float32)
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
for _ in range(10_000):
    stream(x)
before = resident()
for _ in range(STEPS):
    stream(x)
print(resident() - before)
"""


def grown(steps):
    code = GROWTH.replace("STEPS", str(steps))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_steps_do_not_grow_memory():
    assert grown(40_000) <= 16 << 10


@pytest.mark.exhaustive
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_a_million_steps_do_not_grow_memory():
    assert grown(1_000_000) <= 16 << 10
