"""Modules of any class of recurrent layers of recurra, those of formulas above all."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from recurra._checks import shown
from recurra.layers import GRU, LSTM, RNN
from recurra.recurrent import Recurrent, is_layer_type
from recurra.single_step import SingleStep
from recurra.single_steps import GRUCell, LSTMCell, RNNCell

from ._modules import CoreModule, Sequences, Steps
from ._networks import DTYPES, Kind, check_tensor

if TYPE_CHECKING:
    from recurra.formula import Formula

REFUSED = ("dtype", "seed", "tokens", "recurrent_dropout", "zoneout")  # a module has another form of them, or none
CELLS: dict[type[Recurrent], type[SingleStep]] = {RNN: RNNCell, LSTM: LSTMCell, GRU: GRUCell}


class FormulaModule(CoreModule, torch.nn.Module):  # type: ignore[misc]
    """What modules of layers and of single steps share. Arguments are those of `layer_type`, and torch's `device`."""

    layer_type: ClassVar[Any]
    options: dict[str, Any]  # by name, what the module was made with
    proj_size: int = 0

    def __init__(self, *args: Any, device: Any = None, dtype: Any = None, **options: Any) -> None:
        super().__init__()
        for name in REFUSED:
            value = options.pop(name, None)
            if value is not None and not (isinstance(value, (bool, int, float)) and not value):
                raise TypeError(f"{name}: expected none, as modules don't have it, got {shown(value)}")
        like = torch.empty((), device=device, dtype=dtype)
        check_tensor(type(self).__name__, like)
        layer = self._drawn(args, like.dtype, options)
        self.options = {name: getattr(layer, name) for name in layer._options if name not in REFUSED}
        self.__dict__.update(self.options, _states=len(layer.formula.states))
        for name, value in layer.params.items():
            self.register_parameter(name, torch.nn.Parameter(torch.from_numpy(value.copy())))

    @property
    def formula(self) -> Formula:
        """What the cell computes."""
        found: Any = self.layer_type.formula  # of recurra.RNN, LSTM and GRU a property, which asks for the options
        property_of = getattr(found, "fget", None)
        formula: Formula = property_of(self) if property_of else found
        return formula

    def _drawn(self, args: Any, dtype: Any, options: Any) -> Any:
        """A layer of recurra with fresh weights, whose seed comes from torch's generator."""
        rng = np.random.default_rng(int(torch.randint(2**62, ())))
        return self.layer_type(*args, dtype=DTYPES[dtype], seed=rng, **options)

    def reset_parameters(self) -> None:
        """Draws all parameters anew: uniform in ±1/√H, but for those that the formula declares otherwise."""
        fresh = self._drawn((), next(iter(self.parameters())).dtype, self.options)
        with torch.no_grad():
            for name, value in fresh.params.items():
                getattr(self, name).copy_(torch.from_numpy(value.copy()))

    def extra_repr(self) -> str:
        """Sizes, and the options that aren't at their defaults."""
        parts = []
        for name, default in self.layer_type._options.items():
            if name not in self.options:
                continue
            if default is ...:
                parts.append(repr(getattr(self, name)))
            elif getattr(self, name) != default:
                parts.append(f"{name}={getattr(self, name)!r}")
        return ", ".join(parts)

    def __reduce__(self) -> Any:
        return blank, (self.layer_type,), self.__dict__


class FormulaSequences(Sequences, FormulaModule):
    """Modules over sequences."""

    Cell: ClassVar[type[FormulaSteps]]

    def _kind(self) -> Kind:
        return Kind(
            self.formula,
            self.input_size,
            self.hidden_size,
            self.num_layers,
            self.bidirectional,
            self.bias,
            False,
            self.proj_size,
            self.options["reverse"],
            self.options["learned_state"],
        )


class FormulaSteps(Steps, FormulaModule):
    """Modules of a single step."""

    def _kind(self) -> Kind:
        return Kind(self.formula, self.input_size, self.hidden_size, 1, False, self.bias, True, self.proj_size)


@cache
def as_module(layer_type: type[Recurrent]) -> type[FormulaSequences]:
    """The class of torch.nn.Modules that compute what a class of recurra's layers does.

    A module takes the arguments of `layer_type` (`proj_size`, `reverse` and `learned_state`, too; not `seed`, `tokens`,
    `recurrent_dropout` and `zoneout`), and `device` and `dtype` as torch has them. Its parameters have the layer's
    names and shapes, so state_dicts go both ways, and are drawn by torch's generator. Calls are those of the modules
    `RNN`, `LSTM` and `GRU` here. `as_module(…).Cell` is the class of its single step.

    Args:
        layer_type: what `recurra.formula` has made, of `recurra.cells` or your own; or recurra.RNN, LSTM, GRU.

    Returns:
        A class of modules, the same each time.

    Raises:
        TypeError: it is no such class.

    Example:
        >>> import torch, recurra.torch
        >>> PeepholeLSTM = recurra.torch.as_module(recurra.cells.PeepholeLSTM)
        >>> y, (h_n, c_n) = PeepholeLSTM(3, 8, num_layers=2, dtype=torch.float64)(torch.ones(5, 2, 3).double())
        >>> y.shape, PeepholeLSTM.Cell(3, 8)
        (torch.Size([5, 2, 8]), PeepholeLSTM.Cell(3, 8))
    """
    if not (isinstance(layer_type, type) and is_layer_type(layer_type)):
        raise TypeError(f"layer_type: expected a class of recurra's layers, as of a formula, got {shown(layer_type)}")
    step_type = CELLS.get(layer_type) or layer_type.Cell  # type: ignore[attr-defined]
    name = layer_type.__name__
    doc = f"`{name}` as a module; its arguments are as `recurra.torch.as_module` says."
    made: Any = type(name, (FormulaSequences,), {"layer_type": layer_type, "__doc__": doc})
    doc = f"One step of {doc}"
    made.Cell = type(f"{name}.Cell", (FormulaSteps,), {"layer_type": step_type, "__doc__": doc})
    modules: type[FormulaSequences] = made
    return modules


def blank(layer_type: Any) -> Any:
    """What an unpickled module is before its state."""
    single = issubclass(layer_type, SingleStep)
    kind: Any = as_module(layer_type._layer_type).Cell if single else as_module(layer_type)
    return kind.__new__(kind)
