// Cells as objects for Python.
#pragma once

#include <memory>

#include "model/cell.h"
#include "python/errors.h"

namespace recurra {

// What recurra._core.Cell holds.
struct PythonCell {
  // An array of int32 and one of float64, and a dict of tuples of names: "gates", "states", "parameters", "inputs";
  // also "name", of the whole, and "order", of the states for callers. TypeError for others, ValueError for what
  // checked_cell refuses.
  PythonCell(py::handle code, py::handle constants, py::handle names);

  const std::shared_ptr<const NamedCell> named;
};

// The cell of a Cell; TypeError for other objects.
std::shared_ptr<const NamedCell> cell_of(py::handle cell);

}  // namespace recurra
