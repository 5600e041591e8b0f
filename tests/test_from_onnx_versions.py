"""Operators as older opsets had them, with attributes that later ones have as inputs, as ONNX Runtime computes them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import helper

from onnx_nodes import assert_close, by_runtime, model_of
from recurra.onnx.reader import from_onnx

X = np.random.default_rng(0).standard_normal((2, 1, 3, 4)).astype(np.float32)
PAIR = X[:, 0]  # (2, 3, 4)
SCALE = np.random.default_rng(1).uniform(0.5, 2, 3).astype(np.float32)
IMAGE = np.random.default_rng(2).standard_normal((2, 3, 5, 6)).astype(np.float32)

# operator, opset, inputs, attributes; inputs besides the first are initializers
CASES = [
    ("Squeeze", 7, [X], {"axes": [1]}),
    ("Squeeze", 11, [X], {"axes": [-3]}),
    ("Squeeze", 12, [X], {}),
    ("Squeeze", 13, [X, np.array([1])], {}),
    ("Unsqueeze", 7, [X], {"axes": [0, 2]}),
    ("Unsqueeze", 11, [X], {"axes": [-1]}),
    ("Unsqueeze", 13, [X, np.array([0, 3])], {}),
    ("Reshape", 7, [X, np.array([0, -1])], {}),
    ("Reshape", 13, [X, np.array([4, 0, -1, 2])], {}),
    ("Flatten", 7, [X], {"axis": 2}),
    ("Flatten", 11, [X], {"axis": -1}),
    ("Transpose", 7, [X], {}),
    ("Slice", 7, [X], {"starts": [1, 0], "ends": [100, -1], "axes": [2, 3]}),
    ("Slice", 9, [X], {"starts": [-1], "ends": [2**31 - 1]}),
    ("Slice", 10, [X, np.array([-1]), np.array([-(2**31)]), np.array([3]), np.array([-2])], {}),
    ("Slice", 13, [X, np.array([100, 1]), np.array([-100, 9]), np.array([2, -1]), np.array([-1, 2])], {}),
    ("Split", 7, [PAIR], {"axis": 2}),
    ("Split", 11, [PAIR], {"axis": -1, "split": [1, 3]}),
    ("Split", 13, [PAIR, np.array([3, 1])], {"axis": 2}),
    ("Split", 18, [PAIR], {"axis": 2, "num_outputs": 2}),
    ("Concat", 7, [PAIR, PAIR], {"axis": 1}),
    ("Gather", 7, [PAIR, np.array([2, 0])], {"axis": 1}),
    ("Gather", 11, [PAIR, np.array([[-1, 0]])], {"axis": 1}),
    ("Gather", 11, [PAIR[0], np.array([-1, 2, -3])], {}),
    ("Pad", 7, [PAIR], {"pads": [0, 1, 2, 0, 0, 1], "value": 0.5}),
    ("Pad", 10, [PAIR], {"pads": [0, 0, 2, 0, 0, 1], "mode": "reflect"}),
    ("Pad", 11, [PAIR, np.array([0, 1, 0, 0, 0, 2]), np.array(1.5, np.float32)], {}),
    ("Pad", 13, [PAIR, np.array([0, 0, -1, 0, 2, 0])], {"mode": "edge"}),
    ("Softmax", 7, [PAIR], {}),
    ("Softmax", 11, [PAIR], {"axis": 2}),
    ("Softmax", 12, [PAIR], {"axis": -2}),
    ("Softmax", 13, [PAIR], {"axis": 1}),
    ("LogSoftmax", 11, [PAIR], {"axis": 0}),
    ("LogSoftmax", 13, [PAIR], {}),
    ("Clip", 7, [X], {"min": -0.5}),
    ("Clip", 10, [X], {"min": -0.5, "max": 0.25}),
    ("Clip", 11, [X, np.array(-0.5, np.float32), np.array(0.5, np.float32)], {}),
    ("ReduceMean", 7, [X], {"axes": [1, 3], "keepdims": 0}),
    ("ReduceMean", 13, [X], {"axes": [-1]}),
    ("ReduceMean", 18, [X, np.array([-1])], {}),
    ("ReduceSum", 11, [X], {"axes": [2]}),
    ("ReduceSum", 13, [X, np.array([0, 2])], {"keepdims": 0}),
    ("ReduceMax", 12, [X], {"keepdims": 0}),
    ("ReduceL2", 13, [X], {"axes": [3]}),
    ("ReduceProd", 18, [X], {"noop_with_empty_axes": 1}),
    ("ArgMax", 11, [X], {"axis": -1}),
    ("ArgMax", 13, [np.round(X)], {"axis": 2, "select_last_index": 1, "keepdims": 0}),
    ("Dropout", 7, [X], {"ratio": 0.3}),
    ("Dropout", 12, [X, np.array(0.3, np.float32)], {}),
    ("BatchNormalization", 7, [IMAGE, SCALE, -SCALE, SCALE - 1, SCALE + 1], {"epsilon": 1e-3}),
    ("BatchNormalization", 15, [IMAGE, SCALE, -SCALE, SCALE - 1, SCALE + 1], {}),
    ("LayerNormalization", 17, [PAIR, X[0, 0], X[1, 0]], {"axis": 1, "epsilon": 1e-3}),
    ("Conv", 7, [IMAGE, IMAGE[:, :, :3, :2].repeat(2, 0)], {"pads": [1, 0, 0, 2], "strides": [2, 1]}),
    ("Conv", 11, [IMAGE, X.repeat(3, 0)[:, :, :, :2], X.ravel()[:6]], {"group": 3, "dilations": [1, 2]}),
    ("Conv", 11, [IMAGE, IMAGE[:, :, :2, :3]], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ("Conv", 11, [IMAGE, IMAGE[:, :, :2, :3]], {"auto_pad": "SAME_LOWER"}),
    ("Conv", 22, [IMAGE[:, :, 0], IMAGE[:, :, 0, :3]], {"auto_pad": "VALID"}),
    ("Gemm", 7, [PAIR[0], PAIR[1].T, SCALE], {}),
    ("Gemm", 9, [PAIR[0], PAIR[1], SCALE], {"transB": 1, "alpha": 1.0}),
    ("Gemm", 11, [PAIR[0], PAIR[1], SCALE[:1]], {"transB": 1, "alpha": 0.5, "beta": 2.0}),
    ("Gemm", 13, [PAIR[0], PAIR[1]], {"transA": 1}),
    ("MatMul", 7, [PAIR, PAIR[0].T], {}),
    ("MatMul", 13, [PAIR, np.swapaxes(PAIR, 1, 2)], {}),
    ("Cast", 7, [X], {"to": 7}),
    ("Pow", 7, [np.abs(X), np.array(0.5, np.float32)], {}),
    ("Pow", 13, [X, np.array(2)], {}),
    ("Div", 7, [(X * 10).astype(np.int64), np.array([-3, 2, 7, -1])], {}),
    ("Mod", 10, [(X * 10).astype(np.int64), np.array([-3, 2, 7, -1])], {}),
    ("Mod", 13, [X, np.full(4, 0.4, np.float32)], {"fmod": 1}),
    ("PRelu", 9, [X, np.array([0.1, 0.2, 0.3, 0.4], np.float32)], {}),
    ("Expand", 8, [X, np.array([2, 5, 1, 4])], {}),
    ("Tile", 7, [PAIR, np.array([1, 2, 3])], {}),
    ("Where", 9, [X > 0, X, -X], {}),
    ("ReverseSequence", 10, [PAIR, np.array([1, 2, 2])], {"time_axis": 0, "batch_axis": 1}),
    ("ReverseSequence", 10, [PAIR, np.array([3, 2])], {"time_axis": 1, "batch_axis": 0}),
    ("OneHot", 11, [np.array([[1, -1], [3, 9]]), np.array(4), np.array([0.5, 2], np.float32)], {"axis": 0}),
    ("HardSigmoid", 7, [X], {"alpha": 0.3}),
    ("Selu", 7, [X], {}),
    ("Elu", 7, [X], {"alpha": 0.3}),
    ("LeakyRelu", 7, [X], {"alpha": 0.3}),
    ("ThresholdedRelu", 10, [X], {"alpha": 0.3}),
    ("Erf", 9, [X], {}),
    ("Max", 8, [X, X[:, :, :1], -X], {}),
    ("Mean", 8, [X, X[:, :, :1]], {}),
    ("Shape", 15, [X], {"start": 1, "end": -1}),
    ("GatherElements", 11, [PAIR, np.array([[[0, -1, 2, 1]]] * 2)], {"axis": 1}),
    ("GatherElements", 11, [PAIR, np.array([[[2], [0], [-1], [1]]])], {"axis": 1}),
    ("Div", 7, [np.array([-(2**31), -(2**31), 7, -7], np.int32), np.array([2, 3, -2, 2], np.int32)], {}),
]


@pytest.mark.parametrize(
    ("op_type", "opset", "values", "attributes"),
    CASES,
    ids=[f"{op}-{opset}-{'-'.join(attributes)}" for op, opset, _, attributes in CASES],
)
def test_as_onnxruntime(op_type, opset, values, attributes):
    names = [f"v{i}" for i in range(len(values))]
    outputs = ["y", "z"] if op_type == "Split" else ["y"]
    node = helper.make_node(op_type, names, outputs, **attributes)
    kinds = {"Cast": np.int64, "ArgMax": np.int64, "Shape": np.int64}
    kind = kinds.get(op_type, np.float32 if op_type == "Where" or values[-1].dtype.kind == "f" else values[0].dtype)
    kind = values[-1].dtype if op_type == "OneHot" else kind
    inputs, constants = {names[0]: values[0]}, dict(zip(names[1:], values[1:], strict=True))
    model = model_of([node], inputs, outputs, constants, opset, dict.fromkeys(outputs, kind))
    expected = by_runtime(model, inputs)
    assert_close(from_onnx(model).run(inputs), expected, 1e-6)
    if op_type not in {"Dropout", "BatchNormalization", "MatMul", "Gemm"}:  # everything as inputs, nothing constant
        model = model_of([node], inputs | constants, outputs, {}, opset, dict.fromkeys(outputs, kind))
        assert_close(from_onnx(model).run(inputs | constants), expected, 1e-6)


@pytest.mark.parametrize(
    ("op_type", "arrays"), [("Softmax", [PAIR[:0]]), ("LogSoftmax", [PAIR[:0]]), ("Conv", [IMAGE[:0], IMAGE[:, :, :2]])]
)
def test_empty_batches_as_onnxruntime(op_type, arrays):
    names = [f"in{i}" for i in range(len(arrays))]
    node = helper.make_node(op_type, names, ["y"])
    model = model_of([node], {"in0": arrays[0]}, ["y"], dict(zip(names[1:], arrays[1:], strict=True)), 11)
    y, expected = (run(model, {"in0": arrays[0]})["y"] for run in (lambda m, x: from_onnx(m).run(x), by_runtime))
    assert (y.shape, y.dtype) == (expected.shape, expected.dtype)
