"""Formulas: traced at once, compiled when their program is needed, and the reference of it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from recurra import _core

from .compiler import arrange, compile_formula
from .declaration import Declaration, declare
from .describe import describe_lines, element_work
from .graph import Graph
from .operations import InputShape
from .step import run_step
from .tracing import trace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np

    from .program import Program

SUFFIXES = {InputShape.PER_UNIT: "", InputShape.PER_STEP: "step", InputShape.PER_ROW: "row"}


class Formula:
    """A function of a, s, u, x with its declarations, traced and compiled: what `formula` of a layer's class is.

    All but two arguments, and what is raised, are as of the decorator, `recurra.formula.formula`.

    Args:
        function: what the decorator is written before.
        gates: names of sums, or a mapping of them to the states that they read.
        states: names.
        units: trained vectors' initial values.
        scalars: trained numbers' initial values.
        inputs: names of a call's arrays, with their kinds.
        output: the state that `y` holds.
        heads: blocks of recurrent weights.
        recurrent_mask: the input by which what recurrent products read is multiplied; of dropout's variants.

    Attributes:
        function: as given.
        declared: the declarations, checked.
        layout: the parameters with their roles and shares of rows.

    Example:
        >>> lstm = recurra.cells.LSTM.formula
        >>> lstm.gates, lstm.states, lstm.parameters
        (('i', 'f', 'g', 'o'), ('h', 'c'), ('weight_ih', 'weight_hh', 'bias_ih', 'bias_hh'))
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        gates: Any = "",
        states: Any = "h",
        units: Mapping[str, Any] | None = None,
        scalars: Mapping[str, Any] | None = None,
        inputs: Any = "",
        output: str | None = None,
        heads: int = 1,
        recurrent_mask: str | None = None,
    ) -> None:
        self.function = function
        self.declared: Declaration = declare(
            function, gates, states, units or {}, scalars or {}, inputs, output, heads, recurrent_mask
        )
        self._graph = Graph()
        self.layout, self._roots = arrange(self.declared, self._graph, trace(self._graph, self.declared))

    @property
    def states(self) -> tuple[str, ...]:
        """The names of the states, as the function returns them."""
        return self.declared.states

    @property
    def gates(self) -> tuple[str, ...]:
        """The names of the gates."""
        return self.declared.gates

    @property
    def arguments(self) -> tuple[str, ...]:
        """Of a, s, u, x those that the function takes."""
        return self.declared.arguments

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters, without layer and direction."""
        return tuple(parameter.name for parameter in self.layout.parameters)

    @property
    def projects(self) -> bool:
        """Whether h has a size of its own."""
        return self.layout.projects

    @property
    def reads_input_itself(self) -> bool:
        """Whether the function uses x.x, so that x has as many features as there are units."""
        return self.program.raw

    def blocks_of(self, name: str) -> int:
        """How many gates have a share of a parameter's rows.

        Args:
            name: of the parameter, without layer and direction.

        Returns:
            Their number; rows are that times H.
        """
        return self.layout.parameters[self.layout.number[name]].blocks

    @property
    def joined_biases(self) -> list[tuple[int, int]]:
        """Blocks of bias_ih and of bias_hh with whose sum the same chain begins."""
        columns = self.program.columns
        return [(c.input_block, c.recurrent_bias) for c in columns if c.input_block >= 0 and c.recurrent_bias >= 0]

    def has_initial(self, name: str) -> bool:
        """Whether a parameter is a unit vector or a scalar, whose initial value is declared.

        Args:
            name: of the parameter, without layer and direction.

        Returns:
            False of weights and biases.
        """
        return name in self.declared.units or name in self.declared.scalars

    def initial_value(self, name: str, rng: np.random.Generator, hidden_size: int) -> Any:
        """What a unit vector or a scalar begins as.

        Args:
            name: of a unit or scalar.
            rng: what a declared function draws from.
            hidden_size: H of the layer.

        Returns:
            A number or an array, as declared or drawn.
        """
        value = {**self.declared.units, **self.declared.scalars}[name]
        return value(rng, hidden_size) if callable(value) else value

    @cached_property
    def core(self) -> _core.Cell:
        """The compiled formula, checked by the compiled half."""
        code, constants = self.program.encode()
        names = {
            "name": self.declared.name,
            "gates": self.declared.gates,
            "states": tuple(self.states[k] for k in self.layout.order),
            "order": self.states,
            "parameters": self.parameters,
            "inputs": tuple(self.declared.inputs),
        }
        return _core.Cell(code, constants, names)

    def changed(self, function: Callable[..., Any], inputs: Sequence[str], recurrent_mask: str | None) -> Formula:
        """A formula of another function with the same declarations, more inputs, and a mask on what products read.

        Args:
            function: the other one.
            inputs: declarations of further inputs, as `name:row`.
            recurrent_mask: one of these, or None.

        Returns:
            The formula.
        """
        own = [f"{name}:{SUFFIXES[shape]}".rstrip(":") for name, shape in self.declared.inputs.items()]
        d = self.declared
        gates = {gate: " ".join(d.states[k] for k in reads) for gate, reads in zip(d.gates, d.reads, strict=True)}
        return Formula(
            function,
            gates=gates,
            states=" ".join(d.states),
            units=d.units,
            scalars=d.scalars,
            inputs=" ".join([*own, *inputs]),
            output=d.output,
            heads=d.heads,
            recurrent_mask=recurrent_mask,
        )

    @cached_property
    def program(self) -> Program:
        """The compiled formula."""
        return compile_formula(self.layout, self._graph, self._roots)

    def describe_lines(self) -> list[str]:
        """Parameters, stages with their programs, what is kept and the work of a step, as text.

        Returns:
            The lines of `describe`.
        """
        return describe_lines(self.layout, self.program)

    def describe(self) -> str:
        """What the formula has been compiled to, as `recurra.FormulaLayer.describe` of its class says it without sizes.

        Returns:
            A text of several lines.
        """
        return "\n".join(self.describe_lines())

    @property
    def element_work(self) -> int:
        """FLOPs of a step, sequence and unit without the products."""
        return element_work(self.program)

    def run_step(
        self, x: Any, states: Sequence[Any], params: Mapping[str, Any], inputs: Mapping[str, Any] | None = None
    ) -> tuple[Any, ...]:
        """One step by the function itself: in NumPy, or of tensors, with autograd, in PyTorch. The formula's reference.

        Args:
            x: (B, I), or (I,) with states of (H,).
            states: a list or tuple in the order declared, (B, H) each; the first one (B, P) where the formula projects.
            params: by name without layer and direction, as a cell's `params`: weight_ih (blocks * H, I), weight_hh
                (blocks * H, H / heads), bias_ih and bias_hh (blocks * H,), weight_hr (P, H), units (H,), scalars ().
            inputs: by name, (B, H) each; (B,) those of kind step.

        Returns:
            The states after the step, a tuple.

        Raises:
            TypeError: states is no list or tuple, or params or inputs are no mapping.
            ValueError: there are more or fewer states than declared, or names are missing.
        """
        return run_step(self.layout, x, states, params, inputs or {})
