"""ONNX Runtime, in float32 and with its own tool's int8."""

from __future__ import annotations

import logging
import tempfile
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
    """A session on its CPU provider; single steps feed the states that came out of the step before."""

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
            return stepping([frame[None] for frame in data.x], feeding(session, spec), (batch, hidden))
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


def feeding(session: Any, spec: Spec) -> Callable[[Any], Any]:
    """x_t -> y_t; the states are the session's outputs and inputs."""
    names, shape = state_names(spec), (1, spec.shape.batch, spec.shape.hidden)
    feeds = {name: np.zeros(shape, np.float32) for name in names}

    def step(x: Any) -> Any:
        feeds["x"] = x
        y, *states = session.run(None, feeds)
        feeds.update(zip(names, states, strict=True))
        return y

    return step
