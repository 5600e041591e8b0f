"""The NumPy way of running and training one recurrent layer, done with care: what recurra is measured against.

Everything that doesn't depend on the step before is one large operation over all steps: the input projection, the
factors of backpropagation through time, the weights' gradients. A step is one product and a few calls over all gates at
once, into buffers made beforehand. At B=1 H=32 such a call takes 0.35 µs and little of it is arithmetic, so the steps
also take what would add to that from beforehand: views (0.2 µs each), and constants in full size, since broadcasting a
row takes twice as long as two arrays of one shape. Nothing here uses recurra.

Arrays are time-major: x (T, B, I), y and dy (T, B, H). The initial state is zero. Names and gate order are PyTorch's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping

Array = NDArray[Any]
Views = tuple[Array, ...]


class NumpyLayer:
    """What the cells share: weights, buffers, and the products that span all steps.

    Args:
        weights: weight_ih_l0 (G·H, I), weight_hh_l0 (G·H, H), bias_ih_l0 and bias_hh_l0 (G·H,).
        steps, batch: T and B, fixed because the buffers are.
    """

    gates: int  # G

    def __init__(self, weights: Mapping[str, Array], steps: int, batch: int) -> None:
        (rows, inputs), dtype = weights["weight_ih_l0"].shape, weights["weight_ih_l0"].dtype
        hidden = rows // self.gates
        self.sizes = steps, batch, inputs, hidden
        self.h = np.zeros((steps + 1, batch, hidden), dtype)  # h[0] is the initial state, h[t + 1] follows step t
        self.projected = np.empty((steps, batch, rows), dtype)
        self.product = np.empty((batch, rows), dtype)  # W_hh h of one step
        self.da = np.empty((steps, batch, rows), dtype)  # gradient of W_hh h + b_hh
        self.dh = np.empty((batch, hidden), dtype)
        self.dx = np.empty((steps, batch, inputs), dtype)
        self.grads = {name: np.empty_like(value) for name, value in weights.items()}
        self.passing: list[Views] = []  # one step's views each, where nothing is kept
        self.kept: list[Views] = []  # and where `backward` will want it
        self.load(weights)

    def load(self, weights: Mapping[str, Array]) -> None:
        """Takes over changed weights.

        The transposed copies pay: with a view of W_hh instead, a step's product took 3.5 times as long at B=8 H=64 and
        1.2 times at B=64 H=1024 (OpenBLAS).
        """
        self.w_ih = weights["weight_ih_l0"]
        self.w_ih_t = np.array(self.w_ih.T, order="C")
        self.load_recurrent(weights)

    def load_recurrent(self, weights: Mapping[str, Array]) -> None:
        """What multiplies h, and the bias, which is that of both halves."""
        self.w_hh = weights["weight_hh_l0"]
        self.w_hh_t = np.array(self.w_hh.T, order="C")
        self.bias = weights["bias_ih_l0"] + weights["bias_hh_l0"]

    def scale_rows(self, scale: Array) -> None:
        """Scales the transposed copies and the bias: σ(a) = ½ + ½ tanh(a/2) makes one tanh serve every gate."""
        self.w_ih_t *= scale
        self.w_hh_t *= scale
        self.bias *= scale

    def project(self, x: Array) -> None:
        """The input's share of every step's pre-activation, bias included, in one product."""
        steps, batch, inputs, _ = self.sizes
        np.dot(x.reshape(steps * batch, inputs), self.w_ih_t, out=self.projected.reshape(steps * batch, -1))
        self.projected += self.bias

    def infer(self, x: Array) -> Array:
        """y (T, B, H), a view of a buffer that the next call overwrites."""
        self.project(x)
        self.walk(self.passing)
        return self.y

    def forward(self, x: Array) -> Array:
        """The same numbers, keeping what `backward` needs."""
        self.project(x)
        self.walk(self.kept)
        return self.y

    @property
    def y(self) -> Array:
        """The outputs (T, B, H) of the last call."""
        return self.h[1:]

    @property
    def state(self) -> tuple[Array, ...]:
        """The final state of the last call: h_n (B, H); of an LSTM also c_n."""
        return (self.h[-1],)

    def walk(self, steps: list[Views]) -> None:
        """The cell over all steps, each with the views of the buffers it reads and writes."""
        raise NotImplementedError

    def backward(self, x: Array, dy: Array, need_dx: bool = True) -> Array:
        """BPTT of the last `forward`: dx (T, B, I) unless spared, weights' gradients in `grads`, all overwritten."""
        raise NotImplementedError

    def finish(self, x: Array, da_input: Array, need_dx: bool) -> Array:
        """Every gradient that isn't sequential, from those of the pre-activations of all steps."""
        steps, batch, inputs, _ = self.sizes
        tall = steps * batch
        da_input = da_input.reshape(tall, -1)
        self.finish_recurrent()
        np.dot(da_input.T, x.reshape(tall, inputs), out=self.grads["weight_ih_l0"])
        np.sum(da_input, axis=0, out=self.grads["bias_ih_l0"])
        if need_dx:
            np.dot(da_input, self.w_ih, out=self.dx.reshape(tall, inputs))
        return self.dx

    @property
    def read(self) -> Array:
        """(T, B, H), what each step's recurrent product multiplied."""
        return self.h[:-1]

    def finish_recurrent(self) -> None:
        """The gradients of what multiplies h, and of its bias."""
        rows, hidden = self.da.shape[-1], self.sizes[3]
        da = self.da.reshape(-1, rows)
        np.dot(da.T, self.read.reshape(-1, hidden), out=self.grads["weight_hh_l0"])
        np.sum(da, axis=0, out=self.grads["bias_hh_l0"])


class NumpyRNN(NumpyLayer):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh)."""

    gates = 1

    def __init__(self, weights: Mapping[str, Array], steps: int, batch: int) -> None:
        super().__init__(weights, steps, batch)
        self.passing = self.kept = list(zip(self.projected, self.h, self.h[1:], strict=False))
        self.back = list(self.da)

    def walk(self, steps: list[Views]) -> None:
        """The cell over all steps."""
        for projected, h, h_next in steps:
            np.dot(h, self.w_hh_t, h_next)
            np.add(h_next, projected, h_next)
            np.tanh(h_next, h_next)

    def backward(self, x: Array, dy: Array, need_dx: bool = True) -> Array:
        """BPTT of the last `forward`."""
        dh = self.dh
        dh.fill(0)
        np.multiply(self.h[1:], self.h[1:], self.da)
        np.subtract(1, self.da, self.da)  # tanh', to be multiplied by dh'
        for da, dy_t in zip(reversed(self.back), dy[::-1], strict=True):
            np.add(dh, dy_t, dh)
            np.multiply(da, dh, da)
            np.dot(da, self.w_hh, dh)
        return self.finish(x, self.da, need_dx)


class NumpyLSTM(NumpyLayer):
    """i, f, o = σ(a_i), σ(a_f), σ(a_o); g = tanh(a_g); c' = f∘c + i∘g; h' = o∘tanh(c')."""

    gates = 4

    def __init__(self, weights: Mapping[str, Array], steps: int, batch: int) -> None:
        hidden = weights["weight_hh_l0"].shape[1]
        dtype = weights["weight_hh_l0"].dtype
        self.scale = np.tile(np.repeat(np.array([0.5, 0.5, 1, 0.5], dtype), hidden), (batch, 1))
        self.shift = 1 - self.scale
        super().__init__(weights, steps, batch)
        self.c = np.zeros_like(self.h)
        self.tanh_c = np.empty_like(self.h[1:])
        self.activations = np.empty_like(self.projected)
        self.slope = np.empty_like(self.tanh_c)
        self.dc = np.empty_like(self.dh)
        self.scratch = np.empty_like(self.dh)

        def views(t: int, at: int, c: int, c_next: int) -> Views:
            """Of step t, with its gates in place `at` of theirs, and likewise both cell states."""
            a = self.activations[at]
            i, f, g, o = (a[:, k * hidden : (k + 1) * hidden] for k in range(4))
            return (
                self.projected[t],
                self.h[t],
                self.c[c],
                a,
                i,
                f,
                g,
                o,
                self.c[c_next],
                self.tanh_c[at],
                self.h[t + 1],
            )

        self.kept = [views(t, t, t, t + 1) for t in range(steps)]
        self.passing = [views(t, 0, steps if t else 0, steps) for t in range(steps)]
        quarters = self.da.reshape(steps, batch, 4, hidden)
        self.back = [(self.da[t], *quarters[t].swapaxes(0, 1), self.slope[t], self.kept[t][5]) for t in range(steps)]

    def load(self, weights: Mapping[str, Array]) -> None:
        """Takes over changed weights."""
        super().load(weights)
        self.scale_rows(self.scale[0])

    @property
    def state(self) -> tuple[Array, ...]:
        """h_n and c_n (B, H)."""
        return self.h[-1], self.c[-1]

    def walk(self, steps: list[Views]) -> None:
        """The cell over all steps."""
        product, scratch, scale, shift = self.product, self.scratch, self.scale, self.shift
        for projected, h, c, a, i, f, g, o, c_next, tanh_c, h_next in steps:
            np.dot(h, self.w_hh_t, product)
            np.add(product, projected, a)
            np.tanh(a, a)
            np.multiply(a, scale, a)
            np.add(a, shift, a)
            np.multiply(i, g, scratch)
            np.multiply(f, c, c_next)
            np.add(c_next, scratch, c_next)
            np.tanh(c_next, tanh_c)
            np.multiply(o, tanh_c, h_next)

    def backward(self, x: Array, dy: Array, need_dx: bool = True) -> Array:
        """BPTT of the last `forward`."""
        self.find_factors()
        dh, dc, scratch = self.dh, self.dc, self.scratch
        dh.fill(0)
        dc.fill(0)
        for (da, da_i, da_f, da_g, da_o, slope, decay), dy_t in zip(reversed(self.back), dy[::-1], strict=True):
            np.add(dh, dy_t, dh)
            np.multiply(dh, slope, scratch)
            np.add(dc, scratch, dc)
            np.multiply(da_i, dc, da_i)
            np.multiply(da_f, dc, da_f)
            np.multiply(da_g, dc, da_g)
            np.multiply(da_o, dh, da_o)
            np.multiply(dc, decay, dc)
            np.dot(da, self.w_hh, dh)
        return self.finish(x, self.da, need_dx)

    def find_factors(self) -> None:
        """Per step dc' += dh'∘slope, da = factor times dc' (i, f, g) or dh' (o), dc = dc'∘f. The factors, which don't
        depend on either, are written where da will be.
        """
        steps, batch, _, hidden = self.sizes
        i, f, g, o = np.moveaxis(self.activations.reshape(steps, batch, 4, hidden), 2, 0)
        factors = self.da.reshape(steps, batch, 4, hidden)
        np.multiply(g, i * (1 - i), factors[:, :, 0])
        np.multiply(self.c[:-1], f * (1 - f), factors[:, :, 1])
        np.multiply(i, 1 - g * g, factors[:, :, 2])
        np.multiply(self.tanh_c, o * (1 - o), factors[:, :, 3])
        np.multiply(o, 1 - self.tanh_c * self.tanh_c, self.slope)


class NumpyGRU(NumpyLayer):
    """r, z = σ(a_r), σ(a_z); n = tanh(n_x + r∘n_h), n_h = W_hn h + b_hn; h' = n + z∘(h − n)."""

    gates = 3

    def __init__(self, weights: Mapping[str, Array], steps: int, batch: int) -> None:
        hidden = weights["weight_hh_l0"].shape[1]
        dtype = weights["weight_hh_l0"].dtype
        self.bias_hn = np.empty((batch, hidden), dtype)
        self.half = np.full((batch, 2 * hidden), 0.5, dtype)
        super().__init__(weights, steps, batch)
        self.rz = np.empty((steps, batch, 2 * hidden), dtype)
        self.n = np.empty_like(self.h[1:])
        self.n_h = np.empty_like(self.n)
        self.dn = np.empty_like(self.n)
        self.da_input = np.empty_like(self.da)
        self.scratch = np.empty_like(self.dh)

        def views(t: int, at: int) -> Views:
            """Of step t, with its gates in place `at` of theirs."""
            projected, rz = self.projected[t], self.rz[at]
            inputs = projected[:, : 2 * hidden], projected[:, 2 * hidden :]
            return *inputs, self.h[t], rz, rz[:, :hidden], rz[:, hidden:], self.n_h[at], self.n[at], self.h[t + 1]

        self.kept = [views(t, t) for t in range(steps)]
        self.passing = [views(t, 0) for t in range(steps)]
        thirds = self.da.reshape(steps, batch, 3, hidden)
        self.back = [(self.da[t], *thirds[t].swapaxes(0, 1), self.dn[t], self.kept[t][5]) for t in range(steps)]

    def load(self, weights: Mapping[str, Array]) -> None:
        """Takes over changed weights."""
        super().load(weights)
        hidden = self.sizes[3]
        self.bias_hn[:] = weights["bias_hh_l0"][2 * hidden :]
        self.bias[2 * hidden :] = weights["bias_ih_l0"][2 * hidden :]
        self.scale_rows(np.repeat(np.array([0.5, 0.5, 1], self.bias.dtype), hidden))

    def walk(self, steps: list[Views]) -> None:
        """The cell over all steps."""
        product, half, bias_hn = self.product, self.half, self.bias_hn
        product_rz, product_n = product[:, : half.shape[1]], product[:, half.shape[1] :]
        for projected_rz, projected_n, h, rz, r, z, n_h, n, h_next in steps:
            np.dot(h, self.w_hh_t, product)
            np.add(product_rz, projected_rz, rz)
            np.tanh(rz, rz)
            np.multiply(rz, half, rz)
            np.add(rz, half, rz)
            np.add(product_n, bias_hn, n_h)
            np.multiply(r, n_h, n)
            np.add(n, projected_n, n)
            np.tanh(n, n)
            np.subtract(h, n, h_next)
            np.multiply(h_next, z, h_next)
            np.add(h_next, n, h_next)

    def backward(self, x: Array, dy: Array, need_dx: bool = True) -> Array:
        """BPTT of the last `forward`."""
        steps, batch, _, hidden = self.sizes
        r, z = self.rz[:, :, :hidden], self.rz[:, :, hidden:]
        # Every pre-activation's gradient is a factor times dh', and the factors don't depend on dh'.
        factors = self.da.reshape(steps, batch, 3, hidden)
        np.multiply(1 - z, 1 - self.n * self.n, self.dn)
        np.multiply(self.dn, r, factors[:, :, 2])
        np.multiply(factors[:, :, 2], self.n_h * (1 - r), factors[:, :, 0])
        np.multiply(self.h[:-1] - self.n, z * (1 - z), factors[:, :, 1])
        dh, scratch = self.dh, self.scratch
        dh.fill(0)
        scratch.fill(0)
        for (da, da_r, da_z, da_n_h, dn, z_t), dy_t in zip(reversed(self.back), dy[::-1], strict=True):
            np.add(dh, scratch, dh)
            np.add(dh, dy_t, dh)
            np.multiply(da_r, dh, da_r)
            np.multiply(da_z, dh, da_z)
            np.multiply(da_n_h, dh, da_n_h)
            np.multiply(dn, dh, dn)
            np.multiply(dh, z_t, dh)
            np.dot(da, self.w_hh, scratch)
        self.da_input[:, :, : 2 * hidden] = self.da[:, :, : 2 * hidden]
        self.da_input[:, :, 2 * hidden :] = self.dn
        return self.finish(x, self.da_input, need_dx)


NUMPY_LAYERS: dict[str, type[NumpyLayer]] = {"rnn": NumpyRNN, "lstm": NumpyLSTM, "gru": NumpyGRU}
