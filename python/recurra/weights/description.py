"""What a model is made of, as JSON: a list of layers, each with its class and options, parts before what has them."""

from __future__ import annotations

import inspect
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

import recurra
from recurra._checks import shown
from recurra.composite import Composite
from recurra.definitions import FORMULAS
from recurra.formula_layer import FormulaCell, FormulaLayer, OfFormula
from recurra.module import Module, kind_of_layer
from recurra.narrow import Narrow, NarrowSequential
from recurra.sequential import Sequential
from recurra.single_step import SingleStep
from recurra.with_formula import WithFormula

from .fingerprint import fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping

BASES = (Composite, FormulaLayer, FormulaCell)  # which only subclasses of are layers
DEEPEST = 64


def package_layers() -> Mapping[str, type[Any]]:
    """The package's classes of layers by their names in files: "LSTM", "cells.CoRNN", "cells.CoRNN.Cell"."""
    layers = {
        name: value
        for name in recurra.__all__
        if isinstance(value := getattr(recurra, name), type) and issubclass(value, Module) and value not in BASES
    }
    for name in recurra.cells.__all__:
        value = getattr(recurra.cells, name)
        if isinstance(value, type) and issubclass(value, FormulaLayer):
            layers[f"cells.{name}"] = value
            layers[f"cells.{name}.Cell"] = value.Cell
    return MappingProxyType(layers)


def own_name(kind: type[Any]) -> str:
    """What a class that isn't the package's is called in a file: without its module, which may be another tomorrow."""
    of_formula = issubclass(kind, FormulaCell) and "formula" in vars(kind)
    return f"{kind._layer_type.__name__}.Cell" if of_formula else kind.__name__


class Description:
    """The list, made layer by layer; a layer that several others have is in it once."""

    def __init__(self) -> None:
        self.layers: list[dict[str, Any]] = []
        self._numbers: dict[int, int] = {}
        self._alive: list[Any] = []  # so that no other object gets the identity of one that has been seen
        self._names = {kind: name for name, kind in package_layers().items()}
        self._depth = 0

    def add(self, layer: Any) -> int:
        """The number of a layer in the list.

        Raises:
            TypeError: options have a value that no file can hold.
            ValueError: layers are nested too deeply, or have each other.
        """
        if id(layer) not in self._numbers:
            self._depth += 1
            if self._depth > DEEPEST:
                raise ValueError(f"model: expected layers nested up to {DEEPEST} deep, got {shown(type(layer))}")
            entry = self._entry(layer)
            self._depth -= 1
            self._numbers[id(layer)] = len(self.layers)
            self._alive.append(layer)
            self.layers.append(entry)
        return self._numbers[id(layer)]

    def _entry(self, layer: Any) -> dict[str, Any]:
        kind = Sequential if type(layer) is NarrowSequential else kind_of_layer(layer)
        entry: dict[str, Any] = {"type": self._names.get(kind) or own_name(kind), "own": kind not in self._names}
        if isinstance(layer, (Narrow, NarrowSequential)):
            entry["weights"] = layer.weights
        if isinstance(layer, SingleStep) and layer._source is not None:
            number, direction = layer._place
            return entry | {"of": self.add(layer._source), "layer": number, "reverse": bool(direction)}
        options = options_of(layer)
        if options is None:
            return entry  # whoever loads it has to have one
        encoded = {key: self._encoded(f"{entry['type']}: {key}", value) for key, value in options.items()}
        entry["options"] = encoded
        if isinstance(layer, WithFormula) and layer.formula not in FORMULAS.values():
            entry["formula"] = fingerprint(layer.formula)
        return entry

    def _encoded(self, name: str, value: Any) -> Any:
        """A value as JSON; what JSON has no form for is an object with one name."""
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or type(value) in {bool, int, str} or (type(value) is float and np.isfinite(value)):
            return value
        if isinstance(value, np.dtype):
            return {"dtype": value.name}
        if type(value) is list:
            return [self._encoded(name, one) for one in value]
        if type(value) is tuple:
            return {"tuple": [self._encoded(name, one) for one in value]}
        if type(value) is dict and all(type(key) is str for key in value):
            return {"dict": {key: self._encoded(f"{name}[{key!r}]", one) for key, one in value.items()}}
        if isinstance(value, Module) or callable(getattr(value, "leaves", None)):
            return {"layer": self.add(value)}
        raise TypeError(
            f"{name}: expected numbers, texts, layers, or lists, tuples and dicts of such, got {shown(value)}"
        )


def options_of(layer: Any) -> dict[str, Any] | None:
    """What the layer's constructor is to be given; None if that can't be known."""
    if isinstance(layer, Narrow):
        return dict(layer._made_with)
    if type(layer) is NarrowSequential:
        return {"layers": list(layer)}
    kind = type(layer)
    hook = getattr(layer, "get_config", None)
    if callable(hook):
        options = hook()
        if type(options) is not dict or not all(type(key) is str for key in options):
            raise TypeError(f"get_config: expected a dict by names of arguments, got {shown(options)}")
        return options
    constructor = next((base for base in kind.__mro__ if "__init__" in vars(base)), object)
    if not isinstance(layer, Module) or not is_packages(constructor) or constructor is Composite:
        return None
    if not isinstance(layer, Composite) or kind._options:
        return {name: getattr(layer, name) for name in kind._options}
    made_of: Any = layer  # others
    return {
        name: list(made_of._layers) if parameter.kind is parameter.VAR_POSITIONAL else getattr(layer, name)
        for name, parameter in inspect.signature(kind).parameters.items()
    }


def is_packages(kind: type) -> bool:
    """Whether a class is of this package, or is made by it of a formula."""
    return kind.__module__.startswith("recurra.") or (issubclass(kind, OfFormula) and kind._is_own())
