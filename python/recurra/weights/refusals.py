"""One form for saying that something has no counterpart on the other side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recurra._checks import shown

if TYPE_CHECKING:
    from collections.abc import Mapping


def refuse(name: str, got: object, expected: str) -> ValueError:
    """The error: of what name, what was given and what could have been converted."""
    return ValueError(f"{name}: expected {expected}, got {got if isinstance(got, str) else shown(got)}")


def check_neutral(layer: Any, neutral: Mapping[str, object], other: str) -> None:
    """Refuses one of our layers with an option that `other` doesn't have, unless it is as if it weren't there."""
    for option, value in neutral.items():
        own = getattr(layer, option, value)
        if own != value and not (isinstance(own, dict) and not any(own.values())):
            raise refuse(option, own, f"{value}, as {other} has no such option")
    if getattr(layer, "tokens", None):
        raise refuse("tokens", True, f"features, as {other} reads no tokens; put an Embedding before it")
