"""The arrays of Keras's layers in ours and back: transposed, gates in another order, one bias instead of two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import recurra

from .orders import reordered
from .refusals import refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recurra.module import Array


def ours_from_keras(
    kind: str, layer: Any, options: Mapping[str, Any] | None = None, directions: list[Any] | None = None
) -> Any:
    """Our layer of a kind with the numbers of Keras's.

    Args:
        kind: its class here, without "Cell".
        layer: Keras's; of a recurrent one its first cell.
        options: of a recurrent one, all but its sizes.
        directions: the cells of a recurrent layer; None for a single step.
    """
    dtype = np.dtype(layer.compute_dtype)
    if kind == "Linear":
        weight = _array(layer.kernel)
        inputs, outputs = weight.shape
        made: Any = recurra.Linear(inputs, outputs, bias=layer.use_bias, dtype=dtype, seed=0)
        state = {"weight": weight.T} | ({"bias": _array(layer.bias)} if layer.use_bias else {})
    elif kind == "Embedding":
        weight = _array(layer.embeddings)
        tokens, features = weight.shape
        made = recurra.Embedding(tokens, features, dtype=dtype, seed=0)
        state = {"weight": weight}
    elif kind == "LayerNorm":
        made = _layer_norm(layer, dtype)
        state = {"weight": _array(layer.gamma), "bias": _array(layer.beta)}
    else:
        inputs = _array(layer.kernel).shape[0]
        single = directions is None
        made = getattr(recurra, kind + "Cell" * single)(inputs, layer.units, **(options or {}), dtype=dtype, seed=0)
        state = {}
        for cell, suffix in zip(directions or [layer], ("", "_reverse"), strict=False):
            state |= {name + ("" if single else "_l0" + suffix): a for name, a in _of_cell(kind, cell).items()}
    made.load_state_dict({name: np.array(array, dtype, order="C") for name, array in state.items()})
    return made


def _layer_norm(layer: Any, dtype: np.dtype[Any]) -> Any:
    axis = list(layer.axis) if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    last = len(layer.get_build_config()["input_shape"]) - 1
    if not layer.center or not layer.scale or getattr(layer, "rms_scaling", False) or axis not in ([-1], [last]):
        raise refuse("model", layer.get_config(), "LayerNormalization over the last axis, with center and scale")
    return recurra.LayerNorm(layer.gamma.shape[0], eps=layer.epsilon, dtype=dtype)


def _of_cell(kind: str, cell: Any) -> dict[str, Array]:
    """Our four arrays of one cell of Keras's, or two of one without biases."""
    state = {
        "weight_ih": reordered(_array(cell.kernel).T, kind, "keras", "recurra"),
        "weight_hh": reordered(_array(cell.recurrent_kernel).T, kind, "keras", "recurra"),
    }
    if cell.use_bias:
        biases = _array(cell.bias)
        if biases.ndim == 1:  # where there is one, it is the inputs'
            biases = np.stack([biases, np.zeros_like(biases)])
        for name, bias in zip(("bias_ih", "bias_hh"), biases, strict=True):
            state[name] = reordered(bias, kind, "keras", "recurra")
    return state


def arrays_for_keras(kind: str, params: Mapping[str, Array], suffix: str, reset_after: bool) -> list[Array]:
    """What `set_weights` of a cell of Keras's takes, from our parameters whose names end like that."""
    arrays = [
        reordered(params["weight_ih" + suffix], kind, "recurra", "keras").T,
        reordered(params["weight_hh" + suffix], kind, "recurra", "keras").T,
    ]
    if "bias_ih" + suffix in params:
        biases = [reordered(params[name + suffix], kind, "recurra", "keras") for name in ("bias_ih", "bias_hh")]
        arrays.append(np.stack(biases) if kind == "GRU" and reset_after else _sum(*biases))
    return arrays


def _sum(first: Array, second: Array) -> Array:
    """The one bias instead of two; to the bit the first where the second is zero, as -0 + 0 isn't -0."""
    with np.errstate(all="ignore"):
        total: Array = np.where(second == 0, first, first + second)
    return total


def _array(variable: Any) -> Array:
    from keras import ops

    array: Array = ops.convert_to_numpy(variable)
    return array
