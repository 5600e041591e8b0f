"""Formulas: traced at once, compiled when their program is needed, and the reference of it."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from .compiler import arrange, compile_formula
from .declaration import Declaration, declare
from .describe import describe_lines
from .graph import Graph
from .program import Program
from .step import run_step
from .tracing import trace


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
    ) -> None:
        self.function = function
        self.declared: Declaration = declare(function, gates, states, units or {}, scalars or {}, inputs, output, heads)
        self._graph = Graph()
        self.layout, self._roots = arrange(self.declared, self._graph, trace(self._graph, self.declared))

    @cached_property
    def program(self) -> Program:
        """The compiled formula."""
        return compile_formula(self.layout, self._graph, self._roots)

    def describe_lines(self) -> list[str]:
        """Parameters, stages with their programs, what is kept and the work of a step, as text."""
        return describe_lines(self.layout, self.program)

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
        """
        return run_step(self.layout, x, states, params, inputs or {})
