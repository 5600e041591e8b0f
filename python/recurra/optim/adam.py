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

    For each parameter p, at step t = 1, 2, …::

        g = grad + weight_decay * p
        m = beta1 * m + (1 - beta1) * g             v = beta2 * v + (1 - beta2) * g²
        p -= lr * m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)

    Args:
        model: a layer, a `Sequential`, an object whose `leaves()` are layers, or several of these; or groups, dicts of
            "params", a model, and of the rates that aren't these: see `recurra.optim.Optimizer`.
        lr: the learning rate, from 0 up; like the others it may be set between steps, `adam.lr = 1e-4`.
        betas: the decays of the moments, beta1 and beta2, each in [0, 1).
        eps: what is added to the root of the second moment, above 0.
        weight_decay: part of the gradient (L2), as in `torch.optim.Adam`; from 0 up, 0 for sparse gradients.

    Raises:
        TypeError, ValueError: a number out of its range, or a model that has no parameters.

    Example:
        A loss before the first step and the fiftieth:

        >>> x, target = np.ones((8, 3), np.float32), np.full((8, 1), 2, np.float32)
        >>> linear = recurra.Linear(3, 1, seed=0)
        >>> adam, losses = recurra.Adam(linear, lr=0.1), []
        >>> for _ in range(50):
        ...     y, tape = linear.forward(x)
        ...     value, gradient = recurra.mse(y, target)
        ...     losses.append(value)
        ...     adam.zero_grad()
        ...     _ = linear.backward(tape, gradient, need_dx=False)
        ...     adam.step()
        >>> round(losses[0], 2), round(losses[-1], 2)
        (10.21, 0.04)
    """

    betas = Rate("The decays of the moments at the next step, a pair, of one group as `lr`.")
    eps = Rate("What is added to the root of the second moment, of one group as `lr`.")

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
        """Changes every parameter by its layer's `grads`: all of them, or none after an error or without memory."""
        means, squares = self._moments_of("exp_avg"), self._moments_of("exp_avg_sq")
        layers = [
            (leaf.own or leaf.parameters, leaf.layer.grads, mean, square, leaf.frozen, tag)
            for leaf, mean, square, tag in zip(self._leaves, means, squares, self._tags, strict=True)
        ]
        rates = [group._rates for group in self._groups]
        groups = [(rate["lr"], *rate["betas"], rate["eps"], rate["weight_decay"]) for rate in rates]
        _core.adam(layers, self._count, groups, self._decoupled)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019), which goes past the moments.

    At every step, beside `Adam`'s without decay::

        p *= 1 - lr * weight_decay

    Args:
        model: as for `Adam`. An `Embedding(sparse=True)` needs a group without decay: see `recurra.optim.decay_groups`.
        lr: the learning rate, from 0 up.
        betas: the decays of the moments, each in [0, 1).
        eps: what is added to the root of the second moment, above 0.
        weight_decay: from 0 up; the default is PyTorch's.

    Raises:
        TypeError, ValueError: a number out of its range, or a model that has no parameters.

    Example:
        >>> linear = recurra.Linear(1, 1, bias=False, seed=0)
        >>> linear.load_state_dict({"weight": np.array([[2.0]], np.float32)})
        >>> recurra.AdamW(linear, lr=0.5, weight_decay=0.5).step()  # with a gradient of 0
        >>> linear.params["weight"]
        array([[1.5]], dtype=float32)
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
