"""Clipping of gradients by their norm."""

from __future__ import annotations

import math
import warnings
from typing import Any

from recurra import _core
from recurra._checks import check_flag, check_number

from .leaves import Leaf, is_ours, leaves_of


def clip_grad_norm(model: Any, max_norm: float, *, error_if_nonfinite: bool = False) -> float:
    """Scales all gradients of a model down together, if their common 2-norm is above max_norm.

    They are multiplied by max_norm / (norm + 1e-6), PyTorch's factor (Pascanu, Mikolov & Bengio 2013).

    Args:
        model: a layer, a `Sequential`, an object whose `leaves()` are layers, or several of these. Their `grads` are
            scaled in place, all of them or none.
        max_norm: above 0.
        error_if_nonfinite: raise if the norm is infinite or NaN. Without it a `RuntimeWarning` says so, and the
            gradients stay as they are.

    Returns:
        The norm before clipping, a float. Of a gradient by rows it is that of the same as an array.

    Raises:
        TypeError, ValueError: max_norm out of range, a model without parameters, gradients that can't be scaled in
            place: read-only ones or others than C-contiguous ones.
        FloatingPointError: the norm isn't finite, with error_if_nonfinite; nothing is changed then.

    Example:
        >>> linear = recurra.Linear(2, 1, bias=False, seed=0)
        >>> linear.grads["weight"][:] = [[3, 4]]
        >>> recurra.clip_grad_norm(linear, 1.0)
        5.0
        >>> linear.grads["weight"].round(3)
        array([[0.6, 0.8]], dtype=float32)
    """
    limit = check_number("max_norm", max_norm, "a number above 0", 5e-324, math.inf)
    check_flag("error_if_nonfinite", error_if_nonfinite)
    gradients = [
        (layer._parameters if is_ours(layer) else Leaf(layer).parameters, layer.grads) for layer in leaves_of(model)
    ]
    norm = math.sqrt(_core.square_sum(gradients))
    if not math.isfinite(norm):
        if error_if_nonfinite:
            raise FloatingPointError(f"grads: expected a finite norm, got {norm}")
        warnings.warn(f"grads: expected a finite norm, got {norm}; they stay as they are", RuntimeWarning, stacklevel=2)
    elif norm > limit:
        _core.scale_gradients(gradients, limit / (norm + 1e-6))  # PyTorch's margin
    return norm
