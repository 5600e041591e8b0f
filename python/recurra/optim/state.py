"""The state of an optimizer as arrays by name, and the checks of one that is to be loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recurra._checks import check_array, check_index, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recurra.module import Array

    from .optimizer import Moments, Optimizer

MOST = 2**53  # steps; beyond it the bias corrections' exponents, which are doubles, would stand still


def state_of(optimizer: Optimizer) -> dict[str, Array]:
    """Copies of the number of steps, the rates and the moments."""
    rates = [group._rates for group in optimizer._groups]
    state = {"step": np.array(optimizer._count[0])}
    for name in rates[0]:
        state[name] = np.array([one[name] for one in rates] if len(rates) > 1 else rates[0][name])
    for moment, leaves in optimizer._moments.items():
        for i, arrays in enumerate(leaves or ()):
            state |= {f"{moment}.{i}.{key}": array.copy() for key, array in arrays.items() if array is not None}
    return state


def checked_state(
    optimizer: Optimizer, state: Mapping[str, Any]
) -> tuple[int, list[dict[str, Any]], dict[str, Moments | None], dict[str, set[int]]]:
    """Steps, the rates of each group, moments, and for which groups there are some.

    Raises:
        TypeError, ValueError: a name is missing or unknown, or what it stands for is wrong.
    """
    if not hasattr(state, "keys"):
        raise TypeError(f"state_dict: expected a dict of arrays by name, got {type(state).__name__}")
    given = {name: state[name] for name in state.keys()}  # noqa: SIM118 (all that has keys is a mapping here)
    possible = {
        f"{moment}.{i}.{key}": (moment, i, key, group)
        for moment in optimizer._moment_names
        for i, of in enumerate(optimizer._places)
        for key, group in of.items()
        if group >= 0
    }
    made = {(moment, group) for name, (moment, _, _, group) in possible.items() if name in given}
    if len(optimizer._moment_names) > 1:  # the moments of a group are made together
        made = {(moment, group) for _, group in made for moment in optimizer._moment_names}
    places = {name: place for name, place in possible.items() if (place[0], place[3]) in made}
    _check_names(optimizer, given, ["step", *optimizer._groups[0]._rates, *places])
    numbers = {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in given.items()
        if name not in places
    }
    count = check_index("step", numbers.pop("step"), "an integer from 0 up")
    if not 0 <= count <= MOST:
        raise ValueError(f"step: expected an integer in 0..2**53, got {count}")
    rates = _rates_of(optimizer, numbers)
    moments: dict[str, Moments | None] = dict.fromkeys(optimizer._moment_names)
    for moment, _ in made:
        moments[moment] = [dict.fromkeys(of) for of in optimizer._places]
    for name, (moment, i, key, _) in places.items():
        like = optimizer._layers[i].params[key]
        array = check_array(name, given[name], like.dtype)
        if array.shape != like.shape:
            raise ValueError(f"{name}: expected {like.shape}, got {array.shape}")
        if moment == "exp_avg_sq" and array.size and array.min() < 0:
            raise ValueError(f"{name}: expected means of squares, from 0 up, got {array.min()}")
        moments[moment][i][key] = np.array(array, order="C")  # type: ignore[index]
    sets = {name: {group for moment, group in made if moment == name} for name in optimizer._moment_names}
    return count, rates, moments, sets


def _check_names(optimizer: Optimizer, given: dict[str, Any], names: list[str]) -> None:
    known = set(names)
    wrong = [f"no {name}" for name in names if name not in given]
    wrong += [f"also {shown(name)}" for name in given if name not in known]
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        kind = type(optimizer).__name__
        raise ValueError(f"state_dict: expected the names of this {kind}'s, got {', '.join(wrong[:5])}{more}")


def _rates_of(optimizer: Optimizer, numbers: dict[str, Any]) -> list[dict[str, Any]]:
    groups = optimizer._groups
    if len(groups) == 1:
        return [groups[0]._checked(numbers)]
    for name, value in numbers.items():
        if not isinstance(value, (list, tuple)) or len(value) != len(groups):
            raise ValueError(f"{name}: expected one for each of {len(groups)} groups, got {shown(value)}")
    return [group._checked({name: value[i] for name, value in numbers.items()}) for i, group in enumerate(groups)]
