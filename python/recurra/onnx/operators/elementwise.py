"""Operators element by element: arithmetic, comparisons and activations, as NumPy and our kernels have them."""

from __future__ import annotations

import math
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.formula.arrays import NUMPY
from recurra.functional import sigmoid, tanh
from recurra.onnx.nodes import Computation, Node, operator, simple

if TYPE_CHECKING:
    from collections.abc import Callable

    from recurra.module import Array

SQRT_HALF = math.sqrt(0.5)


def same_dtype(*values: Array) -> None:
    """ValueError unless all are of one dtype: the standard doesn't promote, and NumPy would."""
    if len({value.dtype for value in values}) > 1:
        raise ValueError(f"dtypes: expected one for all inputs, got {', '.join(str(v.dtype) for v in values)}")


def _of_two(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(v: Array, w: Array) -> Any:
        same_dtype(v, w)
        return function(v, w)

    return run


def _of_any(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*values: Array) -> Any:
        same_dtype(*values)
        return reduce(function, values)

    return run


def _divide(v: Array, w: Array) -> Any:
    if v.dtype.kind == "f":
        return v / w
    if not np.all(w):
        raise ValueError("divisor: expected integers other than 0, got 0")
    quotient = v // w
    return quotient + ((quotient < 0) & (quotient * w != v))  # towards 0; of negative ones NumPy's goes down


def _mean(*values: Array) -> Any:
    return _of_any(np.add)(*values) / values[0].dtype.type(len(values))


def _power(base: Array, exponent: Array) -> Any:
    if base.dtype.kind != "f" and exponent.dtype.kind != "f" and np.any(exponent < 0):
        raise ValueError("exponent: expected integers from 0, as the base is of integers, got negative ones")
    return np.power(base, exponent).astype(base.dtype, copy=False)


OF_TWO: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": _divide,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Equal": np.equal,
    "And": np.logical_and,
    "Or": np.logical_or,
    "Xor": np.logical_xor,
    "PRelu": lambda v, slope: np.where(np.less(v, 0), v * slope, v),
}
for name, ufunc in OF_TWO.items():
    simple(name, _of_two(ufunc))

for name, ufunc in {"Max": np.maximum, "Min": np.minimum, "Sum": np.add}.items():
    simple(name, _of_any(ufunc))
simple("Mean", _mean)
simple("Pow", _power)

OF_ONE: dict[str, Callable[..., Any]] = {
    "Abs": np.abs,
    "Neg": np.negative,
    "Exp": np.exp,
    "Log": np.log,
    "Sqrt": np.sqrt,
    "Reciprocal": lambda v: np.divide(1, v, dtype=v.dtype),
    "Floor": np.floor,
    "Ceil": np.ceil,
    "Round": np.rint,
    "Sign": np.sign,
    "Sin": np.sin,
    "Cos": np.cos,
    "Erf": NUMPY["erf"],
    "Not": np.logical_not,
    "IsNaN": np.isnan,
    "Tanh": tanh,
    "Sigmoid": sigmoid,
    "Relu": lambda v: np.maximum(v, v.dtype.type(0)),
    "Softplus": NUMPY["softplus"],
    "Softsign": lambda v: v / (1 + abs(v)),
    "Identity": lambda v: v,
    "HardSwish": lambda v: v * np.clip(v / 6 + 0.5, 0, 1),
    "Mish": lambda v: v * np.tanh(NUMPY["softplus"](v)),
}
for name, function in OF_ONE.items():
    simple(name, function, bounded=name == "Identity")


@operator("LeakyRelu", "alpha")
def _leaky_relu(node: Node) -> Computation:
    alpha = node.attributes["alpha"]
    return Computation(lambda v: np.where(np.less(v, 0), v.dtype.type(alpha) * v, v))


@operator("Elu", "alpha")
def _elu(node: Node) -> Computation:
    alpha = node.attributes["alpha"]
    return Computation(lambda v: np.where(np.less(v, 0), v.dtype.type(alpha) * np.expm1(np.minimum(v, 0)), v))


@operator("Celu", "alpha")
def _celu(node: Node) -> Computation:
    alpha = node.attributes["alpha"]
    return Computation(
        lambda v: (np.maximum(v, 0) + np.minimum(0, alpha * np.expm1(np.minimum(v, 0) / alpha))).astype(v.dtype)
    )


@operator("Selu", "alpha gamma")
def _selu(node: Node) -> Computation:
    alpha, gamma = node.attributes["alpha"], node.attributes["gamma"]
    return Computation(
        lambda v: (gamma * np.where(np.less_equal(v, 0), alpha * np.expm1(np.minimum(v, 0)), v)).astype(v.dtype)
    )


@operator("ThresholdedRelu", "alpha")
def _thresholded_relu(node: Node) -> Computation:
    alpha = node.attributes["alpha"]
    return Computation(lambda v: np.where(np.greater(v, v.dtype.type(alpha)), v, v.dtype.type(0)))


@operator("HardSigmoid", "alpha beta")
def _hard_sigmoid(node: Node) -> Computation:
    alpha, beta = node.attributes["alpha"], node.attributes["beta"]
    return Computation(lambda v: np.clip(v.dtype.type(alpha) * v + v.dtype.type(beta), 0, 1))


@operator("Gelu", "approximate")
def _gelu(node: Node) -> Computation:
    approximate = node.attributes["approximate"]
    if approximate not in {"none", "tanh"}:
        node.refuse("approximate 'none' or 'tanh'", repr(approximate))
    return Computation(lambda v: NUMPY["gelu"](v, approximate).astype(v.dtype))


@operator("Mod", "fmod")
def _mod(node: Node) -> Computation:
    return Computation(_of_two(np.fmod if node.attributes["fmod"] else np.mod))


@operator("Clip", "min max")
def _clip(node: Node) -> Computation:
    if node.version < 11:
        least, most = node.attributes["min"], node.attributes["max"]
        return Computation(lambda v: np.minimum(np.maximum(v, v.dtype.type(least)), v.dtype.type(most)))

    def run(v: Array, least: Array | None = None, most: Array | None = None) -> Any:
        v = v if least is None else np.maximum(v, least)
        return v if most is None else np.minimum(v, most)

    return Computation(run)


def _where(condition: Array, v: Array, w: Array) -> Any:
    same_dtype(v, w)
    return np.where(condition, v, w)


simple("Where", _where)


@operator("Dropout", "ratio seed")
def _dropout(node: Node) -> Computation:
    """What it is when a network runs: nothing."""
    training = node.constant(2)
    if node.has_input(2) and (training is None or training.any()):
        node.refuse("training_mode that is constant and false", "another")
    masked = len(node.outputs) > 1 and bool(node.outputs[1])

    def run(v: Array, *_: Array | None) -> Any:
        return (v, np.ones(v.shape, bool)) if masked else v

    return Computation(run)


@operator("DequantizeLinear", "axis")
def _dequantize(node: Node) -> Computation:
    axis = node.attributes.get("axis", 1)

    def run(v: Array, scale: Array, zero: Array | None = None) -> Any:
        shape = [1] * v.ndim
        if scale.ndim == 1 and scale.size != 1:
            shape[axis] = scale.size
        elif scale.size != 1:
            raise ValueError(f"scale: expected one number, or one for each index of an axis, got {scale.shape}")
        shifted = v.astype(np.int32) - (0 if zero is None else zero.astype(np.int32).reshape(shape))
        return shifted.astype(scale.dtype) * scale.reshape(shape)

    return Computation(run)
