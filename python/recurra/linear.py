"""The fully connected layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import _core
from ._checks import check_flag, check_size
from .module import Array, Module
from .recurrent import DTYPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .recurrent import Seed

    LinearTape = _core.LinearTape32 | _core.LinearTape64

CORES: dict[Any, Any] = {np.dtype(np.float32): _core.Linear32, np.dtype(np.float64): _core.Linear64}


class Linear(Module):
    """The fully connected layer, y = x Wᵀ + b over the last axis; the other axes, of any number, stay.

    Parameters: weight (out_features, in_features), bias (out_features,).

    Args:
        in_features: of x, from 1.
        out_features: of y, from 1.
        bias: whether there is b.
        dtype: float32 or float64.
        seed: of the weights, drawn uniform in ±1/√in_features; see `RNN`.

    Attributes:
        grads: gradients by the parameters' names, arrays of their shapes.

    Example:
        >>> linear = recurra.Linear(3, 2, seed=0)
        >>> y, tape = linear.forward(np.ones((5, 4, 3), np.float32))
        >>> dx = linear.backward(tape, np.ones_like(y))
        >>> y.shape, dx.shape
        ((5, 4, 2), (5, 4, 3))
        >>> linear.grads["bias"].tolist()  # 20 ones each
        [20.0, 20.0]
    """

    _options: ClassVar[Mapping[str, object]] = {"in_features": ..., "out_features": ..., "bias": True} | DTYPE

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, dtype: object = np.float32, seed: Seed = None
    ) -> None:
        self.in_features = check_size("in_features", in_features)
        self.out_features = check_size("out_features", out_features)
        self.bias = check_flag("bias", bias)
        super().__init__(dtype, seed, self.in_features**-0.5)

    def _make_core(self) -> Any:
        return CORES[self.dtype](self.in_features, self.out_features, self.bias)

    def __call__(self, x: Array) -> Array:
        """y of x, and keeps nothing.

        Args:
            x: (…, in_features), any number of axes and any strides, in the layer's dtype.

        Returns:
            y (…, out_features), a new array.

        Raises:
            TypeError: x isn't an array, or has another dtype.
            ValueError: Its last axis isn't `in_features`.
        """
        return self._core.call(x)  # type: ignore[no-any-return]

    def forward(self, x: Array) -> tuple[Array, LinearTape]:
        """y of x, and the tape of what `backward` needs.

        Args:
            x: as for a plain call. The tape has a copy.

        Returns:
            y and the tape.
        """
        return self._core.forward(x)  # type: ignore[no-any-return]

    def backward(
        self,
        tape: LinearTape,
        dy: Array,
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
        grads = self.grads if grads is None else grads
        return self._core.backward(tape, dy, need_dx, grads, retain)  # type: ignore[no-any-return]
