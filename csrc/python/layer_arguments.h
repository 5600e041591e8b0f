// Gradients by layer, and by state and layer, from Python.
//
// Arrays have been looked at by then, so all of it is dicts: a copy of one runs no Python code.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "model/network.h"
#include "python/arguments.h"
#include "python/input_arguments.h"
#include "python/state_arguments.h"

namespace recurra {

inline py::dict copied_dict(py::handle given, Name name, const char *expected) {
  if (!py::isinstance<py::dict>(given)) refuse_type(name, expected, type_name(given));
  const auto items = py::reinterpret_steal<py::dict>(PyDict_Copy(given.ptr()));
  if (!items) throw py::error_already_set();
  return items;
}

// One array of a state for each layer from a dict {layer: array} or None; null where there is none.
template <class T>
std::vector<Strided<const T>> by_layer(const NetworkShape &shape, py::handle given, const std::string &name, int state,
                                       const Layout &layout, Arguments<T> &arguments) {
  std::vector<Strided<const T>> result(static_cast<std::size_t>(shape.layers));
  if (given.is_none()) return result;
  const py::dict items = copied_dict(given, name, "a dict of arrays by layer");
  for (const auto &[key, array] : items) {
    const std::string range = "layers in 0.." + std::to_string(shape.layers - 1);
    if (!PyLong_Check(key.ptr()) || PyBool_Check(key.ptr())) refuse_type(name, range, py::repr(key));
    int overflow = 0;
    const long long layer = PyLong_AsLongLongAndOverflow(key.ptr(), &overflow);
    if (overflow || layer < 0 || layer >= shape.layers) refuse_value(name, range, py::str(key));
    result[static_cast<std::size_t>(layer)] =
        arguments.sequences(array, name + "[" + std::to_string(layer) + "]", layout, features_symbol(shape, state),
                            shape.directions * shape.state_size(state));
  }
  return result;
}

// The number of a state besides the one that is y.
inline std::size_t state_of(const NamedCell &cell, py::handle key) {
  std::string expected;
  for (std::size_t state = 1; state < cell.states.size(); ++state) {
    if (PyUnicode_Check(key.ptr()) && PyUnicode_CompareWithASCIIString(key.ptr(), cell.states[state].c_str()) == 0) {
      return state;
    }
    expected += (state > 1 ? ", " : "names of states besides " + cell.states[0] + ": ") + cell.states[state];
  }
  if (expected.empty()) expected = "no states, as the cell has " + cell.states[0] + " alone";
  if (!PyUnicode_Check(key.ptr())) refuse_type("dstates", expected, py::repr(key));
  refuse_value("dstates", expected, py::repr(key));
}

// The same of all states but the one that is y, from a dict {name: {layer: array}} or None.
template <class T>
std::array<std::vector<Strided<const T>>, kMaxStates> by_state(const NetworkShape &shape, py::handle given,
                                                               const Layout &layout, Arguments<T> &arguments) {
  const std::vector<std::string> &names = shape.cell->states;
  std::array<std::vector<Strided<const T>>, kMaxStates> result;
  for (std::size_t state = 1; state < names.size(); ++state)
    result[state].resize(static_cast<std::size_t>(shape.layers));
  if (given.is_none()) return result;
  const py::dict items = copied_dict(given, "dstates", "a dict of dicts of arrays, by state and layer");
  for (const auto &[key, layers] : items) {
    const std::size_t state = state_of(*shape.cell, key);
    const std::string name = item_name("dstates", names[state]);
    result[state] = by_layer(shape, layers, name, static_cast<int>(state), layout, arguments);
  }
  return result;
}

}  // namespace recurra
