"""One form for saying that something has no counterpart on the other side."""

from __future__ import annotations

from recurra._checks import shown


def refuse(name: str, got: object, expected: str) -> ValueError:
    """The error: of what name, what was given and what could have been converted."""
    return ValueError(f"{name}: expected {expected}, got {got if isinstance(got, str) else shown(got)}")
