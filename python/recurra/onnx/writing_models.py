"""Models within models: chains, layers with a way past them, layers beside each other; and what writes each layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import recurra
from recurra._checks import shown
from recurra.formula_layer import FormulaCell
from recurra.recurrent import Recurrent, is_layer_type

from .writing_layers import WRITERS
from .writing_recurrent import write_recurrent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .writing import Flow

STEPS = (recurra.RNNCell, recurra.LSTMCell, recurra.GRUCell)


def parts_of(layer: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """The layers that a model is made of, with the prefixes of their names; none of a layer."""
    if type(layer) in {recurra.Sequential, recurra.Residual}:
        return [(prefix + own, part) for own, part in layer._members]
    if type(layer) is recurra.Parallel:
        return [(f"{prefix}{i}.", part) for i, part in enumerate(layer)]
    return []


def leaves_of(layer: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The layers within a model, however deep, in the order in which they compute."""
    parts = parts_of(layer, prefix)
    if not parts:
        yield prefix, layer
    for own, part in parts:
        yield from leaves_of(part, own)


def writer_of(layer: Any, prefix: str = "") -> Callable[[Flow, Any, str], None]:
    """What writes a layer or a model.

    Raises:
        TypeError: it is neither of ours; a subclass of somebody's may compute something else.
    """
    kind = type(layer)
    if kind in MODELS:
        return MODELS[kind]
    if kind in WRITERS:
        return WRITERS[kind]
    if is_layer_type(kind) or kind in STEPS or (isinstance(layer, FormulaCell) and "formula" in vars(kind)):
        return write_recurrent
    where = f"layer {prefix.rstrip('.')!r}" if prefix else "model"
    raise TypeError(f"{where}: expected recurra's own layers, whose equations ONNX has, got {shown(layer)}")


def _write_chain(flow: Flow, model: Any, prefix: str) -> None:
    for own, part in parts_of(model, prefix):
        writer_of(part, own)(flow, part, own)


def _write_residual(flow: Flow, model: Any, prefix: str) -> None:
    """x plus what the chain makes of it: zero beyond a sequence's end, if a layer of the chain is recurrent."""
    graph, before = flow.graph, flow.value
    _write_chain(flow, model, prefix)
    flow.value = graph.node("Add", before, flow.value)
    if flow.lengths and any(isinstance(part, Recurrent) for _, part in leaves_of(model)):
        flow.value = graph.node("Where", flow.mask(), flow.value, graph.number(0))


def _write_parallel(flow: Flow, model: Any, prefix: str) -> None:
    """What all branches make of x, in a row or added up."""
    if model.join == "tuple":
        where = f"layer {prefix.rstrip('.')!r}" if prefix else "model"
        raise TypeError(f"{where}: expected a Parallel whose outputs are joined, got join='tuple'")
    before, features, by_time = flow.value, flow.features, flow.by_time
    outputs, sizes = [], []
    for own, part in parts_of(model, prefix):
        flow.value, flow.features, flow.by_time = before, features, by_time
        writer_of(part, own)(flow, part, own)
        outputs.append(flow.value)
        sizes.append(flow.features)
    if model.join == "sum":
        flow.value = flow.graph.node("Sum", *outputs)
    else:
        flow.value = flow.graph.node("Concat", *outputs, axis=-1)
        flow.features = None if None in sizes else sum(size for size in sizes if size is not None)


MODELS: dict[type, Callable[[Flow, Any, str], None]] = {
    recurra.Sequential: _write_chain,
    recurra.Residual: _write_residual,
    recurra.Parallel: _write_parallel,
}
