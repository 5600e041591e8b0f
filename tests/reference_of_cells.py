"""What the references of `recurra.cells` are made of: plain NumPy from the papers, with stacked matrices, no formulas.

A reference takes the parameters by name, x (B, I) and the states (B, H) each, and returns the new states. Its decorator
says what parameters there are: how many gates' rows each weight has, in the order in which the function splits them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

REFERENCES: dict[str, Reference] = {}


@dataclass
class Reference:
    step: Callable
    states: int
    blocks: dict[str, int]  # rows of weights and biases, in H
    units: list[str]
    scalars: list[str]
    inputs: dict[str, str]
    square: bool  # input_size has to be hidden_size
    heads: int
    projected: int  # 0, or the size of h
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)  # of units and inputs that aren't any number

    def sizes(self, H):
        """Of the states."""
        return [self.projected or H] + [H] * (self.states - 1)

    def shapes(self, I, H):  # noqa: E741
        shapes = {}
        for name, blocks in self.blocks.items():
            columns = {"weight_ih": I, "weight_hh": (self.projected or H) // self.heads}.get(name, H)
            shapes[name] = (blocks * H,) if name.startswith("bias") else (blocks * H, columns)
        if self.projected:
            shapes["weight_hr"] = (self.projected, H)
        return shapes | dict.fromkeys(self.units, (H,)) | dict.fromkeys(self.scalars, ())

    def draw(self, name, rng, shape, scale=1.0):
        low, high = self.ranges.get(name, (None, None))
        return rng.normal(0, scale, shape) if low is None else rng.uniform(low, high, shape)

    def draw_params(self, rng, I, H):  # noqa: E741
        return {name: self.draw(name, rng, shape, 0.5) for name, shape in self.shapes(I, H).items()}


def reference(
    name,
    states=1,
    ih=0,
    hh=0,
    bias_hh=None,
    other=(),
    units="",
    scalars="",
    inputs=(),
    square=False,
    heads=1,
    projected=0,
    ranges=(),
):
    def register(step):
        bias = hh if bias_hh is None else bias_hh
        blocks = {"weight_ih": ih, "weight_hh": hh, **dict(other), "bias_ih": ih, "bias_hh": bias}
        blocks = {key: value for key, value in blocks.items() if value}
        REFERENCES[name] = Reference(
            step, states, blocks, units.split(), scalars.split(), dict(inputs), square, heads, projected, dict(ranges)
        )
        return step

    return register


def sigma(v):
    return 0.5 * (1 + np.tanh(0.5 * v))


def of_x(p, x):
    """W_ih x + b_ih, a block for each gate."""
    sums = x @ p["weight_ih"].T + p["bias_ih"]
    return np.split(sums, len(p["weight_ih"]) // block_size(p), axis=-1)


def block_size(p):
    return p["H"]


def of_h(p, h, weight="weight_hh"):
    """W_hh h + b_hh, a block for each gate."""
    sums = h @ p[weight].T + p["bias_hh"]
    return np.split(sums, len(p[weight]) // block_size(p), axis=-1)


def both(p, x, h):
    """The sums of gates which all have both halves."""
    return [v + w for v, w in zip(of_x(p, x), of_h(p, h), strict=True)]


def times(p, k, v, weight="weight_hh", bias=None):
    """Block k of a weight times v, and a block of the recurrent bias."""
    H = block_size(p)
    bias = k if bias is None else bias
    return v @ p[weight][k * H : (k + 1) * H].T + p["bias_hh"][bias * H : (bias + 1) * H]


def layer_norm(v):
    return (v - v.mean(-1, keepdims=True)) / np.sqrt(v.var(-1, keepdims=True) + 1e-5)
