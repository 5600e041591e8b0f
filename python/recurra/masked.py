"""Formulas with masks: recurrent dropout and zoneout, as inputs of the same cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .formula import Formula, where

if TYPE_CHECKING:
    from collections.abc import Callable

RECURRENT_MASK = "recurrent_dropout"  # the names of the inputs, which no cell declares


def zone_of(state: str) -> str:
    """The name of the input that says which units of a state stay as they were."""
    return f"zoneout_{state}"


def masked(formula: Formula, recurrent: bool, zoned: tuple[str, ...]) -> Formula:
    """The formula with a mask on what products with states read, and one for each of the states that zone out.

    Recurrent dropout: Gal & Ghahramani 2016. Zoneout: Krueger et al. 2017.
    """
    function: Callable[..., Any] = formula.function

    def step(a: Any, s: Any, u: Any, x: Any) -> Any:
        values = {"a": a, "s": s, "u": u, "x": x}
        after = function(**{name: values[name] for name in formula.arguments})
        states = after if isinstance(after, (tuple, list)) else (after,)
        return tuple(
            where(getattr(x, zone_of(name)), getattr(s, name), state) if name in zoned else state
            for name, state in zip(formula.states, states, strict=True)
        )

    inputs = [f"{RECURRENT_MASK}:row"] * recurrent + [zone_of(name) for name in zoned]
    return formula.changed(step, inputs=inputs, recurrent_mask=RECURRENT_MASK if recurrent else None)
