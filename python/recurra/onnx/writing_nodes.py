"""Layers that are operators of the standard: RNN, LSTM (with peepholes too) and GRU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recurra import cells
from recurra.definitions import FORMULAS
from recurra.weights.orders import reordered

from .cells import PEEPHOLES

if TYPE_CHECKING:
    from recurra.formula import Formula
    from recurra.module import Array

    from .writing import Flow


class Native(NamedTuple):
    """The operator of a formula, with what is said of it besides sizes."""

    op_type: str
    attributes: dict[str, Any]


NATIVE: dict[Formula, Native] = {
    FORMULAS["rnn_tanh"]: Native("RNN", {}),
    FORMULAS["rnn_relu"]: Native("RNN", {"activations": ["Relu"]}),
    FORMULAS["lstm"]: Native("LSTM", {}),
    FORMULAS["gru"]: Native("GRU", {"linear_before_reset": 1}),
    FORMULAS["gru_reset_before"]: Native("GRU", {"linear_before_reset": 0}),
    cells.LSTM.formula: Native("LSTM", {}),
    cells.PeepholeLSTM.formula: Native("LSTM", {}),
    cells.GRU.formula: Native("GRU", {"linear_before_reset": 1}),
    cells.GRUResetBefore.formula: Native("GRU", {"linear_before_reset": 0}),
}


def write_node(
    flow: Flow, layer: int, params: dict[str, Array], prefix: str, initial: list[str], kind: Any
) -> list[str]:
    """Adds the node of one layer of a stack.

    Args:
        flow: its value becomes the layer's outputs (T, B, D*H).
        layer: its number in the stack.
        params: of the stack.
        prefix: of the names of weights.
        initial: the states before the first step, (D, B, H) each; "" for zeros.
        kind: the stack.

    Returns:
        The states after the last step, (D, B, H) each.
    """
    graph, native, hidden = flow.graph, NATIVE[kind.formula], kind.hidden_size
    ends = [f"_l{layer}", f"_l{layer}_reverse"][: 2 if kind.bidirectional else 1]
    direction = "bidirectional" if kind.bidirectional else "reverse" if kind.reverse else "forward"

    def stacked(*names: str) -> Array:
        return np.stack(
            [
                np.concatenate([reordered(params[n + end], native.op_type, "recurra", "onnx") for n in names])
                for end in ends
            ]
        )

    weights = [
        graph.weight(stacked("weight_ih"), f"{prefix}W_l{layer}"),
        graph.weight(stacked("weight_hh"), f"{prefix}R_l{layer}"),
        graph.weight(stacked("bias_ih", "bias_hh"), f"{prefix}B_l{layer}") if kind.bias else "",
    ]
    peephole = ""
    if PEEPHOLES[0] + ends[0] in params:
        rows = [np.concatenate([params[name + end] for name in PEEPHOLES]) for end in ends]
        peephole = graph.weight(np.stack(rows), f"{prefix}P_l{layer}")
    attributes = dict(native.attributes, hidden_size=hidden, direction=direction)
    if "activations" in attributes:
        attributes["activations"] = attributes["activations"] * len(ends)
    states = [*initial, ""][:2] if native.op_type == "LSTM" else initial
    y, *final = graph.several(
        native.op_type,
        1 + len(initial),
        flow.value,
        *weights,
        flow.lengths or "",
        *states,
        peephole,
        name=f"{prefix}{native.op_type}_l{layer}",
        **attributes,
    )
    if len(ends) == 1:
        flow.value = graph.node("Squeeze", y, graph.integers(1))
    else:
        turned = graph.node("Transpose", y, perm=[0, 2, 1, 3])
        flow.value = graph.node("Reshape", turned, graph.integers(0, 0, len(ends) * hidden))
    return final
