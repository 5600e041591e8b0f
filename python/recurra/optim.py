"""Optimizers: they change a model's parameters in place, from its `grads`."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from ._checks import check_flag, check_number, shown
from .module import Module

if TYPE_CHECKING:
    from collections.abc import Iterable

INFINITY = float("inf")
FROM_0 = "a number from 0 up"


class Optimizer:
    """What all have: the layers with parameters, a rate that may be set between steps, and gradients to clear."""

    def __init__(self, model: Module | Iterable[Module], lr: float, weight_decay: float) -> None:
        self.layers = leaves_of(model)
        self.lr = lr
        self._weight_decay = check_number("weight_decay", weight_decay, FROM_0, 0, INFINITY)

    @property
    def lr(self) -> float:
        """The rate of the next step."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = check_number("lr", value, FROM_0, 0, INFINITY)

    def step(self) -> None:
        """Changes every parameter by its gradient; checks all gradients before it changes any parameter."""
        if len(self.layers) > 1:
            for layer in self.layers:
                layer._parameters.check_gradients(layer.grads)
        self._step()

    def _step(self) -> None:
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Sets every gradient to 0."""
        for layer in self.layers:
            layer.zero_grad()


class SGD(Optimizer):
    """Stochastic gradient descent, with PyTorch's names and numbers.

        g = grad + weight_decay * p
        v = momentum * v + g        g = v, or g + momentum * v with nesterov        (only with momentum)
        p -= lr * g

    Args:
        model: a layer, a `Sequential`, or several of them.
        lr: the rate; `sgd.lr` may be set between steps.
        momentum, nesterov, weight_decay: as above.

    Raises:
        TypeError, ValueError: a number out of its range, or a model that has no parameters.
    """

    def __init__(
        self,
        model: Module | Iterable[Module],
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(model, lr, weight_decay)
        self._momentum = check_number("momentum", momentum, FROM_0, 0, INFINITY)
        self._nesterov = check_flag("nesterov", nesterov)
        if nesterov and not momentum:
            raise ValueError("nesterov: expected a momentum above 0 beside it, got 0")
        self._velocities = [_zeros(layer) if momentum else None for layer in self.layers]

    def _step(self) -> None:
        for layer, velocities in zip(self.layers, self._velocities, strict=True):
            layer._parameters.sgd(layer.grads, velocities, self._lr, self._momentum, self._weight_decay, self._nesterov)


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, algorithm 1), with PyTorch's names and numbers.

        g = grad + weight_decay * p
        m = beta1 * m + (1 - beta1) * g             v = beta2 * v + (1 - beta2) * g²
        p -= lr * m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)          at step t = 1, 2, …

    Args:
        model: a layer, a `Sequential`, or several of them.
        lr: the rate; `adam.lr` may be set between steps.
        betas, eps, weight_decay: as above. The decay is part of the gradient (L2), as in torch.optim.Adam.

    Raises:
        TypeError, ValueError: a number out of its range, or a model that has no parameters.
    """

    _decoupled = False

    def __init__(
        self,
        model: Module | Iterable[Module],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(model, lr, weight_decay)
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise TypeError(f"betas: expected a pair of numbers in [0, 1), got {shown(betas)}")
        beta1, beta2 = (check_number("betas", beta, "numbers in [0, 1)", 0, 1) for beta in betas)
        self._betas = beta1, beta2
        least = max(float(np.finfo(layer.dtype).tiny) for layer in self.layers)  # below it would be 0, and 0 / 0 NaN
        self._eps = check_number("eps", eps, f"a number from {least:.3g} up", least, INFINITY)
        self._steps = 0
        self._moments = [(_zeros(layer), _zeros(layer)) for layer in self.layers]

    def _step(self) -> None:
        beta1, beta2 = self._betas
        rates = (self._lr, beta1, beta2, self._eps, self._weight_decay, self._decoupled)
        for layer, (means, squares) in zip(self.layers, self._moments, strict=True):
            layer._parameters.adam(layer.grads, means, squares, self._steps + 1, *rates)
        self._steps += 1


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019): p *= 1 - lr * weight_decay, beside Adam's step.

    Arguments and errors are those of `Adam`; the decay's default is PyTorch's, 0.01.
    """

    _decoupled = True

    def __init__(
        self,
        model: Module | Iterable[Module],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(model, lr, betas, eps, weight_decay)


def clip_grad_norm(model: Module | Iterable[Module], max_norm: float, *, error_if_nonfinite: bool = False) -> float:
    """Scales all gradients of a model down together, if their common 2-norm is above max_norm.

    Args:
        model: a layer, a `Sequential`, or several of them; their `grads` are scaled in place.
        max_norm: above 0.
        error_if_nonfinite: raise if the norm is infinite or NaN. Without it a RuntimeWarning says so, and the
            gradients stay as they are.

    Returns:
        The norm before clipping.

    Raises:
        TypeError, ValueError: max_norm out of range, a model without parameters.
        FloatingPointError: the norm isn't finite, with error_if_nonfinite; nothing is changed then.
    """
    limit = check_number("max_norm", max_norm, "a number above 0", 5e-324, INFINITY)
    check_flag("error_if_nonfinite", error_if_nonfinite)
    layers = leaves_of(model)
    norm = math.sqrt(sum(layer._parameters.square_sum(layer.grads) for layer in layers))
    if not math.isfinite(norm):
        if error_if_nonfinite:
            raise FloatingPointError(f"grads: expected a finite norm, got {norm}")
        warnings.warn(f"grads: expected a finite norm, got {norm}; they stay as they are", RuntimeWarning, stacklevel=2)
    elif norm > limit:
        for layer in layers:
            for gradient in layer.grads.values():
                np.multiply(gradient, limit / (norm + 1e-6), out=gradient)  # PyTorch's margin
    return norm


def leaves_of(model: Module | Iterable[Module]) -> list[Module]:
    """The layers with parameters of a model, each once.

    Raises:
        TypeError: the model isn't a layer, nor several.
        ValueError: it has no parameters, or has some twice.
    """
    modules = [model] if isinstance(model, Module) else list(model) if hasattr(model, "__iter__") else []
    if not modules or not all(isinstance(module, Module) for module in modules):
        raise TypeError(f"model: expected a layer or several, got {shown(model)}")
    layers = [leaf for module in modules for leaf in module.leaves()]
    if not layers:
        raise ValueError(f"model: expected parameters, got none in {shown(model)}")
    if len({id(layer._parameters) for layer in layers}) < len(layers):
        raise ValueError("model: expected different layers, got one twice")
    return layers


def _zeros(layer: Module) -> dict[str, Any]:
    return {name: np.zeros_like(value) for name, value in layer.params.items()}
