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
    """One direction of one layer, or its gradient; the rows of every member go gate by gate, H rows each."""

    w_ih: Array  # (G·H, I)
    w_hh: Array  # (G·H, H)
    b_ih: Array  # (G·H,)
    b_hh: Array  # (G·H,)


@quiet
def sigmoid(x: Array) -> Array:
    """σ(x) = 1 / (1 + e⁻ˣ), any shape; for x < 0 it is taken as eˣ / (1 + eˣ), so that no exponential overflows."""
    return np.asarray(np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x))))


@quiet
def relu(x: Array) -> Array:
    """max(x, 0), any shape."""
    return np.asarray(np.maximum(x, 0))


# ---- Elman's network (Elman 1990): h' = f(W_ih x + b_ih + W_hh h + b_hh), f = tanh or relu


@quiet
def rnn_step(x: Array, h: Array, w: Weights, nonlinearity: str = "tanh") -> tuple[Array, Kept]:
    """One step: x (B, I), h (B, H) -> h' (B, H) and what `rnn_step_backward` needs."""
    a = x @ w.w_ih.T + w.b_ih + h @ w.w_hh.T + w.b_hh
    h_next = np.tanh(a) if nonlinearity == "tanh" else relu(a)
    return h_next, (x, h, a, h_next)


@quiet
def rnn_step_backward(
    dh_next: Array, kept: Kept, w: Weights, nonlinearity: str = "tanh"
) -> tuple[Array, Array, Weights]:
    """Its reverse: dh' (B, H) -> dx (B, I), dh (B, H), dw."""
    x, h, _, h_next = kept
    slope = 1 - h_next**2 if nonlinearity == "tanh" else h_next > 0
    da = dh_next * slope
    return da @ w.w_ih, da @ w.w_hh, Weights(da.T @ x, da.T @ h, da.sum(0), da.sum(0))


# ---- LSTM with a forget gate (Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000). Gates i, f, g, o:
#      a = W_ih x + b_ih + W_hh h + b_hh     i, f, o = σ(a_i), σ(a_f), σ(a_o)     g = tanh(a_g)
#      c' = f ∘ c + i ∘ g                    h' = o ∘ tanh(c')


@quiet
def lstm_step(x: Array, h: Array, c: Array, w: Weights) -> tuple[Array, Array, Kept]:
    """One step: x (B, I), h and c (B, H) -> h', c' (B, H) and what `lstm_step_backward` needs."""
    a = x @ w.w_ih.T + w.b_ih + h @ w.w_hh.T + w.b_hh
    a_i, a_f, a_g, a_o = np.split(a, 4, axis=-1)
    i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
    c_next = f * c + i * g
    h_next = o * np.tanh(c_next)
    return h_next, c_next, (x, h, c, i, f, g, o, c_next)


@quiet
def lstm_step_backward(dh_next: Array, dc_next: Array, kept: Kept, w: Weights) -> tuple[Array, Array, Array, Weights]:
    """Its reverse: dh', dc' (B, H) -> dx (B, I), dh, dc (B, H), dw."""
    x, h, c, i, f, g, o, c_next = kept
    tanh_c = np.tanh(c_next)
    dc_next = dc_next + dh_next * o * (1 - tanh_c**2)  # c' acts on the loss by itself and through h'
    da_i = dc_next * g * i * (1 - i)
    da_f = dc_next * c * f * (1 - f)
    da_g = dc_next * i * (1 - g**2)
    da_o = dh_next * tanh_c * o * (1 - o)
    da = np.concatenate([da_i, da_f, da_g, da_o], axis=-1)
    return da @ w.w_ih, da @ w.w_hh, dc_next * f, Weights(da.T @ x, da.T @ h, da.sum(0), da.sum(0))


# ---- Gated recurrent unit (Cho et al. 2014), the reset gate applied after the product (cuDNN, PyTorch). Gates r, z, n:
#      r = σ(W_ir x + b_ir + W_hr h + b_hr)     z = σ(W_iz x + b_iz + W_hz h + b_hz)
#      n = tanh(n_x + r ∘ n_h)                  n_x = W_in x + b_in     n_h = W_hn h + b_hn
#      h' = (1 − z) ∘ n + z ∘ h


@quiet
def gru_step(x: Array, h: Array, w: Weights) -> tuple[Array, Kept]:
    """One step: x (B, I), h (B, H) -> h' (B, H) and what `gru_step_backward` needs."""
    r_x, z_x, n_x = np.split(x @ w.w_ih.T + w.b_ih, 3, axis=-1)
    r_h, z_h, n_h = np.split(h @ w.w_hh.T + w.b_hh, 3, axis=-1)
    r = sigmoid(r_x + r_h)
    z = sigmoid(z_x + z_h)
    n = np.tanh(n_x + r * n_h)
    h_next = (1 - z) * n + z * h
    return h_next, (x, h, r, z, n, n_h)


@quiet
def gru_step_backward(dh_next: Array, kept: Kept, w: Weights) -> tuple[Array, Array, Weights]:
    """Its reverse: dh' (B, H) -> dx (B, I), dh (B, H), dw."""
    x, h, r, z, n, n_h = kept
    da_n = dh_next * (1 - z) * (1 - n**2)
    da_z = dh_next * (h - n) * z * (1 - z)
    da_r = da_n * n_h * r * (1 - r)
    da_x = np.concatenate([da_r, da_z, da_n], axis=-1)  # of W_ih x + b_ih
    da_h = np.concatenate([da_r, da_z, da_n * r], axis=-1)  # of W_hh h + b_hh
    dh = dh_next * z + da_h @ w.w_hh
    return da_x @ w.w_ih, dh, Weights(da_x.T @ x, da_h.T @ h, da_x.sum(0), da_h.sum(0))


# ---- The same with the reset gate applied before the product (the published paper, most textbooks): only n differs,
#      n = tanh(W_in x + b_in + W_hn (r ∘ h) + b_hn)


@quiet
def gru_reset_before_step(x: Array, h: Array, w: Weights) -> tuple[Array, Kept]:
    """One step: x (B, I), h (B, H) -> h' (B, H) and what `gru_reset_before_step_backward` needs."""
    w_hr, w_hz, w_hn = np.split(w.w_hh, 3)
    r_x, z_x, n_x = np.split(x @ w.w_ih.T + w.b_ih + w.b_hh, 3, axis=-1)
    r = sigmoid(r_x + h @ w_hr.T)
    z = sigmoid(z_x + h @ w_hz.T)
    n = np.tanh(n_x + (r * h) @ w_hn.T)
    h_next = (1 - z) * n + z * h
    return h_next, (x, h, r, z, n)


@quiet
def gru_reset_before_step_backward(dh_next: Array, kept: Kept, w: Weights) -> tuple[Array, Array, Weights]:
    """Its reverse: dh' (B, H) -> dx (B, I), dh (B, H), dw."""
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
    """What network.py knows of a cell: step(x, *state, w) -> (*state', kept), and its reverse."""

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
