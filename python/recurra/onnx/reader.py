"""`from_onnx`: a file, checked from end to end, as a network of recurra's layers and NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.weights.errors import FormatError

from . import operators  # noqa: F401 - fills the table of operators
from .files import model_of
from .fusing import Biases
from .limits import Budget, text
from .network import Network, Port, Step
from .nodes import NEWEST, OLDEST, Reading, checked
from .tensors import array_of, dtype_of

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from recurra.module import Array


def from_onnx(model: str | os.PathLike[str] | bytes | object) -> Network:
    """Reads a model in ONNX and checks all of it, so that it can be run: see `Network.run`.

    RNN, LSTM and GRU nodes with all their attributes become recurra's layers, or formulas where the cell is another
    one (peepholes, clip, activations, coupled gates); products with constant weights become `recurra.Linear`, look-ups
    in constant tables `recurra.Embedding`. All else is NumPy. Opsets from 7 on, of the domain ai.onnx alone.

    Args:
        model: a path, the bytes of a file, or an `onnx.ModelProto`. Data of tensors in files of their own is read from
            the folder of the model's path and below, and from nowhere else.

    Returns:
        A `recurra.onnx.network.Network`.

    Raises:
        ImportError: the package onnx is missing.
        TypeError: the model is something else.
        OSError: the file can't be read.
        recurra.FormatError: it is no model, or a broken one, or one with a node that recurra doesn't compute: the
            message names the node and why.
    """
    proto, folder = model_of(model)
    graph = proto.graph
    opset = _opset(proto)
    if len(graph.sparse_initializer):
        raise FormatError("model: expected no sparse initializers, got some")
    constants = _initializers(graph, folder)
    inputs = [_port(value, value.name in constants) for value in graph.input]
    _check_different([port.name for port in inputs], "inputs")
    budget = Budget(sum(value.nbytes for value in constants.values()))
    reading = Reading(opset, folder, budget, {})
    defaults = {port.name: constants.pop(port.name) for port in inputs if port.optional}
    steps, known = _steps(graph, reading, {port.name for port in inputs}, constants)
    outputs = [_port(value, optional=False) for value in graph.output]
    _check_different([port.name for port in outputs], "outputs")
    for port in outputs:
        if port.name not in known:
            raise FormatError(f"model: expected outputs that some node makes, got {port.name[:80]!r}")
    if not outputs:
        raise FormatError("model: expected at least one output, got none")
    used = {name for step in steps for name in step.node.inputs} | {port.name for port in outputs}
    kept = {name: value for name, value in constants.items() if name in used}
    return Network(inputs, outputs, steps, kept | defaults)


def _opset(proto: Any) -> int:
    versions = {(entry.domain or "ai.onnx"): entry.version for entry in proto.opset_import}
    if "ai.onnx" not in versions:
        raise FormatError("model: expected an opset of the domain ai.onnx, got none")
    version = versions["ai.onnx"]
    if not OLDEST <= version < 2**31:
        raise FormatError(f"model: expected an opset from {OLDEST} on, got {version}")
    from .package import onnx_package

    newest = max(onnx_package("from_onnx").defs.onnx_opset_version(), NEWEST)
    if version > newest:
        raise FormatError(f"model: expected an opset up to {newest}, which recurra knows, got {version}")
    return int(version)


def _initializers(graph: Any, folder: Path | None) -> dict[str, Array]:
    constants: dict[str, Array] = {}
    for tensor in graph.initializer:
        name = text(tensor.name, "initializer")
        if not name or name in constants:
            raise FormatError(f"model: expected initializers with names, each of its own, got {name[:80]!r}")
        constants[name] = array_of(tensor, f"initializer {name[:80]!r}", folder)
    return constants


def _check_different(names: list[str], what: str) -> None:
    if len(set(names)) != len(names) or not all(names):
        raise FormatError(f"model: expected {what} with names, each of its own, got others")


def _port(value: Any, optional: bool) -> Port:
    """An input or output with what the file says of its shape and dtype."""
    name = text(value.name, "input or output")
    kind = value.type.WhichOneof("value")
    if kind not in {None, "tensor_type"}:
        raise FormatError(f"model: expected tensors, got {name[:80]!r} of {kind}")
    tensor = value.type.tensor_type
    dtype = dtype_of(tensor.elem_type, f"{name[:80]!r}") if tensor.elem_type else None
    shape: tuple[int | str | None, ...] | None = None
    if tensor.HasField("shape"):
        shape = tuple(
            dim.dim_value if dim.HasField("dim_value") else text(dim.dim_param, name) or None
            for dim in tensor.shape.dim
        )
    return Port(name, shape, dtype, optional)


def _steps(graph: Any, reading: Reading, known: set[str], constants: dict[str, Array]) -> tuple[list[Step], set[str]]:
    """The nodes in the file's order, in which each reads only what is known; those of constants are computed now.

    Returns:
        The steps, and the names of all values.
    """
    known = known | constants.keys()
    steps: list[Step] = []
    biases = Biases(graph)
    for proto in graph.node:
        node, found = checked(proto, constants, reading)
        for name in filter(None, node.inputs):
            if name not in known:
                node.refuse("inputs that the graph or a node before it makes", f"{name[:80]!r}")
        fresh = [name for name in node.outputs if name]
        if len(set(fresh)) != len(fresh) or not known.isdisjoint(fresh):
            node.refuse("outputs with names of their own", ", ".join(fresh)[:200])
        known.update(fresh)
        if biases.is_taken(node):
            continue
        node = biases.joined(node, constants)
        computation = found.rule(node)
        step = Step(node, computation)
        arrays = [constant for name, constant in zip(node.inputs, node.constants, strict=True) if name]
        if found.bounded and all(value is not None for value in arrays):
            reading.budget.check(sum(value.nbytes for value in arrays if value is not None), node.label)
            _fold(step, constants, reading.budget)
        else:
            steps.append(step)
    return steps, known


def _fold(step: Step, constants: dict[str, Array], budget: Budget) -> None:
    """Computes a node of constants; views of other arrays cost nothing."""
    node = step.node
    values = {name: constants[name] for name in node.inputs if name}
    try:
        with np.errstate(all="ignore"):
            Network._compute(step, values)
    except (ValueError, MemoryError) as error:
        raise FormatError(str(error) or f"{node.label}: expected constants that fit into memory, got others") from error
    for name in filter(None, node.outputs):
        value = values[name]
        if value.flags.owndata:
            budget.spend(value.nbytes, node.label)
        value.flags.writeable = False
        constants[name] = value
