"""Layers without parameters: Tanh, ReLU, Sigmoid and Dropout, element by element, and Last, which ends a sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import _core
from ._checks import all_taken, check_array, check_flag, check_lengths, check_number, check_rng
from ._masks import dropout_mask
from ._quiet import quiet
from .stateless import Stateless, StatelessTape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .module import Array, ArrayIn, NumbersIn
    from .recurrent import Seed


class Tanh(Stateless):
    """The hyperbolic tangent of each element: y = tanh(x), dx = dy ∘ (1 - y²). x has any shape.

    Example:
        >>> recurra.Tanh()(np.array([-1.0, 0.0, 1.0])).round(3)
        array([-0.762,  0.   ,  0.762])
    """

    def _value(self, x: Array) -> Array:
        return _core.tanh(x)

    def _slope(self, y: Array) -> Array:
        return 1 - y * y


class Sigmoid(Stateless):
    """The logistic sigmoid of each element: y = 1 / (1 + e⁻ˣ), dx = dy ∘ y ∘ (1 - y). x has any shape.

    Example:
        >>> recurra.Sigmoid()(np.array([-2.0, 0.0, 2.0])).round(3)
        array([0.119, 0.5  , 0.881])
    """

    def _value(self, x: Array) -> Array:
        return _core.sigmoid(x)

    def _slope(self, y: Array) -> Array:
        slope: Array = y * (1 - y)
        return slope


class ReLU(Stateless):
    """What is positive of each element: y = max(x, 0); dx = dy where x > 0, else 0. x has any shape.

    Example:
        >>> relu = recurra.ReLU()
        >>> y, tape = relu.forward(np.array([-2.0, 0.0, 2.0]))
        >>> y, relu.backward(tape, np.ones(3))
        (array([0., 0., 2.]), array([0., 0., 1.]))
    """

    def _value(self, x: Array) -> Array:
        y: Array = np.maximum(x, 0, out=np.empty_like(x))
        return y

    def _slope(self, y: Array) -> Array:
        slope: Array = y > 0
        return slope


class Dropout(Stateless):
    """Inverted dropout between any layers (Srivastava et al. 2014).

    `forward` zeroes each element with probability p and divides the others by 1 - p; a plain call returns x itself. The
    argument `dropout` of a recurrent layer is another matter: it acts between the layers of its stack.

    Args:
        p: the rate, in [0, 1). The attribute may be set between calls.

    Example:
        >>> dropout = recurra.Dropout(0.5)
        >>> y, tape = dropout.forward(np.ones((2, 4)), rng=0)
        >>> y
        array([[2., 2., 2., 2.],
               [2., 2., 2., 0.]])
        >>> dropout(np.ones(3))
        array([1., 1., 1.])
    """

    _options: ClassVar[Mapping[str, object]] = {"p": 0.5}

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    @property
    def p(self) -> float:
        """The rate, in [0, 1). May be set."""
        return self._p

    @p.setter
    def p(self, value: float) -> None:
        self._p = check_number("p", value, "a number in [0, 1)", 0, 1)

    def _value(self, x: Array) -> Array:
        return x

    @quiet
    def forward(self, x: ArrayIn, *, rng: Seed = None) -> tuple[Array, StatelessTape]:
        """x with some elements zeroed, and the tape, which has the mask.

        Args:
            x: any shape, float32 or float64.
            rng: where the mask comes from, an integer or a `numpy.random.Generator`; required if p is above 0, else
                ignored.

        Returns:
            y, of x's shape and dtype (x itself if p is 0), and the tape.

        Raises:
            TypeError: x isn't an array of float32 or float64, or `rng` neither of the two.
            ValueError: `rng` is required.
        """
        x = check_array("x", x)
        if not self._p:
            return x, StatelessTape(self, x, 1)
        if rng is None:
            raise ValueError("rng: expected an integer or a numpy.random.Generator, as dropout is on, got None")
        mask = dropout_mask(check_rng("rng", rng), x.shape, self._p, x.dtype)
        y = np.multiply(x, mask, out=np.empty_like(x))
        return y, StatelessTape(self, y, mask)


class Last(Stateless):
    """What a sequence comes to, for many-to-one: its last step.

    (T, B, F) becomes (B, F), and (T, F) becomes (F,). Of the reverse direction it is step 0, which ends there. Of both
    directions it is the final state of each: the first half of the features, which is the forward direction's, from the
    last step, and the second half from step 0.

    In a `Sequential` None of `bidirectional` and `reverse` is found out from the recurrent layer before; by itself, and
    within a `Parallel`, it is False.

    Args:
        batch_first: x is (B, T, F).
        bidirectional: F is two halves, of both directions. False takes the last step of all features; of those the
            reverse direction's have seen that step only.
        reverse: F is the reverse direction's, of a layer made with ``reverse=True``. False takes the last step all the
            same.

    Raises:
        ValueError: `bidirectional` and `reverse` are both True.

    Example:
        >>> last = recurra.Last()
        >>> x = np.arange(6.0).reshape(3, 2, 1)  # 0, 2, 4 and 1, 3, 5
        >>> last(x).ravel(), last(x, lengths=np.array([3, 1])).ravel()
        (array([4., 5.]), array([4., 1.]))
    """

    _options: ClassVar[Mapping[str, object]] = {"batch_first": False, "bidirectional": None, "reverse": None}

    def __init__(
        self, batch_first: bool = False, bidirectional: bool | None = None, reverse: bool | None = None
    ) -> None:
        super().__init__()
        self.batch_first: bool = check_flag("batch_first", batch_first)
        self.bidirectional: bool | None = None if bidirectional is None else check_flag("bidirectional", bidirectional)
        self.reverse: bool | None = None if reverse is None else check_flag("reverse", reverse)
        if self.reverse and self.bidirectional:
            raise ValueError("reverse: expected None or False beside bidirectional=True, got True")

    def __call__(self, x: ArrayIn, *, lengths: NumbersIn | None = None) -> Array:
        """y of x, and keeps nothing.

        Args:
            x: (T, B, F), with `batch_first` (B, T, F), or (T, F); float32 or float64. Without lengths T isn't 0.
            lengths: (B,) integers in 0..T: each sequence's own last step is taken, and zeros for length 0. None for T.

        Returns:
            y, (B, F) or (F,), a new array.

        Raises:
            TypeError: x isn't an array of float32 or float64, or lengths aren't integers.
            ValueError: A shape or a length is wrong.
        """
        return self._pick(x, lengths)[0]

    def forward(self, x: ArrayIn, *, lengths: NumbersIn | None = None) -> tuple[Array, StatelessTape]:
        """y of x, and the tape of what `backward` needs.

        Args:
            x: as for a plain call.
            lengths: steps of each sequence.

        Returns:
            y and the tape. `backward` puts dy at the steps that were taken; all else of dx is 0.
        """
        x = check_array("x", x)
        y, last = self._pick(x, lengths)
        return y, StatelessTape(self, y, (x.shape, last))

    def _pick(self, x: ArrayIn, lengths: NumbersIn | None) -> tuple[Array, Array | None]:
        """y, and the index of each sequence's last step, -1 if it has none; None for the last of all."""
        x, lengths = all_taken(x=x, lengths=lengths)
        x = check_array("x", x)
        if x.ndim not in {2, 3}:
            expected = "(B, T, F)" if self.batch_first else "(T, B, F)"
            raise ValueError(f"x: expected {expected} or (T, F), got {x.shape}")
        if self.bidirectional and x.shape[-1] % 2:
            raise ValueError(f"x: expected an even number of features, half of each direction, got {x.shape}")
        if lengths is not None:
            swaps = self.batch_first and x.ndim == 3
            lengths = check_lengths(lengths, *((x.shape[1], x.shape[0]) if swaps else x.shape[:-1]))
        steps = self._by_time(x)
        if lengths is None:
            if not len(steps):
                raise ValueError(f"x: expected at least one step, got {x.shape}")
            last, y = None, steps[-1].copy()
        else:
            last = lengths - 1
            y = np.zeros(steps.shape[1:], x.dtype)
            rows = np.flatnonzero(last >= 0)
            y[rows] = steps[last[rows], rows]
        half = self._forward_features(x.shape[-1])
        if half < x.shape[-1] and len(steps):
            y[..., half:] = steps[0, ..., half:]
            if last is not None:
                y[last < 0] = 0
        return y, last

    def _forward_features(self, features: int) -> int:
        """How many of them, which are the first ones, are the forward direction's."""
        return 0 if self.reverse else features // 2 if self.bidirectional else features

    def _by_time(self, x: Array) -> Array:
        return x.swapaxes(0, 1) if self.batch_first and x.ndim == 3 else x

    def _reverse(self, kept: Any, dy: Array) -> Array:
        shape, last = kept
        dx = np.zeros(shape, dy.dtype)
        steps, half = self._by_time(dx), self._forward_features(shape[-1])
        if last is None:
            steps[-1, ..., :half] = dy[..., :half]
            steps[0, ..., half:] = dy[..., half:]
        else:
            rows = np.flatnonzero(last >= 0)
            steps[last[rows], rows, :half] = dy[rows, :half]
            if len(steps):
                steps[0, rows, half:] = dy[rows, half:]
        return dx
