"""Whether layers one after another fit, by the features that each takes and gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .embedding import Embedding
from .feedforward import Dropout, Last, ReLU, Sigmoid, Tanh
from .layers import GRU, LSTM, RNN
from .linear import Linear

if TYPE_CHECKING:
    from collections.abc import Sequence


def check_features(layers: Sequence[Any]) -> None:
    """Raises ValueError unless each takes as many features as the one before it gives, as far as both are known."""
    given: int | None = None
    for i, layer in enumerate(layers):
        kind = type(layer)
        taken = next((name for name in ("in_features", "input_size") if hasattr(layer, name)), None)
        if taken and given not in (None, getattr(layer, taken)):
            raise ValueError(
                f"layers: expected layer {i}, {kind.__name__}, with {taken} = {given}, what the one before it gives, "
                f"got {getattr(layer, taken)}"
            )
        if kind is Linear:
            given = layer.out_features
        elif kind is Embedding:
            given = layer.embedding_dim
        elif kind in (RNN, LSTM, GRU):
            given = layer.hidden_size * (2 if layer.bidirectional else 1)
        elif kind not in (Dropout, Last, ReLU, Sigmoid, Tanh):
            given = None  # somebody's own
