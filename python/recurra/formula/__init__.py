"""Recurrent cells as formulas: the equations of one step, written once, traced, differentiated and compiled.

    @recurra.formula(gates="i f g o", states="h c")
    def LSTM(a, s):
        c = sigmoid(a.f) * s.c + sigmoid(a.i) * tanh(a.g)
        return sigmoid(a.o) * tanh(c), c

The module is itself the decorator, `recurra.formula.formula`, which makes a subclass of `recurra.FormulaLayer`. Its
functions are what formulas are written with; `recurra.cells` is full of examples.
"""

from __future__ import annotations

import inspect
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import traced_functions  # noqa: F401 (traced values compute by them)
from .definition import Formula
from .functions import (
    clip,
    cos,
    elu,
    equal,
    erf,
    exp,
    expm1,
    gelu,
    given_slope,
    hard_sigmoid,
    hard_tanh,
    leaky_relu,
    log,
    log1p,
    log_sigmoid,
    maximum,
    mean,
    minimum,
    not_equal,
    project,
    relu,
    sigmoid,
    silu,
    sin,
    softplus,
    sqrt,
    square,
    tanh,
    where,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from recurra.formula_layer import FormulaLayer

__all__ = [
    "Formula",
    "clip",
    "cos",
    "elu",
    "equal",
    "erf",
    "exp",
    "expm1",
    "formula",
    "gelu",
    "given_slope",
    "hard_sigmoid",
    "hard_tanh",
    "leaky_relu",
    "log",
    "log1p",
    "log_sigmoid",
    "maximum",
    "mean",
    "minimum",
    "not_equal",
    "project",
    "relu",
    "sigmoid",
    "silu",
    "sin",
    "softplus",
    "sqrt",
    "square",
    "tanh",
    "where",
]


def formula(
    *,
    gates: str | Mapping[str, str] = "",
    states: str = "h",
    units: Mapping[str, Any] | None = None,
    scalars: Mapping[str, Any] | None = None,
    inputs: str = "",
    output: str | None = None,
    heads: int = 1,
) -> Callable[[Callable[..., Any]], type[FormulaLayer]]:
    """Make layers of a function of a (gates), s (states), u (units and scalars), x (inputs): any of them, by name.

    Args:
        gates: Their names; a mapping, if some read other states than the first: {"z": "h", "g": "h z"}.
        states: The names of the states, in the order in which the function returns them.
        units: Trained vectors (H,) with their initial values: numbers, arrays or functions of (rng, H).
        scalars: Trained numbers with their initial values.
        inputs: Arrays given to each call: name (T, B, H), name:step (T, B), name:row (B, H).
        output: The state that is the layer's output, if not the first one.
        heads: Recurrent weights are block-diagonal, with so many blocks.

    Raises:
        TypeError: The function isn't one of a, s, u, x, or does with values what only can be done with numbers.
        ValueError: Declarations clash, or name what isn't used.
        AttributeError: The function reads a name that isn't declared.
    """

    def decorate(function: Callable[..., Any]) -> type[FormulaLayer]:
        from recurra.formula_layer import layer_class

        return layer_class(
            Formula(
                function,
                gates=gates,
                states=states,
                units=units,
                scalars=scalars,
                inputs=inputs,
                output=output,
                heads=heads,
            )
        )

    return decorate


__signature__ = inspect.signature(formula)  # of this module, which can be called


class _CallableModule(ModuleType):
    """So that `@recurra.formula(...)` works beside `recurra.formula.sigmoid`."""

    def __call__(self, *arguments: Any, **declarations: Any) -> Callable[[Callable[..., Any]], type[FormulaLayer]]:
        if arguments:
            raise TypeError('formula: expected declarations by name; write @recurra.formula(gates="i f", states="h c")')
        return formula(**declarations)


sys.modules[__name__].__class__ = _CallableModule
