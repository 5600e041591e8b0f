"""`from_onnx`: recurrent nodes with all their attributes as ONNX Runtime and onnx's reference compute them."""

from __future__ import annotations

import copy
import pickle
from itertools import product

import numpy as np
import pytest

import recurra
from refused import refused

pytest.importorskip("onnx")

from onnx import helper

from onnx_nodes import assert_close, by_reference, by_runtime, drawn, model_of
from recurra.onnx.cells import ACTIVATIONS, DEFAULTS
from recurra.onnx.reader import from_onnx

NAMES = [
    *("Relu", "Tanh", "Sigmoid", "Affine", "LeakyRelu", "ThresholdedRelu"),
    *("ScaledTanh", "HardSigmoid", "Elu", "Softsign", "Softplus"),
]
DIRECTIONS = ("forward", "reverse", "bidirectional")
FULL = {
    "RNN": ["B", "sequence_lens", "initial_h"],
    "GRU": ["B", "sequence_lens", "initial_h"],
    "LSTM": ["B", "sequence_lens", "initial_h", "initial_c", "P"],
}
KINDS = [("RNN", {}), ("LSTM", {}), ("LSTM", {"input_forget": 1}), ("GRU", {}), ("GRU", {"linear_before_reset": 1})]
BOUND = 2e-6


def rng_of(*parts):
    return np.random.default_rng(list(repr(parts).encode()))


def check(runner, model, inputs, bound=BOUND):
    expected = runner(model, inputs)
    assert_close(from_onnx(model).run(inputs), expected, bound)
    return expected


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("op_type", "options"), KINDS)
def test_optional_inputs_and_clip_as_onnxruntime(op_type, options, direction):
    pytest.importorskip("onnxruntime")
    rng = rng_of(op_type, options, direction)
    for optional in ([], ["B"], FULL[op_type][1:], FULL[op_type]):
        check(by_runtime, *drawn(rng, op_type, direction, optional, **options))
    for clip in (0.2, 0.7):
        plain, inputs = drawn(rng, op_type, direction, FULL[op_type], **options)
        clipped = copy.deepcopy(plain)
        clipped.graph.node[0].attribute.append(helper.make_attribute("clip", clip))
        expected = check(by_runtime, clipped, inputs)
        assert np.abs(expected["Y"] - by_runtime(plain, inputs)["Y"]).max() > 1e-3  # it matters


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("op_type", ["RNN", "LSTM", "GRU"])
def test_layouts_and_dtypes_as_the_reference(op_type, layout, dtype):
    """The reference ignores sequence_lens, and ONNX Runtime has neither float64 nor layout 1."""
    rng = rng_of(op_type, layout, dtype)
    optional = [name for name in FULL[op_type] if name != "sequence_lens"]
    options = {"linear_before_reset": 1} if op_type == "GRU" else {}
    for direction, given in product(DIRECTIONS, ([], optional)):
        model, inputs = drawn(rng, op_type, direction, given, dtype, layout=layout, **options)
        check(by_reference, model, inputs, BOUND if dtype == np.float32 else 1e-12)


def with_numbers(rng, names):
    """Attributes of activations, with the numbers that they take."""
    given = {"activations": list(names)}
    for kind, place in (("activation_alpha", 0), ("activation_beta", 1)):
        count = sum(len(ACTIVATIONS[name.lower()][1]) > place for name in names)
        if count:
            given[kind] = [float(n) for n in rng.uniform(0.1, 0.9, count)]
    return given


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("op_type", "options"), KINDS)
def test_activations_as_onnxruntime(op_type, options, direction):
    pytest.importorskip("onnxruntime")
    rng = rng_of("activations", op_type, options, direction)
    number = len(DEFAULTS[op_type]) * (1 + (direction == "bidirectional"))
    drawings = [[name] * number for name in NAMES] + [rng.choice(NAMES, number) for _ in range(6)]
    for names in drawings:
        given = with_numbers(rng, [str(name) for name in names])
        # Small weights: most of these functions have no bounds, so that states would grow without end.
        check(by_runtime, *drawn(rng, op_type, direction, FULL[op_type], scale=0.1, **given, **options))


def test_defaults_of_activations_are_the_standards():
    pytest.importorskip("onnxruntime")
    rng = rng_of("defaults")
    for name in ("LeakyRelu", "Elu", "HardSigmoid"):
        check(by_runtime, *drawn(rng, "RNN", "forward", FULL["RNN"], activations=[name]))
    for name in ("Affine", "ScaledTanh", "ThresholdedRelu"):
        model, _ = drawn(rng, "RNN", activations=[name])
        with refused(recurra.FormatError, "RNN node 'Y'"):
            from_onnx(model)


def test_directions_of_other_cells_are_two_layers():
    rng = rng_of("two")
    model, inputs = drawn(rng, "RNN", "bidirectional", FULL["RNN"], activations=["Tanh", "Relu"])
    network = from_onnx(model)
    assert [layer.nonlinearity for layer in network.layers.values()] == ["tanh", "relu"]
    assert [layer.reverse for layer in network.layers.values()] == [False, True]
    assert list(network.layers) == ["Y", "Y_reverse"]
    y = network.run(inputs)["Y"]
    other = from_onnx(drawn(rng_of("two"), "RNN", "bidirectional", FULL["RNN"])[0]).run(inputs)["Y"]
    assert np.array_equal(y[:, 0], other[:, 0])
    assert not np.array_equal(y[:, 1], other[:, 1])


REFUSALS = [
    ("RNN", {"activations": ["Sine"]}),
    ("RNN", {"activations": ["Tanh", "Relu"]}),
    ("LSTM", {"activations": ["Sigmoid", "Tanh"]}),
    ("RNN", {"activation_alpha": [0.1]}),
    ("RNN", {"activations": ["Elu"], "activation_alpha": [0.1, 0.2]}),
    ("RNN", {"activations": ["Elu"], "activation_alpha": [float("nan")]}),
    ("GRU", {"clip": 0.0}),
    ("GRU", {"clip": -1.0}),
    ("GRU", {"direction": "backward"}),
    ("GRU", {"hidden_size": 99}),
]


@pytest.mark.parametrize(("op_type", "attributes"), REFUSALS)
def test_attributes_that_mean_nothing_are_refused(op_type, attributes):
    model, _ = drawn(rng_of("refused"), op_type)
    node = model.graph.node[0]
    kept = [attribute for attribute in node.attribute if attribute.name not in attributes]
    del node.attribute[:]
    node.attribute.extend([*kept, *(helper.make_attribute(k, v) for k, v in attributes.items())])
    with refused(recurra.FormatError, f"{op_type} node 'Y'"):
        from_onnx(model)


def test_norms_by_place_are_refused():
    values = {name: np.ones((1, 2), np.float32) for name in "sbmv"}
    node = helper.make_node("BatchNormalization", ["x", *values], ["y"], spatial=0)
    with refused(recurra.FormatError, "BatchNormalization node 'y'"):
        from_onnx(model_of([node], {"x": np.ones((3, 1, 2), np.float32)}, ["y"], values, 7))


@pytest.mark.parametrize("op_type", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("empty", [0, 1])
def test_no_steps_or_no_sequences(op_type, empty):
    model, inputs = drawn(rng_of(op_type), op_type, "bidirectional", ("B", "initial_h"))
    steps, batch, hidden = *inputs["X"].shape[:2], inputs["initial_h"].shape[2]
    steps, batch = (0, batch) if empty == 0 else (steps, 0)
    given = {"X": inputs["X"][:steps, :batch], "initial_h": inputs["initial_h"][:, :batch]}
    results = from_onnx(model).run(given)
    assert results["Y"].shape == (steps, 2, batch, hidden)
    assert np.array_equal(results["Y_h"], given["initial_h"])


def test_weights_that_do_not_fit_are_refused():
    for name, change in product("WRBP", (lambda a: a[:, 1:], lambda a: a[None], lambda a: a.astype(np.float16))):
        model, _ = drawn(rng_of(name), "LSTM", "bidirectional", FULL["LSTM"])
        (place,) = (i for i, tensor in enumerate(model.graph.initializer) if tensor.name == name)
        from onnx import numpy_helper

        wrong = np.ascontiguousarray(change(numpy_helper.to_array(model.graph.initializer[place])))
        model.graph.initializer[place].CopyFrom(numpy_helper.from_array(wrong, name))
        with refused(recurra.FormatError, "LSTM node 'Y'"):
            from_onnx(model)


def chain(rng):
    """A model of a look-up, an LSTM, and a product with a bias; the outputs are y and the LSTM's state."""
    w, r = (rng.standard_normal((1, 20, n)).astype(np.float32) for n in (4, 5))
    constants = {
        "table": rng.standard_normal((9, 4)).astype(np.float32),
        "W": w,
        "R": r,
        "axis": np.array([1]),
        "weight": rng.standard_normal((5, 3)).astype(np.float32),
        "bias": rng.standard_normal(3).astype(np.float32),
    }
    nodes = [
        helper.make_node("Gather", ["table", "x"], ["e"], name="embed"),
        helper.make_node("LSTM", ["e", "W", "R"], ["Y", "h"], name="lstm", hidden_size=5),
        helper.make_node("Squeeze", ["Y", "axis"], ["s"]),
        helper.make_node("MatMul", ["s", "weight"], ["p"], name="head"),
        helper.make_node("Add", ["bias", "p"], ["y"]),
    ]
    x = rng.integers(-9, 9, (6, 2))
    return model_of(nodes, {"x": x}, ["y", "h"], constants, 17), {"x": x}


def test_a_network_tells_what_it_is():
    model, inputs = chain(rng_of("chain"))
    network = from_onnx(model)
    assert [str(port) for port in network.inputs] == ["x: int64[?, ?]"]
    assert [port.name for port in network.outputs] == ["y", "h"]
    assert {name: type(layer).__name__ for name, layer in network.layers.items()} == {
        "embed": "Embedding",
        "lstm": "LSTM",
        "head": "Linear",
    }
    assert "Y, h = LSTM(e, W, R) 'lstm' hidden_size=5  -> LSTM(4, 5, bias=False, tokens=False)" in repr(network)
    assert "y = MatMul(s, weight, bias) 'head'  -> Linear(5, 3)" in repr(network)
    assert len(network.nodes) == 4
    assert_close(network.run(inputs), by_reference(model, inputs), 1e-5)
    assert list(network.run(inputs, ["h"])) == ["h"]
    assert list(network.run(inputs, ["h", "y"])) == ["h", "y"]
    assert network.run(inputs, []) == {}
    with refused(TypeError, "network"):
        pickle.dumps(network)
    with refused(TypeError, "network"):
        copy.deepcopy(network)


def test_layers_are_those_that_run_and_can_be_trained():
    model, inputs = chain(rng_of("train"))
    network = from_onnx(model)
    before = network.run(inputs)["y"]
    target = np.zeros_like(before)
    embed, lstm, head = network.layers.values()
    adam = recurra.Adam([embed, lstm, head], lr=1e-2)
    tokens = inputs["x"] % 9
    losses = []
    for _ in range(30):
        e, embed_tape = embed.forward(tokens)
        h, _, tape = lstm.forward(e)
        y, head_tape = head.forward(h)
        loss, dy = recurra.mse(y, target)
        losses.append(loss)
        adam.zero_grad()
        dx, _ = lstm.backward(tape, head.backward(head_tape, dy))
        embed.backward(embed_tape, dx)
        adam.step()
    assert losses[-1] < 0.5 * losses[0]
    after = network.run(inputs)["y"]
    assert np.abs(after - head(lstm(embed(tokens))[0])).max() == 0
    assert np.abs(after - before).max() > 0.01


def test_arguments_of_run():
    model, inputs = chain(rng_of("arguments"))
    network = from_onnx(model)
    with refused(ValueError, r"inputs\['x'\]"):
        network.run({})
    with refused(ValueError, "inputs"):
        network.run(inputs | {"z": inputs["x"]})
    with refused(TypeError, "inputs"):
        network.run([inputs["x"]])
    with refused(TypeError, r"inputs\['x'\]"):
        network.run({"x": inputs["x"].astype(np.int32)})
    with refused(TypeError, r"inputs\['x'\]"):
        network.run({"x": inputs["x"].tolist()})
    with refused(TypeError, r"inputs\['x'\]"):
        network.run({"x": np.ma.masked_array(inputs["x"], inputs["x"] > 0)})
    with refused(ValueError, r"inputs\['x'\]"):
        network.run({"x": inputs["x"][0]})
    with refused(ValueError, "Gather node 'embed'"):
        network.run({"x": inputs["x"] + 100})
    with refused(ValueError, "outputs"):
        network.run(inputs, ["z"])
    with refused(TypeError, "outputs"):
        network.run(inputs, "y")
    with refused(TypeError, "model"):
        from_onnx(7)


def test_named_axes_agree():
    ports = [helper.make_tensor_value_info(name, 1, ["n", 3]) for name in ("a", "b")]
    graph = helper.make_graph(
        [helper.make_node("Concat", ["a", "b"], ["y"], axis=0)],
        "g",
        ports,
        [helper.make_tensor_value_info("y", 1, None)],
    )
    network = from_onnx(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    a = np.ones((2, 3), np.float32)
    assert network.run({"a": a, "b": a})["y"].shape == (4, 3)
    with refused(ValueError, r"inputs\['b'\]"):
        network.run({"a": a, "b": np.ones((5, 3), np.float32)})
    with refused(ValueError, r"inputs\['a'\]"):
        network.run({"a": a[:, :2], "b": a})


def test_results_are_the_callers():
    """Neither the inputs nor what is kept in the network can be changed through a result."""
    x = np.ones((2, 3), np.float32)
    nodes = [
        helper.make_node("Identity", ["x"], ["a"]),
        helper.make_node("Transpose", ["x"], ["b"], perm=[1, 0]),
        helper.make_node("Identity", ["c"], ["d"]),
        helper.make_node("Identity", ["d"], ["e"]),
        helper.make_node("Flatten", ["x"], ["f"]),
    ]
    network = from_onnx(model_of(nodes, {"x": x}, ["a", "b", "d", "e", "f"], {"c": x}))
    results = network.run({"x": x})
    for value in results.values():
        assert value.flags.writeable
        assert value.flags.c_contiguous
        value[...] = 7
    assert (x == 1).all()
    assert (network.run({"x": x})["e"] == 1).all()


def test_products_that_something_else_reads_keep_their_bias_apart():
    x, w, b = np.ones((2, 3), np.float32), np.ones((3, 4), np.float32), np.ones(4, np.float32)
    product, total = helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Add", ["p", "b"], ["y"])
    other = helper.make_node("Neg", ["p"], ["z"])
    for nodes, outputs, biased in (
        ([product, total], ["y"], True),
        ([product, total], ["y", "p"], False),
        ([product, total, other], ["y", "z"], False),
    ):
        network = from_onnx(model_of(nodes, {"x": x}, outputs, {"w": w, "b": b}))
        (linear,) = network.layers.values()
        assert linear.bias == biased
        results = network.run({"x": x})
        assert (results.pop("y") == 4).all()
        assert all((abs(value) == 3).all() for value in results.values())


def test_defaults_of_inputs():
    x, b = np.ones(3, np.float32), np.full(3, 2, np.float32)
    model = model_of([helper.make_node("Add", ["x", "b"], ["y"])], {"x": x, "b": b}, ["y"], {"b": b})
    network = from_onnx(model)
    assert [port.optional for port in network.inputs] == [False, True]
    assert (network.run({"x": x})["y"] == 3).all()
    assert (network.run({"x": x, "b": x})["y"] == 2).all()


def test_names_of_layers_are_different():
    rng = rng_of("names")
    weight = rng.standard_normal((3, 3)).astype(np.float32)
    named = [("a", "y0"), ("a", "y1"), ("", "y2"), ("y4", "y3"), ("a", "y4"), ("y1", "y5")]
    nodes = [helper.make_node("MatMul", ["x", f"w{i}"], [output], name=n) for i, (n, output) in enumerate(named)]
    constants = {f"w{i}": weight + i for i in range(len(nodes))}
    network = from_onnx(model_of(nodes, {"x": weight}, [output for _, output in named], constants))
    assert list(network.layers) == ["a", "y1", "y2", "y4", "y4'", "y5"]
    assert len({id(layer) for layer in network.layers.values()}) == len(nodes)


def test_layers_are_one_only_where_their_tensors_are():
    """Two nodes of each kind with the same weights, and one with others."""
    rng = rng_of("tied")
    constants = {
        name: rng.standard_normal(shape).astype(np.float32)
        for name, shape in {
            **dict.fromkeys(("w", "v"), (3, 3)),
            **dict.fromkeys(("b", "c"), 3),
            **dict.fromkeys(("W", "V"), (1, 3, 3)),
        }.items()
    }
    nodes, outputs = [], []
    for op_type, same, other in (
        ("Gemm", "x w b", "x v b"),
        ("Gemm", "x w c", "x v c"),
        ("MatMul", "x w", "x v"),
        ("Gather", "w i", "v i"),
        ("RNN", "s W W", "s W V"),
        ("RNN", "s V V", "s V W"),
    ):
        for inputs in (same, same, other):
            outputs.append(f"y{len(nodes)}")
            nodes.append(helper.make_node(op_type, inputs.split(), outputs[-1:]))
    inputs = {
        "x": rng.standard_normal((2, 3)).astype(np.float32),
        "i": rng.integers(0, 3, 4),
        "s": rng.standard_normal((4, 2, 3)).astype(np.float32),
    }
    model = model_of(nodes, inputs, outputs, constants)
    network = from_onnx(model)
    layers = list(network.layers.values())
    assert len(layers) == len(nodes)
    for first, second, third in zip(layers[::3], layers[1::3], layers[2::3], strict=True):
        assert first is second
        assert first is not third
    assert len({id(layer) for layer in layers}) == 12
    assert_close(network.run(inputs), by_reference(model, inputs), 1e-5)
