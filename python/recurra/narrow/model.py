"""A compressed Sequential."""

from __future__ import annotations

from typing import Any, NoReturn

from recurra.sequential import Sequential

from .base import Narrow, advice, sizes
from .rounding import check_weights


class NarrowSequential(Sequential):
    """Compressed layers one after another, and such without matrices as they are; what `recurra.compress` returns.

    It is called as the `Sequential` that it was made of. `model[i]` is the i-th compressed layer. What trains raises
    TypeError.

    Args:
        *layers: compressed ones, and others as `recurra.Sequential` takes them.
        weights: what the matrices of its compressed layers are, "int8", "bfloat16" or "float16".

    Example:
        >>> model = recurra.Sequential(recurra.GRU(3, 8, seed=0), recurra.Last(), recurra.Linear(8, 1, seed=1))
        >>> recurra.compress(model)
        NarrowSequential(
            NarrowRecurrent(GRU(3, 8), 'int8', 1,248 -> 648 bytes),
            Last(),
            NarrowLinear(Linear(8, 1), 'int8', 36 -> 16 bytes),
            'int8', 1,284 -> 664 bytes,
        )
    """

    def __init__(self, *layers: Any, weights: str) -> None:
        super().__init__(*layers)
        self._weights = check_weights(weights)

    @property
    def weights(self) -> str:
        """The type of its layers' matrices, "int8", "bfloat16" or "float16"."""
        return self._weights

    @property
    def nbytes(self) -> int:
        """Bytes of all parameters, scales, biases and what stays float32 included."""
        return sum(value.nbytes for value in self.params.values())

    @property
    def nbytes_before(self) -> int:
        """Bytes of the parameters of the model that it was made of."""
        spared = [leaf.nbytes_before - leaf.nbytes for leaf in self.leaves() if isinstance(leaf, Narrow)]
        return self.nbytes + sum(spared)

    @property
    def grads(self) -> NoReturn:  # type: ignore[override]
        """Raises TypeError: only what trains has gradients."""
        self._refuse("grads")

    def zero_grad(self) -> NoReturn:
        """Raises TypeError, as `forward` does."""
        self._refuse("zero_grad")

    def forward(self, *_: Any, **__: Any) -> NoReturn:
        """Raises TypeError, whatever it is given: there is no training with narrow weights."""
        self._refuse("forward")

    def backward(self, *_: Any, **__: Any) -> NoReturn:
        """Raises TypeError, as `forward` does."""
        self._refuse("backward")

    def _refuse(self, name: str) -> NoReturn:
        raise TypeError(f"{name}: expected a model to train, got {advice(self._weights)}")

    def __repr__(self) -> str:
        lines = super().__repr__().splitlines()
        end = f"    {self._weights!r}, {sizes(self.nbytes_before, self.nbytes)},"
        return "\n".join([*lines[:-1], end, lines[-1]])
