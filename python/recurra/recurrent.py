"""What all recurrent layers share, whatever their cell: options, calls, masks, back-propagation through time."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import _core
from ._checks import caller_level, check_flag, check_number, check_rng, check_size, check_tokens
from ._masks import dropout_mask, zoneout_mask
from .module import Array, Module, drawn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .formula import Formula

    Tape = _core.Tape32 | _core.Tape64
    Seed = int | np.random.Generator | None
    State = Any  # h, or a tuple of the cell's states
    Drawn = tuple[list[Array] | None, dict[str, Array] | None]  # masks between layers, and inputs of the cell

MOST_LAYERS = 2**16  # beyond any use, and short of filling the memory with names
NETWORKS: dict[Any, Any] = {np.dtype(np.float32): _core.Network32, np.dtype(np.float64): _core.Network64}

SIZES: dict[str, object] = {"input_size": ..., "hidden_size": ..., "num_layers": 1}
COMMON: dict[str, object] = {"bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
LAST: dict[str, object] = {
    "dtype": np.dtype(np.float32),
    "tokens": None,
    "proj_size": 0,
    "reverse": False,
    "recurrent_dropout": 0.0,
    "zoneout": 0.0,
    "learned_state": False,
}


class Recurrent(Module):
    """A stack of recurrent layers. Sizes: T steps, B sequences, H hidden_size, L num_layers, D directions (1 or 2).

    h has P features: proj_size where the cell projects, else H.
    """

    _formula: Formula | ClassVar[Formula]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        dtype: object,
        seed: Seed,
        tokens: bool | None,
        proj_size: int,
        reverse: bool,
        recurrent_dropout: float,
        zoneout: float | Mapping[str, float],
        learned_state: bool,
    ) -> None:
        self.input_size = check_size("input_size", input_size)
        self.hidden_size = check_size("hidden_size", hidden_size)
        self.num_layers = check_size("num_layers", num_layers, MOST_LAYERS)
        self.bias = check_flag("bias", bias)
        self.batch_first = check_flag("batch_first", batch_first)
        self._dropout = _check_rate(dropout, self.num_layers)
        self.tokens = check_tokens(tokens)
        self.bidirectional = check_flag("bidirectional", bidirectional)
        self.reverse = check_flag("reverse", reverse)
        if self.reverse and self.bidirectional:
            raise ValueError("reverse: expected False, as the layer is bidirectional, got True")
        self.learned_state = check_flag("learned_state", learned_state)
        self.proj_size = self._check_projection(proj_size)
        self._recurrent_dropout = check_number("recurrent_dropout", recurrent_dropout, "a number in [0, 1)", 0, 1)
        self._zoneout = self._check_zoneout(zoneout)
        self._plan: Mapping[str, int] | None = None
        super().__init__(dtype, seed, self.hidden_size**-0.5)

    def _check_projection(self, proj_size: int) -> int:
        """The size of h where the cell projects, else 0."""
        if type(proj_size) is not int or proj_size < 0:
            check_size("proj_size", proj_size)
        if proj_size and not self._can_project:
            raise ValueError(f"proj_size: expected 0, as a {type(self).__name__} has no projection, got {proj_size}")
        if proj_size >= self.hidden_size:
            raise ValueError(f"proj_size: expected less than hidden_size = {self.hidden_size}, got {proj_size}")
        return int(proj_size)

    @property
    def _can_project(self) -> bool:
        return False

    def _check_zoneout(self, zoneout: object) -> float | dict[str, float]:
        if not hasattr(zoneout, "keys"):
            return check_number("zoneout", zoneout, "a number in [0, 1), or one for each of some states", 0, 1)
        rates: dict[str, Any] = dict(zoneout)
        for name, rate in rates.items():
            if name not in self._formula.states:
                raise ValueError(f"zoneout: expected some of {', '.join(self._formula.states)}, got {name!r}")
            rates[name] = check_number(f"zoneout[{name!r}]", rate, "a number in [0, 1)", 0, 1)
        return rates

    def _make_core(self) -> Any:
        return self._network(self._formula)

    def _network(self, formula: Formula) -> Any:
        return NETWORKS[self.dtype](
            formula.core,
            self.input_size,
            self.hidden_size,
            self.num_layers,
            2 if self.bidirectional else 1,
            self.bias,
            False,
            self.tokens,
            self.proj_size,
            self.reverse,
            self.learned_state,
        )

    def _initial(self, name: str, value: Array, rng: np.random.Generator, bound: float) -> Array:
        base = name.rpartition("_l")[0] if not name.endswith("_reverse") else name.rpartition("_l")[0]
        declared = self._formula.initial_values.get(base)
        if declared is not None:
            return declared_value(declared, rng, value)
        if base == "":  # a learned initial state, which has no suffix
            return np.zeros_like(value)
        return super()._initial(name, value, rng, bound)

    @property
    def dropout(self) -> float:
        """The rate at which `forward` zeroes what one layer hands to the next."""
        return self._dropout

    @dropout.setter
    def dropout(self, value: float) -> None:
        self._dropout = _check_rate(value, self.num_layers)

    @property
    def recurrent_dropout(self) -> float:
        """The rate at which `forward` zeroes what products with the state before the step read.

        One mask serves all steps of a sequence (Gal & Ghahramani 2016).
        """
        return self._recurrent_dropout

    @recurrent_dropout.setter
    def recurrent_dropout(self, value: float) -> None:
        self._recurrent_dropout = check_number("recurrent_dropout", value, "a number in [0, 1)", 0, 1)

    @property
    def zoneout(self) -> float | dict[str, float]:
        """The rate at which units of the states stay as they were in a step of `forward` (Krueger et al. 2017)."""
        return self._zoneout

    @zoneout.setter
    def zoneout(self, value: float | Mapping[str, float]) -> None:
        self._zoneout = self._check_zoneout(value)
