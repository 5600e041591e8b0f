"""Stochastic gradient descent."""

from __future__ import annotations

import math
from typing import Any

from recurra import _core
from recurra._checks import check_flag, check_number

from .groups import FROM_0
from .optimizer import Optimizer, Rate


class SGD(Optimizer):
    """Stochastic gradient descent, with PyTorch's names and numbers.

    For each parameter p::

        g = grad + weight_decay * p
        v = momentum * v + g        g = v, or g + momentum * v with nesterov        (only with momentum)
        p -= lr * g

    Args:
        model: a layer, a `Sequential`, an object whose `leaves()` are layers, or several of these; or groups, dicts of
            "params", a model, and of the rates that aren't these: see `recurra.optim.Optimizer`.
        lr: the learning rate, from 0 up; like the others it may be set between steps, `sgd.lr = 0.01`.
        momentum: how much of the last step's v goes on, from 0 up; 0 for none, as it has to be for sparse gradients.
        nesterov: whether the step looks ahead (Nesterov's momentum), which needs momentum.
        weight_decay: of L2, from 0 up; 0 for sparse gradients.

    Raises:
        TypeError, ValueError: a number out of its range, or a model that has no parameters.

    Example:
        >>> linear = recurra.Linear(1, 1, bias=False, seed=0)
        >>> linear.load_state_dict({"weight": np.array([[2.0]], np.float32)})
        >>> linear.grads["weight"][:] = 4
        >>> recurra.SGD(linear, lr=0.25).step()
        >>> linear.params["weight"]
        array([[1.]], dtype=float32)
    """

    momentum = Rate("The momentum of the next step, of one group as `lr`.")
    nesterov = Rate("Whether the next step looks ahead, of one group as `lr`.")

    _moment_names = ("momentum_buffer",)

    def __init__(
        self,
        model: Any,
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(model, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)

    def _check_rates(self, rates: dict[str, Any]) -> dict[str, Any]:
        rates = super()._check_rates(rates)
        rates["momentum"] = check_number("momentum", rates["momentum"], FROM_0, 0, math.inf)
        rates["nesterov"] = check_flag("nesterov", rates["nesterov"])
        if rates["nesterov"] and not rates["momentum"]:
            raise ValueError("nesterov: expected a momentum above 0 beside it, got 0")
        return rates

    def step(self) -> None:
        """Changes every parameter by its layer's `grads`: all of them, or none after an error or without memory."""
        rates = [group._rates for group in self._groups]
        velocities: Any = [None] * len(self._leaves)
        if any(rate["momentum"] for rate in rates):
            velocities = self._moments_of("momentum_buffer", lambda group: group["momentum"])
        layers = [
            (leaf.own or leaf.parameters, leaf.layer.grads, velocity, leaf.frozen, tag)
            for leaf, velocity, tag in zip(self._leaves, velocities, self._tags, strict=True)
        ]
        groups = [(rate["lr"], rate["momentum"], rate["weight_decay"], rate["nesterov"]) for rate in rates]
        _core.sgd(layers, self._count, groups)
