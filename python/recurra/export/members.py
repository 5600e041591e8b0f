"""Which layers a model has, and whether a step in C can compute them: checked before anything is written."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import recurra
from recurra._checks import narrowing, shown
from recurra.module import kind_of_layer
from recurra.narrow import NarrowEmbedding, NarrowLinear, NarrowRecurrent, NarrowSequential
from recurra.narrow.rounding import widened
from recurra.recurrent import Recurrent, is_layer_type

from .layers import NOTHING, WRITERS

MODELS = {recurra.Sequential, NarrowSequential}
NARROW = {NarrowRecurrent, NarrowLinear, NarrowEmbedding}
KINDS = "RNN, LSTM, GRU, layers of formulas, Linear, Embedding, LayerNorm, activations, Dropout or Last"


class Member(NamedTuple):
    """A layer that a step computes."""

    label: str  # of its names in C; empty of a model that is one layer
    kind: type[Any]  # of a compressed layer that of its original
    layer: Any


def checked_members(model: Any) -> list[Member]:
    """The layers in the order in which they compute, without those that do nothing in a step.

    Raises:
        TypeError, ValueError: one of them can't be exported.
    """
    if type(model) not in MODELS:
        return [_checked("", "model", model)]
    members: list[Member] = []
    for prefix, layer in model._members:
        label = prefix.rstrip(".")
        member = _checked(label.replace(".", "_"), f"layer {label!r}", layer)
        if members and (member.kind is recurra.Embedding or getattr(layer, "tokens", None) is True):
            raise TypeError(f"layer {label!r}: expected tokens to come first in a model, got {shown(layer)}")
        if member.kind not in NOTHING:
            members.append(member)
    return members


def _checked(label: str, where: str, layer: Any) -> Member:
    kind = kind_of_layer(layer) if type(layer) in NARROW else type(layer)
    if not is_layer_type(kind) and kind not in WRITERS and kind not in NOTHING:
        raise TypeError(f"{where}: expected one of {KINDS}, got {shown(layer)}")
    for option in ("bidirectional", "reverse"):
        if getattr(layer, option, False):
            raise ValueError(f"{where}: expected {option}=False, as a step knows no later ones, got {option}=True")
    for name, value in layer.state_dict().items():
        if value.dtype == np.float64:
            raise ValueError(f"{where}: expected float32, got float64: {narrowing()}")
        numbers = widened(value) if value.dtype == np.uint16 else value
        if numbers.dtype.kind == "f" and not np.isfinite(numbers).all():
            raise ValueError(f"{where}: expected finite numbers in {name}, got infinity or NaN")
    return Member(label, kind, layer)


def input_of(members: list[Member]) -> tuple[bool, int]:
    """Whether the model takes tokens, and how many there are, or features of x.

    Raises:
        ValueError: no layer says how many features there are.
    """
    for _, kind, layer in members:
        if kind is recurra.Embedding:
            return True, layer.num_embeddings
        if issubclass(kind, Recurrent):
            return layer.tokens is True, layer.input_size
        size = getattr(layer, "in_features", None) or getattr(layer, "features", None)
        if size is not None:
            return False, size
    raise ValueError("model: expected a layer that says how many features x has, got none")
