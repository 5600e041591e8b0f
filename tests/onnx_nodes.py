"""Models of one node, drawn recurrent nodes, and what ONNX Runtime and onnx's reference make of them."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
OUTPUTS = ("Y", "Y_h", "Y_c")
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}
PARAMETERS = {"W", "R", "B", "P"}


def model_of(nodes, inputs, outputs, constants, opset=14, dtypes=None):
    """A ModelProto of nodes: `inputs` and `constants` are dicts of arrays, `outputs` names (their dtypes by name)."""
    dtypes = dtypes or {}
    types = {name: helper.np_dtype_to_tensor_dtype(np.dtype(dtypes.get(name, np.float32))) for name in outputs}
    graph = helper.make_graph(
        nodes,
        "drawn",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), [None] * value.ndim)
            for name, value in inputs.items()
        ],
        [helper.make_tensor_value_info(name, types[name], None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value, order="C"), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def drawn(rng, op_type, direction="forward", optional=(), dtype=np.float32, opset=14, scale=0.5, **attributes):
    """A model of one recurrent node of random sizes, and its inputs.

    `optional` are those of B, sequence_lens, initial_h, initial_c and P that it has.
    """
    steps, batch, input_size, hidden = (int(n) for n in rng.integers([2, 2, 1, 1], [9, 6, 8, 18]))
    directions, gates = 1 + (direction == "bidirectional"), GATES[op_type]
    by_batch = attributes.get("layout", 0)
    state = (batch, directions, hidden) if by_batch else (directions, batch, hidden)
    shapes = {
        "X": (batch, steps, input_size) if by_batch else (steps, batch, input_size),
        "W": (directions, gates * hidden, input_size),
        "R": (directions, gates * hidden, hidden),
        "B": (directions, 2 * gates * hidden),
        "initial_h": state,
        "initial_c": state,
        "P": (directions, 3 * hidden),
    }
    given = ["X", "W", "R", *optional]
    values = {name: (rng.standard_normal(shapes[name]) * scale).astype(dtype) for name in given if name in shapes}
    if "sequence_lens" in given:
        values["sequence_lens"] = rng.integers(1, steps + 1, batch).astype(np.int32)
    names = [name if name in given else "" for name in INPUTS]
    while not names[-1]:
        names.pop()
    outputs = OUTPUTS if op_type == "LSTM" else OUTPUTS[:2]
    node = helper.make_node(op_type, names, outputs, hidden_size=hidden, direction=direction, **attributes)
    constants = {name: value for name, value in values.items() if name in PARAMETERS}
    inputs = {name: value for name, value in values.items() if name not in PARAMETERS}
    return model_of([node], inputs, outputs, constants, opset, dict.fromkeys(outputs, dtype)), inputs


def by_runtime(model, inputs):
    """The outputs of ONNX Runtime by name; the model may be a path."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else model
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, inputs), strict=True))


def by_reference(model, inputs):
    """The outputs of onnx's own evaluator by name."""
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(model)
    return dict(zip(evaluator.output_names, evaluator.run(None, inputs), strict=True))


def assert_close(results, expected, bound):
    """Every output of shape and dtype as expected, and no further off than `bound` times the largest number."""
    assert list(results) == list(expected)
    for name, value in expected.items():
        got = results[name]
        assert got.shape == value.shape, name
        assert got.dtype == value.dtype, name
        assert value.size > 0, name
        difference = np.abs(got.astype(float) - value.astype(float)).max()
        assert difference <= bound * max(1, np.abs(value).max()), (name, difference)


__all__ = ["OUTPUTS", "TensorProto", "assert_close", "by_reference", "by_runtime", "drawn", "model_of", "onnx"]
