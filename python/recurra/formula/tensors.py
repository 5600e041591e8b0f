"""The functions of a formula on tensors of torch, with the gradients of autograd. Only imported where torch is."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from .arrays import NUMPY, step_dtype


def _tensor(v: Any) -> Any:
    if isinstance(v, torch.Tensor):
        return v
    return torch.tensor(v, dtype=step_dtype.get() or torch.get_default_dtype())


def _of_one(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda v, *options: function(_tensor(v), *options)


def _of_two(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(v: Any, w: Any) -> Any:
        like = v if isinstance(v, torch.Tensor) else w
        v, w = (t if isinstance(t, torch.Tensor) else torch.tensor(t, dtype=like.dtype) for t in (v, w))
        return function(v, w)

    return call


def _where(condition: Any, a: Any, b: Any) -> Any:
    condition = condition != 0
    if not isinstance(condition, torch.Tensor):
        return a if condition else b
    if not isinstance(a, torch.Tensor) and not isinstance(b, torch.Tensor):
        a = _tensor(a)
    return torch.where(condition, a, b)


class _GivenSlope(torch.autograd.Function):  # type: ignore[misc]
    """The value exactly, where slope_of + (value - slope_of) is off by a rounding."""

    @staticmethod
    def forward(_context: Any, value: Any, slope_of: Any) -> Any:
        return value.to(slope_of.dtype, copy=True)

    @staticmethod
    def backward(_context: Any, gradient: Any) -> Any:
        return None, gradient


def _given_slope(value: Any, slope_of: Any) -> Any:
    return _GivenSlope.apply(*torch.broadcast_tensors(_tensor(value), _tensor(slope_of)))


TORCH: dict[str, Callable[..., Any]] = {
    **NUMPY,
    **{
        name: _of_one(getattr(torch, name))
        for name in ("abs", "sqrt", "exp", "expm1", "log", "log1p", "sin", "cos", "erf", "sigmoid", "tanh", "relu")
    },
    "minimum": _of_two(torch.minimum),
    "maximum": _of_two(torch.maximum),
    "less": _of_two(torch.lt),
    "less_equal": _of_two(torch.le),
    "greater": _of_two(torch.gt),
    "greater_equal": _of_two(torch.ge),
    "equal": _of_two(torch.eq),
    "not_equal": _of_two(torch.ne),
    "where": _where,
    "clip": _of_one(torch.clamp),
    "leaky_relu": _of_one(functional.leaky_relu),
    "elu": _of_one(functional.elu),
    # softplus itself is linear from 20 on.
    "softplus": lambda v: -functional.logsigmoid(-_tensor(v)),
    "log_sigmoid": _of_one(functional.logsigmoid),
    "silu": _of_one(functional.silu),
    "gelu": lambda v, approximate: functional.gelu(_tensor(v), approximate=approximate),
    "hard_tanh": _of_one(functional.hardtanh),
    # hardsigmoid itself has a sixth in float32.
    "hard_sigmoid": lambda v: functional.hardtanh(_tensor(v) + 3, 0, 6) * (1 / 6),
    "given_slope": _given_slope,
    "mean": lambda v: v.mean(-1, keepdim=True) if v.ndim else v,
}
