"""PyTorch: the cells as its users write them: a loop over the steps, before it what doesn't depend on h.

Fused functions (addmm, addcmul, lerp, layer_norm) do what they can. The inputs of all steps are unbound at once, since
the gradient of an index in a loop would be as large as all of them, at every step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from recurra.bench.peer_torch import PyTorch

from .problem import EPSILON, FORMULAS, LEAK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from recurra.bench.contestants import Entry
    from recurra.bench.problem import Array, Data, Spec


def project(w: Any, x: Any) -> Any:
    """The input's share of all steps, with both biases, (T, B, G·H)."""
    return functional.linear(x, w["weight_ih_l0"], w["bias_ih_l0"] + w["bias_hh_l0"])


def peephole(w: Any, x: Any) -> Any:
    """Gates i, f, g, o; the peepholes of i and f are one vector, and the two gates one activation."""
    hidden = w["weight_hh_l0"].shape[1]
    w_hh_t, p_if, p_o = w["weight_hh_l0"].t(), w["p_if_l0"].view(2, hidden), w["p_o_l0"]
    h = c = x.new_zeros(x.shape[1], hidden)
    y = []
    for a in project(w, x).unbind():
        i_f, g, o = torch.addmm(a, h, w_hh_t).split([2 * hidden, hidden, hidden], 1)
        i, f = torch.sigmoid(torch.addcmul(i_f.view(-1, 2, hidden), p_if, c[:, None])).unbind(1)
        c = torch.addcmul(f * c, i, torch.tanh(g))
        h = torch.sigmoid(torch.addcmul(o, p_o, c)) * torch.tanh(c)
        y.append(h)
    return torch.stack(y), h, c


def layernorm(w: Any, x: Any) -> Any:
    """Gates i, f, g, o; the input's half is normalised before the loop."""
    w_hh, b_hh, gain_h = w["weight_hh_l0"], w["bias_hh_l0"], w["gain_h_l0"]
    gain_c, shift_c = w["gain_c_l0"], w["shift_c_l0"]
    rows, hidden = w_hh.shape
    inputs = functional.linear(x, w["weight_ih_l0"], w["bias_ih_l0"])
    inputs = functional.layer_norm(inputs, (rows,), w["gain_x_l0"], w["shift_l0"], EPSILON)
    h = c = x.new_zeros(x.shape[1], hidden)
    y = []
    for a in inputs.unbind():
        product = functional.linear(h, w_hh, b_hh)
        sums = a + functional.layer_norm(product, (rows,), gain_h, None, EPSILON)
        i_f, g, o = sums.split([2 * hidden, hidden, hidden], 1)
        i, f = torch.sigmoid(i_f).chunk(2, 1)
        c = torch.addcmul(f * c, i, torch.tanh(g))
        h = torch.sigmoid(o) * torch.tanh(functional.layer_norm(c, (hidden,), gain_c, shift_c, EPSILON))
        y.append(h)
    return torch.stack(y), h, c


def leaky(w: Any, x: Any) -> Any:
    """One state, which is h here."""
    w_hh_t = w["weight_hh_l0"].t()
    h = x.new_zeros(x.shape[1], len(w_hh_t))
    y = []
    for a in project(w, x).unbind():
        h = torch.lerp(h, torch.addmm(a, torch.tanh(h), w_hh_t), LEAK)
        y.append(h)
    return torch.stack(y), h


def mingru(w: Any, x: Any) -> Any:
    """Everything but the recurrence itself is done for all steps at once."""
    z, n = functional.linear(x, w["weight_ih_l0"], w["bias_ih_l0"]).chunk(2, -1)
    new = torch.where(n >= 0, n + 0.5, torch.sigmoid(n))
    h = x.new_zeros(new.shape[1:])
    y = []
    for new_t, z_t in zip(new.unbind(), torch.sigmoid(z).unbind(), strict=True):
        h = torch.lerp(h, new_t, z_t)
        y.append(h)
    return torch.stack(y), h


def slstm(w: Any, x: Any) -> Any:
    """Gates i, f, z, o. States are (heads, B, H / heads) during the loop, so that no step has to transpose anything."""
    heads = FORMULAS["slstm"].heads
    (steps, batch), size = x.shape[:2], w["weight_hh_l0"].shape[1]
    w_hh_t = w["weight_hh_l0"].view(4, heads, size, size).permute(1, 3, 0, 2).reshape(heads, size, 4 * size)
    inputs = project(w, x).view(steps, batch, 4, heads, size).permute(0, 3, 1, 2, 4)
    h = c = n = x.new_zeros(heads, batch, size)
    m = torch.full_like(h, -torch.inf)
    y = []
    for a in inputs.reshape(steps, heads, batch, 4 * size).unbind():
        i, f, z, o = torch.baddbmm(a, h, w_hh_t).chunk(4, -1)
        kept = m + functional.logsigmoid(f)
        # c and n are both scaled by exp(−m), which cancels: so no gradient goes through m.
        m = torch.maximum(kept, i).detach()
        i, f = torch.exp(i - m), torch.exp(kept - m)
        c, n = torch.addcmul(f * c, i, torch.tanh(z)), torch.addcmul(i, f, n)
        h = torch.sigmoid(o) * c / n
        y.append(h)
    return tuple(map(joined_heads, (torch.stack(y), h, c, n, m)))


def joined_heads(v: Any) -> Any:
    """(…, heads, B, H / heads) -> (…, B, H)."""
    return v.transpose(-3, -2).flatten(-2)


NETWORKS = {"peephole": peephole, "layernorm": layernorm, "leaky": leaky, "mingru": mingru, "slstm": slstm}


class Network(torch.nn.Module):  # type: ignore[misc] # torch isn't looked into
    """A layer like torch.nn.LSTM, of one of the functions above.

    Args:
        run: the function of (parameters by name, x), which returns y and the states.
        shapes: of the parameters.
    """

    def __init__(self, run: Callable[..., Any], shapes: Mapping[str, tuple[int, ...]], dtype: Any) -> None:
        super().__init__()
        self.run = run
        for name, shape in shapes.items():
            self.register_parameter(name, torch.nn.Parameter(torch.empty(shape, dtype=dtype)))

    def forward(self, x: Any, _: Any) -> Any:
        """y (T, B, H) and states (1, B, H), from zeros."""
        y, *states = self.run(dict(self.named_parameters()), x)
        return y, tuple(state[None] for state in states)


class TorchCells(PyTorch):
    """As PyTorch, for the cells of FORMULAS."""

    def layer(self, spec: Spec) -> Any:
        """What computes the row, with weights of its own as yet."""
        shapes = FORMULAS[spec.cell].joined_shapes(spec.shape.inputs, spec.shape.hidden)
        return Network(NETWORKS[spec.cell], shapes, getattr(torch, spec.dtype))

    def prepare(self, spec: Spec, weights: Mapping[str, Array], data: Data) -> Entry:
        """Every row."""
        cell = FORMULAS[spec.cell]
        entry = super().prepare(spec, cell.join(weights), data)
        return entry._replace(answers=lambda: cell.split(entry.answers()))
