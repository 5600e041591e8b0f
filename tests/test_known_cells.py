"""Formulas of the compiled cells are recognized, since the header that has their descriptions is current."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import recurra
from recurra.definitions import FORMULAS

ROOT = Path(__file__).parent.parent


def _script():
    spec = importlib.util.spec_from_file_location("known_cells", ROOT / "cmake" / "known_cells.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = _script()


def _checked(cell, constants=None):
    code, own = cell.program.encode()
    names = {
        "gates": cell.declared.gates,
        "states": cell.declared.states,
        "parameters": tuple(parameter.name for parameter in cell.layout.parameters),
        "inputs": tuple(cell.declared.inputs),
    }
    return recurra._core.Cell(code, own if constants is None else constants, names)


def test_the_header_is_what_the_compiler_of_formulas_makes():
    assert SCRIPT.header() == (ROOT / "csrc" / "model" / "known_cells.h").read_text()


@pytest.mark.parametrize("cell", SCRIPT.CELLS, ids=lambda cell: cell.function.__name__)
def test_compiled_cells_are_recognized(cell):
    assert _checked(cell).compiled == cell.function.__name__


def test_another_constant_or_equation_is_another_cell():
    lstm = FORMULAS["lstm"]
    constants = lstm.program.encode()[1]
    assert _checked(lstm, np.full_like(constants, 2)).compiled is None

    @recurra.formula(gates="i f g o", states="h c")
    def other(a, s):
        c = recurra.formula.sigmoid(a.f) * s.c + recurra.formula.sigmoid(a.i) * recurra.formula.tanh(a.g)
        return recurra.formula.sigmoid(a.o) * c, c

    assert _checked(other.formula).compiled is None
