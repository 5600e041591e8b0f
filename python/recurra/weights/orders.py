"""In which order each framework keeps the gates of a weight: the one table that every conversion is made of.

Letters are those of our equations: of the LSTM i, f, g, o, of the GRU r, z, n. All frameworks stack the gates of one
weight, some as rows of (G*H, features), some as columns of its transpose; here only the order counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recurra.module import Array

ORDERS = {
    "recurra": {"RNN": "h", "LSTM": "ifgo", "GRU": "rzn"},
    "torch": {"RNN": "h", "LSTM": "ifgo", "GRU": "rzn"},
    "keras": {"RNN": "h", "LSTM": "ifgo", "GRU": "zrn"},  # it calls g and n "c" and "h"
    "onnx": {"RNN": "h", "LSTM": "iofg", "GRU": "zrn"},  # "c" and "h" too
}


def reordered(array: Array, kind: str, source: str, target: str) -> Array:
    """An array (G*H, …) of `source`'s order of gates in that of `target`: a copy, also where nothing moves.

    Args:
        array: the gates one after another along the first axis.
        kind: "RNN", "LSTM" or "GRU".
        source, target: keys of `ORDERS`.
    """
    before, after = ORDERS[source][kind], ORDERS[target][kind]
    gates = array.reshape(len(before), array.shape[0] // len(before), *array.shape[1:])
    result: Array = gates[[before.index(gate) for gate in after]].reshape(array.shape)
    return result
