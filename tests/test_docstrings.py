"""Every public name says what it takes and gives, and shows it by an example that runs."""

from __future__ import annotations

import dataclasses
import doctest
import inspect
import os
import re

import numpy as np
import pytest

import recurra
from public_names import EXAMPLES_NEED, NEIGHBOURS, methods, public


def with_methods(names):
    """Public names and those of the classes' methods among them."""
    return names | {
        f"{name}.{method}": code for name, value in names.items() for method, code in methods(value).items()
    }


PUBLIC = public()
KNOWN = with_methods(PUBLIC)


def described(code, seen=()):
    """The names under "Args:", those included that the docstring refers to as "those of `Name`" or `Name.method`.

    A dataclass's arguments are its attributes, and may be said to be so.
    """
    text = inspect.getdoc(code) or ""
    head = "(?:Args|Attributes)" if dataclasses.is_dataclass(code) else "Args"
    sections = re.findall(rf"^{head}:\n((?:    .*\n?|\n)*)", text, re.MULTILINE)
    names = set(re.findall(r"^    \*{0,2}(\w+):", "".join(sections), re.MULTILINE))
    for other in re.findall(r"those of `(?:recurra\.)?([\w.]+)`", text):
        target = KNOWN.get(f"recurra.{other}")
        if target is not None and target not in seen:
            names |= described(target, (*seen, code))
    return names


def parameters(code):
    if inspect.isclass(code) and str(getattr(code.__init__, "__module__", "")).startswith("torch"):
        return set()  # *args, of which no name is known
    try:
        signature = inspect.signature(code)
    except ValueError:  # compiled, with its signature in the docstring
        return set()
    return {name for name in signature.parameters if name not in {"self", "cls"} and not name.startswith("_")}


def check_described(code):
    assert inspect.getdoc(code), "no docstring"
    assert parameters(code) <= described(code), f"not under Args: {sorted(parameters(code) - described(code))}"


def check_example(name, value):
    """Examples may use `np` and `recurra`."""
    example = doctest.DocTestParser().get_doctest(
        inspect.getdoc(value), {"np": np, "recurra": recurra}, name, None, None
    )
    assert example.examples, "no example"
    report = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(example, out=report.append)
    assert not report, "".join(report)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_arguments_are_described(name):
    check_described(PUBLIC[name])


def test_arguments_of_methods_are_described():
    codes = {code: name for name, code in KNOWN.items() if name not in PUBLIC}
    missing = {name: sorted(parameters(code) - described(code)) for code, name in codes.items()}
    lines = [f"{name}: {', '.join(names)}" for name, names in missing.items() if names]
    assert not lines, "not under Args:\n" + "\n".join(lines)
    assert all(inspect.getdoc(code) for code in codes)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_the_example_runs(name, tmp_path, monkeypatch):
    """In a folder of its own, since some write files."""
    needed = EXAMPLES_NEED.get(name.removeprefix("recurra."))
    if needed:
        os.environ.setdefault("KERAS_BACKEND", "torch")
        pytest.importorskip(needed)
    monkeypatch.chdir(tmp_path)
    check_example(name, PUBLIC[name])


@pytest.mark.parametrize("module", NEIGHBOURS)
def test_names_that_need_a_neighbour(module):
    pytest.importorskip(NEIGHBOURS[module])
    names = public([module])
    KNOWN.update(with_methods(names))
    for name, value in names.items():
        for code in (value, *methods(value).values()):
            check_described(code)
        check_example(name, value)
