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
from .recurrent import MOST_LAYERS, NETWORKS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .module import Array
    from .recurrent import State

CELLS = _core.cells()  # those that it knows


@dataclass(frozen=True)
class Tape:
    """What `forward` kept for `backward`; it owns all of it."""

    core: _core.Tape32 | _core.Tape64
    network: _core.Network32 | _core.Network64

    @property
    def outputs(self) -> _core.LayerArrays:
        """Layer -> h_t (T, B, D·H), before the layer's mask, zero beyond a sequence's end."""
        return self.core.outputs

    @property
    def states(self) -> dict[str, _core.LayerArrays]:
        """By name, states besides h: of an LSTM "c", layer -> c_t, the same."""
        return self.core.states


def forward(
    cell: str,
    x: Array,
    params: Mapping[str, Array],
    hx: State = None,
    *,
    num_layers: int = 1,
    bidirectional: bool = False,
    lengths: Array | None = None,
    masks: Sequence[Array] | None = None,
    tokens: bool | None = None,
) -> tuple[Array, State, Tape]:
    """A whole network, forward; see `recurra.reference.forward` for arguments and results.

    x, params, states and masks share one dtype, float32 or float64. x may also be (T, I), one sequence, and all other
    arrays then lack the axis B too; masks never do. Integers are tokens as they are for a layer made with `tokens`.

    Raises:
        TypeError, ValueError: an argument of the wrong kind, dtype or shape, named in the message.
    """
    if not isinstance(cell, str):
        raise TypeError(f"cell: expected one of {', '.join(CELLS)}, got {shown(cell)}")
    if cell not in CELLS:
        raise ValueError(f"cell: expected one of {', '.join(CELLS)}, got {shown(cell)}")
    check_size("num_layers", num_layers, MOST_LAYERS)
    check_flag("bidirectional", bidirectional)
    tokens = check_tokens(tokens)
    if not hasattr(params, "keys"):
        raise TypeError(f"params: expected a dict of arrays by name, got {type(params).__name__}")
    for name in ("weight_ih_l0", "weight_hh_l0"):
        if name not in params:
            raise ValueError(f"params: expected the names of the parameters, got no {name}")
        check_array(name, params[name])
        if params[name].ndim != 2 or 0 in params[name].shape:
            raise ValueError(f"{name}: expected (rows, columns), got {params[name].shape}")
    if masks is not None and not isinstance(masks, (list, tuple)):
        raise TypeError(f"masks: expected a list of arrays, got {type(masks).__name__}")
    make = NETWORKS[params["weight_ih_l0"].dtype]
    input_size, hidden_size = params["weight_ih_l0"].shape[1], params["weight_hh_l0"].shape[1]
    bias = any(name.startswith("bias") for name in params)
    network = make(cell, input_size, hidden_size, num_layers, 1 + bidirectional, bias, False, tokens)
    network.parameters.load(params, "params")
    y, state, core = network.forward(
        x, hx, lengths, False, None if masks is None else lambda *_: (list(masks), None), None, None, None, None
    )
    return y, state, Tape(core, network)


def backward(
    tape: Tape,
    dy: Array | None = None,
    dstate: State = None,
    *,
    doutputs: Mapping[int, Array] | None = None,
    dstates: Mapping[str, Mapping[int, Array]] | None = None,
) -> tuple[Array | None, State, dict[str, Array]]:
    """Back-propagation through time, any number of times from one tape; see `recurra.reference.backward`.

    If x was tokens, which have no gradient, dx is None.

    Raises:
        TypeError, ValueError: an argument of the wrong kind, dtype or shape, named in the message.
    """
    if not isinstance(tape, Tape):
        raise TypeError(f"tape: expected one of recurra.functional.forward, got {type(tape).__name__}")
    grads = {name: np.zeros_like(value) for name, value in tape.network.parameters.views().items()}
    dx, dinitial = tape.network.backward(tape.core, dy, dstate, doutputs, dstates, None, True, grads, True, None)
    return dx, dinitial, grads


def sigmoid(x: Array) -> Array:
    """σ(x) = 1 / (1 + e⁻ˣ) of an array of float32 (within 3 ULP) or float64 (within 2 ULP), any shape."""
    return _core.sigmoid(check_array("x", x))


def tanh(x: Array) -> Array:
    """tanh(x), the same; odd, monotone in float32, and ±1 exactly where it rounds to that."""
    return _core.tanh(check_array("x", x))
