"""Every public name, as `module.name`, and what it is. Run as a program, it prints the files that define them."""

from __future__ import annotations

import importlib
import inspect

MODULES = ("", "cells", "formula", "functional", "narrow", "optim", "reference", "reference.narrow", "schedules")
NEIGHBOURS = {"sklearn": "sklearn", "torch": "torch"}  # by the module that needs each


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
    """A class's public methods and properties that are ours, inherited ones included."""
    if not inspect.isclass(value):
        return {}
    return {
        name: inspect.unwrap(member.fget if isinstance(member, property) else member)
        for name, member in inspect.getmembers(value)
        if not name.startswith("_")
        and (inspect.isfunction(member) or isinstance(member, property))
        and str(getattr(getattr(member, "fget", member), "__module__", "")).startswith("recurra")
    }


if __name__ == "__main__":
    modules = {inspect.getmodule(inspect.unwrap(value)) for value in public((*MODULES, *NEIGHBOURS)).values()}
    print(*sorted(module.__file__ for module in modules if module and module.__file__.endswith(".py")), sep="\n")
