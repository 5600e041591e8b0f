"""What layers and single steps of any cell share: its formula."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._checks import check_size, shown
from .module import Array, Module

if TYPE_CHECKING:
    from .formula import Formula


class WithFormula(Module):
    """A module whose formula says what it computes, and with it the parameters' initial values."""

    input_size: int
    hidden_size: int
    _proj_size: int

    @property
    def formula(self) -> Formula:
        """What the cell computes."""
        kind = type(self).__name__
        raise NotImplementedError(f"{kind}: expected a class made of a formula by @recurra.formula(...), got its base")

    @property
    def _can_project(self) -> bool:
        """Whether h may have a size of its own."""
        return False

    @property
    def proj_size(self) -> int:
        """P, the features of h, where the cell projects; else 0."""
        return self._proj_size

    def _check_projection(self, proj_size: int) -> int:
        """The size of h where the cell projects, else 0."""
        if type(proj_size) is not int or proj_size < 0:
            check_size("proj_size", proj_size)
        if proj_size and not self._can_project:
            raise ValueError(f"proj_size: expected 0, as a {type(self).__name__} has no projection, got {proj_size}")
        if proj_size >= self.hidden_size:
            raise ValueError(f"proj_size: expected less than hidden_size = {self.hidden_size}, got {proj_size}")
        return int(proj_size)

    def _name_in_formula(self, name: str) -> str:
        """What the formula calls a parameter."""
        return name

    def _initial(self, name: str, value: Array, rng: np.random.Generator, bound: float) -> Array:
        """Weights and biases uniform in ±1/√H, units and scalars as the formula declares."""
        own = self._name_in_formula(name)
        if not self.formula.has_initial(own):
            return super()._initial(name, value, rng, bound)
        declared = self.formula.initial_value(own, rng, self.hidden_size)
        try:
            if isinstance(declared, np.ma.MaskedArray) or np.asarray(declared).dtype.kind not in "fiub":
                raise TypeError  # what NumPy would cast, losing the mask, the imaginary part or the text
            return np.array(np.broadcast_to(np.asarray(declared, self.dtype), value.shape))
        except (TypeError, ValueError):
            raise ValueError(
                f"{name}: expected an initial value that is a number or an array {value.shape}, got {shown(declared)}"
            ) from None
