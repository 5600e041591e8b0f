"""How much a file may ask for while it is read, so that a small or broken one can't fill the memory or the day."""

from __future__ import annotations

from recurra.weights.errors import FormatError

MOST_BYTES = 2**31 - 1  # protobuf's own limit
MOST_NODES = 50_000  # reading them takes under a second; networks have hundreds
MOST_TENSORS = 50_000
MOST_CELLS = 64  # each cell that isn't a standard one is compiled, in some milliseconds
MOST_AXES = 32  # NumPy 1's limit
MOST_MADE = 2**29  # elements that one node may make of a few numbers, as Expand and ConstantOfShape do


class Budget:
    """Bytes that layers and folded constants may take in all, in proportion to those of the model's tensors."""

    def __init__(self, stored: int) -> None:
        self._left = 4 * stored + 2**26

    def spend(self, size: int, what: str) -> None:
        """Takes some; FormatError if there isn't so much left, before it is allocated."""
        self._left -= size
        if self._left < 0:
            raise FormatError(f"{what}: expected no more memory than 4 times the model's tensors', got {size:,} bytes")
