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

    from .module import ArrayIn
    from .recurrent import Seed

    LinearTape = _core.LinearTape32 | _core.LinearTape64

CORES: dict[Any, Any] = {np.dtype(np.float32): _core.Linear32, np.dtype(np.float64): _core.Linear64}


class Linear(Module):
    """y = x Wᵀ + b.

    Args:
        in_features, out_features: of x and y, whose other axes are any, but the same.
        bias: whether there is b.
        dtype: float32 or float64.
        seed: of the weights, drawn uniform in ±1/√in_features; see `RNN`.

    Parameters: weight (out_features, in_features), bias (out_features,).
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

    def __call__(self, x: ArrayIn) -> Array:
        """X (…, in_features) -> y (…, out_features)."""
        return self._core.call(x)  # type: ignore[no-any-return]

    def forward(self, x: ArrayIn) -> tuple[Array, LinearTape]:
        """The same, and the tape for `backward`, which has a copy of x."""
        return self._core.forward(x)  # type: ignore[no-any-return]

    def backward(
        self,
        tape: LinearTape,
        dy: ArrayIn,
        *,
        need_dx: bool = True,
        grads: dict[str, Array] | None = None,
        retain: bool = False,
    ) -> Array | None:
        """From dy, of y's shape, the gradient of x (None without need_dx); adds to `grads` or `self.grads`."""
        grads = self.grads if grads is None else grads
        return self._core.backward(tape, dy, need_dx, grads, retain)  # type: ignore[no-any-return]
