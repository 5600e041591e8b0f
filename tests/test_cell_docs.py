"""docs/cells.md: its table of the library, and what it shows of a formula, are what there is."""

from __future__ import annotations

import re
from pathlib import Path

import recurra.cells
from cell_references import formula_of

TEXT = (Path(__file__).parents[1] / "docs" / "cells.md").read_text()
NAMES = [name for name in recurra.cells.__all__ if name != "legendre"]


def test_the_table_has_the_library():
    rows = re.findall(r"^\| `(\w+)` \| .+ \| ([\w ]+) \| (\d) \| .*\(\d{4}\) \|$", TEXT, re.MULTILINE)
    expected = []
    for name in NAMES:
        formula = formula_of(getattr(recurra.cells, name))
        expected.append((name, " ".join(formula.declared.states), str(len(formula.program.stages))))
    assert sorted(rows) == sorted(expected)


def test_years_are_those_of_the_docstrings():
    for name in NAMES:
        (row,) = re.findall(rf"^\| `{name}` \|.*", TEXT, re.MULTILINE)
        text = getattr(recurra.cells, name).function.__doc__
        assert all(year in text for year in re.findall(r"\(\d{4}\)", row))


def test_the_described_formula():
    (shown,) = re.findall(r"^```text\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert shown.splitlines() == formula_of(recurra.cells.MGU).describe_lines()


def test_the_numbers_that_are_described():
    block = r"^```py\nprint\((.*batch=\d+\))\)\n```\n\n```\n(.*?)^```$"
    ((call, shown),) = re.findall(block, TEXT.partition("With sizes it adds")[2], re.MULTILINE | re.DOTALL)
    assert eval(call).splitlines() == [*recurra.cells.MGU.describe().splitlines(), *shown.splitlines()]


def test_stages_of_the_example():
    names: dict = {}
    for block in re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL):
        exec(block, names)
    assert len(formula_of(names["NormLSTM"]).program.stages) == 5
    assert "this one has five" in TEXT
