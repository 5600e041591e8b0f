"""`to_onnx`: models as ONNX Runtime runs them, with equal answers, and back again to the bit."""

from __future__ import annotations

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from refused import refused

onnx = pytest.importorskip("onnx")

from onnx_nodes import assert_close, by_reference, by_runtime  # noqa: E402
from recurra.onnx.nodes import NEWEST  # noqa: E402
from recurra.onnx.reader import from_onnx  # noqa: E402
from recurra.onnx.writer import to_onnx  # noqa: E402

T, B, F, H = 5, 3, 4, 6
BOUND = 2e-6
KINDS = {
    "RNN": (recurra.RNN, {}),
    "RNN-relu": (recurra.RNN, {"nonlinearity": "relu"}),
    "LSTM": (recurra.LSTM, {}),
    "GRU": (recurra.GRU, {}),
    "GRU-reset-before": (recurra.GRU, {"reset_after": False}),
    "peephole": (recurra.cells.PeepholeLSTM, {}),
    "cells.GRU": (recurra.cells.GRU, {}),
}
OPTIONS = {
    "plain": {},
    "two layers": {"num_layers": 2},
    "both directions": {"num_layers": 2, "bidirectional": True},
    "reverse": {"reverse": True},
    "no bias": {"bias": False},
    "batch first": {"batch_first": True, "bidirectional": True},
    "learned state": {"num_layers": 2, "learned_state": True},
}


def drawn(model, rng):
    """The model with other weights in every gate, learned states among them."""
    state = {name: (rng.standard_normal(p.shape) * 0.4).astype(p.dtype) for name, p in model.params.items()}
    model.load_state_dict(state)
    return model


def flat(state):
    """Arrays of a state, or of a list of them."""
    if isinstance(state, np.ndarray):
        return [state]
    return [array for part in state for array in flat(part)]


def in_layout(model, x):
    return np.ascontiguousarray(x.swapaxes(0, 1)) if model.batch_first else x


def named(exported, y, state):
    """Expected outputs by the names of the graph's."""
    return dict(zip([value.name for value in exported.graph.output], [y, *flat(state)], strict=True))


def checked(model, **options):
    exported = to_onnx(model, **options)
    onnx.checker.check_model(exported, full_check=True)
    return exported


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_layers_as_onnxruntime_and_back(kind, options):
    """From zeros (or what was learned), from given states, and with lengths."""
    pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(list(f"{kind} {options}".encode()))
    layer_type, own = KINDS[kind]
    layer = drawn(layer_type(F, H, **own, **OPTIONS[options]), rng)
    x = in_layout(layer, rng.standard_normal((T, B, F)).astype(np.float32))
    exported = checked(layer, lengths=True)
    network = from_onnx(exported)
    names = [port.name for port in network.inputs if port.name not in {"x", "lengths"}]
    assert names == [f"{state}0_0" for state in layer.formula.states]
    given = [rng.standard_normal(s.shape).astype(np.float32) for s in flat(layer(x)[1])]
    hx = tuple(given) if len(given) > 1 else given[0]
    lengths = np.array([T, 1, 3])
    states = dict(zip(names, given, strict=True))
    for keywords, inputs in (
        ({}, {}),
        ({"hx": hx}, states),
        ({"lengths": lengths}, {"lengths": lengths}),
        ({"hx": hx, "lengths": lengths}, {"lengths": lengths, **states}),
    ):
        expected = named(exported, *layer(x, **keywords))
        assert_close(by_runtime(exported, {"x": x, **inputs}), expected, BOUND)
        assert_same_bits(network.run({"x": x, **inputs}), expected)


def test_lengths_of_zero():
    """ONNX Runtime takes such a sequence's initial state for zeros, recurra keeps it; so there is none here."""
    pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(0)
    for bidirectional in (False, True):
        size = H * (1 + bidirectional)
        for end in (recurra.Last(bidirectional=bidirectional), recurra.AttentionPooling(4)):
            model = recurra.Sequential(recurra.LSTM(F, H, bidirectional=bidirectional), recurra.Linear(size, 4), end)
            drawn(model, rng)
            x = rng.standard_normal((T, B, F)).astype(np.float32)
            exported = checked(model, lengths=True)
            lengths = np.array([0, T, 2])
            expected = named(exported, *model.run(x, lengths=lengths))
            assert (expected["y"][0] == 0).all()
            assert_close(by_runtime(exported, {"x": x, "lengths": lengths}), expected, BOUND)
            assert_close(from_onnx(exported).run({"x": x, "lengths": lengths}), expected, BOUND)


def models():
    """Sequentials of all kinds of members: the name, the model, and how many tokens there are, if it reads tokens."""
    for batch_first in (False, True):
        end = " batch first" * batch_first
        order = {"batch_first": batch_first}
        yield (
            "classifier" + end,
            recurra.Sequential(
                recurra.Embedding(9, F),
                recurra.LSTM(F, H, 2, bidirectional=True, dropout=0.3, **order),
                recurra.Dropout(0.2),
                recurra.Last(**order),
                recurra.Linear(2 * H, 3),
                recurra.Tanh(),
            ),
            9,
        )
        yield (
            "tagger" + end,
            recurra.Sequential(
                recurra.GRU(F, H, tokens=True, bidirectional=True, **order), recurra.ReLU(), recurra.Linear(2 * H, 3)
            ),
            F,
        )
        yield (
            "nested" + end,
            recurra.Sequential(
                recurra.Linear(F, H, bias=False),
                recurra.Sigmoid(),
                recurra.Sequential(
                    recurra.RNN(H, 5, reverse=True, **order), recurra.GRU(5, 7, learned_state=True, **order)
                ),
                recurra.Last(bidirectional=False, **order),
            ),
            None,
        )


def branching():
    """The same of models that aren't chains, with the layers that came with them."""
    for batch_first in (False, True):
        order, end = {"batch_first": batch_first}, " batch first" * batch_first
        yield (
            "residual" + end,
            recurra.Sequential(
                recurra.Linear(F, H),
                recurra.Residual(recurra.GRU(H, H, **order), recurra.Linear(H, H)),
                recurra.Residual(recurra.LayerNorm(H), recurra.Tanh()),
            ),
            None,
        )
        yield (
            "parallel" + end,
            recurra.Sequential(
                recurra.Embedding(9, F),
                recurra.Parallel(
                    recurra.LSTM(F, 3, bidirectional=True, **order),
                    recurra.Sequential(recurra.RNN(F, 5, **order), recurra.Residual(recurra.LSTM(5, 5, **order))),
                    recurra.Linear(F, 2),
                    recurra.Tanh(),
                ),
                recurra.Last(bidirectional=False, **order),
            ),
            9,
        )
        for kind in ("additive", "dot", "scaled_dot"):
            yield (
                kind + end,
                recurra.Parallel(
                    recurra.Sequential(recurra.GRU(F, H, **order), recurra.AttentionPooling(H, kind, **order)),
                    recurra.Sequential(recurra.AttentionPooling(F, kind, **order), recurra.Linear(F, H)),
                    join="sum",
                ),
                None,
            )


MODELS = [*models(), *branching()]


@pytest.mark.parametrize(("name", "model", "tokens"), MODELS, ids=[name for name, _, _ in MODELS])
def test_sequentials_as_onnxruntime_and_back(name, model, tokens):
    pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(list(name.encode()))
    drawn(model, rng)
    x = rng.standard_normal((T, B, F)).astype(np.float32) if tokens is None else rng.integers(0, tokens, (T, B))
    x = in_layout(model, x)
    for lengths, opset in ((None, 17), (np.array([2, T, 1]), 16)):
        exported = checked(model, lengths=lengths is not None, opset=opset)
        inputs = {"x": x} if lengths is None else {"x": x, "lengths": lengths}
        expected = named(exported, *model.run(x, lengths=lengths))
        assert_close(by_runtime(exported, inputs), expected, BOUND)
        declared = {port.name: port.shape for port in from_onnx(exported).outputs}
        sizes = {"T": T, "B": B}
        for output, value in expected.items():
            assert tuple(sizes.get(n, n) for n in declared[output]) == value.shape
        if name.startswith(("classifier", "tagger", "nested")):  # all that is done by layers, not by NumPy
            assert_same_bits(from_onnx(exported).run(inputs), expected)
        assert_close(from_onnx(exported).run(inputs), expected, BOUND)


def test_weights_come_back_to_the_bit():
    model = recurra.Sequential(
        recurra.Embedding(9, F),
        recurra.LSTM(F, H, bidirectional=True, seed=0),
        recurra.GRU(2 * H, 5),
        recurra.Linear(5, 3),
    )
    drawn(model, np.random.default_rng(0))
    layers = list(from_onnx(to_onnx(model)).layers.values())
    assert [type(layer) for layer in layers] == [type(layer) for layer in model]
    for ours, theirs in zip(model, layers, strict=True):
        assert_same_bits(theirs.state_dict(), ours.state_dict())


def test_a_stream_in_pieces_through_onnxruntime():
    pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(5)
    model = drawn(recurra.Sequential(recurra.LSTM(F, H), recurra.GRU(H, 5), recurra.Linear(5, 2)), rng)
    x = rng.standard_normal((12, B, F)).astype(np.float32)
    exported, states, pieces = to_onnx(model), {}, []
    for piece in np.split(x, [1, 4, 9]):
        results = by_runtime(exported, {"x": piece, **states})
        pieces.append(results["y"])
        states = {name.replace("_n_", "0_"): value for name, value in results.items() if name != "y"}
    assert sorted(states) == ["c0_0", "h0_0", "h0_1"]
    assert np.abs(np.concatenate(pieces) - model(x)).max() <= BOUND


CELLS = [
    recurra.RNNCell(F, H, seed=0),
    recurra.LSTMCell(F, H, seed=0),
    recurra.LSTMCell(F, H, tokens=True, bias=False, seed=0),
    recurra.GRUCell(F, H, reset_after=False, seed=0),
    recurra.cells.PeepholeLSTM.Cell(F, H, seed=0),
    recurra.cells.LEM.Cell(F, H, seed=0),
    recurra.LSTMCell.from_layer(recurra.LSTM(3, F, 2, bidirectional=True, proj_size=2, seed=0), 1, reverse=True),
]


@pytest.mark.parametrize("cell", CELLS, ids=[type(cell).__qualname__ for cell in CELLS])
def test_single_steps_as_onnxruntime(cell):
    pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(6)
    drawn(cell, rng)
    x = rng.integers(0, F, B) if cell.tokens else rng.standard_normal((B, cell.input_size)).astype(np.float32)
    exported = checked(cell)
    state = cell(x)
    names = [value.name for value in exported.graph.output]
    assert_close(by_runtime(exported, {"x": x}), dict(zip(names, flat(state), strict=True)), BOUND)
    given = [rng.standard_normal(s.shape).astype(np.float32) for s in flat(state)]
    inputs = dict(zip([name.replace("_n_", "0_") for name in names], given, strict=True))
    expected = flat(cell(x, tuple(given) if len(given) > 1 else given[0]))
    assert_close(by_runtime(exported, {"x": x, **inputs}), dict(zip(names, expected, strict=True)), BOUND)


def test_layers_without_states():
    pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(7)
    for layer, x in (
        (recurra.Linear(F, 3), rng.standard_normal((5, F)).astype(np.float32)),
        (recurra.Embedding(9, F), rng.integers(0, 9, 5)),
        (recurra.Sequential(recurra.Embedding(9, F), recurra.Linear(F, 3)), rng.integers(0, 9, 5)),
        (recurra.Tanh(), rng.standard_normal((7, 2)).astype(np.float32)),
        (recurra.Last(), rng.standard_normal((T, B, 6)).astype(np.float32)),
        (recurra.Last(reverse=True), rng.standard_normal((T, B, 6)).astype(np.float32)),
        (recurra.Last(True, bidirectional=True), rng.standard_normal((B, T, 6)).astype(np.float32)),
        (recurra.Dropout(0.5), rng.standard_normal((7, 2)).astype(np.float32)),
    ):
        exported = checked(layer)
        assert_close(by_runtime(exported, {"x": x}), {"y": layer(x)}, BOUND)
        assert_same_bits(from_onnx(exported).run({"x": x}), {"y": layer(x)})


@pytest.mark.parametrize("opset", [13, 15, 18, 21, min(NEWEST, onnx.defs.onnx_opset_version())])
def test_opsets(opset):
    rng = np.random.default_rng(opset)
    for layer in (recurra.LSTM(F, H, 2, bidirectional=True), recurra.cells.LayerNormGRU(F, H, 2)):
        drawn(layer, rng)
        exported = checked(layer, opset=opset)
        assert exported.opset_import[0].version == opset
        x = rng.standard_normal((T, B, F)).astype(np.float32)
        assert_close(by_reference(exported, {"x": x}), named(exported, *layer(x)), BOUND)


def test_without_states():
    model = drawn(recurra.LSTM(F, H, learned_state=True, num_layers=2), np.random.default_rng(8))
    exported = checked(model, states=False)
    assert [value.name for value in exported.graph.input] == ["x"]
    assert [value.name for value in exported.graph.output] == ["y"]
    x = np.random.default_rng(9).standard_normal((T, B, F)).astype(np.float32)
    assert_close(by_reference(exported, {"x": x}), {"y": model(x)[0]}, BOUND)
    assert_same_bits(from_onnx(exported).run({"x": x}), {"y": model(x)[0]})


def test_float64():
    """Only where it is asked for: ONNX Runtime has no float64 RNN, LSTM and GRU, the standard has."""
    rng = np.random.default_rng(10)
    model = drawn(recurra.Sequential(recurra.GRU(F, H, dtype=np.float64), recurra.Linear(H, 2, dtype=np.float64)), rng)
    x = rng.standard_normal((T, B, F))
    with refused(ValueError, "dtype"):
        to_onnx(model)
    exact, cast = to_onnx(model, dtype="float64"), to_onnx(model, dtype=np.float32)
    assert_close(by_reference(exact, {"x": x}), named(exact, *model.run(x)), 1e-12)
    assert_same_bits(from_onnx(exact).run({"x": x}), named(exact, *model.run(x)))
    single = by_reference(cast, {"x": x.astype(np.float32)})
    assert single["y"].dtype == np.float32
    assert np.abs(single["y"] - model(x)).max() < 1e-5


def test_files(tmp_path):
    model = recurra.GRU(F, H, seed=0)
    path = tmp_path / "model.onnx"
    exported = to_onnx(model, path)
    assert onnx.load(path) == exported
    before = path.read_bytes()
    to_onnx(recurra.GRU(F, H, seed=0), str(path))
    assert path.read_bytes() == before
    x = np.ones((T, B, F), np.float32)
    assert_same_bits(from_onnx(path).run({"x": x})["y"], model(x)[0])


def test_names_and_shapes():
    exported = to_onnx(recurra.LSTM(F, H, 2, batch_first=True, bidirectional=True), lengths=True)
    network = from_onnx(exported)
    assert [str(port) for port in network.inputs] == [
        "x: float32[B, T, 4]",
        "lengths: int64[?] (optional)",
        "h0_0: float32[4, ?, 6] (optional)",
        "c0_0: float32[4, ?, 6] (optional)",
    ]
    assert [str(port) for port in network.outputs] == [
        "y: float32[B, T, 12]",
        "h_n_0: float32[4, B, 6]",
        "c_n_0: float32[4, B, 6]",
    ]


class Doubled(recurra.Tanh):
    def __call__(self, x):
        return 2 * super().__call__(x)


class Own(recurra.Composite):
    pass


def test_what_cannot_be_written():
    for model in (
        Doubled(),
        Own(),
        recurra.mse,
        None,
        recurra.Attention(3, 3),
        recurra.Parallel(recurra.Linear(3, 3), recurra.Linear(3, 3), join="tuple"),
        recurra.Sequential(recurra.Linear(3, 3), Doubled()),
        recurra.Sequential(recurra.Linear(3, 3), recurra.Residual(recurra.Tanh(), Doubled())),
    ):
        with refused(TypeError, r"(model|layer '1(\.1)?')"):
            to_onnx(model)
    layer = recurra.LSTM(F, H)
    for opset in (12, 0, -1, 10**9):
        with refused(ValueError, "opset"):
            to_onnx(layer, opset=opset)
    with refused(TypeError, "opset"):
        to_onnx(layer, opset="17")
    with refused(TypeError, "states"):
        to_onnx(layer, states=1)
    with refused(TypeError, "lengths"):
        to_onnx(layer, lengths=np.array([1]))
    with refused(TypeError, "dtype"):
        to_onnx(layer, dtype="float16")
    for model in (recurra.Linear(3, 3), recurra.LSTMCell(3, 3)):
        with refused(ValueError, "lengths"):
            to_onnx(model, lengths=True)
