"""RNN, LSTM and GRU as the ONNX standard defines them: its own operator tests, and ONNX Runtime where they are silent.

The standard's cases have no row lengths (but in the one case with peepholes) and no linear_before_reset, so drawn nodes
with those are compared with ONNX Runtime too.
"""

from __future__ import annotations

import numpy as np
import pytest

import recurra

onnx = pytest.importorskip("onnx")

INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
OUTPUTS = ("Y", "Y_h", "Y_c")
GATES = {"RNN": [0], "LSTM": [0, 2, 3, 1], "GRU": [1, 0, 2]}  # i o f c -> i f g o; z r h -> r z n
ATTRIBUTES = {"direction", "hidden_size", "layout", "linear_before_reset"}
SKIPPED = {"test_lstm_with_peepholes": "peepholes (input P) are no part of recurra's LSTM"}


def operator_cases():
    """Name -> (node, inputs, outputs) of every case in the standard's modules of the three operators."""
    from onnx.backend.test.case.node import gru, lstm, rnn

    cases = {}

    def record(node, inputs, outputs, name):
        assert name not in cases
        cases[name] = node, by_name(INPUTS, node.input, inputs), by_name(OUTPUTS, node.output, outputs)

    np.random.seed(0)  # noqa: NPY002 - which the modules draw from
    with pytest.MonkeyPatch.context() as patch:
        for module, operator in ((rnn, rnn.RNN), (lstm, lstm.LSTM), (gru, gru.GRU)):
            patch.setattr(module, "expect", record)
            for export in dir(operator):
                if export.startswith("export"):
                    getattr(operator, export)()
    return cases


def by_name(names, slots, values):
    """The values of a node's inputs or outputs by their names in the standard; an empty slot has none."""
    present = [name for name, slot in zip(names, slots, strict=False) if slot]
    return dict(zip(present, values, strict=True))


CASES = operator_cases()


def layer_of(node, inputs):
    """The recurra layer that is this node; a lone reverse direction is half of a bidirectional layer."""
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    assert set(attributes) <= ATTRIBUTES
    assert "P" not in inputs
    direction = attributes.get("direction", b"forward").decode()
    _, rows, input_size = inputs["W"].shape
    order = GATES[node.op_type]
    hidden_size = rows // len(order)
    assert attributes["hidden_size"] == hidden_size

    options = {"reset_after": bool(attributes.get("linear_before_reset", 0))} if node.op_type == "GRU" else {}
    layer = getattr(recurra, node.op_type)(
        input_size,
        hidden_size,
        bias="B" in inputs,
        batch_first=attributes.get("layout", 0) == 1,
        bidirectional=direction != "forward",
        **options,
    )
    state = {name: np.zeros_like(value) for name, value in layer.params.items()}
    suffixes = {"forward": ["_l0"], "reverse": ["_l0_reverse"], "bidirectional": ["_l0", "_l0_reverse"]}[direction]
    for d, suffix in enumerate(suffixes):
        values = {"weight_ih": inputs["W"][d], "weight_hh": inputs["R"][d]}
        if "B" in inputs:
            values["bias_ih"], values["bias_hh"] = np.split(inputs["B"][d], 2)
        for name, value in values.items():
            gates = value.reshape(len(order), hidden_size, -1)[order]
            state[name + suffix] = np.ascontiguousarray(gates.reshape(value.shape))
    layer.load_state_dict(state)
    return layer, direction


def run(node, inputs):
    """Y, Y_h and Y_c of a node, by name."""
    layer, direction = layer_of(node, inputs)
    h0, c0 = (inputs.get(name) for name in ("initial_h", "initial_c"))
    if layer.batch_first:
        h0, c0 = (None if s is None else s.swapaxes(0, 1) for s in (h0, c0))
    if direction == "reverse":  # zeros for the half that isn't asked for
        h0, c0 = (None if s is None else np.concatenate([np.zeros_like(s), s]) for s in (h0, c0))
    is_lstm = node.op_type == "LSTM"
    hx = (h0, c0) if is_lstm and h0 is not None else h0
    y, state = layer(inputs["X"], hx, lengths=inputs.get("sequence_lens"))

    y = y.reshape(*y.shape[:2], -1, layer.hidden_size)  # (T, B, D, H), batch first (B, T, D, H)
    results = dict(zip(OUTPUTS, (y, *(state if is_lstm else (state,))), strict=False))
    if direction == "reverse":
        results = {name: value[..., 1:, :] if name == "Y" else value[1:] for name, value in results.items()}
    if layer.batch_first:
        return {name: value if name == "Y" else value.swapaxes(0, 1) for name, value in results.items()}
    return results | {"Y": results["Y"].swapaxes(1, 2)}


def assert_close(name, got, expected):
    assert got.shape == expected.shape, name
    assert got.dtype == expected.dtype == np.float32, name
    assert expected.size > 0, name
    # Both are float32: twice what one may be off in test_answers.
    assert np.abs(got - expected).max() <= 8e-6 * max(1, np.abs(expected).max()), name


def test_the_standard_has_18_cases_and_one_is_skipped():
    assert len(CASES) == 18
    assert {name for name, (_, inputs, _) in CASES.items() if "P" in inputs} == set(SKIPPED)
    directions = {a.s for node, _, _ in CASES.values() for a in node.attribute if a.name == "direction"}
    assert directions == {b"reverse", b"bidirectional"}
    assert sum("B" in inputs for name, (_, inputs, _) in CASES.items() if name not in SKIPPED) == 5


@pytest.mark.parametrize("name", sorted(set(CASES) - set(SKIPPED)))
def test_operator(name):
    node, inputs, outputs = CASES[name]
    results = run(node, inputs)
    assert outputs
    for output, expected in outputs.items():
        assert_close(output, results[output], expected)


def drawn_node(rng, op_type, direction, options):
    """A node of random sizes with biases, lengths and initial states, and its inputs."""
    steps, batch, input_size, hidden_size = (int(n) for n in rng.integers([2, 2, 1, 1], [12, 7, 9, 20]))
    directions, gates = 1 + (direction == "bidirectional"), len(GATES[op_type])
    shapes = {
        "X": (steps, batch, input_size),
        "W": (directions, gates * hidden_size, input_size),
        "R": (directions, gates * hidden_size, hidden_size),
        "B": (directions, 2 * gates * hidden_size),
        "sequence_lens": (batch,),
        "initial_h": (directions, batch, hidden_size),
    }
    if op_type == "LSTM":
        shapes["initial_c"] = shapes["initial_h"]
    inputs = {name: rng.standard_normal(shape, np.float32) / np.float32(2) for name, shape in shapes.items()}
    inputs["sequence_lens"] = rng.integers(1, steps + 1, batch).astype(np.int32)
    outputs = OUTPUTS if op_type == "LSTM" else OUTPUTS[:2]
    options = {"hidden_size": hidden_size, "direction": direction, **options}
    return onnx.helper.make_node(op_type, list(inputs), outputs, **options), inputs


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(
    ("op_type", "options"),
    [("RNN", {}), ("LSTM", {}), ("GRU", {"linear_before_reset": 0}), ("GRU", {"linear_before_reset": 1})],
    ids=["RNN", "LSTM", "GRU-reset-before", "GRU-reset-after"],
)
def test_lengths_biases_and_initial_states_as_onnxruntime(op_type, options, direction):
    runtime = pytest.importorskip("onnxruntime")
    rng = np.random.default_rng([*op_type.encode(), *direction.encode(), *options.values()])
    for _ in range(5):
        node, inputs = drawn_node(rng, op_type, direction, options)
        info = {name: onnx.helper.np_dtype_to_tensor_dtype(value.dtype) for name, value in inputs.items()}
        graph = onnx.helper.make_graph(
            [node],
            "drawn",
            [onnx.helper.make_tensor_value_info(name, info[name], value.shape) for name, value in inputs.items()],
            [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in node.output],
        )
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 14)], ir_version=8)
        session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        expected = dict(zip(node.output, session.run(None, inputs), strict=True))
        results = run(node, inputs)
        assert len(expected) == len(results) == (3 if op_type == "LSTM" else 2)
        for name, value in expected.items():
            assert_close(name, results[name], value)
