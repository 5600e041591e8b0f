"""Which parameters a layer of given options has, without making it, so that a file can't ask for more than it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recurra.attention import Attention, AttentionPooling
from recurra.embedding import Embedding
from recurra.formula.operations import Role
from recurra.linear import Linear
from recurra.normalisation import LayerNorm
from recurra.recurrent import MOST_LAYERS, Recurrent
from recurra.stateless import Stateless

from .errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

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
        return _of_cell(options, formula, single=not issubclass(kind, Recurrent))
    for known, shapes in KNOWN.items():
        if issubclass(kind, known):
            return shapes(options)
    raise FormatError(f"{kind.__name__}: expected a layer whose parameters are known before it is made, got another")


def _of_linear(options: Mapping[str, Any]) -> Iterator[Named]:
    return _linear(_size(options, "in_features"), _size(options, "out_features"), options["bias"])


def _linear(inputs: int, outputs: int, bias: object = True) -> Iterator[Named]:
    yield "weight", (outputs, inputs)
    if bias:
        yield "bias", (outputs,)


def _of_embedding(options: Mapping[str, Any]) -> Iterator[Named]:
    yield "weight", (_size(options, "num_embeddings"), _size(options, "embedding_dim"))


def _of_layer_norm(options: Mapping[str, Any]) -> Iterator[Named]:
    for name in ("weight", "bias"):
        yield name, (_size(options, "features"),)


def _of_pooling(options: Mapping[str, Any]) -> Iterator[Named]:
    features = _size(options, "features")
    if options["kind"] == "additive":
        hidden = features if options["hidden_size"] is None else _size(options, "hidden_size")
        yield from _linear(features, hidden)
        features = hidden
    yield from _linear(features, 1, bias=False)


def _of_attention(options: Mapping[str, Any]) -> Iterator[Named]:
    queries, memory = _size(options, "query_size"), _size(options, "memory_size")
    if options["kind"] == "additive":
        hidden = queries if options["hidden_size"] is None else _size(options, "hidden_size")
        yield from _linear(queries, hidden, bias=False)
        yield from _linear(memory, hidden)
        yield from _linear(hidden, 1, bias=False)
    elif options["kind"] == "general":
        yield from _linear(queries, memory, bias=False)


def _of_none(options: Mapping[str, Any]) -> Iterator[Named]:  # noqa: ARG001 (as the others)
    return iter(())


KNOWN: dict[type[Any], Callable[[Mapping[str, Any]], Iterator[Named]]] = {
    Linear: _of_linear,
    Embedding: _of_embedding,
    LayerNorm: _of_layer_norm,
    AttentionPooling: _of_pooling,
    Attention: _of_attention,
    Stateless: _of_none,
}


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
