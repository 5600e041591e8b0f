"""Layers without parameters: Tanh, ReLU, Sigmoid and Dropout, element by element, and Last, which ends a sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import _core
from ._checks import check_array, check_flag, check_lengths, check_number, check_rng, shown
from ._masks import dropout_mask
from ._quiet import quiet
from .module import Array, Module

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .module import ArrayIn, NumbersIn
    from .recurrent import Seed


class StatelessTape:
    """What `forward` of a layer without parameters keeps for `backward`."""

    __slots__ = ("consumed", "dtype", "kept", "layer", "shape")

    def __init__(self, layer: Stateless, y: Array, kept: Any) -> None:
        self.layer, self.shape, self.dtype, self.kept = layer, y.shape, y.dtype, kept
        self.consumed = False


class Stateless(Module):
    """A layer without parameters, of any float dtype: y = f(x), dx = dy ∘ f'(x) unless a subclass differs."""

    _options: ClassVar[Mapping[str, object]] = {}

    def __init__(self) -> None:
        self.grads = {}

    def _value(self, x: Array) -> Array:
        """f(x)."""
        raise NotImplementedError

    def _slope(self, y: Array) -> Array:
        """f'(x), which can be told from y: a new array, so that the tape outlives changes to x and y."""
        raise NotImplementedError

    def _reverse(self, kept: Any, dy: Array) -> Array:
        """The gradient of x from what the tape kept."""
        dx: Array = np.multiply(dy, kept, out=np.empty_like(dy))
        return dx

    @quiet
    def __call__(self, x: ArrayIn) -> Array:
        """X, float32 or float64, -> y."""
        x = check_array("x", x)
        return self._value(x)

    @quiet
    def forward(self, x: ArrayIn) -> tuple[Array, StatelessTape]:
        """The same, and the tape for `backward`."""
        x = check_array("x", x)
        y = self._value(x)
        return y, StatelessTape(self, y, self._slope(y))

    @quiet
    def backward(
        self,
        tape: StatelessTape,
        dy: ArrayIn,
        *,
        need_dx: bool = True,
        grads: dict[str, Array] | None = None,
        retain: bool = False,
    ) -> Array | None:
        """From dy, of y's shape, the gradient of x (None without need_dx); `grads`, if given, is empty.

        Raises:
            RuntimeError: the tape is of another layer, or has been consumed, which `retain` prevents.
            TypeError, ValueError: dy has a wrong dtype or shape.
        """
        if not isinstance(tape, StatelessTape):
            raise TypeError(f"tape: expected the tape of a forward call of this layer, got {type(tape).__name__}")
        if tape.layer is not self:
            raise RuntimeError("tape: expected one of this layer, got one of another")
        if tape.consumed:
            raise RuntimeError("tape: expected an unused one, got one that backward has consumed; retain=True keeps it")
        dy = check_array("dy", dy, tape.dtype)
        if dy.shape != tape.shape:
            raise ValueError(f"dy: expected y's shape {tape.shape}, got {dy.shape}")
        need_dx, retain = check_flag("need_dx", need_dx), check_flag("retain", retain)
        if grads:
            raise ValueError(f"grads: expected no names, as there are no parameters, got {shown(list(grads))}")
        dx = self._reverse(tape.kept, dy) if need_dx else None
        if not retain:
            tape.consumed, tape.kept = True, None
        return dx

    @property
    def params(self) -> Mapping[str, Array]:
        """None, by no name."""
        return {}

    def leaves(self) -> list[Module]:
        """The modules with parameters of their own: none."""
        return []

    def state_dict(self) -> dict[str, Array]:
        """No parameters."""
        return {}

    def load_state_dict(self, state: Mapping[str, ArrayIn]) -> None:
        """Takes an empty one."""
        if not hasattr(state, "keys"):
            raise TypeError(f"state_dict: expected a dict of arrays by name, got {type(state).__name__}")
        if state:
            raise ValueError(f"state_dict: expected no names, as there are no parameters, got {shown(list(state))}")

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


class Tanh(Stateless):
    """y = tanh(x), any shape; dx = dy ∘ (1 - y²)."""

    def _value(self, x: Array) -> Array:
        return _core.tanh(x)

    def _slope(self, y: Array) -> Array:
        return 1 - y * y


class Sigmoid(Stateless):
    """y = σ(x) = 1 / (1 + e⁻ˣ), any shape; dx = dy ∘ y ∘ (1 - y)."""

    def _value(self, x: Array) -> Array:
        return _core.sigmoid(x)

    def _slope(self, y: Array) -> Array:
        slope: Array = y * (1 - y)
        return slope


class ReLU(Stateless):
    """y = max(x, 0), any shape; dx = dy where x > 0, else 0."""

    def _value(self, x: Array) -> Array:
        y: Array = np.maximum(x, 0, out=np.empty_like(x))
        return y

    def _slope(self, y: Array) -> Array:
        slope: Array = y > 0
        return slope


class Dropout(Stateless):
    """Inverted dropout: `forward` zeroes each element with probability p and divides the others by 1 - p.

    A plain call gives x itself. `dropout.p` may be set between calls.

    Args:
        p: the rate, in [0, 1).
    """

    _options: ClassVar[Mapping[str, object]] = {"p": 0.5}

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    @property
    def p(self) -> float:
        """The rate."""
        return self._p

    @p.setter
    def p(self, value: float) -> None:
        self._p = check_number("p", value, "a number in [0, 1)", 0, 1)

    def _value(self, x: Array) -> Array:
        return x

    @quiet
    def forward(self, x: ArrayIn, *, rng: Seed = None) -> tuple[Array, StatelessTape]:
        """X -> y and the tape, which has the mask.

        Args:
            x: any shape, float32 or float64.
            rng: where the mask comes from, an integer or a generator; needed if p is above 0, else not looked at.
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
    """What a sequence comes to, for many-to-one: x (T, B, F) -> y (B, F), or (T, F) -> (F,).

    Of one direction that is the last step, or step 0 if it is the reverse one, which ends there. Of both it is the
    final state of each: the first half of the features, which is the forward direction's, from the last step, and the
    second half from step 0.

    Args:
        batch_first: x is (B, T, F).
        bidirectional: F is two halves, of both directions. None is False, but in a `Sequential` after a bidirectional
            layer it is True. False takes the last step of all features; of those the reverse direction's have seen
            that step only.
        reverse: F is the reverse direction's. None is False, but in a `Sequential` after a layer with reverse=True it
            is True, unless bidirectional says otherwise.
    """

    _options: ClassVar[Mapping[str, object]] = {"batch_first": False, "bidirectional": None, "reverse": None}

    def __init__(
        self, batch_first: bool = False, bidirectional: bool | None = None, reverse: bool | None = None
    ) -> None:
        super().__init__()
        self.batch_first = check_flag("batch_first", batch_first)
        self.bidirectional = None if bidirectional is None else check_flag("bidirectional", bidirectional)
        self.reverse = None if reverse is None else check_flag("reverse", reverse)
        if self.reverse and self.bidirectional:
            raise ValueError("reverse: expected None or False beside bidirectional=True, got True")

    def __call__(self, x: ArrayIn, *, lengths: NumbersIn | None = None) -> Array:
        """x -> y, float32 or float64.

        Args:
            x: the sequences; T isn't 0 without lengths.
            lengths: (B,) integers in 0..T; y has each sequence's own last step then, and zeros for length 0.
        """
        return self._pick(x, lengths)[0]

    def forward(self, x: ArrayIn, *, lengths: NumbersIn | None = None) -> tuple[Array, StatelessTape]:
        """The same, and the tape for `backward`."""
        x = check_array("x", x)
        y, last = self._pick(x, lengths)
        return y, StatelessTape(self, y, (x.shape, last))

    def _pick(self, x: ArrayIn, lengths: NumbersIn | None) -> tuple[Array, Array | None]:
        """y, and the index of each sequence's last step, -1 if it has none; None for the last of all."""
        x = check_array("x", x)
        if x.ndim not in {2, 3}:
            expected = "(B, T, F)" if self.batch_first else "(T, B, F)"
            raise ValueError(f"x: expected {expected} or (T, F), got {x.shape}")
        if self.bidirectional and x.shape[-1] % 2:
            raise ValueError(f"x: expected an even number of features, half of each direction, got {x.shape}")
        steps = self._by_time(x)
        if lengths is None:
            if not len(steps):
                raise ValueError(f"x: expected at least one step, got {x.shape}")
            last, y = None, steps[-1].copy()
        else:
            last = check_lengths(lengths, *steps.shape[:-1]) - 1
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
