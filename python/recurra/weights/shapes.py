"""Which parameters a layer of given options has, without making it, so that a file can't ask for more than it has."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from recurra.embedding import Embedding
from recurra.formula.operations import Role
from recurra.linear import Linear
from recurra.recurrent import MOST_LAYERS, Recurrent

from .errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from recurra.formula import Formula
    from recurra.formula.layout import Parameter

    Named = tuple[str, tuple[int, ...]]

BIASES = {Role.INPUT_BIAS, Role.RECURRENT_BIAS}


def parameters_of(kind: type, options: Mapping[str, Any], formula: Formula | None) -> Iterator[Named]:
    """The names and shapes of a layer's parameters, one after another.

    Args:
        kind: its class.
        options: all that its constructor takes; what they may be is checked as far as it is needed here.
        formula: its cell's, if it has one.
    """
    if formula is not None:
        yield from _of_cell(options, formula, single=not issubclass(kind, Recurrent))
    elif issubclass(kind, Linear):
        outs, ins = _size(options, "out_features"), _size(options, "in_features")
        yield "weight", (outs, ins)
        if options["bias"]:
            yield "bias", (outs,)
    elif issubclass(kind, Embedding):
        yield "weight", (_size(options, "num_embeddings"), _size(options, "embedding_dim"))


def numbers_at_least(options: Mapping[str, Any]) -> int:
    """How many numbers a layer of another class has at least where its options that are integers are sizes."""
    values: list[Any] = []
    for value in options.values():
        values += value if isinstance(value, (list, tuple)) else [value]
    return prod(value for value in values if type(value) is int and value > 1)


def _of_cell(options: Mapping[str, Any], formula: Formula, single: bool) -> Iterator[Named]:
    units = _size(options, "hidden_size")
    features = _size(options, "proj_size") if formula.projects else units
    layers = 1 if single else _size(options, "num_layers", MOST_LAYERS)
    suffixes = ("",) if single else ("", "_reverse") if options["bidirectional"] else ("",)
    for layer in range(layers):
        inputs = _size(options, "input_size") if layer == 0 else features * len(suffixes)
        for suffix in suffixes:
            for parameter in formula.layout.parameters:
                if options["bias"] or parameter.role not in BIASES:
                    name = parameter.name if single else f"{parameter.name}_l{layer}{suffix}"
                    yield name, _shape(parameter, formula, units, features, inputs)
    if options.get("learned_state"):
        for k in formula.layout.order:
            size = features if k == formula.layout.order[0] else units
            yield formula.states[k] + "0", (layers * len(suffixes), size)


def _shape(parameter: Parameter, formula: Formula, units: int, features: int, inputs: int) -> tuple[int, ...]:
    rows = parameter.blocks * units
    if parameter.role == Role.INPUT_WEIGHT:
        return rows, inputs
    if parameter.role == Role.RECURRENT_WEIGHT:
        reads = features if formula.layout.reads_projected(parameter.name) else units
        return rows, reads // parameter.heads
    if parameter.role == Role.PROJECTION:
        return features, units
    return () if parameter.role == Role.SCALAR else (rows,)


def _size(options: Mapping[str, Any], name: str, most: int = 2**62) -> int:
    value = options[name]
    if type(value) is not int or not 1 <= value <= most:
        raise FormatError(f"{name}: expected a positive integer, got {value!r}")
    return value
