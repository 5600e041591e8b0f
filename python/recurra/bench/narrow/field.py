"""Who takes part in single steps and sequences with narrow weights: all in one process, timed in turns."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import recurra
from recurra.bench.contestants import Source, Unsupported
from recurra.bench.race import OURS, Result, race
from recurra.bench.worker import Desk, WorkerError

from . import clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from recurra.bench.problem import Array, Spec

HOME = {
    OURS: Source(".narrow.ours", "Layer"),
    "int8": Source(".narrow.ours", "Int8"),
    "bfloat16": Source(".narrow.ours", "Bfloat16"),
    "float16": Source(".narrow.ours", "Float16"),
    "Stream": Source(".narrow.ours", "Stream"),
    "Stream int8": Source(".narrow.ours", "StreamInt8"),
}
PEERS = {
    "ORT": Source(".narrow.peer_onnx", "Float32", ("onnx", "onnxruntime")),
    "ORT int8": Source(".narrow.peer_onnx", "Int8", ("onnx", "onnxruntime")),
    "torch": Source(".narrow.peer_torch", "Float32", ("torch",)),
    "torch int8": Source(".narrow.peer_torch", "Int8", ("torch",)),
    "tract": Source(".narrow.peer_tract", "Tract", ("tract", "onnx")),
}
# Who takes part in which part. A stream's sequences are its steps; narrow floats are there to be read less often.
PARTS = {
    "step": [OURS, "int8", "Stream", "Stream int8", *PEERS],
    "narrow": [OURS, "int8", "bfloat16", "float16", *(name for name in PEERS if name != "tract")],
}
# The largest difference that isn't wrong. ONNX Runtime's int8 comes to 0.016, PyTorch's to 0.035.
TOLERANCES = dict.fromkeys(["int8", "Stream int8", "ORT int8", "torch int8"], 0.1) | dict.fromkeys(
    ["bfloat16", "float16"], 0.01
)


class Local(Desk):
    """A contestant in this process. One thread each, so nobody's threads spin in another's turn."""

    clock = staticmethod(clock.seconds)

    def forget(self) -> None:
        """Without a collection, which takes 0.2 s beside PyTorch's objects; what is kept here is small."""
        self.entry = None

    def prepare(self, spec: Spec) -> dict[str, Array]:
        """As a worker: whatever goes wrong is a WorkerError."""
        try:
            return super().prepare(spec)
        except Unsupported:
            raise
        except Exception as error:
            raise WorkerError(f"{type(error).__name__}: {error}") from error


def gather(part: str, peers: bool, notes: dict[str, str]) -> dict[str, Local]:
    """Those of a part that can be had, by name; what keeps a peer away goes to `notes`."""
    field: dict[str, Local] = {}
    for name in PARTS[part]:
        source = HOME.get(name) or PEERS[name]
        if name in HOME:
            field[name] = Local(source.load()(1))
        elif peers and source.missing:
            notes[name] = f"not installed ({', '.join(source.missing)})"
        elif peers:
            try:
                field[name] = Local(source.load()(1))
            except Exception as error:  # noqa: BLE001 (whatever it is, the others go on)
                notes[name] = f"{type(error).__name__}: {error}"
    return field


def run(field: Mapping[str, Local], spec: Spec, rounds: int, seconds: float, progress: Callable[[str], None]) -> Result:
    """One row. Raises WorkerError if one of recurra's contestants fails or differs; peers are left out of it."""
    result = race(field, spec, rounds, seconds, progress, tolerances=TOLERANCES)
    for name, reason in result.absent.items():
        if name in HOME:
            raise WorkerError(f"{name}, {spec}: {reason}")
    return result


@contextmanager
def one_thread() -> Iterator[None]:
    """recurra on one thread, and afterwards on as many as before."""
    threads = recurra.get_num_threads()
    recurra.set_num_threads(1)
    try:
        yield
    finally:
        recurra.set_num_threads(threads)
