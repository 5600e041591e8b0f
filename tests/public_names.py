"""Every public name, as `module.name`, and what it is. Run as a program, it prints the files that define them.

Those that need a neighbour are left out where it isn't installed.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect

MODULES = ("", "cells", "formula", "functional", "narrow", "optim", "reference", "reference.narrow", "schedules")
NEIGHBOURS = {"sklearn": "sklearn", "torch": "torch"}  # by the module that needs each
EXAMPLES_NEED = {"FormatError": "onnx", "save": "safetensors", "load": "safetensors"} | {
    f"{way}_{other}": other for way in ("from", "to") for other in ("torch", "keras", "onnx")
}


def names_of(module):
    """A module's own list, or what is defined in it."""
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    return getattr(module, "__all__", [name for name in own if not name.startswith("_")])


def public(modules=MODULES):
    """Classes and functions by their full names; a thing of several names, by the first."""
    found, seen = {}, set()
    for suffix in modules:
        module = importlib.import_module("recurra" + "." * bool(suffix) + suffix)
        for name in names_of(module):
            value = getattr(module, name)
            if callable(value) and not inspect.ismodule(value) and id(value) not in seen:
                seen.add(id(value))
                found[f"{module.__name__}.{name}"] = value
    return found


def methods(value):
    """A class's public methods and properties that are ours, calls and inherited ones included.

    The function that a class of layers was made of is none: its arguments are what all formulas are given.
    """
    if not inspect.isclass(value):
        return {}
    members = dict(inspect.getmembers(value, lambda member: inspect.isroutine(member) or isinstance(member, property)))
    if hasattr(value, "formula"):
        members.pop("function", None)
    codes = {
        name: inspect.unwrap(getattr(member, "fget", getattr(member, "__func__", member)))
        for name, member in members.items()
        if not name.startswith("_") or name == "__call__"
    }
    return {
        name: code
        for name, code in codes.items()
        if inspect.isfunction(code) and str(code.__module__).startswith("recurra")
    }


if __name__ == "__main__":
    present = [module for module, neighbour in NEIGHBOURS.items() if importlib.util.find_spec(neighbour)]
    names = public((*MODULES, *present)).values()
    codes = {inspect.unwrap(value) for value in names} | {code for value in names for code in methods(value).values()}
    modules = {inspect.getmodule(code) for code in codes}
    print(*sorted(module.__file__ for module in modules if module and module.__file__.endswith(".py")), sep="\n")
