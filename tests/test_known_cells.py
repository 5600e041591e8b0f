"""Formulas of the compiled cells are recognized, since the header that has their descriptions is current."""

import importlib.util
from pathlib import Path

import pytest

import recurra
from recurra.formula import Formula, sigmoid, tanh

ROOT = Path(__file__).parent.parent


def _script():
    spec = importlib.util.spec_from_file_location("known_cells", ROOT / "cmake" / "known_cells.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = _script()


def test_the_header_is_what_the_compiler_of_formulas_makes():
    assert SCRIPT.header() == (ROOT / "csrc" / "model" / "known_cells.h").read_text()


@pytest.mark.parametrize("cell", SCRIPT.CELLS, ids=lambda cell: cell.declared.name)
def test_compiled_cells_are_recognized(cell):
    assert cell.core.compiled == cell.declared.name


def test_another_constant_or_equation_is_another_cell():
    lstm = SCRIPT.CELLS[2]
    code, constants = lstm.program.encode()
    names = {key: value for key, value in lstm.core.names.items() if key != "name"}
    assert recurra._core.Cell(code, constants, names).compiled == "lstm"
    assert recurra._core.Cell(code, 2 * constants, names).compiled is None

    def coupled(a, s):
        f = sigmoid(a.f)
        c = f * s.c + (1 - f) * tanh(a.g)
        return sigmoid(a.o) * tanh(c), c

    assert Formula(coupled, gates="f g o", states="h c").core.compiled is None
