"""Writes csrc/model/known_cells.h: what the compiler of formulas makes of the cells whose mathematics is compiled too.

python cmake/known_cells.py > csrc/model/known_cells.h
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from recurra.definitions import FORMULAS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recurra.formula import Formula


# In the order of CompiledCell.
CELLS: tuple[Formula, ...] = tuple(
    FORMULAS[name] for name in ("rnn_tanh", "rnn_relu", "lstm", "gru", "gru_reset_before")
)


def _array(kind: str, name: str, values: Sequence[str]) -> str:
    lines = [f"constexpr {kind} {name}[] = {{"]
    line = "   "
    for value in values:
        if len(line) + len(value) + 2 > 120:
            lines.append(line)
            line = "   "
        line += f" {value},"
    return "\n".join([*lines, line, "};"])


def description(formula: Formula, name: str) -> tuple[list[str], str]:
    """The arrays of a formula's code, whose names begin with `name`, and the KnownCell of them."""
    code, constants = formula.program.encode()
    arrays = [_array("std::int32_t", f"{name}Code", [str(value) for value in code.tolist()])]
    words = (formula.declared.name, " ".join(formula.gates), " ".join(formula.states))
    entry = "{" + ", ".join(f'"{text}"' for text in words) + f", {name}Code, std::size({name}Code), "
    if constants.size:
        arrays.append(_array("double", f"{name}Constants", [repr(value) for value in constants.tolist()]))
        return arrays, entry + f"{name}Constants, std::size({name}Constants)}}"
    return arrays, entry + "nullptr, 0}"


def header() -> str:
    """The text of the file."""
    arrays, entries = [], []
    for cell in CELLS:
        name = "k" + "".join(word.capitalize() for word in cell.function.__name__.split("_"))
        own, entry = description(cell, name)
        arrays += own
        entries.append(f"    {entry},\n")
    return f"""\
// Written by cmake/known_cells.py.
#pragma once

#include <cstddef>
#include <iterator>

#include "cells.h"

namespace recurra {{

// A description as checked_cell takes it, and what its parts are called, separated by spaces.
struct KnownCell {{
  const char *name, *gates, *states;
  const std::int32_t *code;
  std::size_t size;
  const double *constants;
  std::size_t constant_count;
}};

// clang-format off
{chr(10).join(arrays)}

// By CompiledCell.
constexpr KnownCell kKnownCells[kCompiledCells] = {{
{"".join(entries)}}};
// clang-format on

}}  // namespace recurra
"""


if __name__ == "__main__":
    sys.stdout.write(header())
