"""The position of a random generator as arrays and texts, which a file can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recurra._checks import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recurra.module import Array

MT19937_WORDS = 624  # NumPy reads the one at `pos` unasked, except at the end
LONGEST = 50  # digits of a number: those of NumPy's generators have up to 39


def describe(generator: np.random.Generator) -> tuple[dict[str, Array], dict[str, str]]:
    """Arrays and texts by their places in the state, such as "state.inc"."""
    arrays: dict[str, Array] = {}
    texts: dict[str, str] = {}
    for name, value in _flat(generator.bit_generator.state):
        if isinstance(value, np.ndarray):
            arrays[name] = value
        else:
            texts[name] = str(value)
    return arrays, texts


def described(generator: np.random.Generator, arrays: Mapping[str, Array], texts: Mapping[str, Any]) -> Any:
    """The state that was described, of a generator of the same kind; the generator isn't changed.

    Raises:
        ValueError: it is one of another kind of generator, or none.
    """
    now = dict(_flat(generator.bit_generator.state))
    kinds = texts.get("bit_generator"), now["bit_generator"]
    if kinds[0] != kinds[1] or {*arrays, *texts} != set(now):
        raise ValueError(f"resume: expected a checkpoint with rng of {kinds[1]}, as in the call, got {shown(kinds[0])}")
    state: dict[str, Any] = {}
    for place, like in now.items():
        *path, last = place.split(".")
        inner = state
        for name in path:
            inner = inner.setdefault(name, {})
        inner[last] = _value(place, arrays.get(place, texts.get(place)), like)
    if kinds[0] == "MT19937" and state["state"]["pos"] > MT19937_WORDS:
        raise ValueError(f"resume: expected a generator's state, got {state['state']['pos']} as state.pos")
    try:
        type(generator.bit_generator)(0).state = state
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"resume: expected a generator's state, got one that {kinds[1]} refuses: {error}") from error
    return state


def _flat(state: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Every value with its place."""
    result = []
    for name, value in state.items():
        result += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)]
    return result


def _value(place: str, given: Any, like: Any) -> Any:
    """What was described, as what is in its place now."""
    if isinstance(like, np.ndarray):
        if isinstance(given, np.ndarray) and (given.dtype, given.shape) == (like.dtype, like.shape):
            return given
    elif isinstance(given, str) and isinstance(like, str):
        return given
    elif isinstance(given, str) and given.isascii() and given.isdigit() and len(given) <= LONGEST:
        return type(like)(int(given))
    raise ValueError(f"resume: expected a generator's state, got {shown(given)} as {place}")
