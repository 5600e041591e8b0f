"""Layers without states as C: Linear, Embedding, LayerNorm, and those that act element by element."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import recurra

from .products import INT8, matrix_of
from .text import literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from recurra.module import Array

    from .header import Header, Value

    # Of a header, a layer, its parameters, the end of its names, what it reads, and where its result is to be.
    Writer = Callable[[Header, Any, dict[str, Array], str, Value | None, Value], None]


def write_linear(header: Header, layer: Any, params: dict[str, Array], label: str, x: Value | None, y: Value) -> None:
    """The bias, then W x."""
    assert x is not None
    matrix = matrix_of(params, "weight")
    start = "0.0f"
    if layer.bias:
        start = f"{header.constant(f'bias{label}', params['bias'])}[i]"
    header.steps.append(f"for (i = 0; i < {y.size}; ++i) {y.at}[i] = {start};")
    if matrix.kind == INT8:
        header.steps.append(header.quantise(x, 0))
    header.steps += header.multiply(f"weight{label}", matrix, x, y.at)


def write_embedding(header: Header, _: Any, params: dict[str, Array], label: str, __: Value | None, y: Value) -> None:
    """A token's row."""
    matrix = matrix_of(params, "weight")
    arrays = header.matrix(f"weight{label}", matrix, matrix.values.ravel())
    given = [f"{arrays[0]} + token * {y.size}", *(f"{scales}[token]" for scales in arrays[1:])]
    header.steps.append(f"{header.use(f'take_{matrix.kind}')}({', '.join(given)}, {y.size}, {y.at});")


def write_norm(header: Header, layer: Any, params: dict[str, Array], label: str, x: Value | None, y: Value) -> None:
    """The mean, the variance around it, then the scaled difference."""
    assert x is not None
    weight, bias = (header.constant(f"{name}{label}", params[name]) for name in ("weight", "bias"))
    header.steps.append(f"{header.use('normalise')}({x.at}, {y.size}, {literal(layer.eps)}, {weight}, {bias}, {y.at});")


def _element_wise(expression: str, function: str = "") -> Writer:
    def write(header: Header, _: Any, __: dict[str, Array], ___: str, x: Value | None, y: Value) -> None:
        assert x is not None
        if function:
            header.use(function)
        value = expression.format(f"{x.at}[i]")
        header.steps.append(f"for (i = 0; i < {y.size}; ++i) {y.at}[i] = {value};")

    return write


ELEMENT_WISE: dict[type, Writer] = {
    recurra.Tanh: _element_wise("%_tanh({})", "tanh"),
    recurra.Sigmoid: _element_wise("%_sigmoid({})", "sigmoid"),
    recurra.ReLU: _element_wise("{0} < 0.0f ? 0.0f : {0}"),
}
WRITERS: dict[type, Writer] = {
    recurra.Linear: write_linear,
    recurra.Embedding: write_embedding,
    recurra.LayerNorm: write_norm,
    **ELEMENT_WISE,
}
NOTHING = (recurra.Dropout, recurra.Last)  # in a step


def size_after(kind: type, layer: Any, x: Value | None) -> int:
    """How many features a layer makes of x."""
    if kind is recurra.Linear:
        return int(layer.out_features)
    if kind is recurra.Embedding:
        return int(layer.embedding_dim)
    assert x is not None
    return x.size
