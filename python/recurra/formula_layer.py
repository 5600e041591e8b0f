"""Layers and single steps of cells that users write as formulas."""

from __future__ import annotations

import contextlib
import copy
import pickle
import sys
from functools import reduce
from inspect import cleandoc
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ._checks import check_size
from .formula.describe import summary
from .recurrent import COMMON, OPTIONS, SIZES, Recurrent
from .single_step import CELL_OPTIONS, SingleStep
from .with_formula import WithFormula

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from .formula import Formula


class OfFormula(WithFormula):
    """What classes that are made of a formula share: they are the package's, and are pickled by their names."""

    @classmethod
    def _is_own(cls) -> bool:
        return "formula" in vars(cls) or super()._is_own()

    def _check_projection(self, proj_size: int) -> int:
        if self.formula.projects:
            check_size("proj_size", proj_size)
        return super()._check_projection(proj_size)

    @property
    def _can_project(self) -> bool:
        return self.formula.projects

    def __reduce_ex__(self, protocol: Any) -> Any:
        check_found(type(self))
        return super().__reduce_ex__(protocol)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        twin = object.__new__(type(self))
        memo[id(self)] = twin
        twin.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return twin


def check_found(kind: type) -> None:
    """Raises PicklingError unless a class is found by its name, which is all that a pickle has of it."""
    found: Any = None
    with contextlib.suppress(AttributeError, KeyError):
        found = reduce(getattr, kind.__qualname__.split("."), sys.modules[kind.__module__])
    if found is not kind:
        raise pickle.PicklingError(
            f"pickle: expected a formula at the top level of a module, under its function's name, got "
            f"{kind.__module__}.{kind.__qualname__}, where it can't be found again"
        )


class FormulaLayer(OfFormula, Recurrent):
    """A stack of recurrent layers whose cell is a formula: the base of what `recurra.formula` makes.

    Such a layer is called, run and trained as `recurra.LSTM`, with back-propagation through time, lengths, streams. Its
    state is h alone, or a tuple in the order of the formula's `states`.

    Args:
        input_size: I, the features of x at a step; H where the formula reads x itself.
        hidden_size: H, the features of the states.
        num_layers: L, how many are stacked, each reading the outputs of the one below.
        bias: whether there are `bias_ih` and `bias_hh`.
        batch_first: x and y are (B, T, …) instead of (T, B, …); states aren't.
        dropout: the rate, in [0, 1), at which `forward` zeroes features between layers.
        bidirectional: a second direction reads every sequence from its end.
        dtype: float32 or float64, of everything.
        seed: of the weights, uniform in ±1/√H, units and scalars as declared: an integer, a generator, or None.
        tokens: whether integers are tokens, each for a feature that is 1: True, False, or None for where they can't be
            features.
        proj_size: P, the features of h, fewer than H, where the formula projects, which needs it; else 0.
        reverse: the one direction goes from each sequence's end to its beginning.
        recurrent_dropout: the rate, in [0, 1), at which `forward` zeroes what recurrent products read, with one mask
            for all steps of a sequence; 0 where h is projected, gates read several states or none.
        zoneout: the rate, in [0, 1), at which units of the states stay as they were in a step of `forward`; or rates by
            states, `{"c": 0.1}`, without h where that is projected.
        learned_state: the initial state, where a call gives none, is a parameter (L*D, H), `h0`, of a state z `z0`,
            zeros at first.

    Attributes:
        Cell: of the class, that of its single step, a subclass of `FormulaCell`.
        function: of the class, the decorated function, which computes on arrays and tensors too.
        formula: of the class, what the function has been compiled to, a `recurra.formula.Formula`.

    Parameters: weight_ih_l0 has the rows of the gates with an input half, H each, in the order of `gates`; weight_hh_l0
    those with a recurrent half (weight_zh_l0 for a state z, with H / heads columns where there are heads); bias_ih_l0
    and bias_hh_l0 likewise; weight_hr_l0 (P, H) of a projection; then the units (H,) and scalars () by their names.
    To be pickled, the function must be at the top of a module.

    Example:
        >>> layer = recurra.cells.PeepholeLSTM(3, 8, bidirectional=True, zoneout={"c": 0.1}, seed=0)
        >>> y, (h_n, c_n), tape = layer.forward(np.ones((5, 2, 3), np.float32), rng=1)
        >>> dx, (dh_0, dc_0) = layer.backward(tape, y)
        >>> isinstance(layer, recurra.FormulaLayer), y.shape, c_n.shape, layer.grads["p_i_l0_reverse"].shape
        (True, (5, 2, 16), (2, 2, 8), (8,))
    """

    formula: ClassVar[Formula]
    Cell: ClassVar[type[FormulaCell]]
    function: ClassVar[Callable[..., Any]]
    _options = SIZES | COMMON | OPTIONS | {"proj_size": 0}

    @classmethod
    def describe(
        cls,
        input_size: int | None = None,
        hidden_size: int | None = None,
        num_layers: int = 1,
        bidirectional: bool = False,
        proj_size: int = 0,
        steps: int | None = None,
        batch: int | None = None,
    ) -> str:
        """What the formula has been compiled to: parameters, stages with their programs, what the tape keeps, FLOPs.

        Args:
            input_size: I of a layer. With sizes the text has also shapes and numbers of parameters, and a step's FLOPs.
            hidden_size: H of a layer.
            num_layers: how many are stacked.
            bidirectional: whether the layer has two directions.
            proj_size: P, where the formula projects.
            steps: T of a call. With `batch` there are also the bytes of a tape in float32, without masks and initial
                states.
            batch: B of a call.

        Returns:
            A text of several lines, to be printed; docs/cells.md explains one line by line.

        Raises:
            TypeError: a size isn't an integer.
            ValueError: as for a layer of these sizes; or some are missing.
        """
        text = cls.formula.describe()
        if input_size is None and hidden_size is None and steps is None and batch is None:
            return text
        layer = cls(
            check_size("input_size", input_size),
            check_size("hidden_size", hidden_size),
            num_layers,
            bidirectional=bidirectional,
            proj_size=proj_size,
            seed=0,
        )
        lines = layer._size_lines()
        if steps is not None or batch is not None:
            rows = check_size("steps", steps), check_size("batch", batch)
            tape = layer._core.tape_bytes(*rows)
            lines.append(f"  a tape of T = {rows[0]} steps and B = {rows[1]} sequences, in float32: {tape:,} bytes")
        return "\n".join([text, *lines])

    def _size_lines(self) -> list[str]:
        """Shapes of parameters, their number, and FLOPs of a step, as text."""
        directions = 2 if self.bidirectional else 1
        sizes = f"I = {self.input_size}, H = {self.hidden_size}" + f", P = {self.proj_size}" * bool(self.proj_size)
        lines = [f"with {sizes}, layers: {self.num_layers}, directions: {directions}"]
        lines += [f"  {name} {value.shape}" for name, value in self.params.items() if not name.endswith("_reverse")]
        if self.bidirectional:
            lines.append("  and the same once more for the reverse direction")
        products = sum(2 * value.size for value in self.params.values() if value.ndim == 2)
        elements = self.num_layers * directions * self.hidden_size * self.formula.element_work
        lines.append(f"  parameters: {sum(value.size for value in self.params.values()):,} numbers")
        lines.append(f"  FLOPs a step and sequence: {products + elements:,}")
        return lines


class FormulaCell(OfFormula, SingleStep):
    """One step of a formula's cell: (x, states) -> states'. `PeepholeLSTM.Cell` is that of `PeepholeLSTM`.

    It is called as `recurra.LSTMCell`; `inputs` are one step's, (B, H), or (B,) of kind step.

    Args:
        input_size: I, the features of x.
        hidden_size: H, the features of the states.
        bias: whether there are `bias_ih` and `bias_hh`.
        dtype: float32 or float64.
        seed: of the weights: an integer, a generator, or None.
        tokens: whether integers are tokens; None for where they can't be features.
        proj_size: P, the features of h where the formula projects; else 0.

    Example:
        >>> layer = recurra.cells.PeepholeLSTM(3, 8, seed=0)
        >>> cell = layer.Cell.from_layer(layer)  # with the same weights
        >>> h, c = cell(np.ones((2, 3), np.float32))
        >>> h.shape, list(cell.params)[-3:]
        ((2, 8), ['p_i', 'p_f', 'p_o'])
    """

    formula: ClassVar[Formula]
    _layer_type: ClassVar[type[FormulaLayer]]
    _options = CELL_OPTIONS | {"proj_size": 0, "dtype": np.dtype(np.float32)}


def layer_class(formula: Formula) -> type[FormulaLayer]:
    """The class of layers of a formula, named as its function and found where that is."""
    function = formula.function
    name, where = function.__name__, function.__qualname__
    text, example, code = cleandoc(function.__doc__ or "A formula's layers.").partition("\nExample:\n")
    facts = f"Arguments are those of `recurra.FormulaLayer`.\n{summary(formula.layout)}"
    doc = f"{text.rstrip()}\n\n{facts}\n{example}{code}"
    shared = {"formula": formula, "__module__": function.__module__ or __name__}
    layer: Any = type(
        name, (FormulaLayer,), {**shared, "__qualname__": where, "__doc__": doc, "function": staticmethod(function)}
    )
    cell_doc = f"One step of `{name}`. Arguments are those of `recurra.FormulaCell`."
    layer.Cell = type(
        "Cell",
        (FormulaCell,),
        {**shared, "__qualname__": f"{where}.Cell", "__doc__": cell_doc, "_layer_type": layer},
    )
    made: type[FormulaLayer] = layer
    return made
