"""NumPy: the LSTM with layer normalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recurra.bench.numpy_cells import Array, NumpyLayer, Views

from .problem import EPSILON

if TYPE_CHECKING:
    from collections.abc import Mapping


def centred(rows: Array) -> Array:
    """Less their mean over the rows: a product with such weights has the mean 0 without being asked for it."""
    result: Array = rows - rows.mean(axis=0)
    return result


class NumpyLayerNormLSTM(NumpyLayer):
    """An LSTM of sums gain_x∘LN(W_ih x + b_ih) + gain_h∘LN(W_hh h + b_hh) + shift, whose h' is o∘tanh(gain_c∘LN(c') +
    shift_c). LN is over all four gates together.

    Weights and biases are centred beforehand, so the sums need only their variance.
    """

    gates = 4

    def __init__(self, weights: Mapping[str, Array], steps: int, batch: int) -> None:
        rows, hidden = weights["weight_hh_l0"].shape
        dtype = weights["weight_hh_l0"].dtype
        self.scale = np.tile(np.repeat(np.array([0.5, 0.5, 1, 0.5], dtype), hidden), (batch, 1))
        self.affine = 1 - self.scale  # σ(a) = ½ + ½ tanh(a/2)
        self.bias_hh = np.empty((batch, rows), dtype)
        self.gain_h, self.scaled_gain_h = np.empty_like(self.bias_hh), np.empty_like(self.bias_hh)
        self.gain_c, self.shift_c = np.empty((batch, hidden), dtype), np.empty((batch, hidden), dtype)
        super().__init__(weights, steps, batch)
        self.c = np.zeros_like(self.h)
        self.scratch, self.dc = np.empty_like(self.dh), np.empty_like(self.dh)
        self.norm_x, self.norm_h, self.activations, self.d_sums = (np.empty_like(self.da) for _ in range(4))
        self.norm_c, self.tanh_c, self.slope = (np.empty_like(self.h[1:]) for _ in range(3))
        # The deviations, by which was divided.
        self.dev_x, self.dev_h, self.dev_c = (np.empty((steps, batch, 1), dtype) for _ in range(3))

        def views(t: int, at: int) -> Views:
            """Of step t, with what only `backward` needs in place `at`."""
            a = self.activations[at]
            gates = (a[:, k * hidden : (k + 1) * hidden] for k in range(4))
            normalised = self.norm_h[at], self.dev_h[at], self.norm_c[at], self.dev_c[at]
            return self.projected[t], self.h[t], self.c[t], a, *gates, *normalised, self.c[t + 1], self.tanh_c[at]

        self.kept = [(*views(t, t), self.h[t + 1]) for t in range(steps)]
        self.passing = [(*views(t, 0), self.h[t + 1]) for t in range(steps)]
        quarters = self.d_sums.reshape(steps, batch, 4, hidden)
        self.back = [
            (d_sums, *gates.swapaxes(0, 1), slope, kept[5], *kept[8:12], da)
            for d_sums, gates, slope, kept, da in zip(
                self.d_sums, quarters, self.slope, self.kept, self.da, strict=True
            )
        ]

    def load_recurrent(self, weights: Mapping[str, Array]) -> None:
        """Takes over changed weights: both matrices and biases, and gains and shifts."""
        self.w_ih, self.w_hh = centred(weights["weight_ih_l0"]), centred(weights["weight_hh_l0"])
        self.w_ih_t, self.w_hh_t = np.array(self.w_ih.T, order="C"), np.array(self.w_hh.T, order="C")
        self.bias = centred(weights["bias_ih_l0"])
        self.bias_hh[:] = centred(weights["bias_hh_l0"])
        self.gain_x, self.shift = weights["gain_x_l0"], weights["shift_l0"]
        self.gain_h[:], self.gain_c[:] = weights["gain_h_l0"], weights["gain_c_l0"]
        self.shift_c[:] = weights["shift_c_l0"]
        np.multiply(self.gain_h, self.scale, self.scaled_gain_h)

    def project(self, x: Array) -> None:
        """The input's half, normalised."""
        super().project(x)
        rows = self.projected.shape[-1]
        np.einsum("tbr,tbr->tb", self.projected, self.projected, out=self.dev_x[:, :, 0])
        np.sqrt(self.dev_x / rows + EPSILON, out=self.dev_x)
        np.divide(self.projected, self.dev_x, self.norm_x)
        np.multiply(self.norm_x, self.gain_x * self.scale[0], self.projected)
        self.projected += self.shift * self.scale[0]

    @property
    def state(self) -> tuple[Array, ...]:
        """h_n and c_n (B, H)."""
        return self.h[-1], self.c[-1]

    def walk(self, steps: list[Views]) -> None:
        """The cell over all steps."""
        product, scratch, scale, affine = self.product, self.scratch, self.scale, self.affine
        gain_h, bias_hh, gain_c, shift_c = self.scaled_gain_h, self.bias_hh, self.gain_c, self.shift_c
        rows, hidden = product.shape[1], scratch.shape[1]
        mean = np.empty((len(product), 1), product.dtype)
        for projected, h, c, a, i, f, g, o, norm_h, dev_h, norm_c, dev_c, c_next, tanh_c, h_next in steps:
            np.dot(h, self.w_hh_t, product)
            np.add(product, bias_hh, product)
            np.multiply(product, product, a)
            np.add.reduce(a, 1, None, dev_h, keepdims=True)
            np.divide(dev_h, rows, dev_h)
            np.add(dev_h, EPSILON, dev_h)
            np.sqrt(dev_h, dev_h)
            np.divide(product, dev_h, norm_h)
            np.multiply(norm_h, gain_h, a)
            np.add(a, projected, a)
            np.tanh(a, a)
            np.multiply(a, scale, a)
            np.add(a, affine, a)
            np.multiply(i, g, scratch)
            np.multiply(f, c, c_next)
            np.add(c_next, scratch, c_next)
            np.add.reduce(c_next, 1, None, mean, keepdims=True)
            np.divide(mean, hidden, mean)
            np.subtract(c_next, mean, norm_c)
            np.multiply(norm_c, norm_c, scratch)
            np.add.reduce(scratch, 1, None, dev_c, keepdims=True)
            np.divide(dev_c, hidden, dev_c)
            np.add(dev_c, EPSILON, dev_c)
            np.sqrt(dev_c, dev_c)
            np.divide(norm_c, dev_c, norm_c)
            np.multiply(norm_c, gain_c, tanh_c)
            np.add(tanh_c, shift_c, tanh_c)
            np.tanh(tanh_c, tanh_c)
            np.multiply(o, tanh_c, h_next)

    def backward(self, x: Array, dy: Array, need_dx: bool = True) -> Array:
        """BPTT of the last `forward`. d_sums is the gradient of the gates' sums, da that of W_hh h + b_hh."""
        steps, batch, _, hidden = self.sizes
        i, f, g, o = np.moveaxis(self.activations.reshape(steps, batch, 4, hidden), 2, 0)
        factors = self.d_sums.reshape(steps, batch, 4, hidden)
        np.multiply(g, i * (1 - i), factors[:, :, 0])
        np.multiply(self.c[:-1], f * (1 - f), factors[:, :, 1])
        np.multiply(i, 1 - g * g, factors[:, :, 2])
        np.multiply(self.tanh_c, o * (1 - o), factors[:, :, 3])
        np.multiply(o, 1 - self.tanh_c * self.tanh_c, self.slope)
        dh, dc, scratch, wide, gain_h, gain_c = self.dh, self.dc, self.scratch, self.product, self.gain_h, self.gain_c
        rows, shown = wide.shape[1], np.empty_like(dh)
        mean = np.empty((batch, 1), dh.dtype)
        dh.fill(0)
        dc.fill(0)
        for views, dy_t in zip(reversed(self.back), dy[::-1], strict=True):
            d_sums, d_i, d_f, d_g, d_o, slope, f_t, norm_h, dev_h, norm_c, dev_c, da = views
            np.add(dh, dy_t, dh)
            np.multiply(d_o, dh, d_o)
            np.multiply(slope, dh, slope)  # from here on the gradient of gain_c∘LN(c') + shift_c
            np.multiply(slope, gain_c, shown)
            np.multiply(shown, norm_c, scratch)
            np.add.reduce(scratch, 1, None, mean, keepdims=True)
            np.divide(mean, hidden, mean)
            np.multiply(norm_c, mean, scratch)
            np.subtract(shown, scratch, scratch)
            np.add.reduce(shown, 1, None, mean, keepdims=True)
            np.divide(mean, hidden, mean)
            np.subtract(scratch, mean, scratch)
            np.divide(scratch, dev_c, scratch)
            np.add(dc, scratch, dc)
            np.multiply(d_i, dc, d_i)
            np.multiply(d_f, dc, d_f)
            np.multiply(d_g, dc, d_g)
            np.multiply(dc, f_t, dc)
            np.multiply(d_sums, gain_h, wide)
            np.multiply(wide, norm_h, da)
            np.add.reduce(da, 1, None, mean, keepdims=True)
            np.divide(mean, rows, mean)
            np.multiply(norm_h, mean, da)
            np.subtract(wide, da, da)
            np.divide(da, dev_h, da)
            np.dot(da, self.w_hh, dh)
        d_norm = self.d_sums * self.gain_x
        d_norm -= self.norm_x * (np.einsum("tbr,tbr->tb", d_norm, self.norm_x) / rows)[:, :, None]
        d_norm /= self.dev_x
        return self.finish(x, d_norm, need_dx)

    def finish(self, x: Array, da_input: Array, need_dx: bool) -> Array:
        """Those of gains and shifts, too; centring is undone, which is centring once more."""
        dx = super().finish(x, da_input, need_dx)
        for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
            self.grads[name] -= self.grads[name].mean(axis=0)
        np.einsum("tbr,tbr->r", self.d_sums, self.norm_x, out=self.grads["gain_x_l0"])
        np.einsum("tbr,tbr->r", self.d_sums, self.norm_h, out=self.grads["gain_h_l0"])
        np.sum(self.d_sums, axis=(0, 1), out=self.grads["shift_l0"])
        np.einsum("tbh,tbh->h", self.slope, self.norm_c, out=self.grads["gain_c_l0"])
        np.sum(self.slope, axis=(0, 1), out=self.grads["shift_c_l0"])
        return dx
