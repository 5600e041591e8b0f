"""`to_onnx`: layers as a graph of the standard's operators, which ONNX Runtime and others run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import recurra
from recurra._checks import check_dtype, check_flag, check_index
from recurra._files import checked_target, replace_file
from recurra.formula.operations import InputShape
from recurra.recurrent import Recurrent
from recurra.single_step import SingleStep

from .building import Builder
from .nodes import NEWEST
from .package import onnx_package
from .writing import Flow
from .writing_models import leaves_of, writer_of

if TYPE_CHECKING:
    import os

    from onnx import ModelProto

OLDEST_WRITTEN = 13  # axes as inputs
SIZES = ("input_size", "in_features", "features")  # what layers call the features of x
MOST_LENGTH = 2**31 - 1  # the default of `lengths`: longer than any sequence, so all of each


def to_onnx(
    model: Any,
    path: str | os.PathLike[str] | None = None,
    *,
    opset: int = 17,
    states: bool = True,
    lengths: bool = False,
    dtype: object = None,
) -> ModelProto:
    """Writes a model as ONNX. ONNX Runtime's answers are equal but for rounding, some 1e-6.

    RNN, LSTM and either GRU become the operators of these names, `recurra.cells.PeepholeLSTM` too; layers of other
    formulas, and LSTMs with a projection, become a Scan, a loop over their equations, with the products of x before it.
    Dropout, zoneout and resets are left out, as in a call. `from_onnx` gives the weights back, to the bit.

    Args:
        model: a layer, a single step (`LSTMCell` and others), or a `Sequential`, `Residual` or `Parallel` of recurra's
            layers. `Composite`s of your own, `Attention` and `EncoderDecoder` are refused.
        path: where to write the file; None for nowhere.
        opset: of the operators, from 13 to 28. ONNX Runtime 1.12 and later run 17.
        states: whether initial states are inputs, and final ones outputs, for streams. The inputs may be left out of a
            run: they have defaults, zeros or what has been learned, of which ONNX Runtime warns when a session begins.
        lengths: whether there is an input `lengths` (B,) of int64, steps of each sequence, which may be left out too.
        dtype: of the numbers in the file, if others than the model's: a model of float64 is written with
            `dtype="float32"`, as ONNX Runtime has no RNN, LSTM and GRU of float64, or, for what does, with
            `dtype="float64"`.

    Returns:
        The model. Its inputs: `x`, as the model takes it, (T, B, features) or (B, T, features) with `batch_first`, or
        int64 tokens of these shapes without features; (B, features) or tokens (B,) of a model that reads no sequences;
        `h0_0`, and `c0_0` of an LSTM (or the state's name of a formula),
        (L*D, B, H), of the first recurrent member, `h0_1` of the second; `lengths`; and the inputs of a formula by
        their names. Its outputs: `y`, and `h_n_0`, `c_n_0` likewise. A single step has `x` (B, features), states
        (B, H), and no `y`. Names of axes that are free: "T" and "B".

    Raises:
        ImportError: the package onnx is missing (`pip install 'recurra[onnx]'`).
        TypeError: the model, or a member of it, is something else; or an argument is.
        ValueError: an argument is out of range, or the model is of float64 and `dtype` isn't said.
        OSError: the file can't be written; what was there still is.

    Example:
        >>> graph = recurra.to_onnx(recurra.LSTM(3, 8, seed=0), "lstm.onnx").graph
        >>> [port.name for port in graph.input], [port.name for port in graph.output]
        (['x', 'h0_0', 'c0_0'], ['y', 'h_n_0', 'c_n_0'])
    """
    onnx = onnx_package("to_onnx")
    target = None if path is None else checked_target("path", path)
    members = _members(model)
    opset = check_index("opset", opset, "an integer")
    newest = min(NEWEST, onnx.defs.onnx_opset_version())
    if not OLDEST_WRITTEN <= opset <= newest:
        raise ValueError(f"opset: expected one in {OLDEST_WRITTEN}..{newest}, got {opset}")
    graph = Builder(onnx, opset, _dtype(members, dtype))
    flow = Flow(graph, "", None, states=check_flag("states", states))
    flow.cell = isinstance(model, SingleStep)
    _begin(flow, members, batch_first=_batch_first(model), lengths=check_flag("lengths", lengths))
    writer_of(model)(flow, model, "")
    _end(flow, batch_first=_batch_first(model))
    version = onnx.helper.make_opsetid("", opset)
    made = onnx.helper.make_model(
        onnx.helper.make_graph(graph.nodes, "recurra", graph.inputs, graph.outputs, list(graph.initializers.values())),
        opset_imports=[version],
        ir_version=onnx.helper.find_min_ir_version_for([version]),
        producer_name="recurra",
        producer_version=recurra.__version__,
    )
    if target is not None:
        replace_file(target[0], made.SerializeToString(deterministic=True), target[1])
    return made


def _members(model: Any) -> list[Any]:
    """The layers within a model, each of a kind that can be written."""
    members = []
    for prefix, layer in leaves_of(model):
        writer_of(layer, prefix)
        members.append(layer)
    return members


def _dtype(members: list[Any], wanted: object) -> np.dtype[Any]:
    own = next((layer.dtype for layer in members if layer.params), np.dtype(np.float32))
    if wanted is None:
        if own != np.float32:
            raise ValueError(
                "dtype: expected 'float32', as ONNX Runtime has no float64 RNN, LSTM and GRU, or 'float64' for what "
                "has, since the model is of float64, got None"
            )
        return np.dtype(np.float32)
    return check_dtype(wanted)


def _batch_first(model: Any) -> bool:
    return bool(getattr(model, "batch_first", False))


def _sequences(members: list[Any]) -> bool:
    """Whether the model reads sequences, so that its input has axes of time and batch."""
    return any(isinstance(layer, (Recurrent, SingleStep, recurra.Last, recurra.AttentionPooling)) for layer in members)


def _begin(flow: Flow, members: list[Any], batch_first: bool, lengths: bool) -> None:
    """The inputs `x` and `lengths`, and a formula's own."""
    graph = flow.graph
    first = next((layer for layer in members if not isinstance(layer, recurra.Dropout)), members[0])
    tokens = isinstance(first, recurra.Embedding) or getattr(first, "tokens", None) is True
    axes: list[Any] = ["B", "T"] if batch_first else ["T", "B"]
    if flow.cell or not _sequences(members):
        axes = ["B"]
    features = None
    for layer in members:
        features = next((getattr(layer, name) for name in SIZES if hasattr(layer, name)), None)
        if features is not None or isinstance(layer, recurra.Embedding):
            break
    shape = axes if tokens else [*axes, features]
    flow.value = graph.input("x", np.int64 if tokens else graph.dtype, shape)
    flow.by_time = len(axes) == 2 or flow.cell
    flow.features = None if tokens else features
    if batch_first:
        flow.value = graph.node("Transpose", flow.value, perm=[1, 0] if tokens else [1, 0, 2])
    if flow.cell:
        flow.value = graph.node("Unsqueeze", flow.value, graph.integers(0))
    if lengths:
        if flow.cell or not _sequences(members):
            raise ValueError("lengths: expected False, as the model reads no sequences, got True")
        given = graph.input("lengths", np.int64, (None,))
        graph.default("lengths", np.array([MOST_LENGTH]))
        bounded = graph.node("Min", given, graph.size(flow.value, 0))
        flow.lengths = graph.node("Cast", graph.node("Expand", bounded, graph.size(flow.value, 1)), to=6)
    for layer in members:
        for name, kind in layer.formula.declared.inputs.items() if isinstance(layer, (Recurrent, SingleStep)) else ():
            flow.inputs[name] = _formula_input(flow, name, kind, layer.hidden_size, axes, batch_first)


def _formula_input(flow: Flow, name: str, kind: InputShape, hidden: int, axes: list[Any], batch_first: bool) -> str:
    graph = flow.graph
    shape = {
        InputShape.PER_UNIT: [*axes, hidden],
        InputShape.PER_STEP: axes,
        InputShape.PER_ROW: ["B", hidden],
    }[kind]
    value = graph.input(name, graph.dtype, shape)
    if kind == InputShape.PER_ROW:
        return value
    if kind == InputShape.PER_STEP:
        value = graph.node("Unsqueeze", value, graph.integers(-1))
    if batch_first:
        value = graph.node("Transpose", value, perm=[1, 0, 2])
    return graph.node("Unsqueeze", value, graph.integers(0)) if flow.cell else value


def _end(flow: Flow, batch_first: bool) -> None:
    """The output `y`."""
    graph = flow.graph
    if flow.cell:
        return
    axes: list[Any] = ["T", "B"] if flow.by_time else ["B"]
    if batch_first and flow.by_time:
        flow.value = graph.node("Transpose", flow.value, perm=[1, 0, 2])
        axes = ["B", "T"]
    graph.output(flow.value, "y", graph.dtype, [*axes, flow.features])
    graph.outputs.insert(0, graph.outputs.pop())  # before the states
