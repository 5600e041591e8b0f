"""The cells of `recurra.cells` once more, as plain NumPy: `REFERENCES` by name, from all files of references."""

from __future__ import annotations

import references_continuous  # noqa: F401 (each file registers its own)
import references_gated  # noqa: F401
import references_grus  # noqa: F401
import references_lstms  # noqa: F401
from recurra.formula import Formula
from reference_of_cells import REFERENCES

__all__ = ["REFERENCES", "formula_of"]


def formula_of(cell):
    """The formula behind a class of layers, whose `run_step` calls the function."""
    return cell if isinstance(cell, Formula) else cell.formula
