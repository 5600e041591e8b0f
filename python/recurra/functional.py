"""The networks as functions, arrays in and arrays out: the same names, arguments and shapes as `recurra.reference`.

The weights are packed anew in every `forward`; a layer does that once per change. `sigmoid` and `tanh` are those of the
kernels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from . import _core
from ._checks import check_array, check_flag, check_size, check_tokens, shown
from .definitions import FORMULAS
from .formula import Formula
from .formula.operations import Role
from .formula_layer import FormulaLayer
from .recurrent import MOST_LAYERS, NETWORKS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .module import Array
    from .recurrent import State

BIASES = frozenset({Role.INPUT_BIAS, Role.RECURRENT_BIAS})


@dataclass(frozen=True)
class Tape:
    """What `forward` kept for `backward`; it owns all of it.

    Attributes:
        core: the compiled tape.
        network: the compiled network, with its packed weights.

    Example:
        >>> gru = recurra.GRU(3, 8, num_layers=2, seed=0)
        >>> _, _, tape = recurra.functional.forward("gru", np.ones((5, 2, 3), np.float32), gru.params, num_layers=2)
        >>> [h.shape for h in tape.outputs], tape.states
        ([(5, 2, 8), (5, 2, 8)], {})
    """

    core: _core.Tape32 | _core.Tape64
    network: _core.Network32 | _core.Network64

    @property
    def outputs(self) -> _core.LayerArrays:
        """By layer, h_t (T, B, D·H) at every step, before the layer's mask, zero beyond a sequence's end."""
        return self.core.outputs

    @property
    def states(self) -> dict[str, _core.LayerArrays]:
        """By name, states besides h: of an LSTM "c", and of it by layer c_t, like `outputs`."""
        return self.core.states


def forward(
    cell: str | Formula | type[FormulaLayer],
    x: Array,
    params: Mapping[str, Array],
    hx: State = None,
    *,
    num_layers: int = 1,
    bidirectional: bool = False,
    lengths: Array | None = None,
    masks: Sequence[Array] | None = None,
    tokens: bool | None = None,
    inputs: Mapping[str, Array] | None = None,
    resets: Array | None = None,
) -> tuple[Array, State, Tape]:
    """A whole network as a function of its parameters, forward.

    They are packed anew in every call; a layer does that once per change. Sizes and dtype are those of the parameters,
    which x, states and masks share. Results are the same bits as a layer's.

    Args:
        cell: "rnn_tanh", "rnn_relu", "lstm", "lstm_projected", "gru" or "gru_reset_before"; or a formula, or the class
            of layers that `recurra.formula` makes of one.
        x: (T, B, I), or (T, I) of one sequence; or tokens, integers without the last axis.
        params: arrays by the names that a layer's parameters have, weight_ih_l0 and so on. Either all biases are there
            or none.
        hx: the initial state as for a layer, h0 (L·D, B, H), or of an LSTM (h0, c0); without B if x has none. None is
            zeros.
        num_layers: L, from 1.
        bidirectional: whether a second direction reads every sequence from its end.
        lengths: (B,) integers in 0..T, steps of each sequence; None for T.
        masks: L-1 arrays (T, B, D·H), B = 1 for one sequence, multiplied onto layer l's outputs before layer l+1 reads
            them: dropout.
        tokens: whether integers are tokens: True, False, or None for where they can't be features.
        inputs: what a formula's cell reads besides x, by name, as for a layer.
        resets: (T, B) of bool, before which steps the state becomes zero, as for a layer.

    Returns:
        y (T, B, D·H), zero beyond a sequence's end; the state after each sequence's last step, like `hx`; and the tape
        for `backward`.

    Raises:
        TypeError: An argument is of a wrong kind or dtype.
        ValueError: A shape, a length, a token or a name is wrong.

    Example:
        >>> lstm = recurra.LSTM(3, 8, seed=0)
        >>> x = np.ones((5, 2, 3), np.float32)
        >>> y, (h_n, c_n), tape = recurra.functional.forward("lstm", x, lstm.params)
        >>> y.shape, c_n.shape, float(abs(y - lstm(x)[0]).max())
        ((5, 2, 8), (1, 2, 8), 0.0)
    """
    formula = _formula_of(cell)
    check_size("num_layers", num_layers, MOST_LAYERS)
    check_flag("bidirectional", bidirectional)
    tokens = check_tokens(tokens)
    if not hasattr(params, "keys"):
        raise TypeError(f"params: expected a dict of arrays by name, got {type(params).__name__}")
    biases = [p.name for p in formula.layout.parameters if p.role in BIASES]
    bias = any(name.startswith(tuple(f"{one}_l" for one in biases)) for name in params if biases)
    sizes, dtype = _sizes(formula, params, bias), _dtype(params, x)
    if masks is not None and not isinstance(masks, (list, tuple)):
        raise TypeError(f"masks: expected a list of arrays, got {type(masks).__name__}")
    features = x.shape[-1] if isinstance(x, np.ndarray) and x.ndim and x.shape[-1] else 1
    hidden_size = sizes.get("hidden_size") or _size_of_state(formula, hx) or features
    input_size, proj_size = sizes.get("input_size", features), sizes.get("proj_size", 0)
    network = NETWORKS[dtype](
        formula.core, input_size, hidden_size, num_layers, 1 + bidirectional, bias, False, tokens, proj_size
    )
    network.parameters.load(params, "params")
    y, state, core = network.forward(
        x, hx, lengths, False, None if masks is None else lambda *_: (list(masks), None), None, inputs, resets, None
    )
    return y, state, Tape(core, network)


def _formula_of(cell: object) -> Formula:
    if isinstance(cell, Formula):
        return cell
    if isinstance(cell, type) and issubclass(cell, FormulaLayer) and cell is not FormulaLayer:
        return cell.formula
    expected = f"one of {', '.join(FORMULAS)}, a formula, or the class of a formula's layers"
    if not isinstance(cell, str):
        raise TypeError(f"cell: expected {expected}, got {shown(cell)}")
    if cell not in FORMULAS:
        raise ValueError(f"cell: expected {expected}, got {shown(cell)}")
    return FORMULAS[cell]


def _sizes(formula: Formula, params: Mapping[str, Array], bias: bool) -> dict[str, int]:
    """What the first layer's parameters say; those that contradict each other are refused when they are loaded."""
    sizes: dict[str, int] = {}
    for parameter in formula.layout.parameters:
        name, role = f"{parameter.name}_l0", parameter.role
        if role in BIASES and not bias:
            continue
        if name not in params:
            raise ValueError(f"params: expected the names of the parameters, got no {name}")
        shape = check_array(name, params[name]).shape
        if role <= Role.RECURRENT_WEIGHT or role == Role.PROJECTION:
            if len(shape) != 2 or 0 in shape:
                raise ValueError(f"{name}: expected (rows, columns), got {shape}")
            if role == Role.INPUT_WEIGHT:
                sizes["input_size"] = shape[1]
            elif role == Role.PROJECTION:
                sizes.update(proj_size=shape[0], hidden_size=shape[1])
            elif not formula.layout.reads_projected(parameter.name):
                sizes.setdefault("hidden_size", shape[1] * parameter.heads)
        elif role == Role.UNIT_VECTOR and shape and shape[0]:
            sizes.setdefault("hidden_size", shape[0])
    if "hidden_size" not in sizes and "input_size" in sizes:
        first = formula.layout.parameters[0]
        sizes["hidden_size"] = max(1, params[f"{first.name}_l0"].shape[0] // first.blocks)
    return sizes


def _dtype(params: Mapping[str, Array], x: Array) -> np.dtype[np.floating]:
    return next((params[name].dtype for name in params), getattr(x, "dtype", np.dtype(np.float32)))


def _size_of_state(formula: Formula, hx: State) -> int:
    """H of an initial state, for a cell without parameters that tell it; 0 if there is none."""
    parts = hx if isinstance(hx, (tuple, list)) and len(formula.states) > 1 else [hx]
    return max((part.shape[-1] for part in parts if isinstance(part, np.ndarray) and part.ndim), default=0)


def backward(
    tape: Tape,
    dy: Array | None = None,
    dstate: State = None,
    *,
    doutputs: Mapping[int, Array] | None = None,
    dstates: Mapping[str, Mapping[int, Array]] | None = None,
    dinputs: Mapping[str, Array] | None = None,
) -> tuple[Array | None, State, dict[str, Array]]:
    """Back-propagation through time, any number of times from one tape.

    Args:
        tape: from `forward`.
        dy: the gradient of the loss with respect to y, of its shape. None is zeros, here and below; what stands beyond
            a sequence's end is never read.
        dstate: that of the final state, like it.
        doutputs: a dict by layer l of gradients of ``tape.outputs[l]``.
        dstates: a dict by name of such dicts, of gradients of ``tape.states[name][l]``.
        dinputs: a dict by names of `inputs` of arrays that their gradients are added to.

    Returns:
        dx, of x's shape, None for tokens; the gradient of the initial state, like it; and a new dict of the parameters'
        gradients by name.

    Raises:
        TypeError: An argument is of a wrong kind or dtype.
        ValueError: A shape or a name is wrong.

    Example:
        >>> gru = recurra.GRU(3, 8, seed=0)
        >>> y, h_n, tape = recurra.functional.forward("gru", np.ones((5, 2, 3), np.float32), gru.params)
        >>> dx, dh0, grads = recurra.functional.backward(tape, np.ones_like(y))
        >>> dx.shape, dh0.shape, grads["weight_hh_l0"].shape
        ((5, 2, 3), (1, 2, 8), (24, 8))
    """
    if not isinstance(tape, Tape):
        raise TypeError(f"tape: expected one of recurra.functional.forward, got {type(tape).__name__}")
    grads = {name: np.zeros_like(value) for name, value in tape.network.parameters.views().items()}
    dx, dinitial = tape.network.backward(tape.core, dy, dstate, doutputs, dstates, dinputs, True, grads, True, None)
    return dx, dinitial, grads


def sigmoid(x: Array) -> Array:
    """The logistic sigmoid of the kernels: σ(x) = 1 / (1 + e⁻ˣ), within 3 ULP in float32 and 2 in float64.

    Args:
        x: any shape, float32 or float64.

    Returns:
        σ(x), of x's shape and dtype.

    Raises:
        TypeError: x isn't an array of float32 or float64.

    Example:
        >>> recurra.sigmoid(np.array([-2.0, 0.0, 2.0])).round(3)
        array([0.119, 0.5  , 0.881])
    """
    return _core.sigmoid(check_array("x", x))


def tanh(x: Array) -> Array:
    """The hyperbolic tangent of the kernels, within 3 ULP in float32 and 2 in float64.

    It is odd, monotone in float32, and ±1 exactly where it rounds to that.

    Args:
        x: any shape, float32 or float64.

    Returns:
        tanh(x), of x's shape and dtype.

    Raises:
        TypeError: x isn't an array of float32 or float64.

    Example:
        >>> recurra.functional.tanh(np.array([-1.0, 0.0, 1.0])).round(3)
        array([-0.762,  0.   ,  0.762])
    """
    return _core.tanh(check_array("x", x))
