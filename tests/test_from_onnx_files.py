"""Files that aren't what they should be: `FormatError`, at once, and nothing read from outside of the folder."""

from __future__ import annotations

import os
import time
import tracemalloc

import numpy as np
import pytest

import recurra
from refused import refused

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from onnx_nodes import model_of  # noqa: E402
from recurra.onnx.limits import MOST_NODES, MOST_SCANS, MOST_TENSORS  # noqa: E402
from recurra.onnx.reader import from_onnx  # noqa: E402

X = np.ones((2, 3), np.float32)


@pytest.fixture(scope="module", params=["nodes", "a Scan"])
def data(request):
    if request.param == "a Scan":
        return recurra.to_onnx(recurra.cells.CoRNN(4, 5, seed=0)).SerializeToString()
    model = recurra.Sequential(
        recurra.Embedding(10, 4), recurra.LSTM(4, 5, 2, bidirectional=True), recurra.Last(), recurra.Linear(10, 3)
    )
    return recurra.to_onnx(model).SerializeToString()


def quickly_refused(source, name="", seconds=2.0):
    """FormatError in far less time than a user would notice; the bound allows for a busy machine."""
    begin = time.perf_counter()
    with refused(recurra.FormatError, f".*{name}.*"):
        from_onnx(source)
    assert time.perf_counter() - begin < seconds


def test_truncated_files(data):
    from_onnx(data)
    for end in range(0, len(data), 64):
        quickly_refused(data[:end])


def test_garbage():
    rng = np.random.default_rng(0)
    for size in rng.integers(0, 4000, 100):
        quickly_refused(rng.bytes(int(size)))
    for raw in (b"", b"\0" * 100, b"PK\x03\x04", b"{}"):
        quickly_refused(raw)


def test_broken_bytes_never_crash(data):
    """What is still read still runs, or says why it doesn't."""
    rng, outcomes = np.random.default_rng(1), set()
    for _ in range(500):
        broken = bytearray(data)
        for _ in range(int(rng.integers(1, 4))):
            broken[int(rng.integers(len(broken)))] ^= 1 << int(rng.integers(8))
        try:
            network = from_onnx(bytes(broken))
        except recurra.FormatError:
            outcomes.add("refused")
            continue
        try:
            first = network.inputs[0]
            network.run({first.name: np.zeros((4, 2) if first.dtype == np.int64 else (4, 2, 4), first.dtype)})
            outcomes.add("run")
        except (ValueError, TypeError):
            outcomes.add("refused inputs")
    assert {"refused", "run"} <= outcomes


def graph(*nodes, inputs=("x",), outputs=("y",), initializers=(), opset=17, **options):
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, 1, None) for name in inputs],
        [helper.make_tensor_value_info(name, 1, None) for name in outputs],
        initializers,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, **options)


def node(op_type, inputs="x", outputs="y", **attributes):
    return helper.make_node(op_type, inputs.split(), outputs.split(), **attributes)


WRONG = {
    "an operator that there isn't": (graph(node("Nonsense")), "Nonsense node 'y'"),
    "an operator without a rule": (graph(node("TopK", "x x", "y z")), "TopK node 'y'"),
    "another domain": (graph(node("Relu", domain="com.example")), "Relu node 'y'"),
    "too many inputs": (graph(node("Relu", "x x")), "Relu node 'y'"),
    "too few inputs": (graph(node("Add")), "Add node 'y'"),
    "too many outputs": (graph(node("Relu", "x", "y z")), "Relu node 'y'"),
    "an attribute that there isn't": (graph(node("Relu", slope=1.0)), "Relu node 'y'"),
    "an attribute that isn't computed": (graph(node("Cast", to=1, saturate=0), opset=19), "Cast node 'y'"),
    "an attribute of another type": (graph(node("Softmax", axis=0.5)), "Softmax node 'y'"),
    "an attribute twice": (
        graph(helper.make_node("Softmax", ["x"], ["y"], axis=0)),
        "Softmax node 'y'",
    ),
    "a missing attribute": (graph(node("Cast")), "Cast node 'y'"),
    "an input that nothing makes": (graph(node("Relu", "z")), "Relu node 'y'"),
    "a cycle": (graph(node("Relu", "b", "a"), node("Relu", "a", "b"), outputs=("a",)), "Relu node 'a'"),
    "an output twice": (graph(node("Relu"), node("Tanh")), "Tanh node 'y'"),
    "an output that nothing makes": (graph(node("Relu", "x", "z")), "model"),
    "no outputs": (graph(node("Relu"), outputs=()), "model"),
    "an input twice": (graph(node("Relu"), inputs=("x", "x")), "model"),
    "an old opset": (graph(node("Relu"), opset=6), "model"),
    "an opset to come": (graph(node("Relu"), opset=1000), "model"),
    "computed weights": (graph(node("RNN", "x x x")), "RNN node 'y'"),
    "a subgraph": (graph(node("Loop", "", "y", body=graph().graph)), "Loop node 'y'"),
}
WRONG["an attribute twice"][0].graph.node[0].attribute.append(helper.make_attribute("axis", 1))


@pytest.mark.parametrize("case", WRONG)
def test_wrong_graphs(case):
    model, name = WRONG[case]
    quickly_refused(model, name)
    quickly_refused(model.SerializeToString(), name)


def scan(inputs="h x", outputs="k y", body="h0 x0", made="h1 h1", count=1, nodes=None, **attributes):
    """A graph of a Scan whose state is the sum of what it has read."""
    inner = helper.make_graph(
        nodes or [node("Add", "h0 x0", "h1")],
        "body",
        [helper.make_tensor_value_info(name, 1, None) for name in body.split()],
        [helper.make_tensor_value_info(name, 1, None) for name in made.split()],
    )
    loop = node("Scan", inputs, outputs, body=inner, num_scan_inputs=count, **attributes)
    return graph(loop, inputs=("h", "x"), outputs=("k",))


def with_output(model, name):
    model.graph.output.append(helper.make_tensor_value_info(name, 1, None))
    return model


def many_scans(number):
    """Loops whose values all have names of their own."""
    loops = [
        scan(outputs=f"k{i} y{i}", body=f"h{i} x{i}", made=f"s{i} s{i}", nodes=[node("Add", f"h{i} x{i}", f"s{i}")])
        for i in range(number)
    ]
    return graph(*(loop.graph.node[0] for loop in loops), inputs=("h", "x"), outputs=("k0",))


SCANS = {
    "more inputs than the body's": scan(inputs="h h x"),
    "fewer outputs than the body's": scan(outputs="k"),
    "no scan inputs": scan(count=0),
    "more scan inputs than inputs": scan(count=3),
    "a direction too many": scan(scan_input_directions=[0, 0]),
    "a direction that there isn't": scan(scan_output_directions=[2]),
    "names of the graph around it": scan(body="h x0"),
    "an input twice": scan(body="h0 h0"),
    "an output that nothing makes": scan(made="h1 h2"),
    "an input that nothing makes": scan(nodes=[node("Add", "h0 h9", "h1")]),
    "a Scan within": scan(nodes=[scan().graph.node[0]], body="h0 x0", made="k y"),
    "a value of the body as an output": with_output(scan(), "h1"),
    "an input of the body as an output": with_output(scan(), "x0"),
    "an operator without a rule": scan(nodes=[node("TopK", "h0 x0", "h1 h2")]),
}


@pytest.mark.parametrize("case", SCANS)
def test_wrong_scans(case):
    quickly_refused(SCANS[case])


def test_a_scan():
    network = from_onnx(scan())
    h, x = np.ones(3, np.float32), np.arange(6, dtype=np.float32).reshape(2, 3)
    assert network.run({"h": h, "x": x})["k"].tolist() == [4, 6, 8]
    with refused(ValueError, "Scan node 'k'"):
        network.run({"h": h, "x": x[:0]})


def test_many_scans():
    from_onnx(many_scans(MOST_SCANS))
    quickly_refused(many_scans(10 * MOST_SCANS), f"Scan node 'k{MOST_SCANS}'")


def test_what_a_body_reads_of_the_graph_around_it():
    """A product, which therefore keeps its bias apart, an input and a constant."""
    values = {"w": 2 * np.eye(3, dtype=np.float32), "b": np.ones(3, np.float32)}
    model = scan(nodes=[node("Add", "h0 p", "h2"), node("Add", "h2 h", "h3"), node("Add", "h3 b", "h1")])
    model.graph.node.insert(0, node("MatMul", "h w", "p"))
    model.graph.node.insert(1, node("Add", "p b", "q"))
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in values.items())
    model.graph.output.append(helper.make_tensor_value_info("q", 1, None))
    network = from_onnx(model)
    h, x = np.array([1, 2, 3], np.float32), np.zeros((2, 3), np.float32)
    results = network.run({"h": h, "x": x})
    assert results["k"].tolist() == (h + 2 * (2 * h + h + 1)).tolist()
    assert results["q"].tolist() == (2 * h + 1).tolist()


def tensor(dims, kind=TensorProto.FLOAT, name="w", **fields):
    made = TensorProto(name=name, data_type=kind, dims=dims)
    for field, value in fields.items():
        if isinstance(value, (bytes, int)):
            setattr(made, field, value)
        else:
            getattr(made, field).extend(value)
    return made


TENSORS = {
    "fewer bytes": tensor([3], raw_data=b"12345678"),
    "more bytes": tensor([1], raw_data=b"12345678"),
    "fewer numbers": tensor([3], float_data=[1.0]),
    "no numbers": tensor([3]),
    "numbers in another field": tensor([1], int32_data=[1]),
    "a size below 0": tensor([-1], raw_data=b""),
    "sizes beyond all memory": tensor([2**62, 2**62], raw_data=b"1234"),
    "many axes": tensor([1] * 100, raw_data=b"1234"),
    "text": tensor([1], TensorProto.STRING, string_data=[b"a"]),
    "bfloat16": tensor([1], TensorProto.BFLOAT16, raw_data=b"12"),
    "a type that there isn't": tensor([1], 99, raw_data=b"1"),
}


@pytest.mark.parametrize("case", TENSORS)
def test_wrong_tensors(case):
    quickly_refused(graph(node("Add", "x w"), initializers=[TENSORS[case]]), "initializer 'w'")


def test_numbers_in_every_field():
    for kind, field in (("float32", "float_data"), ("float64", "double_data"), ("int64", "int64_data")):
        number = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
        model = graph(node("Identity", "w"), initializers=[tensor([2], number, **{field: [1, 2]})])
        got = from_onnx(model).run({"x": X})["y"]
        assert got.dtype == kind
        assert got.tolist() == [1, 2]
    half = tensor([2], TensorProto.FLOAT16, int32_data=np.array([1, -2], np.float16).view(np.uint16).tolist())
    assert from_onnx(graph(node("Identity", "w"), initializers=[half])).run({"x": X})["y"].tolist() == [1, -2]
    flags = tensor([3], TensorProto.BOOL, raw_data=b"\0\1\x80")
    assert from_onnx(graph(node("Identity", "w"), initializers=[flags])).run({"x": X})["y"].tolist() == [0, 1, 1]


def test_a_million_nodes_or_tensors():
    many = graph(node("Relu"))
    many.graph.node.extend([node("Relu")] * 1_000_000)
    quickly_refused(many, "model", 5)
    quickly_refused(many.SerializeToString(), "model", 5)
    tensors = graph(node("Relu"))
    tensors.graph.initializer.extend([TensorProto()] * (MOST_TENSORS + 1))
    quickly_refused(tensors, "model")
    longest = graph(*(node("Relu", f"v{i}", f"v{i + 1}") for i in range(MOST_NODES)), inputs=["v0"], outputs=["v9"])
    assert len(from_onnx(longest).nodes) == MOST_NODES


def test_nesting():
    """Bytes of subgraphs within subgraphs, as deep as one likes."""

    def field(number, payload):
        size, length = len(payload), b""
        while size >= 128:
            length, size = length + bytes([size & 127 | 128]), size >> 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + payload

    body = b""
    for _ in range(3000):
        body = field(1, field(5, field(6, body)))
    quickly_refused(field(7, body))


def test_what_a_few_bytes_may_make():
    ones = numpy_helper.from_array(np.ones(1000, np.float32), "c0")
    doubling = [helper.make_node("Concat", [f"c{i}"] * 2, [f"c{i + 1}"], axis=0) for i in range(60)]
    quickly_refused(graph(*doubling, initializers=[ones], outputs=["c60"]), "Concat node")
    square, flat = (numpy_helper.from_array(np.array(shape), name) for shape, name in (([900, -1], "s"), ([-1], "f")))
    turns = [
        one
        for i in range(0, 300, 3)
        for one in (
            node("Transpose", f"t{i}", f"t{i + 1}", perm=[1, 0]),
            node("Reshape", f"t{i + 1} f", f"t{i + 2}"),
            node("Reshape", f"t{i + 2} s", f"t{i + 3}"),
        )
    ]
    table = numpy_helper.from_array(np.ones((900, 900), np.float32), "t0")
    quickly_refused(graph(*turns, initializers=[table, square, flat], outputs=["t300"]), "Reshape node")
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.standard_normal((1, 400, 100)).astype(np.float32), f"{letter}{i}")
        for letter in "WR"
        for i in range(20)
    ]
    pairs = [node("LSTM", f"x W{i} R{j}", f"y{i}_{j}") for i in range(20) for j in range(20)]
    quickly_refused(graph(*pairs, initializers=weights, outputs=["y0_0"]), "LSTM node")
    cells = [node("LSTM", "x W0 R0", f"y{i}", clip=1.0 + i) for i in range(200)]
    quickly_refused(graph(*cells, initializers=weights, outputs=["y0"]), "LSTM node", 5)
    tied = [node("LSTM", "x W0 R0", f"y{i}") for i in range(200)]
    network = from_onnx(graph(*tied, initializers=weights, outputs=["y0"]))
    assert len({id(layer) for layer in network.layers.values()}) == 1
    for op_type, inputs in (("Expand", "x s"), ("ConstantOfShape", "s"), ("Tile", "x s")):
        size = numpy_helper.from_array(np.array([2**40, 2**40]), "s")
        network = from_onnx(graph(node(op_type, inputs), initializers=[size]))
        with refused(ValueError, f"{op_type} node 'y'"):
            network.run({"x": X[:1, :1]})


def test_weights_that_are_not_initializers():
    """What a Constant and a body hold counts as the model's too: more than a model without tensors may make."""
    wide = numpy_helper.from_array(np.zeros((3, 2**23), np.float32), "w")
    network = from_onnx(graph(helper.make_node("Constant", [], ["w"], value=wide), node("MatMul", "x w")))
    assert network.layers["y"].out_features == 2**23
    model = scan(nodes=[node("MatMul", "x0 w", "p"), node("Add", "h0 p", "h1")])
    model.graph.node[0].attribute[0].g.initializer.append(wide)
    assert len(from_onnx(model).layers) == 1


def external(folder, dims=(3,), **entries):
    """A model in a folder, whose tensor w lies elsewhere."""
    w = tensor(dims, data_location=TensorProto.EXTERNAL)
    for key, value in entries.items():
        w.external_data.add(key=key, value=str(value))
    path = folder / "model.onnx"
    path.write_bytes(graph(node("Add", "x w"), initializers=[w]).SerializeToString())
    return path


def test_external_data_in_the_folder(tmp_path):
    values = np.arange(5, dtype=np.float32)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "w.bin").write_bytes(values.tobytes())
    path = external(tmp_path, location="sub/w.bin", offset=8, length=12)
    for source in (path, str(path)):
        assert (from_onnx(source).run({"x": X})["y"] == X + values[2:]).all()
    link = tmp_path / "inner.bin"
    link.symlink_to(tmp_path / "sub" / "w.bin")
    from_onnx(external(tmp_path, location="inner.bin"))
    quickly_refused(path.read_bytes(), "initializer 'w'")


def test_external_data_outside_of_the_folder(tmp_path):
    home, outside = tmp_path / "home", tmp_path / "outside"
    home.mkdir()
    outside.mkdir()
    (outside / "w.bin").write_bytes(bytes(12))
    (home / "link.bin").symlink_to(outside / "w.bin")
    (home / "folder").symlink_to(outside)
    os.mkfifo(home / "pipe")
    for location in (
        "../outside/w.bin",
        "a/../../outside/w.bin",
        "..\\outside\\w.bin",
        str(outside / "w.bin"),
        "c:/w.bin",
        "link.bin",
        "folder/w.bin",
        "pipe",
        ".",
        "",
        "missing.bin",
        "w\0.bin",
    ):
        quickly_refused(external(home, location=location), "initializer 'w'")
    quickly_refused(external(home, dims=[0], location="pipe"), "initializer 'w'")  # which would wait for a writer


LENGTHS = [{"length": n} for n in (11, 13, 10**30)] + [{"offset": n} for n in (1, -1, "x", "9" * 18)]


@pytest.mark.parametrize("entries", LENGTHS)
def test_external_data_of_wrong_length(tmp_path, entries):
    (tmp_path / "w.bin").write_bytes(bytes(12))
    from_onnx(external(tmp_path, location="w.bin"))
    quickly_refused(external(tmp_path, location="w.bin", **entries), "initializer 'w'")


def shared(folder, count, step=0, of=TensorProto.FLOAT):
    """A model of `count` tensors, each of the 1,000,000 bytes from `step` times its number on of one file."""
    tensors = []
    for i in range(count):
        size = 1_000_000 // helper.tensor_dtype_to_np_dtype(of).itemsize
        one = TensorProto(name=f"w{i}", data_type=of, dims=[size], data_location=TensorProto.EXTERNAL)
        for key, value in {"location": "w.bin", "offset": step * i, "length": 1_000_000}.items():
            one.external_data.add(key=key, value=str(value))
        tensors.append(one)
    (folder / "w.bin").write_bytes(bytes(1_000_000 + step * count))
    path = folder / "model.onnx"
    path.write_bytes(graph(node("Relu", "x"), initializers=tensors).SerializeToString())
    return path


@pytest.mark.parametrize("of", [TensorProto.FLOAT, TensorProto.BOOL], ids=["float", "bool"])
def test_external_data_that_tensors_share_is_read_once(tmp_path, of):
    path = shared(tmp_path, 100, of=of)
    tracemalloc.start()
    from_onnx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


def test_external_data_that_overlaps(tmp_path):
    from_onnx(shared(tmp_path, 2, step=1_000_000))
    quickly_refused(shared(tmp_path, 100, step=4), "initializer 'w1'")


def test_external_data_of_too_many_bytes(tmp_path):
    with refused(recurra.FormatError, "initializer 'w'", form=": expected at most 2,147,483,647 bytes, got"):
        from_onnx(external(tmp_path, dims=[2**29], location="missing.bin"))


def test_paths(tmp_path):
    with pytest.raises(FileNotFoundError):
        from_onnx(tmp_path / "missing.onnx")
    os.mkfifo(tmp_path / "pipe")
    quickly_refused(tmp_path / "pipe", "model")
    quickly_refused(tmp_path, "model")
    (tmp_path / "empty.onnx").write_bytes(b"")
    quickly_refused(tmp_path / "empty.onnx", "model")


def test_names_that_are_no_text():
    raw = model_of([node("Relu", "x", "QQQQ")], {"x": X}, ["QQQQ"], {}).SerializeToString()
    quickly_refused(raw.replace(b"QQQQ", b"\xff\xfe\xfd\xfc"))


def test_the_package_that_is_missing(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"from_onnx: expected onnx, which is missing: pip install 'recurra\[onnx\]'"):
        from_onnx("model.onnx")
    with pytest.raises(ImportError, match=r"to_onnx: expected onnx"):
        recurra.to_onnx(recurra.LSTM(1, 1))
