"""Groups of parameters, each with its own rates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from recurra._checks import check_number, is_listed, shown
from recurra.module import address, identity_of

from .leaves import leaves_of, models_of

if TYPE_CHECKING:
    from .optimizer import Optimizer

    Names = str | Iterable[str] | Callable[[str], object]
    Place = tuple[int, str]  # the identity of a leaf, and a name of its params

FROM_0 = "a number from 0 up"


class ParamGroup(MutableMapping[str, Any]):
    """The rates of some parameters of an optimizer, a mapping: `adam.param_groups` has one for each group.

    `group["lr"] = 1e-4` is checked, and counts from the next step on. "params" are the parameters' names in a list,
    each with the number of its layer in `optimizer.layers`: "0.weight". "initial_lr" is the rate before the first
    schedule, if there are any. Optimizers make groups; what they are made of is told in `recurra.optim.Optimizer`.

    Args:
        optimizer: whose group it is.
        params: the names of its parameters.
        sparse: whether some of their gradients are of some rows only, for which momentum and decay are refused.

    Raises:
        KeyError: a rate that the optimizer hasn't is set.
        TypeError, ValueError: a rate is set to what it can't be, or deleted.

    Example:
        >>> sgd = recurra.SGD(recurra.Linear(2, 1, seed=0), lr=0.1)
        >>> dict(sgd.param_groups[0])
        {'params': ['0.weight', '0.bias'], 'lr': 0.1, 'momentum': 0.0, 'nesterov': False, 'weight_decay': 0.0}
        >>> sgd.param_groups[0]["lr"] = 0.05
        >>> sgd.lr
        0.05
    """

    def __init__(self, optimizer: Optimizer, params: list[str], sparse: bool) -> None:
        self._optimizer, self._params, self._sparse = optimizer, params, sparse
        self._rates: dict[str, Any] = {}
        self._initial: dict[str, float] = {}

    def _all(self) -> dict[str, Any]:
        return {"params": list(self._params)} | self._rates | self._initial

    def __getitem__(self, name: str) -> Any:
        return self._rates[name] if name in self._rates else self._all()[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name == "initial_lr":
            self._initial[name] = check_number(name, value, FROM_0, 0, math.inf)
        elif name not in self._rates:
            raise KeyError(f"{name}: expected one of {', '.join(self._rates)}")
        else:
            self._rates = self._checked(self._rates | {name: value})

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"{name}: expected to stay in the group, got a deletion")

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return f"ParamGroup({self._all()})"

    def _checked(self, rates: dict[str, Any]) -> dict[str, Any]:
        """The same as plain numbers, if they are right for its parameters."""
        rates = self._optimizer._check_rates(rates)
        for name in ("momentum", "weight_decay"):
            if self._sparse and rates.get(name):
                raise ValueError(
                    f"{name}: expected 0 for sparse gradients, as a step touches few rows, got {rates[name]}: give "
                    "Embedding(sparse=True) a group of its own"
                )
        return rates


def given_groups(model: Any, defaults: dict[str, Any]) -> list[tuple[Any, dict[str, Any], Any]]:
    """What an optimizer is given, as (model, rates, names) of each group; of a model without groups there is one.

    Raises TypeError or ValueError for a group that isn't right.
    """
    if not isinstance(model, (list, tuple)) or not any(isinstance(one, Mapping) for one in model):
        return [(model, defaults, None)]
    result = []
    for i, group in enumerate(model):
        if not isinstance(group, Mapping) or "params" not in group:
            raise TypeError(f"model[{i}]: expected a dict with params, as there are groups, got {shown(group)}")
        unknown = [name for name in group if name not in {"params", "names", *defaults}]
        if unknown:
            raise ValueError(f"model[{i}]: expected params, names, {', '.join(defaults)}, got {shown(unknown[0])}")
        own = {name: group[name] for name in defaults if name in group}
        result.append((group["params"], defaults | own, group.get("names")))
    return result


def places_of(model: Any, names: Names | None) -> list[Place]:
    """The parameters of a model, or those of some names, in order.

    Raises TypeError or ValueError for names that aren't, or that no parameter has.
    """
    named = dict(named_places(model))
    if names is None:
        return list(named.values())
    if callable(names):
        chosen = [name for name in named if names(name)]
    else:
        patterns: list[Any] = [names] if isinstance(names, str) or not is_listed(names) else list(names)
        for pattern in patterns:
            if not isinstance(pattern, str):
                raise TypeError(f"names: expected names, patterns or a function of a name, got {shown(pattern)}")
            if not any(_matches(name, pattern) for name in named):
                raise ValueError(f"names: expected some of {shown(', '.join(named))}, got {shown(pattern)}")
        chosen = [name for name in named if any(_matches(name, pattern) for pattern in patterns)]
    if not chosen:
        raise ValueError(f"names: expected some of {shown(', '.join(named))}, got none")
    return [named[name] for name in chosen]


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)


def named_places(model: Any) -> Iterator[tuple[str, Place]]:
    """Every parameter with its name in `model.params`, or, of several models, with the model's number in front.

    What a model itself has no name for is named after its leaf's number.
    """
    leaves_of(model)  # checks them
    models = models_of(model)
    seen: set[Place] = set()
    for i, one in enumerate(models):
        prefix = "" if len(models) == 1 and models[0] is model else f"{i}."
        known: dict[Any, str] = {}
        for name, array in getattr(one, "params", {}).items():
            known.setdefault(address(array), name)
        for k, leaf in enumerate(one.leaves()):
            for name, array in leaf.params.items():
                place = (identity_of(leaf), name)
                if place not in seen:
                    seen.add(place)
                    yield prefix + known.get(address(array), f"{k}.{name}"), place


def decay_groups(model: Any, weight_decay: float, no_decay: Names | None = None) -> list[dict[str, Any]]:
    """Two groups for an optimizer: parameters that decay, and those that don't, such as biases.

    Args:
        model: a layer, a `Sequential`, an object whose `leaves()` are layers, or several of these.
        weight_decay: of the first group, from 0 up.
        no_decay: which are in the second: names, patterns as `"*bias*"`, or a function of a name. None: those with
            fewer than two axes (biases, gains, vectors and numbers of a cell), and tables of an
            `Embedding(sparse=True)`.

    Returns:
        The groups that have parameters, at most two, each a dict of "params", "names" and "weight_decay".

    Raises:
        TypeError, ValueError: no model, a decay out of its range, or names that no parameter has.

    Example:
        >>> model = recurra.Sequential(recurra.Embedding(9, 4, seed=0), recurra.Linear(4, 9, seed=1))
        >>> groups = recurra.optim.decay_groups(model, weight_decay=0.05)
        >>> [(group["names"], group["weight_decay"]) for group in groups]
        [(['0.weight', '1.weight'], 0.05), (['1.bias'], 0.0)]
        >>> recurra.AdamW(groups, lr=1e-3)
        AdamW(group 0: lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.05; group 1: lr=0.001, ...)
    """
    decay = check_number("weight_decay", weight_decay, FROM_0, 0, math.inf)
    named = dict(named_places(model))
    if no_decay is None:
        leaves = {identity_of(leaf): leaf for leaf in leaves_of(model)}
        spared = {
            place
            for place in named.values()
            if leaves[place[0]].params[place[1]].ndim < 2 or getattr(leaves[place[0]], "sparse", False)
        }
    else:
        spared = set(places_of(model, no_decay))
    parts = [[name for name, place in named.items() if (place in spared) == which] for which in (False, True)]
    groups = zip(parts, (decay, 0.0), strict=True)
    return [{"params": model, "names": names, "weight_decay": value} for names, value in groups if names]
