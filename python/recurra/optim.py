"""Optimisers: they change a model's parameters in place, from its `grads`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._checks import check_number, shown
from .module import Module

if TYPE_CHECKING:
    from collections.abc import Iterable

INFINITY = float("inf")


class Adam:
    """Adam (Kingma & Ba 2015, algorithm 1), with PyTorch's names and numbers.

        g = grad + weight_decay * p
        m = beta1 * m + (1 - beta1) * g             v = beta2 * v + (1 - beta2) * g²
        p -= lr * m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)          at step t = 1, 2, …

    Args:
        model: a layer, or several.
        lr: the rate; `adam.lr` may be set between steps.
        betas, eps, weight_decay: as above. The decay is part of the gradient (L2), as in torch.optim.Adam.

    Raises:
        TypeError, ValueError: a number out of its range, or a model that has no parameters.
    """

    def __init__(
        self,
        model: Module | Iterable[Module],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        self.layers = _layers(model)
        self.lr = lr
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise TypeError(f"betas: expected a pair of numbers in [0, 1), got {shown(betas)}")
        beta1, beta2 = (check_number("betas", beta, "numbers in [0, 1)", 0, 1) for beta in betas)
        self._betas = beta1, beta2
        self._eps = check_number("eps", eps, "a number above 0", 5e-324, INFINITY)
        self._weight_decay = check_number("weight_decay", weight_decay, "a number from 0 up", 0, INFINITY)
        self._steps = 0
        self._moments = [[_zeros(layer), _zeros(layer)] for layer in self.layers]

    @property
    def lr(self) -> float:
        """The rate of the next step."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = check_number("lr", value, "a number from 0 up", 0, INFINITY)

    def step(self) -> None:
        """Changes every parameter by its gradient; checks all gradients before it changes any parameter."""
        if len(self.layers) > 1:
            for layer in self.layers:
                layer._parameters.check_gradients(layer.grads)
        beta1, beta2 = self._betas
        for layer, (means, squares) in zip(self.layers, self._moments, strict=True):
            rates = (self._lr, beta1, beta2, self._eps, self._weight_decay)
            layer._parameters.adam(layer.grads, means, squares, self._steps + 1, *rates)
        self._steps += 1

    def zero_grad(self) -> None:
        """Sets every gradient to 0."""
        for layer in self.layers:
            layer.zero_grad()


def _layers(model: Module | Iterable[Module]) -> list[Module]:
    layers = [model] if isinstance(model, Module) else list(model) if hasattr(model, "__iter__") else []
    if not layers or not all(isinstance(layer, Module) for layer in layers):
        raise TypeError(f"model: expected a layer or several, got {shown(model)}")
    if len({id(layer._parameters) for layer in layers}) < len(layers):
        raise ValueError("model: expected different layers, got one twice")
    return layers


def _zeros(layer: Module) -> dict[str, Any]:
    return {name: np.zeros_like(value) for name, value in layer.params.items()}
