"""`recurra.cells` against other people's implementations: `pip install -e '.[cells]'`."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest

import recurra.cells
from cell_references import REFERENCES, formula_of

T, B, I, H = 7, 3, 5, 8  # noqa: E741


def neighbour(name, **options):
    """The module, or a skip; what it warns of while it is imported is its own affair."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, **options)


def draw(name, input_size=I, bias=True):
    """Parameters, x and one array for all that a neighbour may want to know."""
    rng = np.random.default_rng(len(name))
    params = REFERENCES[name].draw_params(rng, input_size, H)
    if not bias:
        params |= {key: np.zeros_like(value) for key, value in params.items() if key.startswith("bias")}
    return params, rng.normal(0, 1, (T, B, input_size)), rng


def run(name, params, x, inputs=None):
    """The outputs of all steps, and the final states, from zeros."""
    states = tuple(np.zeros((B, size)) for size in REFERENCES[name].sizes(H))
    outputs = []
    for t in range(len(x)):
        given = {key: array[t] for key, array in (inputs or {}).items()}
        states = formula_of(getattr(recurra.cells, name)).run_step(x[t], states, params, given)
        outputs.append(states[0])
    return np.stack(outputs), states


def assert_same(got, right, tolerance=1e-10):
    if hasattr(right, "detach"):
        right = right.detach().numpy()
    np.testing.assert_allclose(got, np.asarray(right).reshape(got.shape), rtol=tolerance, atol=tolerance)


# ---- PyTorch


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [("Elman", "RNN", {}), ("LSTM", "LSTM", {}), ("GRU", "GRU", {}), ("ProjectedLSTM", "LSTM", {"proj_size": 5})],
)
def test_torch(name, kind, options):
    torch = neighbour("torch")
    params, x, _ = draw(name)
    layer = getattr(torch.nn, kind)(I, H, dtype=torch.float64, **options)
    layer.load_state_dict({f"{key}_l0": torch.tensor(value) for key, value in params.items()})
    right, final = layer(torch.tensor(x))
    y, states = run(name, params, x)
    assert_same(y, right)
    for got, state in zip(states, final if isinstance(final, tuple) else [final], strict=True):
        assert_same(got, state)


# ---- ONNX's reference evaluator

ONNX_ORDER = {"LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2]}  # of our gates: i o f c, and z r h


def onnx_layer(kind, params, x, extra=(), **attributes):
    """The operator's Y, in float64."""
    onnx = neighbour("onnx")
    reference = neighbour("onnx.reference")
    order = ONNX_ORDER[kind]
    stacked = {
        key: np.concatenate([np.split(params[key], len(order))[k] for k in order])[None]
        for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    }
    values = {
        "X": x,
        "W": stacked["weight_ih"],
        "R": stacked["weight_hh"],
        "B": np.concatenate([stacked["bias_ih"], stacked["bias_hh"]], axis=-1),
        **dict(extra),
    }
    names = ["X", "W", "R", "B", *[""] * 3, "P"] if "P" in values else list(values)
    node = onnx.helper.make_node(kind, names, ["Y"], hidden_size=H, **attributes)
    float64 = onnx.TensorProto.DOUBLE
    graph = onnx.helper.make_graph(
        [node],
        "layer",
        [onnx.helper.make_tensor_value_info(key, float64, value.shape) for key, value in values.items()],
        [onnx.helper.make_tensor_value_info("Y", float64, None)],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 14)])
    (y,) = reference.ReferenceEvaluator(model).run(["Y"], values)
    return y


def test_onnx_peepholes():
    params, x, _ = draw("PeepholeLSTM")
    peepholes = np.concatenate([params["p_i"], params["p_o"], params["p_f"]])[None]
    assert_same(run("PeepholeLSTM", params, x)[0], onnx_layer("LSTM", params, x, {"P": peepholes}))


@pytest.mark.parametrize("name", ["GRU", "GRUResetBefore"])
def test_onnx_gru(name):
    params, x, _ = draw(name)
    right = onnx_layer("GRU", params, x, linear_before_reset=int(name == "GRU"))
    assert_same(run(name, params, x)[0], right)


# ---- Keras


@pytest.fixture
def keras():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    neighbour("torch")
    return neighbour("keras")


@pytest.mark.parametrize(
    ("name", "kind", "order"), [("LSTM", "LSTM", [0, 1, 2, 3]), ("GRUResetBefore", "GRU", [1, 0, 2])]
)
def test_keras(keras, name, kind, order):
    params, x, _ = draw(name)
    options = {"reset_after": False} if kind == "GRU" else {}
    layer = getattr(keras.layers, kind)(H, return_sequences=True, dtype="float64", **options)
    layer.build((B, T, I))
    by_gate = {key: [np.split(value, len(order))[k] for k in order] for key, value in params.items()}
    bias = [v + w for v, w in zip(by_gate["bias_ih"], by_gate["bias_hh"], strict=True)]
    layer.set_weights([np.concatenate(by_gate[key]).T for key in ("weight_ih", "weight_hh")] + [np.concatenate(bias)])
    right = np.asarray(keras.ops.convert_to_numpy(layer(x.swapaxes(0, 1))))
    assert_same(run(name, params, x)[0], right.swapaxes(0, 1), 1e-5)  # its GRU rounds to float32 somewhere


# ---- Continuous time


def test_ncps_cfc():
    torch = neighbour("torch")
    cell = neighbour("ncps.torch").CfCCell(I, H, backbone_units=H, backbone_layers=1).double()
    params, x, rng = draw("CfC")
    dt = rng.uniform(0, 3, (T, B))
    rows, biases = np.split(params["weight_hh"], 5), np.split(params["bias_hh"], 5)
    weights = {
        "backbone.0.weight": np.hstack([params["weight_ih"], rows[0]]),
        "backbone.0.bias": params["bias_ih"] + biases[0],
    }
    for k, name in enumerate(["ff1", "ff2", "time_a", "time_b"], start=1):
        weights |= {f"{name}.weight": rows[k], f"{name}.bias": biases[k]}
    cell.load_state_dict({key: torch.tensor(value) for key, value in weights.items()})
    h, right = torch.zeros(B, H, dtype=torch.float64), []
    for t in range(T):
        y, h = cell(torch.tensor(x[t]), h, torch.tensor(dt[t])[:, None])
        right.append(y.detach().numpy())
    assert_same(run("CfC", params, x, {"dt": dt})[0], np.stack(right))


def test_reservoirpy():
    reservoir = neighbour("reservoirpy.nodes").Reservoir
    params, x, _ = draw("LeakyTanh")
    params["leak"] = np.full(H, 0.35)
    y, _ = run("LeakyTanh", params, x)
    for row in range(B):
        node = reservoir(
            units=H,
            lr=0.35,
            W=params["weight_hh"],
            Win=params["weight_ih"],
            bias=params["bias_ih"] + params["bias_hh"],
            input_dim=I,
        )
        assert_same(y[:, row], node.run(x[:, row]))


# ---- Diagonal recurrences


@pytest.mark.parametrize("at_once", [True, False], ids=["scan", "steps"])
@pytest.mark.parametrize(("name", "module"), [("MinGRU", "minGRU"), ("MinLSTM", "minLSTM")])
def test_min_gru_pytorch(name, module, at_once):
    torch = neighbour("torch")
    kind = getattr(neighbour(f"minGRU_pytorch.{module}"), module)
    params, x, _ = draw(name, H, bias=False)
    layer = kind(H, expansion_factor=1.0, proj_out=False).double()
    rows = np.split(params["weight_ih"], len(params["weight_ih"]) // H)
    (weight,) = layer.parameters()
    with torch.no_grad():
        weight.copy_(torch.tensor(np.concatenate([rows[-1], *rows[:-1]])))  # its candidate comes first
    sequence = torch.tensor(x.swapaxes(0, 1).copy())
    if at_once:
        right = layer(sequence)
    else:
        previous, steps = None, []
        for t in range(T):
            y, previous = layer(sequence[:, t : t + 1], previous, return_next_prev_hidden=True)
            steps.append(y)
        right = torch.cat(steps, dim=1)
    assert_same(run(name, params, x)[0], right.detach().numpy().swapaxes(0, 1), 1e-8)


def test_sru():
    torch = neighbour("torch")
    ops = neighbour("sru.ops")
    params, x, _ = draw("SRU", H)
    sums = [np.split(x @ params["weight_ih"].T, 3, axis=-1)[k] for k in range(3)]
    bias = np.split(params["bias_ih"], 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        y, c = ops.elementwise_recurrence_naive(
            torch.tensor(np.stack([sums[0] + bias[0], *sums[1:]], axis=-1).reshape(T, B, -1)),
            torch.tensor(x),
            torch.tensor(np.concatenate([params["v_f"], params["v_r"]])),
            torch.tensor(np.concatenate(bias[1:])),
            None,
            activation_type=0,
            hidden_size=H,
            bidirectional=False,
            has_skip_term=True,
        )
    got, states = run("SRU", params, x)
    assert_same(got, y)
    assert_same(states[1], c)


# ---- xLSTM


def test_xlstm():
    torch = neighbour("torch")
    step = neighbour("xlstm.blocks.slstm.src.vanilla.slstm").slstm_forward_pointwise
    params, x, _ = draw("SLSTM")
    dense = np.zeros((4 * H, H))  # the heads' blocks, on the diagonal of each gate's matrix
    for row in range(4 * H):
        head = row % H // (H // 4)
        dense[row, head * (H // 4) : (head + 1) * (H // 4)] = params["weight_hh"][row]
    state, right = np.zeros((4, B, H)), []
    for t in range(T):
        sums = (x[t] @ params["weight_ih"].T, state[0] @ dense.T, params["bias_ih"] + params["bias_hh"])
        state = step(*map(torch.tensor, sums), torch.tensor(state), {})[0].numpy()
        right.append(state[0])
    y, states = run("SLSTM", params, x)
    assert_same(y, np.stack(right))
    for got, expected in zip(states, state, strict=True):
        assert_same(got, expected)


# ---- Spikes


@pytest.mark.parametrize("name", ["LIF", "SynapticLIF"])
def test_snntorch(name):
    torch = neighbour("torch")
    snntorch = neighbour("snntorch")
    params, x, _ = draw(name)
    x = 3 * x  # so that there are some spikes
    alpha, beta = (torch.tensor(value, dtype=torch.float64) for value in (0.8, 0.9))
    neuron = snntorch.Leaky(beta) if name == "LIF" else snntorch.Synaptic(alpha, beta)
    memory = [torch.zeros(B, H, dtype=torch.float64) for _ in range(REFERENCES[name].states - 1)]
    spikes, right = np.zeros((B, H)), []
    for t in range(T):
        current = x[t] @ params["weight_ih"].T + spikes @ params["weight_hh"].T + params["bias_ih"] + params["bias_hh"]
        fired, *memory = neuron(torch.tensor(current), *memory)
        spikes = fired.numpy().astype(float)
        right.append(spikes)
    y, states = run(name, params, x)
    assert 0.1 < y.mean() < 0.9
    assert_same(y, np.stack(right))
    for got, expected in zip(states[1:], reversed(memory), strict=True):  # its potential comes last
        assert_same(got, expected)
