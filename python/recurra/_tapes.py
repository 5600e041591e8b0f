"""The tape of a layer made of others: their tapes, and what may go wrong with it."""

from __future__ import annotations

from typing import Any

from ._own_layer import version_of


class PartsTape:
    """What `forward` keeps for `backward`, `kept` being whatever that needs; it serves once, unless retained.

    `state` has the final states of the parts, and after `backward` `dstate` the gradients of the initial ones.
    """

    __slots__ = ("consumed", "dstate", "kept", "owner", "state", "versions")

    def __init__(self, owner: object, versions: list[int], kept: Any, state: Any = None) -> None:
        self.owner: object = owner
        self.versions: list[int] = versions
        self.kept: Any = kept
        self.state: Any = state
        self.dstate: Any = None
        self.consumed: bool = False

    def done(self, retain: bool) -> None:
        """After `backward`."""
        if not retain:
            self.consumed, self.kept = True, None


def check_tape(tape: Any, kind: type[PartsTape], owner: object, versions: list[int], what: str) -> None:
    """Raises unless a tape is of this owner, unused, and from the present weights."""
    if not isinstance(tape, kind):
        raise TypeError(f"tape: expected the tape of a forward call of this {what}, got {type(tape).__name__}")
    if tape.owner is not owner:
        raise RuntimeError(f"tape: expected one of this {what}, got one of another")
    if tape.consumed:
        raise RuntimeError("tape: expected an unused one, got one that backward has consumed; retain=True keeps it")
    if tape.versions != versions:
        raise RuntimeError("tape: expected one made with the present weights, got one from before they changed")


def versions_of(leaves: list[Any]) -> list[int]:
    """How often the weights of each have changed."""
    return [version_of(leaf) for leaf in leaves]
