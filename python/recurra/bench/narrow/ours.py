"""recurra's contestants: layers and streams, of float32 and of narrow weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import recurra
from recurra.bench.contestants import Entry, Recurra, Unsupported

from .problem import Steps, plain, sequence, stepping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from recurra.bench.problem import Array, Data, Spec


class Layer(Recurra):
    """A layer's own call; single steps hand the state on."""

    weights: str | None = None

    def model(self, spec: Spec, weights: Mapping[str, Array]) -> Any:
        """The layer, compressed if this contestant's weights are narrow."""
        layer = self.layer(spec)
        layer.load_state_dict(weights)
        return layer if self.weights is None else recurra.compress(layer, self.weights)

    def prepare(self, spec: Spec, weights: Mapping[str, Array], data: Data) -> Entry:
        """Any row of these parts."""
        plain(spec)
        model, x = self.model(spec, weights), data.x
        if isinstance(spec, Steps):
            return stepping([frame[None] for frame in x], handing_on(model), x.shape[1:2] + spec.shape[3:])
        return sequence(lambda: model(x)[0], spec)


class Int8(Layer):
    """Weights of 8 bits."""

    weights = "int8"


class Bfloat16(Layer):
    """Weights in bfloat16."""

    weights = "bfloat16"


class Float16(Layer):
    """Weights in float16."""

    weights = "float16"


class Stream(Layer):
    """recurra.Stream, for single steps."""

    def prepare(self, spec: Spec, weights: Mapping[str, Array], data: Data) -> Entry:
        """Steps only."""
        plain(spec)
        if not isinstance(spec, Steps):
            raise Unsupported("single steps only")
        stream = recurra.Stream(self.model(spec, weights), batch=spec.shape.batch)
        return stepping(list(data.x), stream, (spec.shape.batch, spec.shape.hidden))


class StreamInt8(Stream):
    """The same, weights of 8 bits."""

    weights = "int8"


def handing_on(layer: Any) -> Callable[[Any], Any]:
    """x_t -> y_t of a layer that returns (y, state) and takes the state that it returned; zeros come first."""
    state = None

    def step(x: Any) -> Any:
        nonlocal state
        y, state = layer(x, state)
        return y

    return step
