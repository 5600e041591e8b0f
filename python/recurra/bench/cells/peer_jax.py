"""JAX: the cells as its users write them, compiled: a lax.scan over the steps, before it what doesn't depend on h."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
from jax import lax
from jax import numpy as jnp
from jax.nn import log_sigmoid, sigmoid

from recurra.bench.peer_jax import Jax

from .problem import EPSILON, FORMULAS, LEAK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from recurra.bench.contestants import Entry
    from recurra.bench.problem import Array, Data, Spec


def project(w: Any, x: Any) -> Any:
    """The input's share of all steps, with both biases, (T, B, G·H)."""
    return x @ w["weight_ih_l0"].T + (w["bias_ih_l0"] + w["bias_hh_l0"])


def zeros(x: Any, hidden: int) -> Any:
    """A state (B, H)."""
    return jnp.zeros((x.shape[1], hidden), x.dtype)


def scan(step: Callable[..., Any], initial: Any, inputs: Any) -> Any:
    """(y, states): the first state of every step, and all after the last one."""

    def body(states: Any, now: Any) -> Any:
        states = step(*states, now)
        return states, states[0]

    states, y = lax.scan(body, initial, inputs)
    return y, states


def peephole(w: Any, x: Any) -> Any:
    """Gates i, f, g, o."""
    w_hh_t, (p_i, p_f), p_o = w["weight_hh_l0"].T, jnp.split(w["p_if_l0"], 2), w["p_o_l0"]

    def step(h: Any, c: Any, a: Any) -> Any:
        i, f, g, o = jnp.split(a + h @ w_hh_t, 4, axis=-1)
        c = sigmoid(f + p_f * c) * c + sigmoid(i + p_i * c) * jnp.tanh(g)
        return sigmoid(o + p_o * c) * jnp.tanh(c), c

    return scan(step, (zeros(x, len(w_hh_t)),) * 2, project(w, x))


def normalised(v: Any) -> Any:
    """Of mean 0 and variance 1 over the last axis."""
    v = v - v.mean(-1, keepdims=True)
    return v * lax.rsqrt((v * v).mean(-1, keepdims=True) + EPSILON)


def layernorm(w: Any, x: Any) -> Any:
    """Gates i, f, g, o; the input's half is normalised before the scan."""
    w_hh_t, b_hh, gain_h = w["weight_hh_l0"].T, w["bias_hh_l0"], w["gain_h_l0"]
    gain_c, shift_c = w["gain_c_l0"], w["shift_c_l0"]
    inputs = normalised(x @ w["weight_ih_l0"].T + w["bias_ih_l0"]) * w["gain_x_l0"] + w["shift_l0"]

    def step(h: Any, c: Any, a: Any) -> Any:
        i, f, g, o = jnp.split(a + normalised(h @ w_hh_t + b_hh) * gain_h, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
        return sigmoid(o) * jnp.tanh(normalised(c) * gain_c + shift_c), c

    return scan(step, (zeros(x, len(w_hh_t)),) * 2, inputs)


def leaky(w: Any, x: Any) -> Any:
    """One state, which is h here."""
    w_hh_t = w["weight_hh_l0"].T

    def step(h: Any, a: Any) -> Any:
        return ((1 - LEAK) * h + LEAK * (a + jnp.tanh(h) @ w_hh_t),)

    return scan(step, (zeros(x, len(w_hh_t)),), project(w, x))


def mingru(w: Any, x: Any) -> Any:
    """Everything but the recurrence itself is done for all steps at once."""
    z, n = jnp.split(x @ w["weight_ih_l0"].T + w["bias_ih_l0"], 2, axis=-1)
    z = sigmoid(z)

    def step(h: Any, now: Any) -> Any:
        kept, new = now
        return (kept * h + new,)

    return scan(step, (zeros(x, z.shape[-1]),), (1 - z, z * jnp.where(n >= 0, n + 0.5, sigmoid(n))))


def slstm(w: Any, x: Any) -> Any:
    """Gates i, f, z, o. States are (heads, B, H / heads) during the scan, so that no step has to transpose anything."""
    heads = FORMULAS["slstm"].heads
    (steps, batch), size = x.shape[:2], w["weight_hh_l0"].shape[1]
    w_hh_t = w["weight_hh_l0"].reshape(4, heads, size, size).transpose(1, 3, 0, 2).reshape(heads, size, 4 * size)
    inputs = project(w, x).reshape(steps, batch, 4, heads, size).transpose(0, 3, 1, 2, 4)
    empty = jnp.zeros((heads, batch, size), x.dtype)

    def step(h: Any, c: Any, n: Any, m: Any, a: Any) -> Any:
        i, f, z, o = jnp.split(a + h @ w_hh_t, 4, axis=-1)
        kept = m + log_sigmoid(f)
        # c and n are both scaled by exp(−m), which cancels: so no gradient goes through m.
        m = lax.stop_gradient(jnp.maximum(kept, i))
        i, f = jnp.exp(i - m), jnp.exp(kept - m)
        c, n = f * c + i * jnp.tanh(z), f * n + i
        return sigmoid(o) * c / n, c, n, m

    y, states = scan(
        step, (empty, empty, empty, jnp.full_like(empty, -jnp.inf)), inputs.reshape(steps, heads, batch, 4 * size)
    )
    return joined_heads(y), tuple(map(joined_heads, states))


def joined_heads(v: Any) -> Any:
    """(…, heads, B, H / heads) -> (…, B, H)."""
    return v.swapaxes(-3, -2).reshape(*v.shape[:-3], v.shape[-2], -1)


NETWORKS = {"peephole": peephole, "layernorm": layernorm, "leaky": leaky, "mingru": mingru, "slstm": slstm}


class JaxCells(Jax):
    """As Jax, for the cells of FORMULAS."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        jax.devices()  # finds them now, so that this isn't a part of the first row

    def network(self, spec: Spec) -> Callable[[Any, Any], Any]:
        """The function (weights, x) -> (y, state)."""
        return NETWORKS[spec.cell]

    def prepare(self, spec: Spec, weights: Mapping[str, Array], data: Data) -> Entry:
        """Every row."""
        cell = FORMULAS[spec.cell]
        entry = super().prepare(spec, cell.join(weights), data)
        return entry._replace(answers=lambda: cell.split(entry.answers()))
