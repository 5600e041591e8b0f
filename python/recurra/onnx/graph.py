"""Graphs of a file: their tensors, their inputs and outputs, and their nodes in order, checked one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.weights.errors import FormatError

from .fusing import Biases
from .limits import text
from .network import Port, Step, compute
from .nodes import Reading, Scope, checked
from .tensors import EXTERNAL, array_of, dtype_of

if TYPE_CHECKING:
    from recurra.module import Array

    from .external import External
    from .limits import Budget


def initializers_of(graph: Any, files: External | None, budget: Budget) -> dict[str, Array]:
    """The tensors that are stored with a graph, by name."""
    constants: dict[str, Array] = {}
    for tensor in graph.initializer:
        name = text(tensor.name, "initializer")
        if not name or name in constants:
            raise FormatError(f"model: expected initializers with names, each of its own, got {name[:80]!r}")
        constants[name] = array_of(tensor, f"initializer {name[:80]!r}", files)
        if tensor.data_location != EXTERNAL:  # else it has been added, unless another shares its bytes
            budget.add_stored(constants[name].nbytes)
    return constants


def check_different(names: list[str], what: str) -> None:
    """Refuses names that are empty or that come twice."""
    if len(set(names)) != len(names) or not all(names):
        raise FormatError(f"model: expected {what} with names, each of its own, got others")


def port_of(value: Any, optional: bool) -> Port:
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


def steps_of(graph: Any, reading: Reading, scope: Scope) -> list[Step]:
    """The nodes in the file's order, in which each reads only what is known; those of constants are computed now.

    All values that they make are added to the scope.
    """
    known, constants = scope
    steps: list[Step] = []
    biases = Biases(graph)
    for proto in graph.node:
        node, found = checked(proto, scope, reading)
        for name in filter(None, node.inputs):
            if name not in known:
                node.refuse("inputs that the graph or a node before it makes", f"{name[:80]!r}")
        fresh = [name for name in node.outputs if name]
        if len(set(fresh)) != len(fresh) or not reading.names.isdisjoint(fresh):
            node.refuse("outputs with names of their own", ", ".join(fresh)[:200])
        known.update(fresh)
        reading.names.update(fresh)
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
    return steps


def _fold(step: Step, constants: dict[str, Array], budget: Budget) -> None:
    """Computes a node of constants: what it makes takes memory, but for views, and for what the node itself holds."""
    node = step.node
    values = {name: constants[name] for name in node.inputs if name}
    try:
        with np.errstate(all="ignore"):
            compute(step, values)
    except (ValueError, MemoryError) as error:
        raise FormatError(str(error) or f"{node.label}: expected constants that fit into memory, got others") from error
    for name in filter(None, node.outputs):
        value = values[name]
        if not node.inputs:
            budget.add_stored(value.nbytes)
        elif not any(np.may_share_memory(value, constants[other]) for other in node.inputs if other):
            budget.spend(value.nbytes, node.label)
        value.flags.writeable = False
        constants[name] = value
