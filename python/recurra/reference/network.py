"""Any cell over time, layers, directions and sequences of different length: `forward`, and `backward` through time.

Sizes: T steps, B sequences, I inputs, H hidden units, G gates, L layers, D directions (1 or 2). See docs/math.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra._quiet import quiet

from .cells import CELLS, Array, Cell, Kept, Weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    State = Array | tuple[Array | None, Array | None] | None  # h, or of an LSTM (h, c)

STATES = ("c",)  # the second one of an LSTM
PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")  # PyTorch's names, before the suffix of the layer


@dataclass
class Tape:
    """What `forward` kept for `backward`. It owns what it holds: later changes to x, y or the weights don't matter.

    Attributes:
        cell: its name.
        weights: `Weights` by the suffix of the parameters' names: "_l0", "_l0_reverse", "_l1", …
        names: of the parameters that were given.
        input_shape: (T, B, I).
        lengths: (B,), steps of each sequence.
        masks: L-1 arrays (T, B, D·H), or None.
        kept: by suffix, what each step forward kept.
        outputs: by layer, h_t (T, B, D·H) before its mask, zero beyond a sequence's end.
        states: of an LSTM, "c", and of it by layer c_t, like `outputs`.

    Example:
        >>> lstm = recurra.LSTM(3, 8, seed=0)
        >>> _, _, tape = recurra.reference.forward("lstm", np.ones((5, 2, 3)), lstm.params)
        >>> tape.outputs[0].shape, tape.states["c"][0].shape, tape.directions
        ((5, 2, 8), (5, 2, 8), 1)
    """

    cell: str
    weights: dict[str, Weights]  # by the suffix of the names: "_l0", "_l0_reverse", "_l1", …
    names: tuple[str, ...]  # of the parameters
    input_shape: tuple[int, int, int]  # (T, B, I)
    lengths: Array  # (B,)
    masks: list[Array] | None  # L-1 of (T, B, D·H)
    kept: dict[str, list[Kept]] = field(default_factory=dict)  # suffix -> one per step
    outputs: list[Array] = field(default_factory=list)  # layer -> h_t (T, B, D·H) before its mask, zero on padding
    states: dict[str, list[Array]] = field(default_factory=dict)  # LSTM: "c" -> layer -> c_t, the same

    @property
    def directions(self) -> int:
        """2 if the network reads its input both ways, else 1."""
        return len(self.weights) // len(self.outputs)

    @property
    def preactivations(self) -> list[Array]:
        """Of an RNN, by layer, a_t (T, B, D·H), NaN beyond a sequence's end: how near a relu came to its kink."""
        layers = [np.full_like(h, np.nan) for h in self.outputs]
        for k, (suffix, steps) in enumerate(self.kept.items()):
            hidden_size = self.weights[suffix].w_hh.shape[1]
            layer, direction = divmod(k, self.directions)
            columns = slice(direction * hidden_size, (direction + 1) * hidden_size)
            for t, (_, _, a, _) in enumerate(steps):
                layers[layer][t, self.lengths > t, columns] = a
        return layers


def _suffix(layer: int, direction: int) -> str:
    return f"_l{layer}" + ("_reverse" if direction else "")


def _weights(params: Mapping[str, Array], suffix: str) -> Weights:
    """Copies of one direction's parameters; a missing bias is a bias of zeros."""
    zeros = np.zeros_like(params["weight_ih" + suffix][:, 0])
    return Weights(*(np.array(params.get(name + suffix, zeros)) for name in PARAMETERS))


def _parts(state: State, count: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> list[Array]:
    """Copies of h, and of c where there are two; None is zeros, of the whole or of one."""
    parts = [state] if count == 1 else [None] * count if state is None else list(state)
    return [np.zeros(shape, dtype) if part is None else np.array(part, dtype) for part in parts]


def _joined(parts: list[Array]) -> State:
    return parts[0] if len(parts) == 1 else (parts[0], parts[1])


def _times(steps: int, direction: int) -> range:
    return range(steps - 1, -1, -1) if direction else range(steps)


def _walk(
    cell: Cell, x: Array, state: list[Array], w: Weights, lengths: Array, direction: int
) -> tuple[list[Array], list[Kept]]:
    """One direction of one layer: x (T, B, I), state (B, H) each, which becomes the final one in place.

    A step touches only the sequences that reach it. Walking towards 0, a sequence therefore starts at its own end,
    still with its initial state; walking away from 0, it keeps the state of its last step. Padding is never read.
    """
    steps = len(x)
    tracks = [np.zeros((steps, *s.shape), s.dtype) for s in state]  # h_t, and c_t, of all steps
    kept: list[Kept] = [()] * steps
    for t in _times(steps, direction):
        alive = lengths > t
        *state_next, kept[t] = cell.step(x[t, alive], *(s[alive] for s in state), w)
        for s, track, s_next in zip(state, tracks, state_next, strict=True):
            s[alive] = track[t, alive] = s_next
    return tracks, kept


def _walk_backward(
    cell: Cell, kept: list[Kept], dtracks: list[Array], dstate: list[Array], w: Weights, lengths: Array, direction: int
) -> tuple[Array, Weights]:
    """The same steps from the last to the first (Werbos 1990): dstate becomes that of the initial state in place."""
    steps, batch, _ = dtracks[0].shape
    dx = np.zeros((steps, batch, w.w_ih.shape[1]), w.w_ih.dtype)
    dw = Weights(*(np.zeros_like(p) for p in w))
    for t in reversed(_times(steps, direction)):
        alive = lengths > t
        dstate_next = (d[alive] + dtrack[t, alive] for d, dtrack in zip(dstate, dtracks, strict=True))
        dx[t, alive], *dstate_t, dw_t = cell.step_backward(*dstate_next, kept[t], w)
        for d, d_t in zip(dstate, dstate_t, strict=True):
            d[alive] = d_t
        dw = Weights(*(total + share for total, share in zip(dw, dw_t, strict=True)))
    return dx, dw


@quiet
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
) -> tuple[Array, State, Tape]:
    """A whole network, forward, in the dtype of its parameters. Nothing is checked.

    Args:
        cell: "rnn_tanh", "rnn_relu", "lstm", "gru" or "gru_reset_before".
        x: (T, B, I); what stands beyond a sequence's end is never read.
        params: by PyTorch's names, weight_ih_l0 (G·H, I), weight_hh_l0 (G·H, H), bias_ih_l0 and bias_hh_l0 (G·H,), then
            the same with _l0_reverse, _l1, …; from layer 1 up, I is D·H. Names of biases may be missing.
        hx: the initial state, h0 (L·D, B, H), layer by layer and forward direction first, or of an LSTM (h0, c0); None
            means zeros, also for one of the two.
        num_layers: L.
        bidirectional: whether a second direction reads every sequence from its end.
        lengths: (B,) integers in 0..T, steps of each sequence; None means T.
        masks: L-1 arrays (T, B, D·H), multiplied onto layer l's output before it enters layer l+1 (dropout).

    Returns:
        y (T, B, D·H), the last layer's h_t, forward direction first, zero beyond a sequence's end; the state after the
        last step taken, like hx: h_n, or of an LSTM (h_n, c_n); the tape for `backward`.

    Example:
        >>> gru = recurra.GRU(3, 8, dtype=np.float64, seed=0)
        >>> x = np.random.default_rng(0).standard_normal((5, 2, 3))
        >>> y, h_n, tape = recurra.reference.forward("gru", x, gru.params)
        >>> y.shape, bool(np.allclose(y, gru(x)[0], rtol=0, atol=1e-14))
        ((5, 2, 8), True)
    """
    kind, directions = CELLS[cell], 1 + bidirectional
    suffixes = [_suffix(layer, direction) for layer in range(num_layers) for direction in range(directions)]
    weights = {suffix: _weights(params, suffix) for suffix in suffixes}
    names = tuple(name + suffix for suffix in suffixes for name in PARAMETERS if name + suffix in params)
    hidden_size, dtype = weights["_l0"].w_hh.shape[1], weights["_l0"].w_hh.dtype
    x = np.asarray(x, dtype)
    steps, batch, _ = x.shape
    lengths = np.full(batch, steps) if lengths is None else np.array(lengths)
    masks = None if masks is None else [np.array(mask, dtype) for mask in masks]
    tape = Tape(cell, weights, names, x.shape, lengths, masks)
    shape = (num_layers * directions, batch, hidden_size)
    states = _parts(hx, kind.states, shape, dtype)

    for layer in range(num_layers):
        tracks = []
        for direction in range(directions):
            k, suffix = layer * directions + direction, _suffix(layer, direction)
            track, kept = _walk(kind, x, [s[k] for s in states], weights[suffix], lengths, direction)
            tracks.append(track)
            tape.kept[suffix] = kept
        outputs, *others = (np.concatenate(both, axis=-1) for both in zip(*tracks, strict=True))
        tape.outputs.append(outputs)
        for name, other in zip(STATES, others, strict=False):
            tape.states.setdefault(name, []).append(other)
        x = tape.outputs[layer]
        if masks is not None and layer + 1 < num_layers:
            x = x * masks[layer]
    return tape.outputs[-1].copy(), _joined(states), tape


@quiet
def backward(
    tape: Tape,
    dy: Array | None = None,
    dstate: State = None,
    *,
    doutputs: Mapping[int, Array] | None = None,
    dstates: Mapping[str, Mapping[int, Array]] | None = None,
) -> tuple[Array, State, dict[str, Array]]:
    """Back-propagation through time of `forward`, any number of times from one tape. None is a gradient of zeros.

    Args:
        tape: from `forward`.
        dy: (T, B, D·H); what stands beyond a sequence's end is never read, here and below.
        dstate: gradient of the final state, like it: dh_n (L·D, B, H), or of an LSTM (dh_n, dc_n).
        doutputs: layer -> (T, B, D·H), gradient of that layer's h_t before its mask; the last layer's adds to dy.
        dstates: LSTM: "c" -> layer -> (T, B, D·H), gradient of that layer's c_t.

    Returns:
        dx (T, B, I), zero beyond a sequence's end; the gradient of the initial state, like it; those of the parameters,
        by name. A sequence of length 0 hands the gradient of its final state on.

    Example:
        >>> gru = recurra.GRU(3, 8, seed=0)
        >>> y, h_n, tape = recurra.reference.forward("gru", np.ones((5, 2, 3)), gru.params)
        >>> dx, dh0, grads = recurra.reference.backward(tape, np.ones_like(y))
        >>> dx.shape, dh0.shape, grads["weight_hh_l0"].shape
        ((5, 2, 3), (1, 2, 8), (24, 8))
    """
    kind, directions, num_layers = CELLS[tape.cell], tape.directions, len(tape.outputs)
    of_tracks = [doutputs or {}, *((dstates or {}).get(name, {}) for name in STATES)][: kind.states]
    hidden_size, dtype = tape.weights["_l0"].w_hh.shape[1], tape.weights["_l0"].w_hh.dtype
    steps, batch, _ = tape.input_shape
    real = np.arange(steps)[:, None] < tape.lengths  # (T, B)
    shape = (num_layers * directions, batch, hidden_size)
    dparts = _parts(dstate, kind.states, shape, dtype)
    grads: dict[str, Array] = {}

    def total(*gradients: Array | None) -> Array:
        result = np.zeros((steps, batch, directions * hidden_size), dtype)
        for gradient in gradients:
            if gradient is not None:
                result[real] += np.asarray(gradient, dtype)[real]
        return result

    from_above = dy  # gradient of what this layer hands on
    for layer in reversed(range(num_layers)):
        if from_above is not None and tape.masks is not None and layer + 1 < num_layers:
            from_above = from_above * tape.masks[layer]
        dtracks = [total(given.get(layer)) for given in of_tracks]
        dtracks[0] = total(from_above, of_tracks[0].get(layer))
        dinputs = []
        for direction in range(directions):
            k, suffix = layer * directions + direction, _suffix(layer, direction)
            own = slice(direction * hidden_size, (direction + 1) * hidden_size)
            dinput, dw = _walk_backward(
                kind,
                tape.kept[suffix],
                [d[:, :, own] for d in dtracks],
                [d[k] for d in dparts],
                tape.weights[suffix],
                tape.lengths,
                direction,
            )
            dinputs.append(dinput)
            grads.update(zip((name + suffix for name in PARAMETERS), dw, strict=True))
        from_above = dx = sum(dinputs[1:], start=dinputs[0])
    return dx, _joined(dparts), {name: grads[name] for name in tape.names}
