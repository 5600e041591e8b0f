"""Writes csrc/testing/formula_codes.h: what the compiler of formulas makes of some published cells, and of one that has
what none of them has. The C++ tests run them, as they are and damaged.

python cmake/formula_codes.py > csrc/testing/formula_codes.h
"""

from __future__ import annotations

import sys
from typing import Any

from known_cells import description

import recurra.cells
from recurra.formula import Formula, cos, erf, expm1, log, log1p, mean, not_equal, project, sigmoid, tanh, where


def assorted(a: Any, s: Any, u: Any, x: Any) -> Any:
    """Inputs of every shape, a mean, heads of a further stage, a projection, and functions that are rare."""
    gate = sigmoid(a.g + u.p * log1p(abs(s.c)))
    v = where(not_equal(x.mask, 1), erf(a.v(gate * s.c)), cos(x.noise))
    c = expm1(-x.dt) * s.c + log(2 + v * v) * (v - mean(v))
    return project(gate * tanh(c)), c


PUBLISHED = (
    "AdaptiveLIF", "CfC", "GRUD", "LayerNormLSTM", "LeakyRNN", "LMU", "LRU", "MultiplicativeLSTM", "PhasedLSTM",
    "ProjectedLSTM", "RGLRU", "RHN", "SCRN", "SLSTM", "SLiGRU", "TimeAwareLSTM", "UnICORNN",
)  # fmt: skip
FORMULAS: dict[str, Formula] = {
    **{name: getattr(recurra.cells, name).formula for name in PUBLISHED},
    "Assorted": Formula(
        assorted, gates={"g": "c", "v": "h"}, states="h c", units={"p": 0.1}, inputs="noise mask:row dt:step", heads=2
    ),
}


def header() -> str:
    """The text of the file."""
    arrays, entries = [], []
    for name, formula in FORMULAS.items():
        own, entry = description(formula, f"k{name}")
        arrays += own
        words = " ".join(formula.parameters), " ".join(formula.declared.inputs)
        entries.append(f"    {{{entry},\n     " + ", ".join(f'"{word}"' for word in words) + "},\n")
    return f"""\
// Written by cmake/formula_codes.py.
#pragma once

#include "model/known_cells.h"

namespace recurra {{
namespace testing {{

// A description with the other names, which are divided by spaces.
struct FormulaCode {{
  KnownCell description;
  const char *parameters, *inputs;
}};

// clang-format off
{chr(10).join(arrays)}

constexpr FormulaCode kFormulaCodes[] = {{
{"".join(entries)}}};
// clang-format on

}}  // namespace testing
}}  // namespace recurra
"""


if __name__ == "__main__":
    sys.stdout.write(header())
