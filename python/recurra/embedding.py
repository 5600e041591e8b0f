"""The layer that gives every token a vector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import _core
from ._checks import check_dtype, check_flag, check_index, check_rng, check_size, shown
from .module import Array, Module, drawn
from .sparse_rows import SparseRows

if TYPE_CHECKING:
    from .recurrent import Seed

    EmbeddingTape = _core.EmbeddingTape32 | _core.EmbeddingTape64

CORES: dict[Any, Any] = {np.dtype(np.float32): _core.Embedding32, np.dtype(np.float64): _core.Embedding64}


class Embedding(Module):
    """A vector for every token: y = weight[x], for integers x.

    Parameter: weight (num_embeddings, embedding_dim).

    In front of a recurrent layer in a `Sequential` it costs less: where x has at least as many tokens as the table has
    rows, W_ih meets every row once instead of every token. Outputs are the same bits then, gradients agree to rounding.

    Args:
        num_embeddings: how many tokens there are: x holds 0..num_embeddings-1.
        embedding_dim: features of a token's vector.
        padding_idx: a token whose vector is made zeros, gets no gradient and is moved by no optimizer, weight decay
            included; a negative one counts from the end.
        dtype: float32 or float64.
        seed: of the weights, drawn standard normal; see `RNN`.
        sparse: ``grads["weight"]`` is a `SparseRows` of the rows of tokens that were read, and optimizers touch no
            others: a step costs what its tokens cost, not what the table costs. SGD's steps are the same; Adam's
            moments stand still while a token isn't read, as in torch.optim.SparseAdam. There is no momentum and no
            weight decay.

    Attributes:
        grads: the gradient by the parameter's name.

    Example:
        >>> embedding = recurra.Embedding(10, 4, padding_idx=0, seed=0)
        >>> y = embedding(np.array([[3, 0], [7, 3]]))
        >>> y.shape
        (2, 2, 4)
        >>> y[0, 1].tolist()  # padding
        [0.0, 0.0, 0.0, 0.0]
    """

    _options: ClassVar[Mapping[str, object]] = {
        "num_embeddings": ...,
        "embedding_dim": ...,
        "padding_idx": None,
        "dtype": np.dtype(np.float32),
        "sparse": False,
    }

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        dtype: object = np.float32,
        seed: Seed = None,
        sparse: bool = False,
    ) -> None:
        self.sparse = check_flag("sparse", sparse)
        self.num_embeddings = check_size("num_embeddings", num_embeddings)
        self.embedding_dim = check_size("embedding_dim", embedding_dim)
        self.padding_idx = _check_padding(padding_idx, self.num_embeddings)
        self.dtype = check_dtype(dtype)
        rng = check_rng("seed", seed)
        self._build()
        weight = drawn(rng.standard_normal, self.params["weight"])
        if self.padding_idx is not None:
            weight[self.padding_idx] = 0
        self._parameters.load({"weight": weight})

    def _make_core(self) -> Any:
        padding = -1 if self.padding_idx is None else self.padding_idx
        return CORES[self.dtype](self.num_embeddings, self.embedding_dim, padding)

    def _zero_gradients(self) -> dict[str, Any]:
        if not self.sparse:
            return super()._zero_gradients()
        return {"weight": SparseRows((self.num_embeddings, self.embedding_dim), self.dtype)}

    def _frozen_row(self) -> int:
        return -1 if self.padding_idx is None else self.padding_idx

    def __call__(self, x: Array) -> Array:
        """The tokens' vectors.

        Args:
            x: (…), tokens: integers of any integer dtype, any number of axes.

        Returns:
            y (…, embedding_dim), a new array.

        Raises:
            TypeError: x isn't an array of integers.
            ValueError: A token is out of range.
        """
        return self._core.call(x)  # type: ignore[no-any-return]

    def forward(self, x: Array) -> tuple[Array, EmbeddingTape]:
        """The tokens' vectors, and the tape of what `backward` needs.

        Args:
            x: as for a plain call. The tape has a copy.

        Returns:
            y and the tape.
        """
        return self._core.forward(x)  # type: ignore[no-any-return]

    def backward(
        self,
        tape: EmbeddingTape,
        dy: Array,
        *,
        need_dx: bool = True,
        grads: dict[str, Array] | None = None,
        retain: bool = False,
    ) -> None:
        """Adds to the gradient of each token's row the sum of its rows of dy.

        Args:
            tape: from `forward` of this layer; it serves once, unless `retain` is set.
            dy: the gradient of the loss with respect to y, of its shape.
            need_dx: of no effect, since integers have no gradient.
            grads: a dict of what the gradient is added to by the name "weight", an array or a `SparseRows`; None for
                the layer's `grads`.
            retain: keep the tape for another call.

        Raises:
            RuntimeError: The tape is of another layer, or has been consumed.
            TypeError: A gradient isn't an array, or has another dtype. Nothing is changed then, here and below.
            ValueError: A gradient has a wrong shape or name.
        """
        check_flag("need_dx", need_dx)
        given: Any = self.grads if grads is None else grads
        target = given.get("weight") if isinstance(given, Mapping) and len(given) == 1 else None
        if type(target) is not SparseRows:
            self._core.backward(tape, dy, given, retain)
            return
        if (target.shape, target.dtype) != (self.params["weight"].shape, self.dtype):
            raise ValueError(f"weight: expected {self.params['weight'].shape}, {self.dtype.name}, got {target}")
        self._core.backward_rows(tape, dy, target._merge, retain)


def _check_padding(value: object, count: int) -> int | None:
    if value is None:
        return None
    expected = f"None or an integer in {-count}..{count - 1}"
    index = check_index("padding_idx", value, expected)
    if not -count <= index < count:
        raise ValueError(f"padding_idx: expected {expected}, got {shown(value)}")
    return index % count
