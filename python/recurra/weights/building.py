"""Layers from the description in a file: only of classes that are the package's or the caller's, and only of sizes that
the file's arrays have."""

from __future__ import annotations

import inspect
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra._checks import is_listed, shown
from recurra.composite import Composite
from recurra.definitions import FORMULAS
from recurra.formula_layer import FormulaLayer
from recurra.narrow import NarrowSequential
from recurra.narrow.layers import narrow_class
from recurra.narrow.rounding import check_weights
from recurra.recurrent import Recurrent
from recurra.sequential import Sequential
from recurra.single_step import SingleStep
from recurra.with_formula import WithFormula

from .description import DEEPEST, own_name, package_layers
from .errors import FormatError
from .fingerprint import check_fingerprint
from .shapes import parameters_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from recurra.module import Array

MOST_PARTS = 2**14  # counted as often as they are parts of others
DTYPES = {"float32": np.dtype(np.float32), "float64": np.dtype(np.float64)}


def named_types(types: Iterable[type[Any]]) -> dict[str, type[Any]]:
    """The caller's classes by their names in files; those of formulas bring their cells.

    Raises:
        TypeError, ValueError: it isn't several classes, or two have one name.
    """
    if isinstance(types, type) or not is_listed(types):
        raise TypeError(f"types: expected a list of classes, got {shown(types)}")
    named: dict[str, type[Any]] = {}
    for kind in types:
        if not isinstance(kind, type):
            raise TypeError(f"types: expected classes, got {shown(kind)}")
        for one in [kind, kind.Cell] if issubclass(kind, FormulaLayer) and "formula" in vars(kind) else [kind]:
            if named.setdefault(own_name(one), one) is not one:
                raise ValueError(f"types: expected classes of different names, got two {own_name(one)}")
    return named


class Builder:
    """Makes the layers of a description, one after another."""

    def __init__(self, own: Mapping[str, type[Any]], arrays: Mapping[str, Array]) -> None:
        self._own = own
        self._packages = package_layers()
        self._available = Counter((name.rpartition(".")[2], array.shape) for name, array in arrays.items())
        self._made: list[Any] = []
        self._sizes: list[tuple[int, int]] = []  # of each: how many parts, how deep

    def build(self, entries: object) -> Any:
        """The last layer of the list, which has the others.

        Raises:
            FormatError: the list isn't a description, or of layers that can't be.
        """
        if type(entries) is not list or not 0 < len(entries) <= MOST_PARTS:
            raise FormatError(f"expected a list of 1 to {MOST_PARTS} layers, got {shown(entries)}")
        for entry in entries:
            self._parts, self._depth = 1, 1
            self._made.append(self._layer(entry))
            self._sizes.append((self._parts, self._depth))
        return self._made[-1]

    def _layer(self, entry: object) -> Any:
        if type(entry) is not dict or type(entry.get("type")) is not str or type(entry.get("own")) is not bool:
            raise FormatError(f"expected a layer's type, got {shown(entry)}")
        name = entry["type"]
        kind = self._kind(name, entry["own"])
        if "of" in entry:
            return self._cell_of_layer(name, kind, entry)
        if "options" not in entry:
            raise FormatError(
                f"{name}: expected the arguments it is made with, got none, as it has no method get_config that "
                "returns them: make the model yourself and call load(path, into=model)"
            )
        if type(entry["options"]) is not dict:
            raise FormatError(f"{name}: expected options by name, got {shown(entry['options'])}")
        options = {key: self._decoded(value) for key, value in entry["options"].items()}
        parameters = inspect.signature(kind).parameters
        if hasattr(kind, "get_config"):
            pass  # the arguments are whatever the class says
        elif issubclass(kind, Composite) and not kind._options:
            _check_arguments(name, parameters, options)
        else:
            self._check_options(name, kind, options)
            self._check_shapes(name, kind, options, entry)
        if "seed" in parameters and "seed" not in options:
            options["seed"] = 0
        members = next((key for key, one in parameters.items() if one.kind is one.VAR_POSITIONAL), None)
        arguments = [] if members is None else options.pop(members, [])
        if type(arguments) is not list:
            raise FormatError(f"{name}: expected a list of {members}, got {shown(arguments)}")
        made = _made(name, kind, options, arguments)
        return _made(name, lambda: _narrow(made, entry["weights"]), {}) if "weights" in entry else made

    def _kind(self, name: str, own: bool) -> type[Any]:
        kind = (self._own if own else self._packages).get(name)
        if kind is None and own:
            raise FormatError(
                f"{name}: expected that class, which isn't the package's, in types, got {[*self._own]}: pass "
                f"recurra.load(path, types=[{name.partition('.')[0]}])"
            )
        if kind is None:
            raise FormatError(f"expected a layer of this package, got {shown(name)}, which it doesn't have")
        return kind

    def _decoded(self, value: Any) -> Any:
        if type(value) is list:
            return [self._decoded(one) for one in value]
        if type(value) is not dict:
            return value
        if len(value) == 1:
            (kind, content), *_ = value.items()
            if kind == "dtype" and type(content) is str and content in DTYPES:
                return DTYPES[content]
            if kind == "tuple" and type(content) is list:
                return tuple(self._decoded(one) for one in content)
            if kind == "dict" and type(content) is dict:
                return {key: self._decoded(one) for key, one in content.items()}
            if kind == "layer":
                return self._part(content)
        raise FormatError(f"expected a value, got {shown(value)}")

    def _part(self, number: object) -> Any:
        """A layer that comes before; parts of parts count every time, as they take time every time."""
        if type(number) is not int or not 0 <= number < len(self._made):
            raise FormatError(f"expected a layer of those before, 0..{len(self._made) - 1}, got {shown(number)}")
        parts, depth = self._sizes[number]
        self._parts += parts
        self._depth = max(self._depth, depth + 1)
        if self._parts > MOST_PARTS or self._depth > DEEPEST:
            raise FormatError(f"expected up to {MOST_PARTS} layers, nested up to {DEEPEST} deep, got more")
        return self._made[number]

    def _cell_of_layer(self, name: str, kind: type[Any], entry: dict[str, Any]) -> Any:
        layer = self._part(entry["of"])
        if not issubclass(kind, SingleStep) or not isinstance(layer, Recurrent):
            raise FormatError(f"{name}: expected a cell of a recurrent layer, got {name} of {shown(layer)}")
        place: dict[str, Any] = {"layer": entry.get("layer"), "reverse": entry.get("reverse")}
        return _made(name, lambda: kind.from_layer(layer, **place), {})

    def _check_options(self, name: str, kind: type[Any], options: dict[str, Any]) -> None:
        known = getattr(kind, "_options", {})
        wrong = [f"no {key}" for key, default in known.items() if key not in options and default is ...]
        wrong += [f"also {shown(key)}" for key in options if key not in known]
        if wrong:
            raise FormatError(f"{name}: expected the options {', '.join(known)}, got {', '.join(wrong)}")
        for key, default in known.items():
            options.setdefault(key, default)  # of files from before there was that option

    def _check_shapes(self, name: str, kind: type[Any], options: dict[str, Any], entry: dict[str, Any]) -> None:
        """Raises unless the file has arrays for the layer's parameters that no other layer needs."""
        formula = None
        if issubclass(kind, WithFormula):
            formula = _formula_of(name, kind, options)
            if "formula" in entry or formula not in FORMULAS.values():
                check_fingerprint(name, entry.get("formula"), formula)
        shapes = parameters_of(kind, options, formula)
        for key, shape in shapes:
            self._available[key, shape] -= 1
            if self._available[key, shape] < 0:
                raise FormatError(f"{name}: expected {shown(key)} of shape {shape} in the file, got no such array")


def _check_arguments(name: str, parameters: Mapping[str, inspect.Parameter], options: Mapping[str, Any]) -> None:
    """Raises unless they are the arguments of a layer of the package that consists of others."""
    if set(options) - set(parameters):
        raise FormatError(f"{name}: expected {', '.join(parameters)}, got {shown(list(options))}")


def _formula_of(name: str, kind: type[Any], options: dict[str, Any]) -> Any:
    """The formula of a layer that isn't made yet, which may depend on some of its options."""
    if "formula" in vars(kind) and not isinstance(vars(kind)["formula"], property):
        return kind.formula
    unmade = object.__new__(kind)
    unmade.__dict__.update({key: options[key] for key in ("nonlinearity", "reset_after") if key in options})
    unmade.__dict__["_proj_size"] = options.get("proj_size", 0)
    return _made(name, lambda: unmade.formula, {})


def _narrow(layer: Any, weights: object) -> Any:
    """The compressed layer that is to take over the file's arrays, of one that was made for it."""
    weights = check_weights(weights)
    if type(layer) is Sequential:
        return NarrowSequential(*layer, weights=weights)
    kind = narrow_class(type(layer))
    if kind is None:
        raise TypeError(f"expected a layer with matrices, got {shown(layer)}")
    return kind(layer, weights)


def _made(name: str, make: Any, options: Mapping[str, Any], arguments: Iterable[Any] = ()) -> Any:
    """What is made with these arguments, errors of which are the file's."""
    try:
        return make(*arguments, **options)
    except FormatError:
        raise
    except (TypeError, ValueError, KeyError, OverflowError, AttributeError, MemoryError) as error:
        raise FormatError(f"{name}: expected arguments of a layer, got some it refuses: {error}") from error
