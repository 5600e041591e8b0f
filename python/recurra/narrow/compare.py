"""recurra.compare: what narrow weights change, layer by layer, on data of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recurra._arguments import Arguments
from recurra._checks import check_lengths, check_resets, converter, plain_array, shown
from recurra._own_layer import is_layer
from recurra.module import kind_of_layer
from recurra.recurrent import Recurrent
from recurra.sequential import Sequential

from .base import sizes
from .model import NarrowSequential
from .stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from recurra.module import Array

HEADING = ("layer", "of", "largest", "RMS", "RMS of itself")


class Difference(NamedTuple):
    """How far an output or a final state of a layer is from the original's.

    Attributes:
        layer: its place in the model and its class, "1 GRU", of a stack with the number within, "1 GRU, layer 0".
        of: "y", or the name of a state, "c_n".
        largest: of the differences' absolute values.
        rms: their root mean square.
        size: the root mean square of the original's own numbers.
    """

    layer: str
    of: str
    largest: float
    rms: float
    size: float


@dataclass(frozen=True)
class Comparison:
    """What `recurra.compare` returns; as text a table.

    Attributes:
        rows: a `Difference` of each output and state.
        nbytes: bytes of the parameters of the two models.
    """

    rows: tuple[Difference, ...]
    nbytes: tuple[int, int]

    def __str__(self) -> str:
        cells = [(row.layer, row.of, *(f"{number:.2g}" for number in row[2:])) for row in self.rows]
        widths = [max(map(len, column)) for column in zip(HEADING, *cells, strict=True)]
        lines = [
            "  ".join([cell.ljust(width) for cell, width in zip(line[:2], widths, strict=False)])
            + "".join(f"  {cell:>{width}}" for cell, width in zip(line[2:], widths[2:], strict=True))
            for line in (HEADING, *cells)
        ]
        return "\n".join([*lines, sizes(*self.nbytes)])


def compare(
    model: Any,
    narrow: Any,
    x: Array,
    state: Any = None,
    *,
    lengths: Array | None = None,
    resets: Array | None = None,
    inputs: Mapping[str, Array] | None = None,
) -> Comparison:
    """How far a compressed model is from its original on the same data, layer by layer.

    Both models run by themselves: each layer is compared as it reads what the one before it in its own model gave, so
    that the differences are those that have come together up to there.

    Args:
        model: the original, a layer or a model.
        narrow: what `recurra.compress` made of it; or any other model of the same layers.
        x: what the models take: features or tokens, of one sequence or of a batch. It should be typical.
        state: the initial one, as the models' `run` or the layers' call takes it.
        lengths: (B,), the steps of each sequence; what is beyond its end isn't compared.
        resets: (T, B) of bool, before which steps states become zero.
        inputs: of a layer whose cell has some, as for its call.

    Returns:
        A `Comparison`, whose `rows` have for each layer, and each layer of a stack, the largest and the root mean
        square difference of its output and of its final states besides h; `print` shows it as a table.

    Raises:
        TypeError: an argument isn't what the models take.
        ValueError: the models don't have the same layers, or an argument is what they would refuse, or what none of
            their layers takes.

    Example:
        >>> model = recurra.Sequential(recurra.GRU(3, 64, seed=0), recurra.Linear(64, 3, seed=1))
        >>> comparison = recurra.compare(model, recurra.compress(model), np.ones((20, 2, 3), np.float32))
        >>> print(comparison)
        layer     of  largest      RMS  RMS of itself
        0 GRU     y   0.00089   0.0003           0.14
        1 Linear  y   0.00041  0.00027          0.079
        53,772 -> 16,152 bytes
        >>> comparison.rows[0].layer, comparison.nbytes
        ('0 GRU', (53772, 16152))
    """
    ours, theirs = _members(model), _members(narrow)
    places = _places(ours, theirs)
    for one, parts in ((model, ours), (narrow, theirs)):
        _check_taken(one, parts, state, inputs)
    beyond = _beyond(model, x, lengths, resets)
    options = {"lengths": lengths, "resets": resets}
    options = {name: value for name, value in options.items() if value is not None}
    walks = (_walk(one, parts, x, state, options, inputs) for one, parts in ((model, ours), (narrow, theirs)))
    rows = []
    with np.errstate(all="ignore"):
        for (number, layer, own), (_, _, other) in zip(*walks, strict=True):
            name = places[number] + ("" if layer is None else f", layer {layer}")
            names, others = ([of for of, _ in given] for given in (own, other))
            if names != others:
                raise ValueError(f"narrow: expected {', '.join(names)} of {name}, got {', '.join(others)}")
            rows += [_difference(name, of, a, b, beyond) for (of, a), (_, b) in zip(own, other, strict=True)]
    return Comparison(tuple(rows), (_nbytes(model), _nbytes(narrow)))


def _members(model: Any) -> list[Any]:
    """The layers of a Sequential; another model is one layer."""
    if type(model) in {Sequential, NarrowSequential}:
        return [layer for _, layer in model._members]
    if not is_layer(model):
        raise TypeError(f"model, narrow: expected layers or models, got {shown(model)}{converter(model)}")
    return [model]


def _places(ours: list[Any], theirs: list[Any]) -> list[str]:
    """What the layers are called, which are of the same classes in both models."""
    kinds, others = ([kind_of_layer(layer).__name__ for layer in layers] for layers in (ours, theirs))
    if kinds != others:
        raise ValueError(f"narrow: expected the model's layers, {', '.join(kinds)}, got {', '.join(others)}")
    for kind, depth, other in zip(kinds, map(_depth, ours), map(_depth, theirs), strict=True):
        if depth != other:
            raise ValueError(f"narrow: expected a {kind} with num_layers={depth}, got one with num_layers={other}")
    return kinds if len(kinds) == 1 else [f"{i} {kind}" for i, kind in enumerate(kinds)]


def _depth(layer: Any) -> int:
    """How many layers `_walk` finds in one."""
    return int(layer.num_layers) if isinstance(layer, Recurrent) else 1


def _check_taken(model: Any, members: list[Any], state: Any, inputs: object) -> None:
    """Raises ValueError for a state or inputs that a model would be called without."""
    alone, kind = members == [model], kind_of_layer(model).__name__
    if inputs is not None and not (alone and isinstance(model, Recurrent)):
        raise ValueError(f"inputs: expected None, as {kind} isn't one recurrent layer, got {type(inputs).__name__}")
    if state is not None and alone and not _arguments(model).stateful:
        raise ValueError(f"state: expected None, as {kind} has no states, got {shown(state)}")


def _walk(
    model: Any, members: list[Any], x: Any, state: Any, options: Mapping[str, Any], inputs: Mapping[str, Array] | None
) -> Iterator[tuple[int, int | None, list[tuple[str, Array]]]]:
    """Through a model: each layer's number, that within a stack, and the names and arrays of what it gave."""
    alone = members == [model]
    states = iter(
        [state] if alone else model._arguments.check(x, state, *map(options.get, ("lengths", "resets")), True)
    )
    y = x
    for number, member in enumerate(members):
        if isinstance(member, Recurrent):
            stack = Stack(member)
            own = {**options, "inputs": inputs} if alone else options
            for layer, (out, finals) in enumerate(stack.run(y, next(states), own)):
                y = out
                named = [("y", y), *((f"{name}_n", one) for name, one in finals.items())]
                yield number, layer if member.num_layers > 1 else None, named
        else:
            one = Sequential(member)
            y, final = one.run(y, [next(states)] if one._state_count else None, **options)
            yield number, None, [*_named("y", y), *_named("state", final)]


def _named(name: str, value: Any) -> Iterator[tuple[str, Array]]:
    """The arrays in tuples and lists, with their places behind the name."""
    if isinstance(value, np.ndarray):
        yield name, value
    elif isinstance(value, (tuple, list)):
        for i, one in enumerate(value):
            yield from _named(f"{name}[{i}]", one)


def _arguments(model: Any) -> Arguments:
    """What a model asks of its arguments; a layer with inputs of its own can be no member of a Sequential."""
    if isinstance(model, Recurrent):
        return Arguments([model], model.batch_first)
    return (model if type(model) in {Sequential, NarrowSequential} else Sequential(model))._arguments


def _beyond(model: Any, x: Any, lengths: Array | None, resets: Array | None) -> Array | None:
    """Which steps (T, B), or (B, T), are beyond their sequences' ends; refuses what layers without a state ignore."""
    arguments = _arguments(model)
    if lengths is not None:
        plain_array("lengths", lengths, "iu", "integers", "int64")
    if resets is not None:
        plain_array("resets", resets, "b", "bool", "bool_")
    if not isinstance(x, np.ndarray):
        return None
    axes = x.shape if x.dtype.kind in "iu" else x.shape[:-1]
    if len(axes) != 2 and not (axes and arguments.known):  # somebody's own layer knows what its x is
        return None
    steps, batch = (axes[-1], axes[:-1]) if arguments.batch_first else (axes[0], axes[1:])
    if resets is not None and arguments.known:
        check_resets(resets, steps, batch, arguments.batch_first)
    if lengths is None:
        return None
    ends = check_lengths(lengths, steps, batch[0] if len(batch) == 1 else None)
    return np.arange(steps) >= ends[:, None] if arguments.batch_first else np.arange(steps)[:, None] >= ends


def _difference(layer: str, of: str, a: Array, b: Array, beyond: Array | None) -> Difference:
    if a.shape != b.shape:
        raise ValueError(f"narrow: expected what {layer} gives of shape {a.shape}, got {b.shape}")
    own, difference = a.astype(np.float64), np.subtract(b, a, dtype=np.float64)
    of_steps = of == "y" or of.startswith("y[")  # a state of L*D = T layers has the shape of steps too
    if beyond is not None and of_steps and a.ndim == 3 and a.shape[:2] == beyond.shape:
        own, difference = own[~beyond], difference[~beyond]
    return Difference(layer, of, float(np.abs(difference).max(initial=0)), _rms(difference), _rms(own))


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values * values))) if values.size else 0.0


def _nbytes(model: Any) -> int:
    return sum(array.nbytes for array in model.params.values())
