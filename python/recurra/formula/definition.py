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

    from .layout import Layout
    from .program import Program

SUFFIXES = {InputShape.PER_UNIT: "", InputShape.PER_STEP: "step", InputShape.PER_ROW: "row"}


class Formula:
    """A function of a, s, u, x with its declarations; see `recurra.formula.formula`.

    Raises:
        TypeError: The function isn't one of a, s, u, x, or does with values what only can be done with numbers.
        ValueError: Declarations clash, or name what isn't used.
        AttributeError: The function reads a name that isn't declared.
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
        self.layout: Layout
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
        """How many gates have a share of a parameter's rows."""
        return self.layout.parameters[self.layout.number[name]].blocks

    @property
    def joined_biases(self) -> list[tuple[int, int]]:
        """Blocks of bias_ih and of bias_hh with whose sum the same chain begins."""
        columns = self.program.columns
        return [(c.input_block, c.recurrent_bias) for c in columns if c.input_block >= 0 and c.recurrent_bias >= 0]

    def has_initial(self, name: str) -> bool:
        """Whether a parameter is a unit vector or a scalar, whose initial value is declared."""
        return name in self.declared.units or name in self.declared.scalars

    def initial_value(self, name: str, rng: np.random.Generator, hidden_size: int) -> Any:
        """What a unit vector or a scalar begins as."""
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
        """A formula of another function with the same declarations, more inputs, and a mask on what products read."""
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
        """Parameters, stages with their programs, what is kept and the work of a step, as text."""
        return describe_lines(self.layout, self.program)

    def describe(self) -> str:
        """The same, as one text."""
        return "\n".join(self.describe_lines())

    @property
    def element_work(self) -> int:
        """FLOPs of a step, sequence and unit without the products."""
        return element_work(self.program)

    def run_step(
        self, x: Any, states: Sequence[Any], params: Mapping[str, Any], inputs: Mapping[str, Any] | None = None
    ) -> tuple[Any, ...]:
        """Call the function with arrays or tensors.

        Args:
            x: (B, I), or (I,) with states of (H,).
            states: As declared, (B, H) each; the first one (B, P) where the formula projects.
            params: By name without layer and direction: weight_ih (blocks * H, I), weight_hh (blocks * H, H / heads),
                bias_ih and bias_hh (blocks * H), weight_hr (P, H), units (H), scalars ().
            inputs: (B, H) each; (B,) those of kind step.

        Returns:
            The new states.

        Raises:
            TypeError: states is no list or tuple, or params or inputs are no mapping.
            ValueError: There are more or fewer states than declared, or names are missing.
        """
        return run_step(self.layout, x, states, params, inputs or {})
