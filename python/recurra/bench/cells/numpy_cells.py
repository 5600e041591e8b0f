"""NumPy: the cells written with the care of `..numpy_cells`, into buffers, with gradients by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recurra.bench.contestants import Numpy
from recurra.bench.numpy_cells import Array, NumpyLayer, NumpyLSTM, Views

from .numpy_exponential import NumpySLSTM
from .numpy_normalised import NumpyLayerNormLSTM
from .problem import FORMULAS, LEAK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recurra.bench.contestants import Entry
    from recurra.bench.problem import Data, Spec


class NumpyPeephole(NumpyLSTM):
    """i, f = σ(a_i + p_i∘c), σ(a_f + p_f∘c); g = tanh(a_g); c' = f∘c + i∘g; o = σ(a_o + p_o∘c'); h' = o∘tanh(c')."""

    def __init__(self, weights: Mapping[str, Array], steps: int, batch: int) -> None:
        super().__init__(weights, steps, batch)
        hidden = self.sizes[3]
        self.peeped = np.empty((batch, 2, hidden), self.h.dtype)
        self.decay = np.empty_like(self.slope)

        def views(views: Views) -> Views:
            """Those of the LSTM's, with c twice, and i and f, and i, f and g as one array."""
            projected, h, c, a, i, f, g, o, *outputs = views
            pair = a[:, : 2 * hidden].reshape(batch, 2, hidden)
            return projected, h, c, c[:, None], a, pair, a[:, : 3 * hidden], i, f, g, o, *outputs

        self.kept, self.passing = list(map(views, self.kept)), list(map(views, self.passing))
        self.back = [(*views[:-1], decay) for views, decay in zip(self.back, self.decay, strict=True)]

    def load(self, weights: Mapping[str, Array]) -> None:
        """Halved where the sigmoid is to be a tanh, as the sums are."""
        super().load(weights)
        _, batch, _, hidden = self.sizes
        self.p_i, self.p_f = np.split(weights["p_if_l0"], 2)
        self.p_o = weights["p_o_l0"]
        self.half_p_if = np.tile(weights["p_if_l0"].reshape(2, hidden) / 2, (batch, 1, 1))
        self.half_p_o = np.tile(self.p_o / 2, (batch, 1))

    def walk(self, steps: list[Views]) -> None:
        """The cell over all steps."""
        product, scratch, peeped, half_p_if, half_p_o = (
            self.product, self.scratch, self.peeped, self.half_p_if, self.half_p_o,
        )  # fmt: skip
        hidden = self.sizes[3]
        scale, shift = self.scale[:, : 3 * hidden].copy(), self.shift[:, : 3 * hidden].copy()
        half = np.full_like(scratch, 0.5)
        for projected, h, c, c_twice, a, i_f, i_f_g, i, f, g, o, c_next, tanh_c, h_next in steps:
            np.dot(h, self.w_hh_t, product)
            np.add(product, projected, a)
            np.multiply(half_p_if, c_twice, peeped)
            np.add(i_f, peeped, i_f)
            np.tanh(i_f_g, i_f_g)
            np.multiply(i_f_g, scale, i_f_g)
            np.add(i_f_g, shift, i_f_g)
            np.multiply(i, g, scratch)
            np.multiply(f, c, c_next)
            np.add(c_next, scratch, c_next)
            np.multiply(half_p_o, c_next, scratch)
            np.add(o, scratch, o)
            np.tanh(o, o)
            np.multiply(o, half, o)
            np.add(o, half, o)
            np.tanh(c_next, tanh_c)
            np.multiply(o, tanh_c, h_next)

    def find_factors(self) -> None:
        """The LSTM's, with the ways through the peepholes: from o to c', and from i and f to c."""
        super().find_factors()
        steps, batch, _, hidden = self.sizes
        i, f, _, o = np.moveaxis(self.da.reshape(steps, batch, 4, hidden), 2, 0)
        self.slope += o * self.p_o
        forget = self.activations[:, :, hidden : 2 * hidden]
        self.decay[:] = forget + i * self.p_i + f * self.p_f

    def finish_recurrent(self) -> None:
        """The peepholes', too."""
        super().finish_recurrent()
        steps, batch, _, hidden = self.sizes
        i, f, _, o = np.moveaxis(self.da.reshape(steps, batch, 4, hidden), 2, 0)
        d_if = self.grads["p_if_l0"]
        for da, c, out in ((i, self.c[:-1], d_if[:hidden]), (f, self.c[:-1], d_if[hidden:]), (o, self.c[1:], None)):
            np.einsum("tbh,tbh->h", da, c, out=self.grads["p_o_l0"] if out is None else out)


class NumpyLeaky(NumpyLayer):
    """s' = (1 − α) s + α (W_ih x + b_ih + W_hh tanh(s) + b_hh); α is put into the weights."""

    gates = 1

    def __init__(self, weights: Mapping[str, Array], steps: int, batch: int) -> None:
        super().__init__(weights, steps, batch)
        self.rates = np.empty_like(self.h[1:])
        self.scratch = np.empty_like(self.dh)
        self.kept = list(zip(self.projected, self.h, self.rates, self.h[1:], strict=False))
        self.passing = [(*views[:2], self.rates[0], views[3]) for views in self.kept]
        self.back = list(self.da)

    def load(self, weights: Mapping[str, Array]) -> None:
        """Takes over changed weights."""
        super().load(weights)
        self.scale_rows(np.full_like(self.bias, LEAK))
        self.w_hh_scaled = LEAK * self.w_hh

    @property
    def read(self) -> Array:
        """The recurrent product is one of tanh(s)."""
        return self.rates

    def walk(self, steps: list[Views]) -> None:
        """The cell over all steps."""
        scratch, keep = self.scratch, np.full_like(self.scratch, 1 - LEAK)
        for projected, s, rate, s_next in steps:
            np.tanh(s, rate)
            np.dot(rate, self.w_hh_t, s_next)
            np.add(s_next, projected, s_next)
            np.multiply(s, keep, scratch)
            np.add(s_next, scratch, s_next)

    def backward(self, x: Array, dy: Array, need_dx: bool = True) -> Array:
        """BPTT of the last `forward`: what reaches s' is kept, and scaled at the end for all steps."""
        ds, scratch, keep = self.dh, self.scratch, np.full_like(self.scratch, 1 - LEAK)
        ds.fill(0)
        for da, slope, dy_t in zip(reversed(self.back), 1 - self.rates[::-1] ** 2, dy[::-1], strict=True):
            np.add(ds, dy_t, da)
            np.dot(da, self.w_hh_scaled, scratch)
            np.multiply(scratch, slope, scratch)
            np.multiply(da, keep, ds)
            np.add(ds, scratch, ds)
        self.da *= LEAK
        return self.finish(x, self.da, need_dx)


class NumpyMinGRU(NumpyLayer):
    """h' = (1 − z)∘h + z∘g(a_n), z = σ(a_z), of sums over x alone: only two operations depend on the step before."""

    gates = 2

    def __init__(self, weights: Mapping[str, Array], steps: int, batch: int) -> None:
        super().__init__(weights, steps, batch)
        self.z, self.keep, self.new, self.candidate = (np.empty_like(self.h[1:]) for _ in range(4))
        self.slope, self.sigmoid = np.empty_like(self.z), np.empty_like(self.z)
        self.kept = self.passing = list(zip(self.h, self.keep, self.new, self.h[1:], strict=False))
        self.dh_all = np.empty_like(self.z)

    def load_recurrent(self, weights: Mapping[str, Array]) -> None:
        """Nothing multiplies h."""
        self.bias = weights["bias_ih_l0"]

    def project(self, x: Array) -> None:
        """And both gates, of all steps."""
        super().project(x)
        hidden = self.sizes[3]
        a_z, a_n = self.projected[:, :, :hidden], self.projected[:, :, hidden:]
        for a, sigmoid in ((a_z, self.z), (a_n, self.sigmoid)):  # σ(a) = ½ + ½ tanh(a/2)
            np.multiply(a, 0.5, sigmoid)
            np.tanh(sigmoid, sigmoid)
            np.multiply(sigmoid, 0.5, sigmoid)
            np.add(sigmoid, 0.5, sigmoid)
        np.add(a_n, 0.5, self.candidate)
        np.copyto(self.candidate, self.sigmoid, where=a_n < 0)
        np.subtract(1, self.z, self.keep)
        np.multiply(self.z, self.candidate, self.new)

    def walk(self, steps: list[Views]) -> None:
        """The cell over all steps."""
        for h, keep, new, h_next in steps:
            np.multiply(h, keep, h_next)
            np.add(h_next, new, h_next)

    def backward(self, x: Array, dy: Array, need_dx: bool = True) -> Array:
        """BPTT of the last `forward`."""
        hidden = self.sizes[3]
        dh, last = self.dh_all, self.dh
        last.fill(0)
        for dh_t, dy_t, keep in zip(dh[::-1], dy[::-1], self.keep[::-1], strict=True):
            np.add(last, dy_t, dh_t)
            np.multiply(dh_t, keep, last)
        da_z, da_n = self.da[:, :, :hidden], self.da[:, :, hidden:]
        slope = np.where(self.projected[:, :, hidden:] < 0, self.sigmoid * (1 - self.sigmoid), 1)
        np.multiply(dh, self.z, da_n)
        np.multiply(da_n, slope, da_n)
        np.multiply(dh, self.candidate - self.h[:-1], da_z)
        np.multiply(da_z, self.z * self.keep, da_z)
        return self.finish(x, self.da, need_dx)

    def finish_recurrent(self) -> None:
        """Nothing multiplies h."""


CELL_LAYERS: dict[str, type[NumpyLayer]] = {
    "peephole": NumpyPeephole,
    "layernorm": NumpyLayerNormLSTM,
    "leaky": NumpyLeaky,
    "mingru": NumpyMinGRU,
    "slstm": NumpySLSTM,
}


class NumpyCells(Numpy):
    """As Numpy, for the cells of FORMULAS."""

    layers = CELL_LAYERS

    def prepare(self, spec: Spec, weights: Mapping[str, Array], data: Data) -> Entry:
        """Every row."""
        cell = FORMULAS[spec.cell]
        entry = super().prepare(spec, cell.join(weights), data)
        return entry._replace(answers=lambda: cell.split(entry.answers()))
