"""Optimizers in files: their class, the groups of parameters with their rates, and which layers of the model they have.

What has come of the steps is in their `state_dict`.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from recurra import optim
from recurra._checks import shown
from recurra.optim import Optimizer

from .errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Mapping

KEYS = {"type", "layers", "groups"}


def describe_optimizer(optimizer: Optimizer, model: Any) -> dict[str, Any]:
    """An optimizer's description, as JSON has it.

    Raises:
        TypeError: it isn't one.
        ValueError: it has layers that the model hasn't.
    """
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer: expected one of recurra's, got {shown(optimizer)}")
    if not callable(getattr(model, "leaves", None)):
        raise TypeError(f"optimizer: expected None, as the model has no leaves(), got {shown(optimizer)}")
    numbers: dict[int, int] = {}
    for i, leaf in enumerate(model.leaves()):
        numbers.setdefault(_identity(leaf), i)
    layers = [numbers.get(_identity(layer)) for layer in optimizer.layers]
    if None in layers:
        raise ValueError("optimizer: expected one of layers of the model, got one of others")
    groups = [dict(group) for group in optimizer.param_groups]
    return {"type": type(optimizer).__name__, "layers": layers, "groups": groups}


def optimizer_of(given: bool | Optimizer, entry: object, model: Any, own: Mapping[str, type[Any]]) -> Any:
    """The optimizer that a caller has, or, of True, one that is like the one described; None of False.

    Raises:
        FormatError: none is described, or not such a one.
    """
    if given is False:
        return None
    if entry is None:
        raise FormatError("expected an optimizer in the file, got none")
    if type(entry) is not dict or entry.keys() != KEYS:
        raise FormatError(f"optimizer: expected {', '.join(sorted(KEYS))}, got {shown(entry)}")
    name, numbers, groups = entry["type"], entry["layers"], entry["groups"]
    if given is not True:
        if name != type(given).__name__:
            raise FormatError(f"optimizer: expected {type(given).__name__}, as in the call, got {shown(name)}")
        return given
    kind = own.get(name) or vars(optim).get(name) if type(name) is str else None
    if not isinstance(kind, type) or not issubclass(kind, Optimizer) or kind is Optimizer:
        raise FormatError(f"optimizer: expected one of this package, or of types, got {shown(name)}")
    leaves = model.leaves()
    known = range(len(leaves))
    if type(numbers) is not list or not all(type(i) is int and i in known for i in numbers):
        raise FormatError(f"optimizer: expected numbers of layers in 0..{len(leaves) - 1}, got {shown(numbers)}")
    if type(groups) is not list or not groups:
        raise FormatError(f"optimizer: expected groups, got {shown(groups)}")
    return _made(kind, [leaves[i] for i in numbers], groups)


def _made(kind: type[Any], layers: list[Any], groups: list[Any]) -> Optimizer:
    rates = [name for name in inspect.signature(kind).parameters if name != "model"]
    given = []
    for group in groups:
        if type(group) is not dict or not {"params", *rates} <= set(group) <= {"params", "initial_lr", *rates}:
            raise FormatError(f"optimizer: expected params, {', '.join(rates)} of a group, got {shown(group)}")
        own = {name: group[name] for name in rates}
        given.append({"params": layers, "names": group["params"]} | own)
    try:
        # What a constructor needs besides the groups is what the first one has.
        optimizer: Optimizer = kind(given, **{name: groups[0][name] for name in rates})
        for group, own in zip(optimizer.param_groups, groups, strict=True):
            if "initial_lr" in own:
                group["initial_lr"] = own["initial_lr"]
    except (TypeError, ValueError, IndexError) as error:
        raise FormatError(f"optimizer: expected arguments of {kind.__name__}, got some it refuses: {error}") from error
    return optimizer


def _identity(layer: Any) -> int:
    """Equal for layers that share their parameters."""
    return id(getattr(layer, "_parameters", layer))
