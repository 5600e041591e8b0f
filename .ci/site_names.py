"""Whether the reference of a built site has every public name and method: `python .ci/site_names.py FOLDER`."""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sphinx.util.inventory import InventoryFile

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from public_names import MODULES, NEIGHBOURS, methods, public


def named(name: str) -> Any:
    """What a full name stands for, properties as functions."""
    first, *rest = name.split(".")
    value: Any = import_module(first)
    for k, part in enumerate(rest):
        if inspect.isclass(value):
            value = inspect.getattr_static(value, part, None)
        elif hasattr(value, part):
            value = getattr(value, part)
        else:
            value = import_module(".".join([first, *rest[: k + 1]])) if inspect.ismodule(value) else None
    return inspect.unwrap(getattr(value, "fget", None) or getattr(value, "__func__", value))


def missing(site: Path) -> list[str]:
    """Names without an entry, of their own or of a base's."""
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    entries = [name for kind in inventory.data if kind.startswith("py:") for name in inventory.data[kind]]
    shown = {id(named(name)) for name in entries}
    modules = [*MODULES, *(name for name, needs in NEIGHBOURS.items() if find_spec(needs))]
    names = {}
    for name, value in public(modules).items():
        names[name] = value
        names |= {f"{name}.{method}": code for method, code in methods(value).items()}
    return [name for name, value in names.items() if id(inspect.unwrap(value)) not in shown]


if __name__ == "__main__":
    lines = missing(Path(sys.argv[1]))
    print("\n".join(f"{name}: isn't in the reference" for name in lines) or "Every public name has its place.")
    sys.exit(bool(lines))
