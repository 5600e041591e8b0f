"""JAX: the cells as its users write them, a lax.scan over the steps with the input projection before it, compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from .contestants import Entry, Unsupported, named

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .problem import Array, Data, Spec


def rnn_step(state: Any, projected: Any, w_hh_t: Any, _: Any) -> Any:
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh)."""
    return (jnp.tanh(projected + state[0] @ w_hh_t),)


def lstm_step(state: Any, projected: Any, w_hh_t: Any, _: Any) -> Any:
    """Gates i, f, g, o."""
    h, c = state
    i, f, g, o = jnp.split(projected + h @ w_hh_t, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def gru_step(state: Any, projected: Any, w_hh_t: Any, b_hh: Any) -> Any:
    """Gates r, z, n; the projection holds b_ih only, since n's share of b_hh goes through r."""
    r_x, z_x, n_x = jnp.split(projected, 3, axis=-1)
    r_h, z_h, n_h = jnp.split(state[0] @ w_hh_t + b_hh, 3, axis=-1)
    r, z = jax.nn.sigmoid(r_x + r_h), jax.nn.sigmoid(z_x + z_h)
    n = jnp.tanh(n_x + r * n_h)
    return ((1 - z) * n + z * state[0],)


STEPS = {"rnn": rnn_step, "lstm": lstm_step, "gru": gru_step}


def network(spec: Spec) -> Callable[[Any, Any], Any]:
    """The function (weights, x) -> (y, state)."""
    step = STEPS[spec.cell]

    def run(weights: Any, x: Any) -> Any:
        w_hh_t, b_hh = weights["weight_hh_l0"].T, weights["bias_hh_l0"]
        bias = weights["bias_ih_l0"] if step is gru_step else weights["bias_ih_l0"] + b_hh
        zeros = jnp.zeros((x.shape[1], len(w_hh_t)), x.dtype)

        def body(state: Any, projected: Any) -> Any:
            state = step(state, projected, w_hh_t, b_hh)
            return state, state[0]

        state, y = lax.scan(body, (zeros,) * len(spec.states), x @ weights["weight_ih_l0"].T + bias)
        return y, state

    return run


class Jax:
    """On its CPU device; how many threads it takes follows from the CPUs that its process may use."""

    version = str(jax.__version__)

    def __init__(self, threads: int) -> None:  # noqa: ARG002
        jax.config.update("jax_enable_x64", True)  # else float64 would become float32

    def network(self, spec: Spec) -> Callable[[Any, Any], Any]:
        """The function (weights, x) -> (y, state)."""
        return network(spec)

    def prepare(self, spec: Spec, weights: Mapping[str, Array], data: Data) -> Entry:
        """Plain rows."""
        if not spec.plain:
            raise Unsupported("one layer, one direction, one length, zeros before")
        run = self.network(spec)

        def train_step(weights: Any, x: Any, dy: Any) -> Any:
            y, backward, state = jax.vjp(run, weights, x, has_aux=True)
            dweights, dx = backward(dy)
            return y, state, {"dx": dx} | dweights

        x, dy = map(jnp.asarray, data)
        arguments: tuple[Any, ...] = ({name: jnp.asarray(value) for name, value in weights.items()}, x)
        if spec.training:
            arguments = (*arguments, dy)
        compiled = jax.jit(train_step if spec.training else run).lower(*arguments).compile()

        def call() -> Any:
            return jax.block_until_ready(compiled(*arguments))

        def answers() -> dict[str, Array]:
            y, state, *gradients = call()
            return {name: np.asarray(v) for name, v in (named(y, *state) | dict(*gradients)).items()}

        return Entry(call, answers)
