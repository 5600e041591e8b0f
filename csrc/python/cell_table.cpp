// The table of cells for Python.
#include "python/cell_table.h"

#include "python/bindings.h"
#include "python/errors.h"

namespace recurra {

CellId cell_named(const std::string &name) {
  for (int id = 0; id < kCellCount; ++id) {
    if (name == kCells[id].name) return static_cast<CellId>(id);
  }
  std::string names;
  for (const CellDescription &cell : kCells) names += (names.empty() ? "" : ", ") + std::string(cell.name);
  refuse_value("cell", "one of " + names, name);
}

namespace {

py::tuple words_of(const char *text) { return py::tuple(py::str(text).attr("split")()); }

// What csrc/cells.h says of every cell, by name.
py::dict cells_dict() {
  constexpr const char *roles[] = {"input_weight", "recurrent_weight", "input_bias", "recurrent_bias"};
  py::dict result;
  for (const CellDescription &cell : kCells) {
    py::list parameters;
    for (const ParameterDescription &parameter : kParameters) {
      py::dict entry;
      entry["name"] = parameter.name;
      entry["rows"] = cell.gates;  // times hidden_size
      entry["columns"] = parameter.role == kInputWeight       ? py::object(py::str("input_size"))
                         : parameter.role == kRecurrentWeight ? py::object(py::str("hidden_size"))
                                                              : py::object(py::none());
      entry["role"] = roles[parameter.role];
      parameters.append(entry);
    }
    py::dict description;
    description["gates"] = words_of(cell.gate_names);
    description["states"] = words_of(cell.state_names);
    description["split_gate"] = cell.split_gate;
    description["parameters"] = py::tuple(parameters);
    result[cell.name] = description;
  }
  return result;
}

}  // namespace

void register_cells(py::module_ &module) { module.def("cells", cells_dict); }

}  // namespace recurra
