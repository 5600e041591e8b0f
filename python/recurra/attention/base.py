"""What Attention and AttentionPooling have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recurra._checks import check_array, check_flag, check_size, shown
from recurra._tapes import PartsTape, check_tape, versions_of
from recurra.composite import Composite, check_arrays
from recurra.module import Module

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recurra.module import Array, ArrayIn

F32 = np.dtype(np.float32)


class AttentionTape(PartsTape):
    """What `forward` of an attention keeps; `weights` is what it attended to."""

    __slots__ = ("weights",)

    weights: Array


class Attending(Composite):
    """What both have in common: named parts, options that stay, and tapes."""

    kind: str
    dtype: np.dtype[Any]
    _parts_key: object

    def __repr__(self) -> str:
        return Module.__repr__(self)

    def _attribute_names(self) -> set[str]:
        return {*super()._attribute_names(), "hidden", "memory", "query", "score"}

    def _check_options(self, kind: object, kinds: tuple[str, ...], hidden_size: object, default: int) -> int | None:
        """How many features scores are computed from, where that is to be chosen."""
        expected = ", ".join(map(repr, kinds[:-1])) + f" or {kinds[-1]!r}"
        if not isinstance(kind, str):
            raise TypeError(f"kind: expected {expected}, got {shown(kind)}")
        if kind not in kinds:
            raise ValueError(f"kind: expected {expected}, got {shown(kind)}")
        self.kind = kind
        if kind == "additive":
            return default if hidden_size is None else check_size("hidden_size", hidden_size)
        if hidden_size is not None:
            raise ValueError(f"hidden_size: expected None, as only kind='additive' has it, got {shown(hidden_size)}")
        return None

    def _check_backward(self, tape: Any, grads: Mapping[str, Array] | None, **flags: object) -> None:
        check_tape(tape, AttentionTape, self._parts_key, versions_of(self.leaves()), "layer")
        for name, value in flags.items():
            check_flag(name, value)
        if grads is not None:
            check_arrays("grads", grads, self.params)

    def _check_gradient(self, name: str, gradient: ArrayIn, shape: tuple[int, ...]) -> Array:
        gradient = check_array(name, gradient, self.dtype)
        if gradient.shape != shape:
            raise ValueError(f"{name}: expected {shape}, got {gradient.shape}")
        return gradient
