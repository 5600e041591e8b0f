"""The cells: for each, one step forward and, beside it, one step back, written as in docs/math.md.

Notation: σ the logistic sigmoid, ∘ the product element by element, a pre-activations; `dv` is the gradient of the loss
with respect to `v`. Sizes: B sequences, I inputs, H hidden units, G gates.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recurra._quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Callable

Array = NDArray[Any]
Kept = tuple[Array, ...]  # what a step forward hands to its step back


class Weights(NamedTuple):
    """One direction of one layer, or its gradient; rows go gate by gate, H each, in the order of the cell's gates.

    Args:
        w_ih: (G·H, I).
        w_hh: (G·H, H).
        b_ih: (G·H,).
        b_hh: (G·H,).

    Example:
        >>> params = recurra.GRU(3, 8, seed=0).params
        >>> w = recurra.reference.Weights(*params.values())
        >>> w.w_ih.shape, w.b_hh.shape
        ((24, 3), (24,))
    """

    w_ih: Array  # (G·H, I)
    w_hh: Array  # (G·H, H)
    b_ih: Array  # (G·H,)
    b_hh: Array  # (G·H,)


@quiet
def sigmoid(x: Array) -> Array:
    """σ(x) = 1 / (1 + e⁻ˣ); for x < 0 it is taken as eˣ / (1 + eˣ), so that no exponential overflows.

    Args:
        x: any shape.

    Returns:
        σ(x), of x's shape.

    Example:
        >>> recurra.reference.sigmoid(np.array([-1e4, 0.0, 2.0])).round(3)
        array([0.   , 0.5  , 0.881])
    """
    return np.asarray(np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x))))


@quiet
def relu(x: Array) -> Array:
    """max(x, 0), any shape.

    Args:
        x: any shape.

    Returns:
        What is positive of x, else 0, of its shape.

    Example:
        >>> recurra.reference.relu(np.array([-2.0, 0.0, 2.0]))
        array([0., 0., 2.])
    """
    return np.asarray(np.maximum(x, 0))


# ---- Elman's network


@quiet
def rnn_step(x: Array, h: Array, w: Weights, nonlinearity: str = "tanh") -> tuple[Array, Kept]:
    """One step of Elman's network, h' = f(W_ih x + b_ih + W_hh h + b_hh) (Elman 1990).

    Args:
        x: (B, I).
        h: (B, H), the state before.
        w: the weights.
        nonlinearity: f, "tanh" or "relu".

    Returns:
        h' (B, H), and what `rnn_step_backward` needs.

    Example:
        >>> w = recurra.reference.Weights(*recurra.RNN(3, 8, seed=0).params.values())
        >>> h, kept = recurra.reference.rnn_step(np.ones((2, 3)), np.zeros((2, 8)), w)
        >>> h.shape
        (2, 8)
    """
    a = x @ w.w_ih.T + w.b_ih + h @ w.w_hh.T + w.b_hh
    h_next = np.tanh(a) if nonlinearity == "tanh" else relu(a)
    return h_next, (x, h, a, h_next)


@quiet
def rnn_step_backward(
    dh_next: Array, kept: Kept, w: Weights, nonlinearity: str = "tanh"
) -> tuple[Array, Array, Weights]:
    """The reverse of `rnn_step`.

    Args:
        dh_next: (B, H), the gradient of the loss with respect to h'.
        kept: what the step forward kept.
        w: its weights.
        nonlinearity: as given to it.

    Returns:
        dx (B, I), dh (B, H), dw.

    Example:
        >>> w = recurra.reference.Weights(*recurra.RNN(3, 8, seed=0).params.values())
        >>> h, kept = recurra.reference.rnn_step(np.ones((2, 3)), np.zeros((2, 8)), w)
        >>> dx, dh, dw = recurra.reference.rnn_step_backward(np.ones((2, 8)), kept, w)
        >>> dx.shape, dh.shape, dw.w_ih.shape
        ((2, 3), (2, 8), (8, 3))
    """
    x, h, _, h_next = kept
    slope = 1 - h_next**2 if nonlinearity == "tanh" else h_next > 0
    da = dh_next * slope
    return da @ w.w_ih, da @ w.w_hh, Weights(da.T @ x, da.T @ h, da.sum(0), da.sum(0))


# ---- LSTM


@quiet
def lstm_step(x: Array, h: Array, c: Array, w: Weights) -> tuple[Array, Array, Kept]:
    """One step of an LSTM with a forget gate (Hochreiter & Schmidhuber 1997; Gers et al. 2000).

    Gates are i, f, g, o::

        a = W_ih x + b_ih + W_hh h + b_hh     i, f, o = σ(a_i), σ(a_f), σ(a_o)     g = tanh(a_g)
        c' = f ∘ c + i ∘ g                    h' = o ∘ tanh(c')

    Args:
        x: (B, I).
        h: (B, H), the output before.
        c: (B, H), the cell before.
        w: the weights.

    Returns:
        h' and c' (B, H), and what `lstm_step_backward` needs.

    Example:
        >>> w = recurra.reference.Weights(*recurra.LSTM(3, 8, seed=0).params.values())
        >>> zeros = np.zeros((2, 8))
        >>> h, c, kept = recurra.reference.lstm_step(np.ones((2, 3)), zeros, zeros, w)
        >>> h.shape, c.shape
        ((2, 8), (2, 8))
    """
    a = x @ w.w_ih.T + w.b_ih + h @ w.w_hh.T + w.b_hh
    a_i, a_f, a_g, a_o = np.split(a, 4, axis=-1)
    i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
    c_next = f * c + i * g
    h_next = o * np.tanh(c_next)
    return h_next, c_next, (x, h, c, i, f, g, o, c_next)


@quiet
def lstm_step_backward(dh_next: Array, dc_next: Array, kept: Kept, w: Weights) -> tuple[Array, Array, Array, Weights]:
    """The reverse of `lstm_step`.

    Args:
        dh_next: (B, H), the gradient of the loss with respect to h'.
        dc_next: (B, H), that with respect to c', apart from what goes through h'.
        kept: what the step forward kept.
        w: its weights.

    Returns:
        dx (B, I), dh and dc (B, H), dw.

    Example:
        >>> w = recurra.reference.Weights(*recurra.LSTM(3, 8, seed=0).params.values())
        >>> zeros = np.zeros((2, 8))
        >>> h, c, kept = recurra.reference.lstm_step(np.ones((2, 3)), zeros, zeros, w)
        >>> dx, dh, dc, dw = recurra.reference.lstm_step_backward(np.ones((2, 8)), zeros, kept, w)
        >>> dx.shape, dc.shape, dw.w_ih.shape
        ((2, 3), (2, 8), (32, 3))
    """
    x, h, c, i, f, g, o, c_next = kept
    tanh_c = np.tanh(c_next)
    dc_next = dc_next + dh_next * o * (1 - tanh_c**2)  # c' acts on the loss by itself and through h'
    da_i = dc_next * g * i * (1 - i)
    da_f = dc_next * c * f * (1 - f)
    da_g = dc_next * i * (1 - g**2)
    da_o = dh_next * tanh_c * o * (1 - o)
    da = np.concatenate([da_i, da_f, da_g, da_o], axis=-1)
    return da @ w.w_ih, da @ w.w_hh, dc_next * f, Weights(da.T @ x, da.T @ h, da.sum(0), da.sum(0))


# ---- GRU, the reset gate applied after the product


@quiet
def gru_step(x: Array, h: Array, w: Weights) -> tuple[Array, Kept]:
    """One step of a GRU (Cho et al. 2014), the reset gate applied after the product, as in cuDNN and PyTorch.

    Gates are r, z, n::

        r = σ(W_ir x + b_ir + W_hr h + b_hr)     z = σ(W_iz x + b_iz + W_hz h + b_hz)
        n = tanh(W_in x + b_in + r ∘ (W_hn h + b_hn))
        h' = (1 - z) ∘ n + z ∘ h

    Args:
        x: (B, I).
        h: (B, H), the state before.
        w: the weights.

    Returns:
        h' (B, H), and what `gru_step_backward` needs.

    Example:
        >>> w = recurra.reference.Weights(*recurra.GRU(3, 8, seed=0).params.values())
        >>> h, kept = recurra.reference.gru_step(np.ones((2, 3)), np.zeros((2, 8)), w)
        >>> h.shape
        (2, 8)
    """
    r_x, z_x, n_x = np.split(x @ w.w_ih.T + w.b_ih, 3, axis=-1)
    r_h, z_h, n_h = np.split(h @ w.w_hh.T + w.b_hh, 3, axis=-1)
    r = sigmoid(r_x + r_h)
    z = sigmoid(z_x + z_h)
    n = np.tanh(n_x + r * n_h)
    h_next = (1 - z) * n + z * h
    return h_next, (x, h, r, z, n, n_h)


@quiet
def gru_step_backward(dh_next: Array, kept: Kept, w: Weights) -> tuple[Array, Array, Weights]:
    """The reverse of `gru_step`.

    Args:
        dh_next: (B, H), the gradient of the loss with respect to h'.
        kept: what the step forward kept.
        w: its weights.

    Returns:
        dx (B, I), dh (B, H), dw.

    Example:
        >>> w = recurra.reference.Weights(*recurra.GRU(3, 8, seed=0).params.values())
        >>> h, kept = recurra.reference.gru_step(np.ones((2, 3)), np.zeros((2, 8)), w)
        >>> dx, dh, dw = recurra.reference.gru_step_backward(np.ones((2, 8)), kept, w)
        >>> dx.shape, dh.shape, dw.w_ih.shape
        ((2, 3), (2, 8), (24, 3))
    """
    x, h, r, z, n, n_h = kept
    da_n = dh_next * (1 - z) * (1 - n**2)
    da_z = dh_next * (h - n) * z * (1 - z)
    da_r = da_n * n_h * r * (1 - r)
    da_x = np.concatenate([da_r, da_z, da_n], axis=-1)  # of W_ih x + b_ih
    da_h = np.concatenate([da_r, da_z, da_n * r], axis=-1)  # of W_hh h + b_hh
    dh = dh_next * z + da_h @ w.w_hh
    return da_x @ w.w_ih, dh, Weights(da_x.T @ x, da_h.T @ h, da_x.sum(0), da_h.sum(0))


# ---- The same, applied before it


@quiet
def gru_reset_before_step(x: Array, h: Array, w: Weights) -> tuple[Array, Kept]:
    """One step of a GRU with the reset gate applied before the product, as in the paper and most textbooks.

    Only n differs from `gru_step`: n = tanh(W_in x + b_in + W_hn (r ∘ h) + b_hn).

    Args:
        x: (B, I).
        h: (B, H), the state before.
        w: the weights.

    Returns:
        h' (B, H), and what `gru_reset_before_step_backward` needs.

    Example:
        >>> w = recurra.reference.Weights(*recurra.GRU(3, 8, reset_after=False, seed=0).params.values())
        >>> h, kept = recurra.reference.gru_reset_before_step(np.ones((2, 3)), np.zeros((2, 8)), w)
        >>> h.shape
        (2, 8)
    """
    w_hr, w_hz, w_hn = np.split(w.w_hh, 3)
    r_x, z_x, n_x = np.split(x @ w.w_ih.T + w.b_ih + w.b_hh, 3, axis=-1)
    r = sigmoid(r_x + h @ w_hr.T)
    z = sigmoid(z_x + h @ w_hz.T)
    n = np.tanh(n_x + (r * h) @ w_hn.T)
    h_next = (1 - z) * n + z * h
    return h_next, (x, h, r, z, n)


@quiet
def gru_reset_before_step_backward(dh_next: Array, kept: Kept, w: Weights) -> tuple[Array, Array, Weights]:
    """The reverse of `gru_reset_before_step`.

    Args:
        dh_next: (B, H), the gradient of the loss with respect to h'.
        kept: what the step forward kept.
        w: its weights.

    Returns:
        dx (B, I), dh (B, H), dw.

    Example:
        >>> w = recurra.reference.Weights(*recurra.GRU(3, 8, reset_after=False, seed=0).params.values())
        >>> h, kept = recurra.reference.gru_reset_before_step(np.ones((2, 3)), np.zeros((2, 8)), w)
        >>> dx, dh, dw = recurra.reference.gru_reset_before_step_backward(np.ones((2, 8)), kept, w)
        >>> dx.shape, dh.shape, dw.w_ih.shape
        ((2, 3), (2, 8), (24, 3))
    """
    x, h, r, z, n = kept
    w_hr, w_hz, w_hn = np.split(w.w_hh, 3)
    da_n = dh_next * (1 - z) * (1 - n**2)
    da_z = dh_next * (h - n) * z * (1 - z)
    q = da_n @ w_hn  # of r ∘ h
    da_r = q * h * r * (1 - r)
    da = np.concatenate([da_r, da_z, da_n], axis=-1)
    dh = dh_next * z + q * r + da_r @ w_hr + da_z @ w_hz
    dw_hh = np.concatenate([da_r.T @ h, da_z.T @ h, da_n.T @ (r * h)])
    return da @ w.w_ih, dh, Weights(da.T @ x, dw_hh, da.sum(0), da.sum(0))


# ---- All of them, by name


class Cell(NamedTuple):
    """What `forward` and `backward` know of a cell; ``CELLS`` has them by name.

    Args:
        step: of (x, state…, w), returns (state'…, kept).
        step_backward: its reverse, of (dstate'…, kept, w), returns (dx, dstate…, dw).
        states: how many there are: 1, h, or 2, h and c.

    Example:
        >>> {name: cell.states for name, cell in recurra.reference.CELLS.items()}
        {'rnn_tanh': 1, 'rnn_relu': 1, 'lstm': 2, 'gru': 1, 'gru_reset_before': 1}
    """

    step: Callable[..., Any]
    step_backward: Callable[..., Any]
    states: int = 1  # h, or h and c


CELLS = {
    "rnn_tanh": Cell(rnn_step, rnn_step_backward),
    "rnn_relu": Cell(partial(rnn_step, nonlinearity="relu"), partial(rnn_step_backward, nonlinearity="relu")),
    "lstm": Cell(lstm_step, lstm_step_backward, states=2),
    "gru": Cell(gru_step, gru_step_backward),
    "gru_reset_before": Cell(gru_reset_before_step, gru_reset_before_step_backward),
}
