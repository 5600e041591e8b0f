"""Residual: layers with a way past them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._checks import shown
from ._quiet import quiet
from .sequential import Sequential

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .module import Array
    from .recurrent import Seed
    from .sequential import SequentialTape, States


class Residual(Sequential):
    """Layers with a way past them: y = x + what they, one after another, make of x (He et al. 2016).

    A `Sequential`, whose calls, states and names it has. Where sizes differ, it is `Parallel(Linear(…), Sequential(…),
    join="sum")` instead, a projection beside the layers. With `lengths`, where a layer is recurrent, y and dx are zero
    beyond a sequence's end, as that layer's own are.

    Args:
        *layers: as for a `Sequential`; they give as many features as they take.

    Raises:
        TypeError, ValueError: for layers that don't go together; in a call, for an output that hasn't x's shape and
            dtype.

    Example:
        >>> block = recurra.Residual(recurra.Linear(4, 4, seed=0), recurra.ReLU(), recurra.Linear(4, 4, seed=1))
        >>> block.load_state_dict({name: np.zeros_like(p) for name, p in block.params.items()})
        >>> block(np.array([[1, 2, 3, 4]], np.float32))  # layers that make nothing of x
        array([[1., 2., 3., 4.]], dtype=float32)
    """

    def run(
        self, x: Array, state: States = None, *, lengths: Array | None = None, resets: Array | None = None
    ) -> tuple[Array, list[Any]]:
        """x -> y and the final states; without dropout, keeping nothing. Arguments are those of `Sequential.run`."""
        y, final = super().run(x, state, lengths=lengths, resets=resets)
        return self._sum(x, y, lengths), final

    def forward(
        self,
        x: Array,
        state: States = None,
        *,
        lengths: Array | None = None,
        rng: Seed = None,
        resets: Array | None = None,
    ) -> tuple[Array, SequentialTape]:
        """x -> y and the tape, whose `state` has the final states. Arguments are those of `Sequential.forward`."""
        y, tape = super().forward(x, state, lengths=lengths, rng=rng, resets=resets)
        y = self._sum(x, y, lengths)
        tape.beyond = self._beyond(x, lengths)
        return y, tape

    @quiet
    def backward(
        self,
        tape: SequentialTape,
        dy: Array | None,
        dstate: States = None,
        *,
        need_dx: bool = True,
        grads: Mapping[str, Array] | None = None,
        retain: bool = False,
    ) -> Array | None:
        """From dy the gradient of x: dy plus what comes back through the layers.

        Beyond a sequence's end, where y is zero whatever the layers make of it, dy isn't looked at and dx is zero.
        Arguments and errors are those of `Sequential.backward`.
        """
        beyond = getattr(tape, "beyond", None)
        if beyond is not None and isinstance(dy, np.ndarray) and dy.shape[:2] == beyond.shape:
            dy = dy.copy()
            dy[beyond] = 0
        dx = super().backward(tape, dy, dstate, need_dx=need_dx, grads=grads, retain=retain)
        if dx is None or dy is None:
            return dx
        dx = dx + dy
        if beyond is not None:
            dx[beyond] = 0
        return dx

    def _sum(self, x: Any, y: Any, lengths: Array | None) -> Array:
        if not isinstance(x, np.ndarray) or not isinstance(y, np.ndarray) or (x.shape, x.dtype) != (y.shape, y.dtype):
            got = " and ".join(
                f"{one.dtype} {one.shape}" if isinstance(one, np.ndarray) else shown(one) for one in (y, x)
            )
            raise ValueError(
                f"layers: expected an output of x's shape, got {got}: where sizes differ write "
                f"Parallel(Linear(…), Sequential(…), join='sum')"
            )
        with np.errstate(all="ignore"):
            total: Array = x + y
        beyond = self._beyond(x, lengths)
        if beyond is not None:
            total[beyond] = 0
        return total

    def _beyond(self, x: Array, lengths: Array | None) -> Array | None:
        """Which positions are beyond their sequences' ends, a bool for each of the first two axes; None for none."""
        if lengths is None or not self._state_count or x.ndim != 3:
            return None
        steps = np.arange(x.shape[1 if self.batch_first else 0])
        beyond: Array = steps >= lengths[:, None] if self.batch_first else steps[:, None] >= lengths
        return beyond if beyond.any() else None
