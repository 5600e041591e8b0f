"""How much a file may ask for while it is read, so that a small or broken one can't fill the memory or the day."""

from __future__ import annotations

from typing import Any

from recurra.weights.errors import FormatError

MOST_BYTES = 2**31 - 1  # protobuf's own limit
MOST_NODES = 20_000  # reading them takes half a second; networks have hundreds
MOST_TENSORS = 20_000
MOST_CELLS = 64  # each cell that isn't a standard one is compiled, in some milliseconds
MOST_SCANS = 256  # the names and constants around each are copied, up to 2 ms
MOST_AXES = 32  # NumPy 1's limit
MOST_MADE = 2**29  # elements that one node may make of a few numbers, as Expand and ConstantOfShape do


def text(value: Any, what: str) -> str:
    """A name of a file; protobuf hands over those that aren't text in UTF-8 as bytes."""
    if not isinstance(value, str):
        raise FormatError(f"{what}: expected text, got bytes that are none, {value[:40]!r}")
    return value


class Budget:
    """Bytes that layers and folded constants may take in all, in proportion to those of the model's tensors."""

    def __init__(self) -> None:
        self._left = 2**26

    def add_stored(self, size: int) -> None:
        """Bytes of a tensor that the model has."""
        self._left += 8 * size

    def check(self, size: int, what: str) -> None:
        """FormatError if there isn't so much left: before it is allocated."""
        if size > self._left:
            raise FormatError(f"{what}: expected no more memory than 8 times the model's tensors', got {size:,} bytes")

    def spend(self, size: int, what: str) -> None:
        """The same, and takes it."""
        self.check(size, what)
        self._left -= size
