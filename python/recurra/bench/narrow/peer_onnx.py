"""ONNX Runtime, in float32 and with its own tool's int8."""

from __future__ import annotations

import logging
import tempfile
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.bench.contestants import Entry, Unsupported
from recurra.bench.peers_onnx import OnnxRuntime

from .onnx_stack import stacked, state_names
from .problem import Steps, plain, sequence, stepping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from recurra.bench.problem import Array, Data, Spec


class Float32(OnnxRuntime):
    """A session on its CPU provider; single steps run on bound memory."""

    def model(self, spec: Spec, weights: Mapping[str, Array]) -> bytes:
        """What the session reads."""
        return bytes(stacked(spec, weights).SerializeToString())

    def prepare(self, spec: Spec, weights: Mapping[str, Array], data: Data) -> Entry:
        """Any row of these parts."""
        plain(spec)
        model = self.model(spec, weights)
        session = self.runtime.InferenceSession(model, self.options, providers=["CPUExecutionProvider"])
        batch, _, _, hidden = spec.shape
        if isinstance(spec, Steps):
            return stepping([frame[None] for frame in data.x], binding(self.runtime, session, spec), (batch, hidden))
        given = {"x": data.x}
        return sequence(lambda: session.run(None, given)[0], spec)


class Int8(Float32):
    """onnxruntime.quantization's DynamicQuantizeLSTM: int8 weights, activations of 8 bits."""

    def model(self, spec: Spec, weights: Mapping[str, Array]) -> bytes:
        """The same model, quantised as by default: a scale a weight, since one a row is 5 % slower and no closer."""
        if spec.cell != "lstm":
            raise Unsupported(f"no {spec.cell} in int8")
        from onnxruntime.quantization import QuantType, quantize_dynamic

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "int8.onnx"
            logging.disable(logging.WARNING)  # it recommends a preparation that finds nothing to prepare here
            try:
                quantize_dynamic(stacked(spec, weights), path, weight_type=QuantType.QInt8)
            finally:
                logging.disable(logging.NOTSET)
            return path.read_bytes()


def binding(runtime: Any, session: Any, spec: Spec) -> Callable[[Any], Any]:
    """x_t -> y_t, all memory bound beforehand: with `session.run` and arrays a small step takes 1.7 times as long.

    States are in two places, which take turns to be read and written.
    """
    batch, _, inputs, hidden = spec.shape
    output = session.get_outputs()[0].name

    def zeros(*shape: int) -> Any:
        return runtime.OrtValue.ortvalue_from_numpy(np.zeros(shape, np.float32))

    x_t, y_t = zeros(1, batch, inputs), zeros(1, 1, batch, hidden)
    states = [{name: zeros(1, batch, hidden) for name in state_names(spec)} for _ in range(2)]
    bound = [session.io_binding() for _ in states]
    for each, before, after in zip(bound, states, reversed(states), strict=True):
        each.bind_ortvalue_input("x", x_t)
        each.bind_ortvalue_output(output, y_t)
        for name in before:
            each.bind_ortvalue_input(name, before[name])
            each.bind_ortvalue_output(f"{name}_n", after[name])
    following, run = cycle(bound).__next__, session.run_with_iobinding

    def step(x: Any) -> Any:
        x_t.update_inplace(x)
        run(following())
        return y_t.numpy()

    return step
