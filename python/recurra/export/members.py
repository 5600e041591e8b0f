"""Which layers a model has, and whether a step in C can compute them: checked before anything is written."""

from __future__ import annotations

from typing import Any

import numpy as np

import recurra
from recurra._checks import shown
from recurra.recurrent import Recurrent, is_layer_type

from .layers import NOTHING, WRITERS

KINDS = "RNN, LSTM, GRU, layers of formulas, Linear, Embedding, LayerNorm, activations, Dropout or Last"


def checked_members(model: Any) -> list[tuple[str, Any]]:
    """The layers in the order in which they compute, each with the label of its names.

    Raises:
        TypeError, ValueError: one of them can't be exported.
    """
    if type(model) is not recurra.Sequential:
        _check(model, "model")
        return [("", model)]
    members: list[tuple[str, Any]] = []
    for prefix, layer in model._members:
        label = prefix.rstrip(".")
        _check(layer, f"layer {label!r}")
        if members and (type(layer) is recurra.Embedding or getattr(layer, "tokens", None) is True):
            raise TypeError(f"layer {label!r}: expected tokens to come first in a model, got {shown(layer)}")
        members += [] if isinstance(layer, NOTHING) else [(label.replace(".", "_"), layer)]
    return members


def _check(layer: Any, where: str) -> None:
    kind = type(layer)
    if not is_layer_type(kind) and kind not in WRITERS and kind not in NOTHING:
        raise TypeError(f"{where}: expected one of {KINDS}, got {shown(layer)}")
    for option in ("bidirectional", "reverse"):
        if getattr(layer, option, False):
            raise ValueError(f"{where}: expected {option}=False, as a step knows no later ones, got {option}=True")
    params = layer.state_dict()
    for name, value in params.items():
        if value.dtype == np.float64:
            raise ValueError(f"{where}: expected float32, got float64; load its parameters into a float32 one")
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ValueError(f"{where}: expected finite numbers in {name}, got infinity or NaN")


def input_of(members: list[tuple[str, Any]]) -> tuple[bool, int]:
    """Whether the model takes tokens, and how many there are, or features of x.

    Raises:
        ValueError: no layer says how many features there are.
    """
    for _, layer in members:
        if isinstance(layer, recurra.Embedding):
            return True, layer.num_embeddings
        if isinstance(layer, Recurrent):
            return layer.tokens is True, layer.input_size
        size = getattr(layer, "in_features", None) or getattr(layer, "features", None)
        if size is not None:
            return False, size
    raise ValueError("model: expected a layer that says how many features x has, got none")
