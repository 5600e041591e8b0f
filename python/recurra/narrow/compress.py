"""recurra.compress: a copy of a model for inference whose matrices are narrow."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from recurra._checks import converter, narrowing, shown
from recurra._own_layer import dtypes_of
from recurra.encoder_decoder import EncoderDecoder
from recurra.module import Module
from recurra.parallel import Parallel
from recurra.residual import Residual
from recurra.sequential import Sequential
from recurra.single_step import SingleStep

from .base import Narrow
from .layers import narrow_class
from .model import NarrowSequential
from .rounding import check_weights

TAKEN = "a recurrent layer, a Linear, an Embedding, or a Sequential of such"


def compress(model: Any, weights: str = "int8") -> Any:
    """A copy of a model for inference, whose matrices take a quarter or half of the memory, and of the time to read it.

    It is called as the original and has its options; biases, cells and states stay float32. Layers without matrices of
    their own, and `LayerNorm`, attention and `AttentionPooling`, are copied as they are.

    Args:
        model: a layer over sequences, RNN, LSTM, GRU or one made of a formula; a `Linear`; an `Embedding`; or a
            `Sequential`, `Residual`, `Parallel` or `EncoderDecoder` of such, of float32. Single steps and layers of
            your own are refused.
        weights: "int8", rounded row by row, and what they meet to 12 bits; or "bfloat16" or "float16", rounded one by
            one and multiplied as float32.

    Returns:
        A `recurra.narrow.NarrowRecurrent`, `NarrowLinear`, `NarrowEmbedding` or `NarrowSequential`; of another model
        that consists of others, one of its own class. It shares nothing with the original, and doesn't train.

    Raises:
        TypeError: the model isn't one of these, isn't of float32, is compressed already, or has nothing to compress.
        ValueError: other weights, or numbers that aren't finite or are beyond what the narrow type holds.

    Example:
        >>> small = recurra.compress(recurra.GRU(32, 128, seed=0))
        >>> small
        NarrowRecurrent(GRU(32, 128), 'int8', 248,832 -> 67,584 bytes)
        >>> small(np.ones((50, 4, 32), np.float32))[0].shape
        (50, 4, 128)
    """
    return Compression(check_weights(weights)).of(model)


class Compression:
    """One of a whole model, in which layers that several parts share are compressed once."""

    def __init__(self, weights: str) -> None:
        self._weights = weights
        self._made: dict[int, Any] = {}  # by the original's id

    def of(self, model: Any) -> Any:
        """The compressed model.

        Args:
            model: as of `compress`.

        Returns:
            The model.

        Raises:
            TypeError: nothing in it has become narrow.
        """
        made = self._compressed("model", model)
        if not any(isinstance(leaf, Narrow) for leaf in made.leaves()):
            raise TypeError(f"model: expected {TAKEN}, got nothing to compress in {shown(model)}")
        if type(made) is Sequential:
            made = NarrowSequential(*made, weights=self._weights)
        return made

    def _compressed(self, where: str, layer: Any) -> Any:
        if id(layer) not in self._made:
            self._made[id(layer)] = self._new(where, layer)
        return self._made[id(layer)]

    def _new(self, where: str, layer: Any) -> Any:
        kind = type(layer)
        if isinstance(layer, (Narrow, NarrowSequential)):
            raise TypeError(f"{where}: expected float32, got one that is compressed already, {shown(layer)}")
        if kind in (Sequential, Residual):
            return kind(*self._several(where, layer))
        if kind is Parallel:
            return Parallel(*self._several(where, layer), join=layer.join)
        if kind is EncoderDecoder:
            parts = {name: getattr(layer, name) for name in ("encoder", "decoder", "attention")}
            made = {name: part and self._compressed(f"{where}.{name}", part) for name, part in parts.items()}
            return EncoderDecoder(**made, hand_over=layer.hand_over)
        narrow = narrow_class(kind)
        if narrow is None:
            return _copied(where, layer)
        _check_dtype(where, layer, {layer.dtype})
        try:
            return narrow(layer, self._weights)
        except ValueError as error:
            raise ValueError(str(error) if where == "model" else f"{where}: {error}") from None

    def _several(self, where: str, layers: Any) -> list[Any]:
        return [self._compressed(f"{where}[{i}]", layer) for i, layer in enumerate(layers)]


def _copied(where: str, layer: Any) -> Any:
    """A copy of a layer that stays as it is: one of the package's, or anybody's that has no parameters."""
    leaves = getattr(layer, "leaves", None)
    able = callable(leaves) and not isinstance(layer, (type, SingleStep))
    if not able:
        raise TypeError(f"{where}: expected {TAKEN}, got {shown(layer)}{converter(layer)}")
    own = [leaf for leaf in layer.leaves() if not (isinstance(leaf, Module) and leaf._is_own())]
    if own or (layer.leaves() and not (isinstance(layer, Module) and layer._is_own())):
        raise TypeError(
            f"{where}: expected recurra's own layers, as another's may compute something else, got {shown(layer)}"
        )
    _check_dtype(where, layer, {dtype for leaf in layer.leaves() for dtype in dtypes_of(leaf)})
    return copy.deepcopy(layer)


def _check_dtype(where: str, layer: Any, dtypes: set[np.dtype[Any]]) -> None:
    if dtypes - {np.dtype(np.float32)}:
        raise TypeError(f"{where}: expected float32, got float64 of {shown(layer)}: {narrowing()}")
