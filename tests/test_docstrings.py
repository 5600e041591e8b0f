"""Every public name says what it takes and gives, and shows it by an example that runs."""

from __future__ import annotations

import doctest
import inspect
import re

import numpy as np
import pytest

import recurra
from public_names import NEIGHBOURS, methods, public

PUBLIC = public()


def described(code):
    """The names under "Args:", those of a class included that the docstring refers to as "those of `Name`"."""
    text = inspect.getdoc(code) or ""
    section = re.search(r"^Args:\n((?:    .*\n?|\n)*)", text, re.MULTILINE)
    names = set(re.findall(r"^    \*{0,2}(\w+):", section[1], re.MULTILINE)) if section else set()
    for other in re.findall(r"those of `(?:recurra\.)?([\w.]+)`", text):
        names |= described(PUBLIC.get(other, PUBLIC.get(f"recurra.{other}")))
    return names


def parameters(code):
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
    codes = {code: f"{name}.{method}" for name, value in PUBLIC.items() for method, code in methods(value).items()}
    missing = {name: sorted(parameters(code) - described(code)) for code, name in codes.items()}
    assert not {name: names for name, names in missing.items() if names}
    assert all(inspect.getdoc(code) for code in codes)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_the_example_runs(name):
    check_example(name, PUBLIC[name])


@pytest.mark.parametrize("module", NEIGHBOURS)
def test_names_that_need_a_neighbour(module):
    pytest.importorskip(NEIGHBOURS[module])
    for name, value in public([module]).items():
        for code in (value, *methods(value).values()):
            check_described(code)
        check_example(name, value)
