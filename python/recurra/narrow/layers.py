"""The compressed layers: of any recurrent layer, of Linear and of Embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recurra.embedding import Embedding
from recurra.formula_layer import OfFormula, check_found
from recurra.linear import Linear
from recurra.recurrent import Recurrent, is_layer_type

from .base import Narrow

if TYPE_CHECKING:
    from recurra.formula import Formula
    from recurra.module import Array


class NarrowRecurrent(Narrow, Recurrent):
    """A compressed RNN, LSTM, GRU or layer of a formula: called as the layer that it was made of.

    Its cell, biases and states are float32. With int8, x_t and h_{t-1} are rounded to 12 bits where they meet weights.
    Arguments are those of `recurra.narrow.Narrow`.

    Example:
        >>> lstm, x = recurra.LSTM(32, 64, seed=0), np.ones((50, 2, 32), np.float32)
        >>> y, (h_n, c_n) = recurra.narrow.NarrowRecurrent(lstm, "int8")(x)
        >>> y.shape, y.dtype.name, bool(abs(y - lstm(x)[0]).max() < 0.004)
        ((50, 2, 64), 'float32', True)
    """

    _taken = "a recurrent layer"
    _formula: Formula

    @classmethod
    def _takes(cls, kind: type) -> bool:
        return is_layer_type(kind)

    def _set(self, kind: type[Any], options: dict[str, Any], weights: str) -> None:
        super()._set(kind, options, weights)
        self.__dict__.setdefault("_proj_size", 0)
        self.__dict__.setdefault("_plan", None)
        unmade = object.__new__(kind)
        unmade.__dict__.update(self.__dict__)
        self.__dict__.update(_formula=unmade.formula)

    @property
    def formula(self) -> Formula:
        """What the cell computes."""
        return self._formula

    @property
    def _can_project(self) -> bool:
        return self._formula.projects

    def __reduce_ex__(self, protocol: Any) -> Any:
        if issubclass(self._kind, OfFormula):
            check_found(self._kind)
        return super().__reduce_ex__(protocol)


class NarrowLinear(Narrow):
    """A compressed `recurra.Linear`. With int8, the rows of x are rounded to 12 bits.

    Arguments are those of `recurra.narrow.Narrow`.

    Example:
        >>> layer = recurra.narrow.NarrowLinear(recurra.Linear(3, 8, seed=0), "int8")
        >>> {name: (array.shape, array.dtype.name) for name, array in layer.state_dict().items()}
        {'weight': ((8, 3), 'int8'), 'weight.scale': ((8,), 'float32'), 'bias': ((8,), 'float32')}
    """

    _taken = "a recurra.Linear"
    in_features: int
    out_features: int
    bias: bool

    @classmethod
    def _takes(cls, kind: type) -> bool:
        return kind is Linear

    def _make_core(self) -> Any:
        return Linear._make_core(self)  # type: ignore[arg-type]

    def __call__(self, x: Array) -> Array:
        """W x + b.

        Args:
            x: (…, in_features) of float32.

        Returns:
            y (…, out_features).
        """
        return self._core.call(x)  # type: ignore[no-any-return]


class NarrowEmbedding(Narrow):
    """A compressed `recurra.Embedding`, which gives the float32 vectors that its narrow ones stand for.

    Arguments are those of `recurra.narrow.Narrow`.

    Example:
        >>> layer = recurra.narrow.NarrowEmbedding(recurra.Embedding(90, 32, seed=0), "bfloat16")
        >>> layer(np.array([[1, 2, 3], [4, 5, 6]])).shape, layer.nbytes_before, layer.nbytes
        ((2, 3, 32), 11520, 5760)
    """

    _taken = "a recurra.Embedding"
    num_embeddings: int
    embedding_dim: int
    padding_idx: int | None

    @classmethod
    def _takes(cls, kind: type) -> bool:
        return kind is Embedding

    def _make_core(self) -> Any:
        return Embedding._make_core(self)  # type: ignore[arg-type]

    def __call__(self, x: Array) -> Array:
        """The vectors of tokens.

        Args:
            x: (…) of integers from 0, below num_embeddings.

        Returns:
            y (…, embedding_dim) of float32.
        """
        return self._core.call(x)  # type: ignore[no-any-return]


def narrow_class(kind: type) -> type[Narrow] | None:
    """The class of compressed layers that are made of layers of a class; None if there is none."""
    return next((one for one in (NarrowRecurrent, NarrowLinear, NarrowEmbedding) if one._takes(kind)), None)
