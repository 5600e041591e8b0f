"""The checks of `fit`'s arguments, before anything is done."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from recurra._checks import check_flag, check_number, check_size, shown
from recurra.data import Batches
from recurra.module import Module, identity_of
from recurra.optim import Optimizer
from recurra.optim.leaves import Leaf, leaves_of

from .items import reverse_of
from .measures import Metric
from .reduction import Reduction
from .steps import NONFINITE


def check_optimizer(optimizer: Any, model: Any) -> None:
    """Whether it can step, and steps nothing else than the model."""
    if not callable(getattr(optimizer, "step", None)) or isinstance(optimizer, type):
        raise TypeError(f"optimizer: expected one such as recurra.Adam(model), got {shown(optimizer)}")
    if isinstance(model, Module) and isinstance(optimizer, Optimizer):
        for layer in model.leaves():
            if isinstance(layer, Module) and layer._compressed:
                layer.zero_grad()  # refuses
        own = {identity_of(layer) for layer in model.leaves()}
        if any(identity_of(layer) not in own for layer in optimizer.layers):
            raise ValueError(
                "optimizer: expected one of the model's parameters, got one of another model's: a model and its "
                "optimizer stay together if they are copied or pickled in one call, pickle.dumps((model, optimizer))"
            )


def check_options(model: Any, clip_norm: object, carry_state: object, nonfinite: object) -> None:
    """What is said about clipping, carried states and what isn't finite."""
    if clip_norm is not None:
        check_number("clip_norm", clip_norm, "a number above 0", 5e-324, math.inf)
    if not isinstance(nonfinite, str):
        raise TypeError(f"nonfinite: expected 'stop', 'skip' or 'raise', got {shown(nonfinite)}")
    if nonfinite not in NONFINITE:
        raise ValueError(f"nonfinite: expected 'stop', 'skip' or 'raise', got {shown(nonfinite)}")
    if check_flag("carry_state", carry_state) and (layer := reverse_of(model)) is not None:
        raise ValueError(
            f"carry_state: expected layers of one direction, forward, as a reverse one ends where a batch begins, got "
            f"{shown(layer)}"
        )


def check_layout(name: str, batches: Any, model: Any) -> None:
    """Whether the batches of `recurra.batches` lie as the model reads them: with T = B nothing else would tell."""
    first = getattr(model, "batch_first", None)
    if first is not None and isinstance(batches, Batches) and batches.batch_first is not bool(first):
        raise ValueError(f"{name}: expected batch_first={bool(first)}, as the model's layers have, got {not first}")


def check_metrics(metrics: Any, batch_first: bool) -> dict[str, Metric]:
    """The metrics by name."""
    if metrics is None:
        return {}
    if not hasattr(metrics, "items"):
        raise TypeError(f"metrics: expected a dict of functions by name, got {shown(metrics)}")
    checked = {}
    for name, function in metrics.items():
        if not isinstance(name, str):
            raise TypeError(f"metrics: expected names that are str, got {shown(name)}")
        check_callable(f"metrics[{name!r}]", function)
        checked[name] = Metric(f"metrics[{name!r}]", function, batch_first)
    return checked


def check_joint(model: Any, accumulate: object, reduce: Any) -> Reduction | None:
    """What adds up over processes, if anything does; also whether batches can be joined."""
    joined = check_size("accumulate", accumulate) > 1
    if reduce is not None:
        check_callable("reduce", reduce)
    if not joined and reduce is None:
        return None
    try:
        leaves = leaves_of(model)
    except (TypeError, ValueError) as error:
        name = "accumulate" if joined else "reduce"
        raise type(error)(
            f"{name}: expected a model with leaves(), whose gradients can be added up, got: {error}"
        ) from None
    return None if reduce is None else Reduction(reduce, np.result_type(*(Leaf(leaf).dtype for leaf in leaves)))


def check_batches(name: str, batches: object, passes: int) -> None:
    """Whether there can be so many passes over them."""
    if not hasattr(batches, "__iter__") and not callable(batches):
        raise TypeError(f"{name}: expected an iterable or a function of the epoch, got {shown(batches)}")
    if passes > 1 and hasattr(batches, "__next__"):
        raise TypeError(
            f"{name}: expected an iterable that can begin anew, as there are {passes} passes, or a function of the "
            f"epoch, got an iterator, {shown(batches)}"
        )


def check_callable(name: str, value: object) -> None:
    """Whether it can be called."""
    if not callable(value):
        raise TypeError(f"{name}: expected a function, got {shown(value)}")
