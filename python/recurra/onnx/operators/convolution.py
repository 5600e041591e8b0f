"""Convolutions, as products with windows of the input: what stands before the recurrent layers of many readers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.onnx.nodes import Computation, Node, operator

from .constants import check_made
from .elementwise import same_dtype

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recurra.module import Array


def _padding(node: Node, sizes: Sequence[int], reach: Sequence[int], strides: Sequence[int]) -> list[tuple[int, int]]:
    """How much is put before and after each axis."""
    mode, axes = node.attributes["auto_pad"], len(sizes)
    if mode == "NOTSET":
        pads = node.attributes.get("pads", (0,) * (2 * axes))
        return list(zip(pads[:axes], pads[axes:], strict=True))
    if mode == "VALID":
        return [(0, 0)] * axes
    around = []
    for size, kernel, stride in zip(sizes, reach, strides, strict=True):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        small = total // 2
        around.append((small, total - small) if mode == "SAME_UPPER" else (total - small, small))
    return around


@operator("Conv", "auto_pad dilations group kernel_shape pads strides")
def _conv(node: Node) -> Computation:
    group, mode = node.attributes["group"], node.attributes["auto_pad"]
    if group < 1:
        node.refuse("group from 1", group)
    if mode not in {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"}:
        node.refuse("auto_pad 'NOTSET', 'SAME_UPPER', 'SAME_LOWER' or 'VALID'", repr(mode))
    for name in ("dilations", "strides", "kernel_shape"):
        if any(n < 1 for n in node.attributes.get(name, ())):
            node.refuse(f"{name} from 1", node.attributes[name])
    if any(n < 0 for n in node.attributes.get("pads", ())):
        node.refuse("pads from 0", node.attributes["pads"])

    def run(v: Array, w: Array, shift: Array | None = None) -> Any:
        same_dtype(*(value for value in (v, w, shift) if value is not None))
        axes, kernel = v.ndim - 2, w.shape[2:]
        strides = node.attributes.get("strides", (1,) * axes)
        dilations = node.attributes.get("dilations", (1,) * axes)
        if w.ndim != v.ndim or axes < 1 or v.shape[1] != w.shape[1] * group or w.shape[0] % group:
            raise ValueError(f"W: expected weights for {v.shape} in {group} groups, got {w.shape}")
        if node.attributes.get("kernel_shape", kernel) != kernel or not len(strides) == len(dilations) == axes:
            raise ValueError(f"kernel_shape, strides, dilations: expected {axes} each for W {w.shape}, got others")
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        around = _padding(node, v.shape[2:], reach, strides)
        padded = [n + a + b for n, (a, b) in zip(v.shape[2:], around, strict=True)]
        check_made((*v.shape[:2], *padded))
        v = np.pad(v, [(0, 0), (0, 0), *around])
        spatial = tuple(range(2, v.ndim))
        windows = np.lib.stride_tricks.sliding_window_view(v, reach, spatial)  # (N, C, *out, *reach)
        steps = [slice(None, None, s) for s in strides] + [slice(None, None, d) for d in dilations]
        windows = windows[(slice(None), slice(None), *steps)]
        out = windows.shape[2 : 2 + axes]
        check_made((*windows.shape[:2], *out, *kernel))
        order = (0, *range(2, 2 + axes), 1, *range(2 + axes, 2 + 2 * axes))  # channels beside the kernel
        reads = math.prod(w.shape[1:])
        columns = windows.transpose(order).reshape(len(v), math.prod(out), group, reads)
        rows = w.reshape(group, w.shape[0] // group, reads)
        y = np.matmul(rows[None], columns.transpose(0, 2, 3, 1)).reshape(len(v), w.shape[0], *out)
        return y if shift is None else y + shift.reshape(-1, *(1,) * axes)

    return Computation(run)
