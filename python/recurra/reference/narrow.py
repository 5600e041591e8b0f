"""Recurrent networks with narrow weights in plain NumPy: which numbers `recurra.compress` stands for.

A matrix is an array of int8 with a scale for each row, `name` and `name + ".scale"`, or one of float16, or of uint16
with the bits of bfloat16. Those of 16 bits are float32 numbers with fewer digits, and everything is as in `network`.
With int8, what a matrix meets is rounded to integers of 12 bits too, and a product is an exact sum of integers, then
one fused multiply-add in float32. Gates, cells and states are float32. Here the activations are NumPy's, which differ
from the kernels' in the last bit; a product that reads a state which differs so may round it to the next integer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recurra._quiet import quiet

from . import network
from .cells import Array, Cell, relu, sigmoid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .network import State

LARGEST = 2047  # of the integers of 12 bits
SMALLEST = np.float32(1e-30)  # below it a vector counts as zeros
UNBOUNDED, STATE = (
    np.float32(0),
    np.float32(1),
)  # floors: the state of a cell whose h is in [-1, 1] has a scale that stays


@quiet
def widened(params: Mapping[str, Array]) -> dict[str, Array]:
    """The float32 numbers that narrow arrays stand for, by the matrices' names.

    Args:
        params: by name, matrices of int8, each with its rows' scales at ``name + ".scale"``, of float16, or of uint16
            with the bits of bfloat16; and biases.

    Returns:
        A dict by the names, without those of scales, of arrays of float32.

    Example:
        >>> params = {"w": np.array([[127, -64]], np.int8), "w.scale": np.array([0.5], np.float32)}
        >>> recurra.reference.narrow.widened(params)["w"].tolist()
        [[63.5, -32.0]]
    """
    wide = {}
    for name, array in params.items():
        if array.dtype == np.uint16:
            wide[name] = (array.astype(np.uint32) << 16).view(np.float32)
        elif array.dtype == np.int8:
            wide[name] = array.astype(np.float32) * params[name + ".scale"][:, None]
        elif not name.endswith(".scale"):
            wide[name] = array.astype(np.float32)
    return wide


@quiet
def quantise(v: Array, floor: np.float32 = UNBOUNDED) -> tuple[Array, Array]:
    """Vectors as integers up to 2047 in absolute value, and the scale of each.

    A vector's largest number, or the floor, if that is larger, becomes 2047. One that isn't finite makes the scale NaN.

    Args:
        v: (B, K) of float32.
        floor: what the largest number counts as at least: 1 where v is a state in [-1, 1], so that its scale stays.

    Returns:
        Integers (B, K), int64, and scales (B,), float32, whose product is about v.

    Example:
        >>> q, scale = recurra.reference.narrow.quantise(np.array([[1.0, -0.5, 0.0]], np.float32))
        >>> q.tolist(), (scale * 2047).tolist()
        ([[2047, -1024, 0]], [1.0])
    """
    largest = np.maximum(np.abs(v).max(axis=-1, initial=0), floor)  # NaN stays NaN
    scale = np.where(largest < SMALLEST, np.float32(0), largest / np.float32(LARGEST))
    inverse = np.where(largest < SMALLEST, np.float32(0), np.float32(LARGEST) / largest)
    finite = np.isfinite(largest)
    q = np.where(finite[:, None], np.rint(v * inverse[:, None]), 0)
    return q.astype(np.int64), np.where(finite, scale, np.float32(np.nan)).astype(np.float32)


@quiet
def fma(a: Array, b: Array, c: Array) -> Array:
    """a b + c of float32, rounded once.

    In float64 the product is exact, but the sum is rounded, and rounding that again to float32 may go the other way. So
    the sum is rounded to odd: where it isn't exact, its last bit is set, which keeps it off float32's ties.

    Args:
        a: float32, any shape, here and below; they broadcast.
        b: float32.
        c: float32.

    Returns:
        The sums, float32.

    Example:
        >>> a, c = np.float32(1 + 2**-12), np.float32(-1)
        >>> float(recurra.reference.narrow.fma(a, a, c)), float(a * a + c)  # 2⁻¹¹ + 2⁻²⁴ with one rounding
        (0.0004883408546447754, 0.00048828125)
    """
    product, c = np.multiply(a, b, dtype=np.float64), np.asarray(c, np.float64)
    total = np.asarray(product + c)
    back = total - product
    error = (product - (total - back)) + (c - back)  # what the sum lacks, exactly
    bits = total.view(np.int64)
    step = np.where((error > 0) == (total > 0), 1, -1)  # away from 0, or towards it
    inexact = np.isfinite(total) & (error != 0) & (bits & 1 == 0)
    result: Array = np.where(inexact, (bits + step).view(np.float64), total).astype(np.float32)
    return result


class Matrix(NamedTuple):
    """Rows of a matrix of int8.

    Args:
        q: (rows, columns), int8.
        scale: (rows,), float32: a row stands for ``q * scale``.

    Example:
        >>> w = recurra.reference.narrow.Matrix(np.ones((4, 3), np.int8), np.ones(4, np.float32))
        >>> w.rows(1, 3).q.shape
        (2, 3)
    """

    q: Array  # (rows, columns) int8
    scale: Array  # (rows,)

    def rows(self, begin: int, end: int) -> Matrix:
        """Some of them.

        Args:
            begin: the first.
            end: the one after the last.

        Returns:
            Their matrix.
        """
        return Matrix(self.q[begin:end], self.scale[begin:end])


@quiet
def product(w: Matrix, v: Array, before: Array, floor: np.float32 = UNBOUNDED) -> Array:
    """W v + before, for vectors v: v rounded to integers of 12 bits, an exact sum, then one `fma`.

    Args:
        w: the matrix W.
        v: (B, columns), float32.
        before: (B, rows) or (rows,), float32.
        floor: of `quantise`.

    Returns:
        (B, rows), float32.

    Example:
        >>> w = recurra.reference.narrow.Matrix(np.array([[100, -50]], np.int8), np.array([0.01], np.float32))
        >>> recurra.reference.narrow.product(w, np.ones((1, 2), np.float32), np.zeros(1, np.float32)).round(4).tolist()
        [[0.5]]
    """
    q, scale = quantise(v, floor)
    sums = q @ w.q.T.astype(np.int64)
    return fma(sums.astype(np.float32), w.scale * scale[:, None], before)


class Weights(NamedTuple):
    """One direction of one layer, of int8.

    Args:
        w_ih: (G·H, I).
        w_hh: (G·H, H), or (G·H, P) of an LSTM that projects.
        b_ih: (G·H,), float32.
        b_hh: (G·H,), float32.
        w_hr: (P, H) of an LSTM that projects, else None.

    Example:
        >>> narrow = recurra.reference.narrow
        >>> w_ih, w_hh = (narrow.Matrix(np.ones((8, n), np.int8), np.ones(8, np.float32)) for n in (3, 8))
        >>> w = narrow.Weights(w_ih, w_hh, np.zeros(8, np.float32), np.zeros(8, np.float32), None)
        >>> w.w_hh.q.shape
        (8, 8)
    """

    w_ih: Matrix  # (G·H, I)
    w_hh: Matrix  # (G·H, H), or (G·H, P)
    b_ih: Array  # (G·H,)
    b_hh: Array  # (G·H,)
    w_hr: Matrix | None  # (P, H)


@quiet
def _sums(x: Array, h: Array, w: Weights, floor: np.float32 = STATE) -> Array:
    """b + W_ih x + W_hh h: the biases, then one product after the other."""
    return product(w.w_hh, h, product(w.w_ih, x, w.b_ih + w.b_hh), floor)


@quiet
def rnn_step(x: Array, h: Array, w: Weights, nonlinearity: str = "tanh") -> tuple[Array, None]:
    """One step of `recurra.reference.rnn_step` with narrow weights.

    Args:
        x: (B, I), float32.
        h: (B, H), the state before.
        w: the weights.
        nonlinearity: "tanh" or "relu".

    Returns:
        h' (B, H), and None, as there is no reverse.

    Example:
        >>> narrow = recurra.reference.narrow
        >>> w_ih, w_hh = (narrow.Matrix(np.ones((8, n), np.int8), np.full(8, 0.01, np.float32)) for n in (3, 8))
        >>> w = narrow.Weights(w_ih, w_hh, np.zeros(8, np.float32), np.zeros(8, np.float32), None)
        >>> h, _ = narrow.rnn_step(np.ones((2, 3), np.float32), np.zeros((2, 8), np.float32), w)
        >>> h.shape, round(float(h[0, 0]), 3)  # tanh(0.03)
        ((2, 8), 0.03)
    """
    bounded = nonlinearity == "tanh"
    a = _sums(x, h, w, STATE if bounded else UNBOUNDED)
    return np.tanh(a) if bounded else relu(a), None


@quiet
def lstm_step(x: Array, h: Array, c: Array, w: Weights) -> tuple[Array, Array, None]:
    """One step of `recurra.reference.lstm_step` with narrow weights, projected if there is `w_hr`.

    Args:
        x: (B, I), float32.
        h: (B, H) or (B, P), the output before.
        c: (B, H), the cell before.
        w: the weights.

    Returns:
        h' and c', like h and c, and None, as there is no reverse.

    Example:
        >>> narrow = recurra.reference.narrow
        >>> w_ih, w_hh = (narrow.Matrix(np.ones((32, n), np.int8), np.full(32, 0.01, np.float32)) for n in (3, 8))
        >>> w = narrow.Weights(w_ih, w_hh, np.zeros(32, np.float32), np.zeros(32, np.float32), None)
        >>> zeros = np.zeros((2, 8), np.float32)
        >>> h, c, _ = narrow.lstm_step(np.ones((2, 3), np.float32), zeros, zeros, w)
        >>> h.shape, c.shape
        ((2, 8), (2, 8))
    """
    a = _sums(x, h, w, STATE if w.w_hr is None else UNBOUNDED)
    a_i, a_f, a_g, a_o = np.split(a, 4, axis=-1)
    c_next = fma(sigmoid(a_f), c, sigmoid(a_i) * np.tanh(a_g))
    h_next = sigmoid(a_o) * np.tanh(c_next)
    if w.w_hr is not None:
        h_next = product(w.w_hr, h_next, np.zeros(len(w.w_hr.q), np.float32))
    return h_next, c_next, None


@quiet
def gru_step(x: Array, h: Array, w: Weights, reset_after: bool = True) -> tuple[Array, None]:
    """One step of `recurra.reference.gru_step`, or `gru_reset_before_step`, with narrow weights.

    Args:
        x: (B, I), float32.
        h: (B, H), the state before.
        w: the weights.
        reset_after: whether the reset gate acts after the product.

    Returns:
        h' (B, H), and None, as there is no reverse.

    Example:
        >>> narrow = recurra.reference.narrow
        >>> w_ih, w_hh = (narrow.Matrix(np.ones((24, n), np.int8), np.full(24, 0.01, np.float32)) for n in (3, 8))
        >>> w = narrow.Weights(w_ih, w_hh, np.zeros(24, np.float32), np.zeros(24, np.float32), None)
        >>> h, _ = narrow.gru_step(np.ones((2, 3), np.float32), np.zeros((2, 8), np.float32), w)
        >>> h.shape
        (2, 8)
    """
    size = h.shape[1]
    rz, rest = (0, 2 * size), (2 * size, 3 * size)
    b = w.b_ih + w.b_hh
    a = product(w.w_hh.rows(*rz), h, product(w.w_ih.rows(*rz), x, b[: 2 * size]), STATE)
    r, z = np.split(sigmoid(a), 2, axis=-1)
    if reset_after:
        n_h = product(w.w_hh.rows(*rest), h, w.b_hh[2 * size :], STATE)
        n = np.tanh(fma(r, n_h, product(w.w_ih.rows(*rest), x, w.b_ih[2 * size :])))
    else:
        n = np.tanh(product(w.w_hh.rows(*rest), r * h, product(w.w_ih.rows(*rest), x, b[2 * size :])))
    return (1 - z) * n + z * h, None


def _reverse(*given: Any) -> Any:
    raise NotImplementedError("narrow weights are for inference")


CELLS = {
    "rnn_tanh": Cell(rnn_step, _reverse),
    "rnn_relu": Cell(lambda x, h, w: rnn_step(x, h, w, "relu"), _reverse),
    "lstm": Cell(lstm_step, _reverse, states=2),
    "gru": Cell(gru_step, _reverse),
    "gru_reset_before": Cell(lambda x, h, w: gru_step(x, h, w, reset_after=False), _reverse),
}


def _weights(params: Mapping[str, Array], suffix: str) -> Weights:
    def matrix(name: str) -> Matrix:
        return Matrix(params[name + suffix], params[name + suffix + ".scale"])

    zeros = np.zeros(len(params["weight_ih" + suffix]), np.float32)
    b_ih, b_hh = (params.get(name + suffix, zeros) for name in ("bias_ih", "bias_hh"))
    w_hr = matrix("weight_hr") if "weight_hr" + suffix in params else None
    return Weights(matrix("weight_ih"), matrix("weight_hh"), b_ih, b_hh, w_hr)


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
) -> tuple[Array, State]:
    """A whole network with narrow weights, in float32.

    Args:
        cell: "rnn_tanh", "rnn_relu", "lstm", "gru" or "gru_reset_before".
        x: (T, B, I), float32.
        params: the `state_dict` of a compressed layer: narrow arrays by PyTorch's names, with ".scale" beside those of
            int8, and biases of float32, whose names may be missing.
        hx: the initial state, as for `recurra.reference.forward`, and so are the others.
        num_layers: L.
        bidirectional: whether a second direction reads every sequence from its end.
        lengths: (B,), steps of each sequence.

    Returns:
        y (T, B, D·H), or (T, B, D·P) of an LSTM that projects, and the state after the last step, like hx.

    Example:
        >>> narrow = recurra.compress(recurra.LSTM(3, 8, seed=0), "int8")
        >>> x = np.ones((5, 2, 3), np.float32)
        >>> y, (h_n, c_n) = recurra.reference.narrow.forward("lstm", x, narrow.state_dict())
        >>> y.shape, float(abs(y - narrow(x)[0]).max()) < 1e-3
        ((5, 2, 8), True)
    """
    if params["weight_ih_l0"].dtype != np.int8:
        given: Any = {"num_layers": num_layers, "bidirectional": bidirectional, "lengths": lengths}
        y, state, _ = network.forward(cell, x, widened(params), hx, **given)
        return y, state
    kind, directions = CELLS[cell], 1 + bidirectional
    steps, batch, _ = x.shape
    lengths = np.full(batch, steps) if lengths is None else np.array(lengths)
    sizes = [params["weight_hh_l0"].shape[1], params["weight_hh_l0"].shape[0] // 4][: kind.states]
    parts = [None] * kind.states if hx is None else [hx] if kind.states == 1 else list(hx)
    states = [
        np.zeros((num_layers * directions, batch, size), np.float32) if part is None else np.array(part, np.float32)
        for part, size in zip(parts, sizes, strict=True)
    ]
    for layer in range(num_layers):
        outputs = []
        for direction in range(directions):
            k, suffix = layer * directions + direction, f"_l{layer}" + "_reverse" * direction
            w: Any = _weights(params, suffix)
            tracks, _ = network._walk(kind, x, [s[k] for s in states], w, lengths, direction)
            outputs.append(tracks[0])
        x = np.concatenate(outputs, axis=-1)
    return x, states[0] if kind.states == 1 else (states[0], states[1])
