"""Programs of examples/models, whose packages may be missing."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

import recurra

sys.path.append(str(Path(__file__).parents[1] / "examples" / "models"))
KINDS = ["float32", "int8", "bfloat16", "float16"]
own_module = importlib.import_module("packages").own_module


def program(name, package):
    """The program as a module; skips where the package isn't installed."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is missing: pip install --no-deps {package.replace('_', '-')}", allow_module_level=True)
    return importlib.import_module(name)


def table(module, arguments, monkeypatch, capsys):
    """What the program prints with these arguments, in words, line by line."""
    monkeypatch.setattr(sys, "argv", [module.__name__, "--turns", "1", *arguments])
    threads = recurra.get_num_threads()
    try:
        module.main()
    finally:
        recurra.set_num_threads(threads)
    return [line.split() for line in capsys.readouterr().out.splitlines()]
