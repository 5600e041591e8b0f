"""What is asked of a contestant in these parts, and how far answers of narrow weights may be from float32's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.bench.contestants import Entry, Unsupported
from recurra.bench.problem import Array, Data, Shape, Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

CELLS = ("lstm", "gru")
HIDDEN = {"step": (4, 8, 16, 32, 64, 128, 256, 512), "narrow": (8, 16, 32, 64, 128, 256, 512)}
BATCHES = (1, 16)  # of "narrow"
LAYERS = (1, 2)  # of "step"
STEPS = 50  # of a sequence in "narrow"
COMPARED = 32  # steps whose answers are compared before single steps are timed


@dataclass(frozen=True)
class Steps(Spec):
    """Single steps: a call has one, and begins with the state that the call before it left."""

    def data(self) -> Data:
        """x (COMPARED, B, I), the steps whose answers are compared; there is no gradient."""
        batch, _, inputs, _ = self.shape
        x = np.random.default_rng(1).standard_normal((COMPARED, batch, inputs)).astype(self.dtype)
        return Data(x, x[:0])

    def __str__(self) -> str:
        return f"{self.cell} step of {self.shape.hidden}" + f", {self.layers} layers" * (self.layers > 1)


def steps(cells: Iterable[str], hidden: Iterable[int]) -> list[Spec]:
    """The rows of "step"."""
    return [Steps(c, False, Shape(1, 1, h, h), layers=n) for c in cells for n in LAYERS for h in hidden]


def sequences(cells: Iterable[str], hidden: Iterable[int]) -> list[Spec]:
    """The rows of "narrow"."""
    return [Spec(c, False, Shape(b, STEPS, h, h)) for c in cells for b in BATCHES for h in hidden]


def stepping(frames: Sequence[Any], step: Callable[[Any], Any], shape: tuple[int, ...]) -> Entry:
    """An entry whose call is one step.

    Args:
        frames: an x_t for each step that is compared, in the contestant's own form; the first is what is timed.
        step: x_t -> y_t, and keeps the state.
        shape: (B, H), of which each y_t is made.
    """
    first = frames[0]

    def run() -> Any:
        return step(first)

    return Entry(run, lambda: {"y": np.stack([copied(step(frame)).reshape(shape) for frame in frames])})


def sequence(run: Callable[[], Any], spec: Spec) -> Entry:
    """An entry whose call is whole sequences -> y (T, B, H), perhaps with ONNX's axis of directions; y is compared."""
    batch, steps, _, hidden = spec.shape
    return Entry(run, lambda: {"y": copied(run()).reshape(steps, batch, hidden)})


def copied(y: Any) -> Array:
    """Of an array or a tensor, whose memory the next step may use again. PyTorch warns if asked for a copy itself."""
    return np.asarray(y).copy()


def plain(spec: Spec) -> None:
    """Raises Unsupported for all but inference in one direction, from zeros, over sequences of one length."""
    if spec.training or spec.directions != 1 or spec.ragged or spec.carried:
        raise Unsupported("inference in one direction from zeros")
