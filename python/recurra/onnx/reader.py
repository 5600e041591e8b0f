"""`from_onnx`: a file, checked from end to end, as a network of recurra's layers and NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recurra.weights.errors import FormatError

from . import operators  # noqa: F401 - fills the table of operators
from .external import External
from .files import model_of
from .graph import check_different, initializers_of, port_of, steps_of
from .limits import Budget
from .network import Network
from .nodes import OLDEST, Reading, Scope
from .package import onnx_package

if TYPE_CHECKING:
    import os


def from_onnx(model: str | os.PathLike[str] | bytes | object) -> Network:
    """Reads a model in ONNX and checks all of it, so that it can be run: see `Network.run`.

    RNN, LSTM and GRU nodes with all their attributes become recurra's layers: both layouts, all directions,
    `sequence_lens`, initial states, peepholes, `clip`, `activations` with their numbers, `input_forget`,
    `linear_before_reset`. Where the cell is another than recurra's own, they are formulas, compiled at once. Products
    with constant weights become `recurra.Linear`, together with the addition of a constant bias; look-ups in constant
    tables become `recurra.Embedding`. All else, some 90 operators, is NumPy: arithmetic and activations, shapes and
    slices, reductions, softmax, normalisations, convolutions, and Scan, whose body is run node by node. Opsets from 7
    on, of the domain ai.onnx alone; numbers of float64, float32, float16, bools and integers of 8 to 64 bits, but
    recurrent nodes of the first two. What depends on the arrays of a run, such as shapes, is checked when it runs.
    Numbers differ from those of ONNX Runtime by rounding, some 1e-6, as sums are taken in another order.

    Where the standard leaves a choice, it is as in ONNX Runtime: `clip` bounds the sums that the activations f and g
    are applied to, and a coupled forget gate is 1 - i. Only a sequence of length 0 keeps its initial state here, which
    ONNX Runtime makes zeros.

    Args:
        model: a path, the bytes of a file, or an `onnx.ModelProto`. Data of tensors in files of their own is read from
            the folder of the model's path and below, and from nowhere else.

    Returns:
        A `recurra.onnx.network.Network`. Its `layers` can be trained, or given other weights, and then run as well.

    Raises:
        ImportError: the package onnx is missing (`pip install 'recurra[onnx]'`).
        TypeError: the model is something else.
        OSError: the file can't be read.
        FormatError: it is no model, or a broken one, or one with a node that recurra doesn't compute, such as Loop, If,
            pools, quantized products and other domains: the message names the node and why. So are models that are
            larger than networks are, or that a few bytes make so: 20,000 nodes, 64 different cells, 256 Scans, 8 times
            the bytes of their tensors.

    Example:
        >>> network = recurra.from_onnx(recurra.to_onnx(recurra.GRU(3, 8, seed=0), states=False))
        >>> network.run({"x": np.ones((5, 2, 3), np.float32)})["y"].shape, network.layers
        ((5, 2, 8), {'GRU_l0': GRU(3, 8, tokens=False)})
    """
    proto, folder = model_of(model)
    graph = proto.graph
    opset = _opset(proto)
    if len(graph.sparse_initializer):
        raise FormatError("model: expected no sparse initializers, got some")
    budget = Budget()
    files = External(folder, budget) if folder else None
    constants = initializers_of(graph, files, budget)
    inputs = [port_of(value, value.name in constants) for value in graph.input]
    check_different([port.name for port in inputs], "inputs")
    defaults = {port.name: constants.pop(port.name) for port in inputs if port.optional}
    scope = Scope({port.name for port in inputs} | constants.keys(), constants)
    steps = steps_of(graph, Reading(opset, files, budget, {}, set(scope.known)), scope)
    if files:
        files.forget()
    outputs = [port_of(value, optional=False) for value in graph.output]
    check_different([port.name for port in outputs], "outputs")
    for port in outputs:
        if port.name not in scope.known:
            raise FormatError(f"model: expected outputs that some node makes, got {port.name[:80]!r}")
    if not outputs:
        raise FormatError("model: expected at least one output, got none")
    used = {name for step in steps for name in step.inputs} | {port.name for port in outputs}
    kept = {name: value for name, value in constants.items() if name in used}
    return Network(inputs, outputs, steps, kept | defaults)


def _opset(proto: Any) -> int:
    versions = {(entry.domain or "ai.onnx"): entry.version for entry in proto.opset_import}
    if "ai.onnx" not in versions:
        raise FormatError("model: expected an opset of the domain ai.onnx, got none")
    version = versions["ai.onnx"]
    if not OLDEST <= version < 2**31:
        raise FormatError(f"model: expected an opset from {OLDEST} on, got {version}")
    newest = onnx_package("from_onnx").defs.onnx_opset_version()
    if version > newest:
        raise FormatError(f"model: expected an opset up to {newest}, which the package onnx knows, got {version}")
    return int(version)
