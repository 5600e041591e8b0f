"""Public names that are imported where they are asked for: what is large, or needs a neighbour."""

from __future__ import annotations

from importlib import import_module
from typing import Any

# Each name of the package with the module that has it; a module's own name stands for the module.
HOMES = {
    "cells": ".cells",
    "narrow": ".narrow",
    "schedules": ".schedules",
    "torch": ".torch",
    "sklearn": ".sklearn",
    "compress": ".narrow.compress",
    "compare": ".narrow.compare",
    "save": ".weights.files",
    "load": ".weights.files",
    "from_torch": ".weights.torch_models",
    "to_torch": ".weights.torch_models",
    "from_keras": ".weights.keras_models",
    "to_keras": ".weights.keras_models",
    "from_onnx": ".onnx.reader",
    "to_onnx": ".onnx.writer",
    "reference": ".reference",
}
ABOUT_NEIGHBOURS = frozenset({"torch", "sklearn"})  # modules that import the package of that name


def lazy(package: str, name: str) -> Any:
    """The public name of the package.

    Raises:
        AttributeError: there is none of that name.
    """
    home = HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    module = import_module(home, package)
    return module if home == f".{name}" else getattr(module, name)


def listed() -> set[str]:
    """The names that `dir` shows: all but the modules about neighbours.

    `help` and completion look at everything that `dir` names, and must neither wait for such a module nor fail for want
    of it. Those are shown once they are imported, as modules are.
    """
    return HOMES.keys() - ABOUT_NEIGHBOURS
