"""One row: every contestant's answers compared, then its calls timed in turns."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from statistics import median
from time import monotonic, sleep
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .contestants import Unsupported
from .problem import Spec, difference
from .worker import SLOW, WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .worker import Desk, Worker

OURS = "recurra"
# Seconds before a turn of several threads: NumPy's BLAS keeps its own spinning for up to 110 ms after a call, on CPUs
# that the next contestant needs. With 50 ms an LSTM took 5.5 ms in its turns after NumPy's, else 2.1.
REST = 0.15
FEWEST = 2  # rounds of a row whose time is over
QUICK = 0.1  # seconds; a round this short is always made: to leave out those of small shapes would save little


class Disagreement(Exception):  # noqa: N818 (the message is the error)
    """recurra's answers and NumPy's differ by more than rounding."""


@dataclass
class Result:
    """What one row found.

    Args:
        spec: the row.
        differences: contestant -> largest difference of its answers from recurra's.
        seconds: contestant -> seconds a call, one value a round.
        absent: contestant -> why it has no time.
    """

    spec: Spec
    differences: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def median(self, name: str) -> float | None:
        """Seconds a call; None if the contestant has no time."""
        return median(self.seconds[name]) if name in self.seconds else None

    @property
    def rounds(self) -> int:
        """How many turns everybody had."""
        return len(self.seconds[OURS])

    @property
    def gflops(self) -> float:
        """recurra's GFLOP/s."""
        return self.spec.flops / median(self.seconds[OURS]) / 1e9

    def speedup(self, name: str) -> float | None:
        """How many times faster than it recurra is."""
        theirs = self.median(name)
        return theirs / median(self.seconds[OURS]) if theirs else None

    @property
    def best_other(self) -> str:
        """The fastest of the others."""
        return min((name for name in self.seconds if name != OURS), key=lambda name: median(self.seconds[name]))

    def record(self) -> dict[str, Any]:
        """For JSON; times in µs."""
        times = {
            name: {
                "median": median(rounds) * 1e6,
                "min": min(rounds) * 1e6,
                "rounds": [seconds * 1e6 for seconds in rounds],
            }
            for name, rounds in self.seconds.items()
        }
        return {
            "cell": self.spec.cell,
            "mode": self.spec.mode,
            **dict(zip(("batch", "steps", "input_size", "hidden_size"), self.spec.shape, strict=True)),
            "dtype": self.spec.dtype,
            "threads": self.spec.threads,
            "flops": self.spec.flops,
            "differences": self.differences,
            "microseconds": times,
            "gflops": self.gflops,
            "speedups": {name: self.speedup(name) for name in self.seconds if name != OURS},
            "absent": self.absent,
        }


def race(
    workers: Mapping[str, Worker | Desk],
    spec: Spec,
    rounds: int,
    seconds: float,
    progress: Callable[[str], None] = lambda _: None,
    before_round: Callable[[], None] = lambda: None,
    deadline: float = inf,
    tolerances: Mapping[str, float] = MappingProxyType({}),
) -> Result:
    """Runs one row.

    Args:
        workers: recurra's, NumPy's, and those of the peers; or desks in this process, whose errors are WorkerErrors.
        rounds: how often each gets its turn, at most; the order turns round every time.
        seconds: what a turn should at least take; a slow call is a turn.
        progress: told what is happening.
        before_round: called before every round.
        deadline: on the clock of time.monotonic; a round that would end later isn't begun after the first FEWEST,
            unless it is QUICK.
        tolerances: contestant -> what difference of its answers is wrong, where that isn't the row's.

    Raises:
        Disagreement, WorkerError: as `compare_answers`.
    """
    result = compare_answers(workers, spec, progress, tolerances)
    runners = {name: worker for name, worker in workers.items() if name not in result.absent}
    calls, paces = {}, {}
    before_round()
    for name, worker in runners.items():
        progress(f"{spec}: {name} warms up")
        sleep(REST * (spec.threads > 1))
        calls[name], paces[name] = worker.calls_in(seconds)
    # Where everybody's call is a turn that needs no warming, that was the first round.
    slow = all(calls[name] == 1 and paces[name] > SLOW for name in runners)
    result.seconds = {name: [paces[name]] if slow else [] for name in runners}
    last = 0.0  # seconds of the last round
    while (k := result.rounds) < rounds and (k < FEWEST or last < QUICK or monotonic() + last <= deadline):
        progress(f"{spec}: round {k + 1} of {rounds}")
        start = monotonic()
        before_round()
        for name in list(runners)[:: -1 if k % 2 else 1]:
            sleep(REST * (spec.threads > 1))
            result.seconds[name].append(runners[name].time(calls[name]))
        last = monotonic() - start
    return result


def compare_answers(
    workers: Mapping[str, Worker | Desk],
    spec: Spec,
    progress: Callable[[str], None] = lambda _: None,
    tolerances: Mapping[str, float] = MappingProxyType({}),
) -> Result:
    """Everybody's answers against recurra's; arguments as those of `race`.

    Returns:
        A result without times: `differences`, and who is left out in `absent`.

    Raises:
        Disagreement: recurra and NumPy don't compute the same.
        WorkerError: recurra or NumPy fails. A peer that fails or differs is left out, and `absent` says why.
    """
    result, answers = Result(spec), {}
    for name, worker in workers.items():
        progress(f"{spec}: answers of {name}")
        try:
            answers[name] = worker.prepare(spec)
        except Unsupported as refusal:
            result.absent[name] = str(refusal)
        except WorkerError as error:
            if name in {OURS, "NumPy"}:
                raise WorkerError(f"{name}, {spec}: {error}") from error
            result.absent[name] = str(error)
    ours = answers.pop(OURS)
    for name, theirs in answers.items():
        if not theirs:  # it does other work, as PyTorch does that computes padding too
            continue
        result.differences[name] = difference(ours, theirs)
        if not result.differences[name] <= tolerances.get(name, spec.tolerance):
            reason = f"its answers differ from recurra's by {result.differences[name]:.1e}"
            if name == "NumPy":
                raise Disagreement(f"{name}, {spec}: {reason}")
            result.absent[name] = reason
    return result
