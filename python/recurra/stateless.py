"""What layers without parameters share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ._checks import check_array, check_flag, shown, taken
from ._quiet import quiet
from .module import Array, Module

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .module import ArrayIn


class StatelessTape:
    """What `forward` of a layer without parameters keeps for `backward`."""

    __slots__ = ("consumed", "dtype", "kept", "layer", "shape")

    def __init__(self, layer: Stateless, y: Array, kept: Any) -> None:
        self.layer, self.shape, self.dtype, self.kept = layer, y.shape, y.dtype, kept
        self.consumed = False


class Stateless(Module):
    """A layer without parameters, of any float dtype: y = f(x), dx = dy ∘ f'(x) unless a subclass differs."""

    _options: ClassVar[Mapping[str, object]] = {}

    def __init__(self) -> None:
        self.grads: dict[str, Array] = {}

    def _value(self, x: Array) -> Array:
        """f(x)."""
        raise NotImplementedError

    def _slope(self, y: Array) -> Array:
        """f'(x), which can be told from y: a new array, so that the tape outlives changes to x and y."""
        raise NotImplementedError

    def _reverse(self, kept: Any, dy: Array) -> Array:
        """The gradient of x from what the tape kept."""
        dx: Array = np.multiply(dy, kept, out=np.empty_like(dy))
        return dx

    @quiet
    def __call__(self, x: ArrayIn) -> Array:
        """y of x, and keeps nothing.

        Args:
            x: any shape, float32 or float64.

        Returns:
            y, of x's shape and dtype.

        Raises:
            TypeError: x isn't an array of float32 or float64.
        """
        x = check_array("x", x)
        return self._value(x)

    @quiet
    def forward(self, x: ArrayIn) -> tuple[Array, StatelessTape]:
        """y of x, and the tape of what `backward` needs.

        Args:
            x: as for a plain call.

        Returns:
            y and the tape.
        """
        x = check_array("x", x)
        y = self._value(x)
        return y, StatelessTape(self, y, self._slope(y))

    @quiet
    def backward(
        self,
        tape: StatelessTape,
        dy: ArrayIn,
        *,
        need_dx: bool = True,
        grads: dict[str, Array] | None = None,
        retain: bool = False,
    ) -> Array | None:
        """The gradient of x from that of y.

        Args:
            tape: from `forward` of this layer; it serves once, unless `retain` is set.
            dy: the gradient of the loss with respect to y, of its shape and dtype.
            need_dx: False spares the gradient of x.
            grads: None or empty, as there are no parameters.
            retain: keep the tape for another call.

        Returns:
            dx, of x's shape; None without `need_dx`.

        Raises:
            RuntimeError: The tape is of another layer, or has been consumed.
            TypeError: dy isn't an array, or has another dtype.
            ValueError: dy has a wrong shape, or `grads` has names.
        """
        dy = taken("dy", dy)  # before the tape is looked at: what is asked for its array may use it
        if not isinstance(tape, StatelessTape):
            raise TypeError(f"tape: expected the tape of a forward call of this layer, got {type(tape).__name__}")
        if tape.layer is not self:
            raise RuntimeError("tape: expected one of this layer, got one of another")
        if tape.consumed:
            raise RuntimeError("tape: expected an unused one, got one that backward has consumed; retain=True keeps it")
        dy = check_array("dy", dy, tape.dtype)
        if dy.shape != tape.shape:
            raise ValueError(f"dy: expected y's shape {tape.shape}, got {dy.shape}")
        need_dx, retain = check_flag("need_dx", need_dx), check_flag("retain", retain)
        if grads:
            raise ValueError(f"grads: expected no names, as there are no parameters, got {shown(list(grads))}")
        dx = self._reverse(tape.kept, dy) if need_dx else None
        if not retain:
            tape.consumed, tape.kept = True, None
        return dx

    @property
    def params(self) -> Mapping[str, Array]:
        """An empty mapping, as there are no parameters."""
        return {}

    def leaves(self) -> list[Module]:
        """The layers with parameters of their own: an empty list."""
        return []

    def state_dict(self) -> dict[str, Array]:
        """An empty dict, as there are no parameters."""
        return {}

    def load_state_dict(self, state: Mapping[str, ArrayIn]) -> None:
        """Takes an empty one.

        Args:
            state: a mapping without names.

        Raises:
            TypeError: It isn't a mapping.
            ValueError: It has names.
        """
        if not hasattr(state, "keys"):
            raise TypeError(f"state_dict: expected a dict of arrays by name, got {type(state).__name__}")
        if state:
            raise ValueError(f"state_dict: expected no names, as there are no parameters, got {shown(list(state))}")

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
