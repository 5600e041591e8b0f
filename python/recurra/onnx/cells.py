"""The cells of ONNX's nodes: recurra's own where they are the same, else formulas of the standard's equations.

Equations: the operators RNN, LSTM and GRU of the ONNX standard. Where it leaves a choice they are as in ONNX Runtime: a
coupled forget gate is 1 - i, and `clip` bounds the sums that f and g are applied to, but not the c_t that h is.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import recurra
from recurra import cells
from recurra.formula import Formula, clip, elu, expm1, leaky_relu, minimum, relu, sigmoid, softplus, tanh, where
from recurra.formula_layer import layer_class

if TYPE_CHECKING:
    from collections.abc import Callable

    from recurra.recurrent import Recurrent


def _elu(v: Any, alpha: float) -> Any:
    return elu(v, alpha) if alpha > 0 else where(v >= 0, v, alpha * expm1(minimum(v, 0.0)))


# name -> function of a value and of its alpha and beta, if it has some; and the defaults of these. None: the standard
# has no such operator any more (Affine, ScaledTanh), or ONNX Runtime takes 0 for its 1 (ThresholdedRelu).
ACTIVATIONS: dict[str, tuple[Callable[..., Any], tuple[float | None, ...]]] = {
    "relu": (relu, ()),
    "tanh": (tanh, ()),
    "sigmoid": (sigmoid, ()),
    "softsign": (lambda v: v / (1 + abs(v)), ()),
    "softplus": (softplus, ()),
    "leakyrelu": (leaky_relu, (0.01,)),
    "thresholdedrelu": (lambda v, alpha: where(v >= alpha, v, 0.0), (None,)),
    "elu": (_elu, (1.0,)),
    "affine": (lambda v, alpha, beta: alpha * v + beta, (None, None)),
    "scaledtanh": (lambda v, alpha, beta: alpha * tanh(beta * v), (None, None)),
    "hardsigmoid": (lambda v, alpha, beta: clip(alpha * v + beta, 0.0, 1.0), (0.2, 0.5)),
}
DEFAULTS = {"RNN": ("tanh",), "GRU": ("sigmoid", "tanh"), "LSTM": ("sigmoid", "tanh", "tanh")}
PEEPHOLES = ("p_i", "p_o", "p_f")  # in the order of P


class Activation(NamedTuple):
    """One of an operator's activations, by its name in small letters, with its numbers."""

    name: str
    numbers: tuple[float, ...] = ()

    def __call__(self, v: Any) -> Any:
        """Of a value of a formula."""
        return ACTIVATIONS[self.name][0](v, *self.numbers)


class Cell(NamedTuple):
    """What one direction of a node computes."""

    kind: str  # RNN, LSTM or GRU
    activations: tuple[Activation, ...]
    clip: float = math.inf
    reset_after: bool = False  # of a GRU
    peephole: bool = False  # these two of an LSTM
    coupled: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether recurra has a cell of its own for it; RNNs with relu too."""
        names = tuple(a.name for a in self.activations)
        standard = names == DEFAULTS[self.kind] or (self.kind == "RNN" and names == ("relu",))
        return standard and self.clip == math.inf and not self.coupled


def make_layer(cell: Cell, sizes: tuple[int, int], **options: Any) -> Recurrent:
    """A layer with this cell; `options` are those that all recurrent layers have."""
    if cell.is_plain:
        if cell.kind == "GRU":
            return recurra.GRU(*sizes, reset_after=cell.reset_after, **options)
        if cell.kind == "RNN":
            return recurra.RNN(*sizes, nonlinearity=cell.activations[0].name, **options)
        kind: Any = cells.PeepholeLSTM if cell.peephole else recurra.LSTM
    else:
        kind = formula_class(cell)
    layer: Recurrent = kind(*sizes, **options)
    return layer


@lru_cache(maxsize=256)
def formula_class(cell: Cell) -> Any:
    """The layers of a cell that recurra doesn't have: compiled when it is first seen, in some milliseconds."""
    declared: dict[str, Any] = {"gates": "a" if cell.kind == "RNN" else "r z n"}
    if cell.kind == "LSTM":
        units = [name for name in PEEPHOLES if cell.peephole and not (cell.coupled and name == "p_f")]
        gates = "i g o" if cell.coupled else "i f g o"
        declared = {"gates": gates, "states": "h c", "units": dict.fromkeys(units, 0.0)}
    return layer_class(Formula(_functions(cell), **declared))


def _functions(cell: Cell) -> Callable[..., Any]:
    def bounded(activation: Callable[[Any], Any]) -> Callable[[Any], Any]:
        if cell.clip == math.inf:
            return activation
        return lambda v: activation(clip(v, -cell.clip, cell.clip))

    functions: list[Any] = [bounded(activation.__call__) for activation in cell.activations[:2]]
    make: Any = {"RNN": _rnn, "LSTM": _lstm, "GRU": _gru}[cell.kind]
    made: Callable[..., Any] = make(cell, *functions, *cell.activations[2:])
    return made


def _rnn(_: Cell, f: Any) -> Callable[..., Any]:
    def OnnxRNN(a: Any) -> Any:  # noqa: N802 - it names a class
        """An RNN with another activation, or with clipping, as a file asked for it."""
        return f(a.a)

    return OnnxRNN


def _gru(cell: Cell, f: Any, g: Any) -> Callable[..., Any]:
    def OnnxGRU(a: Any, s: Any) -> Any:  # noqa: N802
        """A GRU with other activations, or with clipping, as a file asked for it."""
        r, z = f(a.r), f(a.z)
        n = g(a.n.x + r * a.n.h) if cell.reset_after else g(a.n(r * s.h))
        return (1 - z) * n + z * s.h

    return OnnxGRU


def _lstm(cell: Cell, f: Any, g: Any, h: Any) -> Callable[..., Any]:
    def seen(total: Any, u: Any, peephole: str, c: Any) -> Any:
        return total + getattr(u, peephole) * c if cell.peephole else total

    def OnnxLSTM(a: Any, s: Any, u: Any) -> Any:  # noqa: N802
        """An LSTM with other activations, clipping or coupled gates, as a file asked for it."""
        i = f(seen(a.i, u, "p_i", s.c))
        forget = 1 - i if cell.coupled else f(seen(a.f, u, "p_f", s.c))
        c = forget * s.c + i * g(a.g)
        o = f(seen(a.o, u, "p_o", c))
        return o * h(c), c

    return OnnxLSTM
