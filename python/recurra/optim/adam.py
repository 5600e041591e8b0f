"""Adam and AdamW."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from recurra import _core
from recurra._checks import check_number, shown

from .optimizer import Optimizer, Rate


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, algorithm 1), with PyTorch's names and numbers.

        g = grad + weight_decay * p
        m = beta1 * m + (1 - beta1) * g             v = beta2 * v + (1 - beta2) * g²
        p -= lr * m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)          at step t = 1, 2, …

    Args:
        model: a layer, a `Sequential`, an object whose `leaves()` are layers, or several of these; or a list of groups,
            dicts of "params", a model, and of the rates that aren't the others': see `docs/api.md`.
        lr: the rate.
        betas, eps, weight_decay: as above. The decay is part of the gradient (L2), as in torch.optim.Adam. All four may
            be set between steps.

    Raises:
        TypeError, ValueError: a number out of its range, or a model that has no parameters.
    """

    betas: Rate = Rate("The decays of the moments at the next step, a pair.")
    eps: Rate = Rate("What is added to the root of the second moment.")

    _moment_names = ("exp_avg", "exp_avg_sq")
    _decoupled = False

    def __init__(
        self,
        model: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(model, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def _check_rates(self, rates: dict[str, Any]) -> dict[str, Any]:
        rates = super()._check_rates(rates)
        betas = rates["betas"]
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise TypeError(f"betas: expected a pair of numbers in [0, 1), got {shown(betas)}")
        rates["betas"] = tuple(check_number("betas", beta, "numbers in [0, 1)", 0, 1) for beta in betas)
        least = max(float(np.finfo(leaf.dtype).tiny) for leaf in self._leaves)  # below it would be 0, and 0 / 0 NaN
        rates["eps"] = check_number("eps", rates["eps"], f"a number from {least:.3g} up", least, math.inf)
        return rates

    def step(self) -> None:
        """Changes every parameter by its gradient: all of them, or none after an error."""
        means, squares = self._moments_of("exp_avg"), self._moments_of("exp_avg_sq")
        layers = [
            (leaf.own or leaf.parameters, leaf.layer.grads, mean, square, leaf.frozen, tag)
            for leaf, mean, square, tag in zip(self._leaves, means, squares, self._tags, strict=True)
        ]
        rates = [group._rates for group in self._groups]
        groups = [(rate["lr"], *rate["betas"], rate["eps"], rate["weight_decay"]) for rate in rates]
        _core.adam(layers, self._count, groups, self._decoupled)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019): p *= 1 - lr * weight_decay, beside Adam's step.

    Arguments and errors are those of `Adam`; the decay's default is PyTorch's, 0.01.
    """

    _decoupled = True

    def __init__(
        self,
        model: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(model, lr, betas, eps, weight_decay)
