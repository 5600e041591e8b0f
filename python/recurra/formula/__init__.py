"""Recurrent cells as formulas: the equations of one step, written once, traced, differentiated and compiled.

::

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
from .activations import (
    elu,
    gelu,
    hard_sigmoid,
    hard_tanh,
    leaky_relu,
    log_sigmoid,
    relu,
    sigmoid,
    silu,
    softplus,
    tanh,
)
from .definition import Formula
from .functions import (
    clip,
    cos,
    equal,
    erf,
    exp,
    expm1,
    given_slope,
    log,
    log1p,
    maximum,
    mean,
    minimum,
    not_equal,
    project,
    sin,
    sqrt,
    square,
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
    """Decorates a function of one step, which becomes a class of layers: `@recurra.formula(gates="i f", states="h c")`.

    The function takes any of a, s, u, x, by these names, and returns the states after the step, h or a tuple::

        a.f       W_if x_t + b_if + W_hf h + b_hf of a gate f; a.f.x and a.f.h are its halves
        a.f(v)    with v in the place of h; a.f.h(v) is W_hf v + b_hf alone
        s.c       a state before the step
        u.p       a trained vector or number
        x.noise   an input of the call; x.x is the layer's own, which then has H features

    It is called once, with values that only note what is done with them: numbers, operators, the functions of this
    module, loops over names and helpers are fine, `if` on a value isn't.

    Args:
        gates: their names, with blanks between. Each has weights for x and for the first state, or for those that a
            mapping gives it, `{"z": "h", "g": "h z", "b": ""}`. Halves that the function doesn't use have none.
        states: their names, in the order in which the function returns them.
        units: trained vectors (H,) by name, with their initial values: numbers, arrays or functions of `(rng, H)`.
        scalars: trained numbers by name, likewise.
        inputs: arrays that each call is given: `name` (T, B, H), `name:step` (T, B), `name:row` (B, H); or one for each
            layer and direction, (L*D, …).
        output: the state that `y` holds; None for the first.
        heads: recurrent weights are block-diagonal, of so many blocks.

    Returns:
        What makes of the function a subclass of `recurra.FormulaLayer`, under the function's name.

    Raises:
        TypeError: the function has other arguments, or does with values what can only be done with numbers. The message
            has the file, the line and what to write instead, as those of the others.
        ValueError: declarations clash, or name what isn't used.
        AttributeError: the function reads a name that isn't declared.

    Example:
        >>> @recurra.formula(gates="f n")
        ... def MinimalGatedUnit(a, s):
        ...     f = recurra.formula.sigmoid(a.f)
        ...     return (1 - f) * s.h + f * recurra.formula.tanh(a.n(f * s.h))
        >>> y, h_n = MinimalGatedUnit(3, 8, num_layers=2, seed=0)(np.ones((5, 2, 3), np.float32))
        >>> y.shape, h_n.shape
        ((5, 2, 8), (2, 2, 8))
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
