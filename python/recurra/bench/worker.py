"""A contestant in a process of its own: nobody's idle threads, allocator or BLAS setting gets in another's way.

The parent holds a `Worker`; the process behind it runs this module and answers pickled requests from standard input.
"""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from .contestants import SOURCES, Contestant, Entry, Unsupported
from .machine import choose_cpus, worker_environment

if TYPE_CHECKING:
    from .problem import Array, Spec

SLOW = 0.05  # seconds; a call this long isn't made only to warm the caches


class WorkerError(Exception):
    """The contestant failed; the message says how."""


class Worker:
    """The parent's end. Starts the process at once; `version` waits until it is up.

    Args:
        name: a key of SOURCES.
        threads: what the process is held to, by its environment and, on Linux, by its CPUs.
    """

    def __init__(self, name: str, threads: int) -> None:
        self.name = name
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        self.process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, name, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=worker_environment(threads),
            start_new_session=True,  # Ctrl-C is for the parent, who ends this one
        )
        cpus = choose_cpus(threads)
        if cpus:
            os.sched_setaffinity(self.process.pid, cpus)  # threads started from now on inherit it

    def ask(self, request: str, *arguments: object) -> Any:
        """Raises Unsupported or WorkerError as the process says, or if it is gone."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            pickle.dump((request, arguments), self.process.stdin)
            self.process.stdin.flush()
            verdict, value = pickle.load(self.process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
            self.log.seek(0)
            last = self.log.read().decode(errors="replace").strip().splitlines()[-1:]
            raise WorkerError(f"its process ended with code {self.process.wait(5)} {''.join(last)}".strip()) from error
        if verdict == "unsupported":
            raise Unsupported(value)
        if verdict == "error":
            raise WorkerError(value)
        return value

    def version(self) -> str:
        """The library's."""
        return str(self.ask("version"))

    def prepare(self, spec: Spec) -> dict[str, Array]:
        """Gets ready for a row, and computes its answers."""
        answers: dict[str, Array] = self.ask("prepare", spec)
        return answers

    def ready(self) -> float:
        """Seconds that the last row took to get ready and to compute its first answers."""
        return float(self.ask("ready"))

    def calls_in(self, seconds: float) -> tuple[int, float]:
        """How many calls fill that time, at least 1, and the seconds of the calls that told it."""
        calls, pace = self.ask("calls_in", seconds)
        return int(calls), float(pace)

    def time(self, calls: int) -> float:
        """Seconds a call, over so many."""
        return float(self.ask("time", calls))

    def close(self) -> None:
        """Ends the process, whatever it is doing."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            # Something may be left to be said, to a process that is gone.
            with suppress(BrokenPipeError):
                assert pipe is not None
                pipe.close()
        self.log.close()


class Desk:
    """The process's end: does what is asked, one contestant's entry at a time."""

    clock = staticmethod(time.perf_counter)

    def __init__(self, contestant: Contestant) -> None:
        self.contestant = contestant
        self.entry: Entry | None = None
        self.pace = 0.0  # seconds a call, as far as known
        self.readying = 0.0  # seconds until the first answers

    def version(self) -> str:
        """The library's."""
        return self.contestant.version

    def forget(self) -> None:
        """The last row's buffers may be large."""
        self.entry = None
        gc.collect()

    def prepare(self, spec: Spec) -> dict[str, Array]:
        """Lets go of the last row first."""
        self.forget()
        weights, data = spec.weights(), spec.data()
        start = self.clock()
        self.entry = self.contestant.prepare(spec, weights, data)
        with self.entry.context():
            prepared = self.clock()
            answers = self.entry.answers()
            end = self.clock()
        self.pace, self.readying = end - prepared, end - start
        return answers

    def ready(self) -> float:
        """Seconds from a row's weights to its first answers."""
        return self.readying

    def calls_in(self, seconds: float) -> tuple[int, float]:
        """From a few calls, which warm as well; also the seconds a call of the last of them."""
        calls = 1
        while True:
            self.pace = self.time(calls)
            if calls * self.pace > seconds / 4:
                return max(1, round(seconds / self.pace)), self.pace
            calls *= 2

    def time(self, calls: int) -> float:
        """Seconds a call. One call comes first, where it isn't slow: others have had the caches since."""
        assert self.entry is not None
        run = self.entry.run
        collecting = gc.isenabled()
        with self.entry.context():
            if self.pace < SLOW:
                run()
            gc.disable()  # as timeit does
            start = self.clock()
            for _ in range(calls):
                run()
            spent = self.clock() - start
        if collecting:
            gc.enable()
        return spent / calls


def serve(name: str, threads: int, requests: BinaryIO, replies: BinaryIO) -> None:
    """Answers until the parent closes its end."""
    desk: Desk | None = None
    while True:
        try:
            request, arguments = pickle.load(requests)
        except EOFError:
            return
        try:
            desk = desk or Desk(SOURCES[name].load()(threads))
            reply = "ok", getattr(desk, request)(*arguments)
        except Unsupported as reason:
            reply = "unsupported", str(reason)
        except Exception as error:  # noqa: BLE001 (whatever it is, the parent tells it)
            traceback.print_exc()
            reply = "error", f"{type(error).__name__}: {error}"
        pickle.dump(reply, replies)
        replies.flush()


if __name__ == "__main__":
    # What a library prints must not get among the replies.
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.argv[1], int(sys.argv[2]), sys.stdin.buffer, channel)
