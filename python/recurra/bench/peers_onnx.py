"""ONNX Runtime and OpenVINO, which run the same ONNX model of one RNN, LSTM or GRU operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from .contestants import Entry, Unsupported, named, unpacked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .problem import Array, Data, Spec

# PyTorch's gates i, f, g, o and r, z, n in the order that the operators of ONNX want: i, o, f, c and z, r, h.
GATE_ORDER = {"rnn": (0,), "lstm": (0, 3, 1, 2), "gru": (1, 0, 2)}


def reorder(cell: str, value: Array) -> Array:
    """PyTorch's rows (G·H, …) in ONNX's order of gates."""
    order = list(GATE_ORDER[cell])
    return np.asarray(value.reshape(len(order), -1, *value.shape[1:])[order].reshape(value.shape))


def onnx_model(spec: Spec, weights: Mapping[str, Array]) -> bytes:
    """A model with input X (T, B, I) and outputs Y (T, 1, B, H), Y_h and (LSTM) Y_c (1, B, H), its weights inside."""
    batch, steps, inputs, hidden = spec.shape
    order = {name: reorder(spec.cell, value)[None] for name, value in weights.items()}
    constants = {
        "W": order["weight_ih_l0"],
        "R": order["weight_hh_l0"],
        "B": np.concatenate([order["bias_ih_l0"], order["bias_hh_l0"]], axis=1),
    }
    outputs = ["Y", *(f"Y_{name}" for name in spec.states)]
    states = [f"initial_{name}" for name in spec.states] if spec.carried else []
    extra = {"linear_before_reset": 1} if spec.cell == "gru" else {}
    node = helper.make_node(
        spec.cell.upper(),
        ["X", "W", "R", "B", *([""] if states else []), *states],
        outputs,
        hidden_size=hidden,
        **extra,
    )
    kind = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}[spec.dtype]
    shapes = [(steps, 1, batch, hidden), (1, batch, hidden), (1, batch, hidden)]
    graph = helper.make_graph(
        [node],
        "layer",
        [
            helper.make_tensor_value_info("X", kind, (steps, batch, inputs)),
            *(helper.make_tensor_value_info(name, kind, (1, batch, hidden)) for name in states),
        ],
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in zip(outputs, shapes, strict=False)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    # The oldest versions that say all this, so that runtimes of any age read them.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    return bytes(model.SerializeToString())


def without_direction(y: Array, *states: Array) -> dict[str, Array]:
    """Without ONNX's axis of directions."""
    return named(y[:, 0], *(state[0] for state in states))


def check(spec: Spec) -> None:
    """Raises Unsupported for all but inference of one layer and direction over full sequences."""
    if spec.training:
        raise Unsupported("inference only")
    if spec.ragged or spec.layers * spec.directions != 1:
        raise Unsupported("one layer, one direction, one length")


class OnnxRuntime:
    """An inference session on its CPU provider."""

    def __init__(self, threads: int) -> None:
        import onnxruntime

        self.runtime = onnxruntime
        self.version = str(onnxruntime.__version__)
        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads = threads
        self.options.inter_op_num_threads = 1
        self.options.log_severity_level = 3

    def prepare(self, spec: Spec, weights: Mapping[str, Array], data: Data) -> Entry:
        """Inference."""
        check(spec)
        model = onnx_model(spec, weights)
        state = spec.state()
        given = {"X": data.x}
        if state is not None:
            given |= {f"initial_{name}": value for name, value in zip(spec.states, unpacked(state), strict=True)}
        try:
            session = self.runtime.InferenceSession(model, self.options, providers=["CPUExecutionProvider"])
            session.run(None, given)
        except Exception as error:
            if spec.dtype == "float32":
                raise
            raise Unsupported(f"no {spec.cell} in {spec.dtype}") from error

        def run() -> Any:
            return session.run(None, given)

        return Entry(run, lambda: without_direction(*run()))


class OpenVINO:
    """A compiled model on its CPU device, set for latency."""

    def __init__(self, threads: int) -> None:
        import openvino

        self.core = openvino.Core()
        self.tensor = openvino.Tensor
        self.version = str(openvino.__version__).split("-")[0]
        # f32 said, since its own choice is bfloat16 where the CPU has that.
        self.config = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }

    def prepare(self, spec: Spec, weights: Mapping[str, Array], data: Data) -> Entry:
        """Inference in float32."""
        check(spec)
        if spec.carried:
            raise Unsupported("zeros before")
        if spec.dtype != "float32":
            raise Unsupported(f"computes {spec.dtype} in float32")
        model = self.core.read_model(onnx_model(spec, weights))
        request = self.core.compile_model(model, "CPU", self.config).create_infer_request()
        x = self.tensor(data.x, shared_memory=True)
        self.memory = data.x  # the tensor doesn't keep it: without this, answers came from memory that was free again

        def run() -> Any:
            request.set_input_tensor(x)
            return request.infer(share_outputs=True)

        def answers() -> dict[str, Array]:
            results = run()
            return {
                name: value.copy()
                for name, value in without_direction(*(results[k] for k in range(len(results)))).items()
            }

        return Entry(run, answers)
