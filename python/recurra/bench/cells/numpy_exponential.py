"""NumPy: the LSTM with exponential gates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recurra.bench.numpy_cells import Array, NumpyLayer, Views

from .problem import FORMULAS

if TYPE_CHECKING:
    from collections.abc import Mapping


class NumpySLSTM(NumpyLayer):
    """k = m + log σ(a_f); m' = max(k, a_i); i, f = exp(a_i − m'), exp(k − m'); c' = f∘c + i∘tanh(a_z); n' = f∘n + i;
    h' = σ(a_o)∘c'/n'. W_hh is block-diagonal.

    States are (heads, B, H / heads), and m is −∞ at first. c and n are both scaled by exp(−m), which cancels: so no
    gradient goes through m.
    """

    gates = 4
    heads = FORMULAS["slstm"].heads

    def __init__(self, weights: Mapping[str, Array], steps: int, batch: int) -> None:
        size = len(weights["weight_ih_l0"]) // (4 * self.heads)
        dtype = weights["weight_ih_l0"].dtype
        self.size = size
        # σ(a) = ½ + ½ tanh(a/2), and −a_f is what log σ wants.
        self.scale = np.repeat(np.array([1, -1, 1, 0.5], dtype), self.heads * size)
        super().__init__(weights, steps, batch)
        one = (self.heads, batch, size)
        self.inputs = np.empty((steps, self.heads, batch, 4, size), dtype)
        self.activations, self.d_sums = np.empty_like(self.inputs), np.empty_like(self.inputs)
        self.outputs = np.empty((steps, batch, self.heads, size), dtype)
        self.h_all, self.c, self.n, self.m = (np.zeros((steps + 1, *one), dtype) for _ in range(4))
        self.m[0] = -np.inf
        self.forgetting, self.ratio, self.slope, self.slope_n = (np.empty((steps, *one), dtype) for _ in range(4))

        def views(t: int, at: int) -> Views:
            """Of step t, with what only `backward` needs in place `at`."""
            a = self.activations[at]
            i, f, z, o = a.transpose(2, 0, 1, 3)
            states = self.h_all[t], self.c[t], self.n[t], self.m[t]
            gates = a.reshape(self.heads, batch, 4 * size), a[:, :, :2], a[:, :, 2:], i, f, z, o
            after = self.m[t + 1], self.m[t + 1][:, :, None], self.c[t + 1], self.n[t + 1], self.h_all[t + 1]
            flat = self.inputs[t].reshape(self.heads, batch, 4 * size)
            return flat, *states, *gates, self.forgetting[at], self.ratio[at], *after

        self.kept = [views(t, t) for t in range(steps)]
        self.passing = [views(t, 0) for t in range(steps)]
        self.product = np.empty((self.heads, batch, 4 * size), dtype)
        self.back = [
            (
                *self.d_sums[t].transpose(2, 0, 1, 3),
                self.d_sums[t].reshape(self.heads, batch, 4 * size),
                *(self.slope[t], self.slope_n[t], self.c[t], self.n[t]),
                *self.activations[t].transpose(2, 0, 1, 3)[:3],
                self.forgetting[t],
            )
            for t in range(steps)
        ]

    def load_recurrent(self, weights: Mapping[str, Array]) -> None:
        """One block a head: (heads, 4·H/heads, H/heads), and turned."""
        blocks = weights["weight_hh_l0"].reshape(4, self.heads, self.size, self.size).swapaxes(0, 1)
        self.w_hh = blocks.reshape(self.heads, 4 * self.size, self.size)
        scale = np.array([1, -1, 1, 0.5], self.w_hh.dtype)[:, None, None]
        self.w_hh_t = np.ascontiguousarray((blocks * scale).reshape(self.w_hh.shape).swapaxes(1, 2))
        self.w_ih_t *= self.scale
        self.bias = (weights["bias_ih_l0"] + weights["bias_hh_l0"]) * self.scale

    def project(self, x: Array) -> None:
        """And puts heads first."""
        super().project(x)
        steps, batch = self.sizes[:2]
        by_gate = self.projected.reshape(steps, batch, 4, self.heads, self.size)
        self.inputs[:] = by_gate.transpose(0, 3, 1, 2, 4)

    @property
    def y(self) -> Array:
        """The outputs (T, B, H), copied from where heads come first."""
        steps, batch, _, hidden = self.sizes
        self.outputs[:] = self.h_all[1:].swapaxes(1, 2)
        return self.outputs.reshape(steps, batch, hidden)

    @property
    def state(self) -> tuple[Array, ...]:
        """h_n, c_n, n_n and m_n (B, H)."""
        states = (self.h_all, self.c, self.n, self.m)
        return tuple(state[-1].swapaxes(0, 1).reshape(self.sizes[1], -1) for state in states)

    def walk(self, steps: list[Views]) -> None:
        """The cell over all steps."""
        product, scratch = self.product, np.empty_like(self.c[0])
        half, zero = np.full_like(scratch, 0.5), np.zeros_like(scratch)
        for step in steps:
            inputs, h, c, n, m, a, i_f, z_o, i, f, z, o, forgetting, ratio, m_next, m_twice, c_next, n_next, h_next = (
                step
            )
            np.matmul(h, self.w_hh_t, product)
            np.add(product, inputs, a)
            np.abs(
                f, scratch
            )  # −log σ(a_f) = max(−a_f, 0) + log(1 + exp(−|a_f|)); np.logaddexp takes ten times as long
            np.negative(scratch, scratch)
            np.exp(scratch, scratch)
            np.log1p(scratch, scratch)
            np.maximum(f, zero, out=forgetting)
            np.add(forgetting, scratch, forgetting)
            np.subtract(m, forgetting, f)
            np.maximum(i, f, out=m_next)
            np.subtract(i_f, m_twice, i_f)
            np.exp(i_f, i_f)
            np.tanh(z_o, z_o)
            np.multiply(o, half, o)
            np.add(o, half, o)
            np.multiply(i, z, scratch)
            np.multiply(f, c, c_next)
            np.add(c_next, scratch, c_next)
            np.multiply(f, n, n_next)
            np.add(n_next, i, n_next)
            np.divide(c_next, n_next, ratio)
            np.multiply(o, ratio, h_next)

    def backward(self, x: Array, dy: Array, need_dx: bool = True) -> Array:
        """BPTT of the last `forward`."""
        steps, batch = self.sizes[:2]
        i, f, z, o = np.moveaxis(self.activations, 3, 0)
        d_i, d_f, d_z, d_o = np.moveaxis(self.d_sums, 3, 0)  # factors at first
        np.multiply(i, 1 - z * z, d_z)
        np.multiply(self.ratio, o * (1 - o), d_o)
        np.divide(o, self.n[1:], self.slope)
        np.multiply(self.slope, -self.ratio, self.slope_n)
        np.exp(-self.forgetting, self.forgetting)
        np.multiply(f, 1 - self.forgetting, self.forgetting)  # f times the slope of log σ
        dh, dc, dn, scratch = (np.zeros_like(self.c[0]) for _ in range(4))
        dy_heads = dy.reshape(steps, batch, self.heads, self.size).swapaxes(1, 2)
        for views, dy_t in zip(reversed(self.back), dy_heads[::-1], strict=True):
            d_i, d_f, d_z, d_o, d_all, slope, slope_n, c, n, i_t, f_t, z_t, forgetting = views
            np.add(dh, dy_t, dh)
            np.multiply(d_o, dh, d_o)
            np.multiply(dh, slope, scratch)
            np.add(dc, scratch, dc)
            np.multiply(dh, slope_n, scratch)
            np.add(dn, scratch, dn)
            np.multiply(d_z, dc, d_z)
            np.multiply(dc, z_t, d_i)
            np.add(d_i, dn, d_i)
            np.multiply(d_i, i_t, d_i)
            np.multiply(dc, c, d_f)
            np.multiply(dn, n, scratch)
            np.add(d_f, scratch, d_f)
            np.multiply(d_f, forgetting, d_f)
            np.multiply(dc, f_t, dc)
            np.multiply(dn, f_t, dn)
            np.matmul(d_all, self.w_hh, dh)
        by_gate = self.da.reshape(steps, batch, 4, self.heads, self.size)
        by_gate[:] = self.d_sums.transpose(0, 2, 3, 1, 4)
        return self.finish(x, self.da, need_dx)

    def finish_recurrent(self) -> None:
        """Of each head's block."""
        rows = self.d_sums.swapaxes(0, 1).reshape(self.heads, -1, 4 * self.size)
        read = self.h_all[:-1].swapaxes(0, 1).reshape(self.heads, -1, self.size)
        blocks = np.matmul(rows.swapaxes(1, 2), read).reshape(self.heads, 4, self.size, self.size)
        self.grads["weight_hh_l0"].reshape(4, self.heads, self.size, self.size)[:] = blocks.swapaxes(0, 1)
        np.sum(self.da, axis=(0, 1), out=self.grads["bias_hh_l0"])
