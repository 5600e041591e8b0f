"""How an encoder's final states become a decoder's initial ones, and their gradients the other way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._checks import shown
from .module import kind_of_layer
from .recurrent import is_layer_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from .module import Array
    from .sequential import Sequential


class Bridge:
    """Of each recurrent member of the encoder, whether its two directions become one of the decoder's."""

    def __init__(self, encoder: Sequential, decoder: Sequential) -> None:
        """Raises ValueError unless their states go together."""
        give, take = ([layer for _, layer in branch._arguments.stateful] for branch in (encoder, decoder))
        known = all(is_layer_type(kind_of_layer(layer)) for layer in (*give, *take))
        if not known or len(give) != len(take) or not give:
            raise ValueError(
                f"hand_over: expected False, or an encoder and a decoder of as many recurrent layers, got {len(give)} "
                f"and {len(take)}"
            )
        for one, other in zip(give, take, strict=True):
            if one.num_layers != other.num_layers or _sizes(one) != _sizes(other):
                got = f"{shown(one)} and {shown(other)}"
                raise ValueError(f"hand_over: expected False, or a decoder with the encoder's states, got {got}")
        self._twice = [one.bidirectional for one in give]

    def there(self, states: list[Any]) -> list[Any]:
        """The encoder's final states as the decoder's initial ones."""
        pairs = zip(self._twice, states, strict=True)
        return [_each(_side_by_side, state) if twice else state for twice, state in pairs]

    def back(self, gradients: list[Any]) -> list[Any]:
        """The gradients of those as the encoder takes them."""
        pairs = zip(self._twice, gradients, strict=True)
        return [_each(_one_after_another, state) if twice else state for twice, state in pairs]


def _sizes(layer: Any) -> dict[str, int]:
    """Features of each state by name, of both directions together."""
    hidden: int = layer.hidden_size
    sizes = dict.fromkeys(layer.formula.states, hidden)
    if layer.proj_size:
        sizes[layer.formula.states[0]] = layer.proj_size
    return {name: size * (2 if layer.bidirectional else 1) for name, size in sizes.items()}


def _each(function: Callable[[Array], Array], state: Any) -> Any:
    """A function of each array of a state."""
    if isinstance(state, (tuple, list)):
        return tuple(_each(function, one) for one in state)
    return None if state is None else function(state)


def _side_by_side(h: Array) -> Array:
    """(L*2, B, H) -> (L, B, 2 H): of each layer the forward direction's features, then the reverse one's."""
    pairs = h.reshape(len(h) // 2, 2, *h.shape[1:])
    return np.concatenate([pairs[:, 0], pairs[:, 1]], axis=-1)


def _one_after_another(h: Array) -> Array:
    """The way back."""
    halves = np.stack(np.split(h, 2, axis=-1), axis=1)
    return np.ascontiguousarray(halves.reshape(-1, *halves.shape[2:]))
