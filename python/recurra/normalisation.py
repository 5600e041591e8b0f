"""LayerNorm: features at each step, brought to mean 0 and variance 1."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import _core
from ._checks import check_array, check_dtype, check_flag, check_number, check_size, taken
from ._quiet import quiet
from .composite import check_arrays
from .module import Array, Module
from .recurrent import DTYPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .module import ArrayIn
VECTORS: dict[Any, Any] = {np.dtype(np.float32): _core.vectors32, np.dtype(np.float64): _core.vectors64}


class LayerNormTape:
    """What `LayerNorm.forward` keeps for `backward`: x normalised, 1 / its deviations, and the weights' version."""

    __slots__ = ("consumed", "normalised", "parameters", "scale", "shape", "version")

    def __init__(self, parameters: Any, shape: tuple[int, ...], normalised: Array, scale: Array, version: int) -> None:
        self.parameters, self.shape, self.normalised, self.scale = parameters, shape, normalised, scale
        self.version, self.consumed = version, False


class LayerNorm(Module):
    """Features at each step, brought to mean 0 and variance 1 (Ba, Kiros & Hinton 2016).

    Over the last axis, where the variance is the mean of the squares; other axes, of any number, stay::

        y = (x - E[x]) / √(Var[x] + eps) ∘ weight + bias

    Names and numbers are those of torch.nn.LayerNorm. Parameters: weight (features,), ones at first, and bias
    (features,), zeros.

    Args:
        features: of x, its last axis.
        eps: what is added to the variance, from 0 up.
        dtype: float32 or float64.

    Attributes:
        grads: gradients by the parameters' names, arrays of their shapes.

    Example:
        >>> norm = recurra.LayerNorm(4, dtype=np.float64)
        >>> norm(np.array([[1.0, 2.0, 3.0, 4.0]])).round(3)
        array([[-1.342, -0.447,  0.447,  1.342]])
    """

    _options: ClassVar[Mapping[str, object]] = {"features": ..., "eps": 1e-5} | DTYPE

    def __init__(self, features: int, eps: float = 1e-5, dtype: object = np.float32) -> None:
        self.features: int = check_size("features", features)
        self.eps: float = check_number("eps", eps, "a number from 0 up", 0, math.inf)
        self.dtype: np.dtype[Any] = check_dtype(dtype)
        self._build()
        ones = np.ones(self.features, self.dtype)
        self._parameters.load({"weight": ones, "bias": np.zeros_like(ones)})

    def _make_core(self) -> Any:
        return SimpleNamespace(parameters=VECTORS[self.dtype](("weight", "bias"), self.features))

    @quiet
    def __call__(self, x: ArrayIn) -> Array:
        """y of x, and keeps nothing.

        Args:
            x: (…, features), any number of axes, in the layer's dtype.

        Returns:
            y, a new array of x's shape.

        Raises:
            TypeError: x isn't an array, or has another dtype.
            ValueError: Its last axis isn't `features`.
        """
        return self._run(x)[0]

    @quiet
    def forward(self, x: ArrayIn) -> tuple[Array, LayerNormTape]:
        """y of x, and the tape of what `backward` needs.

        Args:
            x: as for a plain call.

        Returns:
            y and the tape.
        """
        y, normalised, scale, version = self._run(x)
        return y, LayerNormTape(self._parameters, y.shape, normalised, scale, version)

    def _run(self, x: ArrayIn) -> tuple[Array, Array, Array, int]:
        x = check_array("x", x, self.dtype)
        if not x.ndim or x.shape[-1] != self.features:
            raise ValueError(f"x: expected (..., features) = (..., {self.features}), got {x.shape}")
        version = self._parameters.version
        state = self._parameters.snapshot()
        rows = np.ascontiguousarray(x).reshape(-1, self.features)
        centred = rows - _means(rows)
        scale = 1 / np.sqrt(_means(centred * centred) + self.dtype.type(self.eps))
        centred *= scale
        y = centred * state["weight"]
        y += state["bias"]
        return y.reshape(x.shape), centred, scale, version

    @quiet
    def backward(
        self,
        tape: LayerNormTape,
        dy: ArrayIn,
        *,
        need_dx: bool = True,
        grads: dict[str, Array] | None = None,
        retain: bool = False,
    ) -> Array | None:
        """The gradient of x from that of y; adds to those of the parameters.

        Args:
            tape: from `forward` of this layer; it serves once, unless `retain` is set.
            dy: the gradient of the loss with respect to y, of its shape.
            need_dx: False spares the gradient of x.
            grads: a dict by the parameters' names of writeable C-contiguous arrays that gradients are added to; None
                for the layer's `grads`.
            retain: keep the tape for another call.

        Returns:
            dx, of x's shape; None without `need_dx`.

        Raises:
            RuntimeError: The tape is of another layer, has been consumed, or was made before the weights changed.
            TypeError: A gradient isn't an array, or has another dtype. Nothing is changed then, here and below.
            ValueError: A gradient has a wrong shape or name.
        """
        dy = taken("dy", dy)  # before the tape is looked at: what is asked for its array may use it
        if not isinstance(tape, LayerNormTape):
            raise TypeError(f"tape: expected the tape of a forward call of this layer, got {type(tape).__name__}")
        if tape.parameters is not self._parameters:
            raise RuntimeError("tape: expected one of this layer, got one of another")
        if tape.consumed:
            raise RuntimeError("tape: expected an unused one, got one that backward has consumed; retain=True keeps it")
        if tape.version != self._parameters.version:
            raise RuntimeError("tape: expected one made with the present weights, got one from before they changed")
        dy = check_array("dy", dy, self.dtype)
        if dy.shape != tape.shape:
            raise ValueError(f"dy: expected y's shape {tape.shape}, got {dy.shape}")
        need_dx, retain = check_flag("need_dx", need_dx), check_flag("retain", retain)
        grads = self.grads if grads is None else grads
        check_arrays("grads", grads, self.params)
        rows = np.ascontiguousarray(dy).reshape(-1, self.features)
        dx = None
        if need_dx:
            slopes = rows * self.params["weight"]
            dx = slopes - _means(slopes)
            dx -= tape.normalised * _means(slopes * tape.normalised)
            dx *= tape.scale
            dx = dx.reshape(tape.shape)
        for name, summands in (("weight", rows * tape.normalised), ("bias", rows)):
            np.add(grads[name], np.add.reduce(summands, axis=0), out=grads[name])
        if not retain:
            tape.consumed = True
            del tape.normalised, tape.scale
        return dx


def _means(rows: Array) -> Array:
    """Of each row, (N, 1). Rows are contiguous, so NumPy sums each by itself, in an order that its length decides."""
    means: Array = np.add.reduce(rows, axis=1, keepdims=True)
    means /= rows.dtype.type(rows.shape[1])
    return means
