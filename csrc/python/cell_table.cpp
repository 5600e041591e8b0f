#include "python/cell_table.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "model/known_cells.h"
#include "python/arguments.h"
#include "python/bindings.h"
#include "python/classes.h"

namespace recurra {
namespace {

std::string text_of(py::handle object, Name name) {
  if (!PyUnicode_Check(object.ptr())) refuse_type(name, "a str", type_name(object));
  Py_ssize_t size = 0;
  const char *text = PyUnicode_AsUTF8AndSize(object.ptr(), &size);
  if (!text) throw py::error_already_set();
  return {text, static_cast<std::size_t>(size)};
}

// Null if there is none.
py::object entry(py::handle names, const char *key) {
  if (!PyDict_Check(names.ptr())) refuse_type("names", "a dict", type_name(names));
  const py::str word(key);
  PyObject *found = PyDict_GetItemWithError(names.ptr(), word.ptr());
  if (!found && PyErr_Occurred()) throw py::error_already_set();
  return py::reinterpret_borrow<py::object>(found);
}

std::vector<std::string> list_of(py::handle names, const char *key) {
  const py::object words = entry(names, key);
  if (!words) refuse_value("names", "the key " + std::string(key), "none");
  const std::string name = "names['" + std::string(key) + "']";
  if (!PyTuple_Check(words.ptr())) refuse_type(name, "a tuple", type_name(words));
  std::vector<std::string> list;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(words.ptr()); ++i) {
    list.push_back(text_of(PyTuple_GET_ITEM(words.ptr(), i), name + "[" + std::to_string(i) + "]"));
  }
  return list;
}

// Numbers of the states in the order that names have them; none where they have none.
std::vector<std::size_t> order_of(py::handle names, const std::vector<std::string> &states) {
  std::vector<std::size_t> order;
  if (!entry(names, "order")) return order;
  for (const std::string &word : list_of(names, "order")) {
    const auto found = std::find(states.begin(), states.end(), word);
    if (found == states.end()) refuse_value("names['order']", "names of states", word);
    order.push_back(static_cast<std::size_t>(found - states.begin()));
  }
  return order;
}

CellWords words_of(py::handle names) {
  const py::object name = entry(names, "name");
  std::vector<std::string> states = list_of(names, "states");
  std::vector<std::size_t> order = order_of(names, states);
  return {name ? text_of(name, "names['name']") : "cell",
          list_of(names, "gates"),
          std::move(states),
          list_of(names, "parameters"),
          list_of(names, "inputs"),
          std::move(order)};
}

constexpr py::ssize_t kMostNumbers = 1 << 16;  // more than a description can have

// One axis of T, contiguous.
template <class T>
py::array list_array(const py::array &array, Name name) {
  if (array.ndim() != 1) refuse_value(name, "one axis", shape_text(array));
  if (array.size() > kMostNumbers) {  // before a copy is made of something that only looks large
    refuse_value(name, "at most " + std::to_string(kMostNumbers) + " numbers", std::to_string(array.size()));
  }
  return contiguous<T>(array) ? array : copied(array);
}

py::array code_array(py::handle object) {
  const py::array array = any_array(object, "code", "int32", "int32", Takes::kNumPy);
  if (!py::isinstance<py::array_t<std::int32_t>>(array)) {
    refuse_type("code", "int32", std::string(py::str(array.dtype())));
  }
  return list_array<std::int32_t>(array, "code");
}

std::shared_ptr<const NamedCell> cell_from(py::handle code, py::handle constants, py::handle names) {
  CellWords words = words_of(names);
  const py::array numbers = code_array(code);
  const py::array values = list_array<double>(typed_array<double>(constants, "constants", Takes::kNumPy), "constants");
  return checked_cell(pointer<std::int32_t>(numbers), static_cast<std::size_t>(numbers.size()), pointer<double>(values),
                      static_cast<std::size_t>(values.size()), std::move(words));
}

py::tuple tuple_of(const std::vector<std::string> &words) {
  py::tuple tuple(words.size());
  for (std::size_t i = 0; i < words.size(); ++i) tuple[i] = py::str(words[i]);
  return tuple;
}

py::dict names_of(const std::shared_ptr<PythonCell> &of) {
  const NamedCell &named = *of->named;
  py::dict names;
  names["name"] = named.name;
  names["gates"] = tuple_of(named.gates);
  names["states"] = tuple_of(named.states);
  std::vector<std::string> ordered;
  for (const std::size_t state : named.order) ordered.push_back(named.states[state]);
  names["order"] = tuple_of(ordered);
  names["parameters"] = tuple_of(named.parameters);
  names["inputs"] = tuple_of(named.inputs);
  return names;
}

py::object compiled_name(const std::shared_ptr<PythonCell> &of) {
  const std::int32_t id = of->named->cell.compiled;
  return id == kInterpreted ? py::object(py::none()) : py::object(py::str(kKnownCells[id].name));
}

std::int32_t instructions_of(const Stage *stages, std::int32_t count) {
  std::int32_t instructions = 0;
  for (std::int32_t s = 0; s < count; ++s) instructions += stages[s].instructions.count;
  return instructions;
}

// How large the description is, and what a call needs for each row and unit.
py::dict counts_of(const std::shared_ptr<PythonCell> &of) {
  const Cell &cell = of->named->cell;
  py::dict counts;
  counts["states"] = cell.states;
  counts["parameters"] = cell.parameter_count;
  counts["columns"] = cell.column_count;
  counts["products"] = cell.product_count;
  counts["inputs"] = cell.input_count;
  counts["stages"] = cell.stage_count;
  counts["back_stages"] = cell.back_stage_count;
  counts["deltas"] = cell.delta_count;
  counts["kept"] = cell.kept;
  counts["staged"] = cell.staged;
  counts["held"] = cell.held;
  counts["temporaries"] = cell.temporaries;
  counts["untaped_held"] = cell.untaped_held;
  counts["untaped_temporaries"] = cell.untaped_temporaries;
  counts["back_staged"] = cell.back_staged;
  counts["back_held"] = cell.back_held;
  counts["back_temporaries"] = cell.back_temporaries;
  counts["instructions"] = instructions_of(cell.stages, cell.stage_count);
  counts["untaped_instructions"] = instructions_of(cell.untaped_stages, cell.stage_count);
  counts["back_instructions"] = instructions_of(cell.back_stages, cell.back_stage_count);
  return counts;
}

}  // namespace

PythonCell::PythonCell(py::handle code, py::handle constants, py::handle names)
    : named(cell_from(code, constants, names)) {}

std::shared_ptr<const NamedCell> cell_of(py::handle cell) {
  if (const auto held = object_of<PythonCell>(cell)) return held->named;
  refuse_type("cell", "a Cell", type_name(cell));
}

void register_cells(py::module_ &module) {
  Class<PythonCell>(module, "Cell")
      .constructor<py::handle, py::handle, py::handle>(py::arg("code"), py::arg("constants"), py::arg("names"))
      .def_property_readonly("names", names_of)
      .def_property_readonly("compiled", compiled_name)
      .def_property_readonly("counts", counts_of);
}

}  // namespace recurra
