"""tract, which reads the same ONNX models; float32 only, as it has no DynamicQuantizeLSTM."""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tract

from .onnx_stack import stacked, state_names
from .problem import Steps, plain, sequence, stepping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from recurra.bench.contestants import Entry
    from recurra.bench.problem import Array, Data, Spec


class Tract:
    """An optimised plan; it computes in the calling thread. States stay its own tensors from step to step."""

    version = version("tract")

    def __init__(self, threads: int) -> None:
        """It has one."""

    def prepare(self, spec: Spec, weights: Mapping[str, Array], data: Data) -> Entry:
        """Any row of these parts."""
        plain(spec)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "stack.onnx"
            path.write_bytes(stacked(spec, weights).SerializeToString())
            plan = tract.onnx().load(path).into_model().into_runnable()
        batch, _, _, hidden = spec.shape
        if isinstance(spec, Steps):
            return stepping([frame[None] for frame in data.x], feeding(plan, spec), (batch, hidden))

        def run() -> Any:
            return plan.run([data.x])[0].to_numpy()

        return sequence(run, spec)


def feeding(plan: Any, spec: Spec) -> Callable[[Any], Any]:
    """x_t -> y_t; the states are the plan's outputs and inputs."""
    zeros = np.zeros((1, spec.shape.batch, spec.shape.hidden), np.float32)
    states: list[Any] = [zeros] * len(state_names(spec))

    def step(x: Any) -> Any:
        nonlocal states
        y, *states = plan.run([x, *states])
        return y.to_numpy()

    return step
