"""An ONNX model of stacked LSTM or GRU operators, whose states may be inputs: what the runtimes below read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from recurra.bench.peers_onnx import reorder

from .problem import Steps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recurra.bench.problem import Array, Spec


def state_names(spec: Spec) -> list[str]:
    """Of a model's states, in its order: h of the first layer, its c, h of the next."""
    return [f"{state}{layer}" for layer in range(spec.layers) for state in spec.states]


def stacked(spec: Spec, weights: Mapping[str, Array]) -> Any:
    """Input x (T, B, I), output y (T, 1, B, H). Of Steps also states `h0`, … in and `h0_n`, … out, each (1, B, H)."""
    batch, steps, inputs, hidden = spec.shape
    carried, nodes, constants = isinstance(spec, Steps), [], {"direction": np.array([1])}
    below = "x"
    for layer in range(spec.layers):
        names = [f"{state}{layer}" for state in spec.states]
        w, r, *biases = (
            reorder(spec.cell, weights[f"{name}_l{layer}"])[None]
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        constants |= {f"W{layer}": w, f"R{layer}": r, f"B{layer}": np.concatenate(biases, axis=1)}
        nodes.append(
            helper.make_node(
                spec.cell.upper(),
                [below, f"W{layer}", f"R{layer}", f"B{layer}", *(["", *names] if carried else [])],
                [f"y{layer}", *(f"{name}_n" for name in names)],
                hidden_size=hidden,
                **({"linear_before_reset": 1} if spec.cell == "gru" else {}),
            )
        )
        if layer < spec.layers - 1:
            below = f"x{layer + 1}"
            nodes.append(helper.make_node("Squeeze", [f"y{layer}", "direction"], [below]))

    def values(names: list[str], *shape: int) -> list[Any]:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names]

    states = state_names(spec) if carried else []
    graph = helper.make_graph(
        nodes,
        "stack",
        values(["x"], steps, batch, inputs) + values(states, 1, batch, hidden),
        values([f"y{spec.layers - 1}"], steps, 1, batch, hidden)
        + values([f"{name}_n" for name in states], 1, batch, hidden),
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
