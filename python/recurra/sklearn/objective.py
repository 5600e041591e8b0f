"""Losses as the estimators train with them: of targets that bring the samples' weights along."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from recurra._checks import Array


class Weighted:
    """A loss of (prediction, (targets, weights)), as `recurra.fit` calls it.

    Losses divide by the sum of a batch's weights; here it is the number of its samples, so that a batch of light
    samples moves the network less than one of heavy ones. The weights' mean over all samples is 1.

    Args:
        loss: such as `recurra.mse`: (prediction, targets, position_weights=…, lengths=…) -> (value, gradient).
    """

    def __init__(self, loss: Any) -> None:
        self.loss = loss

    def __call__(
        self, prediction: Array, target: tuple[Array, Array | None], lengths: Array | None = None
    ) -> tuple[float, Array]:
        """The value and its gradient."""
        targets, weights = target
        options = {} if lengths is None else {"lengths": lengths}
        if weights is None:
            value, gradient = self.loss(prediction, targets, **options)
            return value, gradient
        counted = weights
        if lengths is not None:
            counted = weights[np.arange(len(weights))[:, None] < lengths]
        share = float(counted.mean())
        value, gradient = self.loss(prediction, targets, position_weights=weights, **options)
        return value * share, gradient * gradient.dtype.type(share)
