"""The layers with parameters that a model consists of, and what the core takes for one.

A leaf is one of our layers, or an object with dicts `params` and `grads` of NumPy arrays by name: those are lent to the
core, which changes them in place.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from recurra import _core
from recurra._checks import converter, is_listed, shown
from recurra.embedding import Embedding
from recurra.module import Module, identity_of


class Leaf:
    """One of them, with what doesn't change from step to step, as a step of a small model takes 3 µs.

    `frozen` is the row of the first parameter that no optimizer moves, or -1; `clears_itself` says that its class has a
    zero_grad of its own, which may do more than set arrays to 0.
    """

    __slots__ = ("_lent", "clears_itself", "frozen", "layer", "names", "own")

    def __init__(self, layer: Any) -> None:
        self.layer, self.names = layer, tuple(layer.params)
        self.own = layer._parameters if is_ours(layer) else None  # the core's object, if it is one of our layers
        self._lent = None if self.own else _lent(layer.params)
        self.frozen: int = layer._frozen_row() if self.own else -1
        zero_grad = getattr(type(layer), "zero_grad", None)
        self.clears_itself = zero_grad is not Module.zero_grad if self.own else callable(zero_grad)

    @property
    def parameters(self) -> Any:
        """The core's object, over the arrays that the layer has now.

        Raises:
            TypeError, ValueError: somebody else's layer has other arrays than before, or some that can't be changed.
        """
        if self._lent is None:
            return self.own
        self._lent.lend(self.layer.params)
        return self._lent

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of all its parameters."""
        double = isinstance(self.own or self._lent, _core.Parameters64)
        return np.dtype(np.float64 if double else np.float32)

    @property
    def sparse(self) -> bool:
        """Whether its gradients are of some rows only."""
        return isinstance(self.layer, Embedding) and self.layer.sparse


def is_ours(layer: Any) -> bool:
    """Whether it is a layer whose parameters only the core changes."""
    return isinstance(layer, Module) and hasattr(layer, "_parameters")


def leaves_of(model: Any) -> list[Any]:
    """The layers with parameters of a model, each once: what optimizers and `clip_grad_norm` go by.

    Args:
        model: a layer, a `Sequential`, an object whose `leaves()` are layers, or several of these in a list.

    Returns:
        The layers, or objects with dicts `params` and `grads`, in order; of those that share their parameters the
        first.

    Raises:
        TypeError: the model has no `leaves()`, nor do all of several, or one of these isn't a layer with parameters.
        ValueError: it has no parameters, one of several models is given twice, or layers that share parameters don't
            share gradients.

    Example:
        >>> model = recurra.Sequential(recurra.Linear(4, 8, seed=0), recurra.Tanh(), recurra.Linear(8, 2, seed=1))
        >>> recurra.optim.leaves_of(model)
        [Linear(4, 8), Linear(8, 2)]
    """
    models = models_of(model)
    if len({id(one) for one in models}) < len(models):
        raise ValueError("model: expected different layers, got one twice")
    layers: dict[int, Any] = {}
    for layer in (leaf for one in models for leaf in one.leaves()):
        if not is_ours(layer):
            _check_own(layer)
        first = layers.setdefault(identity_of(layer), layer)
        if first is not layer and first.grads is not layer.grads:
            raise ValueError(f"model: expected layers that share weights to share grads, got others in {shown(layer)}")
    if not layers:
        raise ValueError(f"model: expected parameters, got none in {shown(model)}")
    return list(layers.values())


def models_of(model: Any) -> list[Any]:
    """A model in a list, or those of several."""
    several = not _has_leaves(model) and is_listed(model)
    models = list(model) if several else [model]
    if not models or not all(_has_leaves(one) for one in models):
        raise TypeError(
            f"model: expected a layer or several, or an object with leaves(), got {shown(model)}{converter(model)}"
        )
    return models


def _has_leaves(model: object) -> bool:
    return callable(getattr(model, "leaves", None)) and not isinstance(model, type)


def _check_own(layer: Any) -> None:
    dicts = [getattr(layer, name, None) for name in ("params", "grads")]
    if isinstance(layer, (type, Module)) or not all(hasattr(one, "keys") for one in dicts):
        raise TypeError(
            "model: expected leaves() to be layers with parameters, or objects with dicts of arrays, params and grads, "
            f"got {shown(layer)}"
        )
    names = [name for name in layer.params if not isinstance(name, str)]
    if names:
        raise TypeError(f"params: expected names that are strings, got {shown(names[0])}")
    if not list(layer.params):
        raise ValueError(f"model: expected leaves() to be layers with parameters, got none in {shown(layer)}")


def _lent(params: Any) -> Any:
    """Somebody's arrays as the core's parameters; the first of them says which dtype all are to have."""
    first = next(iter(params.values()), None)
    double = isinstance(first, np.ndarray) and first.dtype == np.float64
    return (_core.lent64 if double else _core.lent32)(params)
