"""The functions of a formula on NumPy arrays and on Python's numbers: what they mean, whoever compiles them."""

import math
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import numpy as np

# The type of the numbers of the step that is being computed, for a choice between two constants.
step_dtype: ContextVar[Any] = ContextVar("step_dtype", default=None)
# weight_hr of the step that is being computed.
step_projection: ContextVar[Any] = ContextVar("step_projection", default=None)

_SQRT_HALF = math.sqrt(0.5)
_TANH_GELU = math.sqrt(2 / math.pi)


def is_tensor(value: object) -> bool:
    """Whether this is a tensor of torch, which isn't imported for the question."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _sigmoid(v: Any) -> Any:
    e = np.exp(-np.abs(v))
    return np.where(np.greater_equal(v, 0), 1, e) / (1 + e)


def _softplus(v: Any) -> Any:
    return np.maximum(v, 0) + np.log1p(np.exp(-np.abs(v)))


def _erf(v: Any) -> Any:
    values = np.asarray(v)
    dtype = values.dtype if values.dtype.kind == "f" else np.float64
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(values)).astype(dtype)


def _gelu(v: Any, approximate: str) -> Any:
    if approximate == "tanh":
        return 0.5 * v * (1 + np.tanh(_TANH_GELU * (v + 0.044715 * (v * v * v))))
    return 0.5 * v * (1 + _erf(v * _SQRT_HALF))


def _where(condition: Any, a: Any, b: Any) -> Any:
    dtype = step_dtype.get()
    if dtype is not None and isinstance(a, (int, float)) and isinstance(b, (int, float)):
        a = dtype.type(a)
    return np.where(np.not_equal(condition, 0), a, b)


def _mean(v: Any) -> Any:
    return np.mean(v, axis=-1, keepdims=True) if np.ndim(v) else v


def _given_slope(value: Any, slope_of: Any) -> Any:
    dtype = getattr(slope_of, "dtype", step_dtype.get() or np.float64)
    return np.broadcast_to(np.asarray(value, dtype), np.broadcast_shapes(np.shape(value), np.shape(slope_of)))


def _project(v: Any) -> Any:
    weight = step_projection.get()
    if weight is None:
        raise TypeError("project: is computed by run_step, which has weight_hr, got arrays alone")
    if not np.ndim(v) or v.shape[-1] != weight.shape[-1]:
        v = v + 0 * weight[0]  # one number for all units, or for those of a row
    return v @ weight.T


def _clip(v: Any, lo: float | None, hi: float | None) -> Any:
    return np.clip(v, -np.inf if lo is None else lo, np.inf if hi is None else hi)


NUMPY: dict[str, Callable[..., Any]] = {
    "identity": lambda v: v,
    "negate": lambda v: -v,
    "add": lambda v, w: v + w,
    "subtract": lambda v, w: v - w,
    "multiply": lambda v, w: v * w,
    "divide": lambda v, w: v / w,
    "power": lambda v, n: v**n,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "equal": np.equal,
    "not_equal": np.not_equal,
    "logical_and": lambda v, w: v & w,
    "logical_or": lambda v, w: v | w,
    "logical_not": lambda v: ~v,
    "where": _where,
    "abs": np.abs,
    "minimum": np.minimum,
    "maximum": np.maximum,
    "clip": _clip,
    "square": lambda v: v * v,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sin": np.sin,
    "cos": np.cos,
    "erf": _erf,
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "relu": lambda v: np.maximum(v, 0),
    "leaky_relu": lambda v, slope: np.where(np.greater(v, 0), v, slope * v),
    "elu": lambda v, alpha: np.where(np.greater(v, 0), v, alpha * np.expm1(np.minimum(v, 0))),
    "softplus": _softplus,
    "log_sigmoid": lambda v: -_softplus(-v),
    "silu": lambda v: v * _sigmoid(v),
    "gelu": _gelu,
    "hard_sigmoid": lambda v: np.clip(v + 3, 0, 6) * (1 / 6),
    "hard_tanh": lambda v: np.clip(v, -1, 1),
    "given_slope": _given_slope,
    "mean": _mean,
    "project": _project,
}


def compute(name: str, *args: Any) -> Any:
    """The function of this name; constants stay Python's, so that they take the type of what they meet."""
    if any(is_tensor(a) for a in args):
        from .tensors import TORCH

        return TORCH[name](*args)
    for a in args[:1] if name == "gelu" else args:  # whose second one is a name
        if not (a is None or isinstance(a, (bool, int, float, complex, np.ndarray, np.generic))):
            raise TypeError(f"{name}: expected values of a formula, numbers, arrays or tensors, got {type(a).__name__}")
    result = NUMPY[name](*args)
    if all(a is None or isinstance(a, (bool, int, float, str)) for a in args) and np.ndim(result) == 0:
        return bool(result) if isinstance(result, (bool, np.bool_)) else float(result)
    return result
