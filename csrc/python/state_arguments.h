// The states of a recurrent layer's cell from Python: one alone, or a tuple in the order that the cell has for callers.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "model/network.h"
#include "python/arguments.h"

namespace recurra {

inline const char *size_symbol(const NetworkShape &shape, int state) {
  return state == 0 && shape.description().projects ? "proj_size" : "hidden_size";
}
inline const char *features_symbol(const NetworkShape &shape, int state) {
  if (shape.directions == 1) return size_symbol(shape, state);
  return state == 0 && shape.description().projects ? "2*proj_size" : "2*hidden_size";
}

// What errors call the initial states and the gradients of the final ones, and their order; made once per network.
struct StateNames {
  std::vector<std::string> initial, dfinal;
  std::vector<std::size_t> order;

  explicit StateNames(const NamedCell &cell) : order(cell.order) {
    for (const std::string &state : cell.states) {
      initial.push_back(state + "0");
      dfinal.push_back("d" + state + "_n");
    }
  }
};

using StateObjects = std::array<py::object, kMaxStates>;

// The parts of a state, as the cell numbers them; each may be None, and so may the whole.
inline StateObjects split_state(py::handle state, Name name, const std::vector<std::string> &parts,
                                const std::vector<std::size_t> &order) {
  StateObjects result;
  if (parts.size() == 1) {
    result[0] = py::reinterpret_borrow<py::object>(state);
    return result;
  }
  if (state.is_none()) {
    for (std::size_t i = 0; i < parts.size(); ++i) result[i] = py::none();
    return result;
  }
  py::object given;  // what a tuple or list holds, whatever a subclass says of itself
  if (PyTuple_Check(state.ptr())) given = py::reinterpret_borrow<py::object>(state);
  if (PyList_Check(state.ptr())) given = py::reinterpret_steal<py::object>(PyList_AsTuple(state.ptr()));
  if (!given && PyErr_Occurred()) throw py::error_already_set();
  if (!given || PyTuple_GET_SIZE(given.ptr()) != static_cast<Py_ssize_t>(parts.size())) {
    std::string names;
    for (const std::size_t at : order) names += (names.empty() ? "" : ", ") + parts[at];
    refuse_type(name, (parts.size() == 2 ? "a pair (" : "a tuple (") + names + ")", type_name(state));
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    result[order[i]] = py::reinterpret_borrow<py::object>(PyTuple_GET_ITEM(given.ptr(), static_cast<Py_ssize_t>(i)));
  }
  return result;
}

// The arrays behind them: contiguous, null for None.
template <class T>
std::array<const T *, kMaxStates> state_pointers(const NetworkShape &shape, const StateObjects &objects,
                                                 const std::vector<std::string> &names, const Layout &layout,
                                                 Arguments<T> &arguments) {
  std::array<const T *, kMaxStates> pointers{};
  for (std::size_t i = 0; i < names.size(); ++i) {
    const int state = static_cast<int>(i);
    pointers[i] = arguments.state(objects[i], names[i], layout, shape.states(), size_symbol(shape, state),
                                  shape.state_size(state));
  }
  return pointers;
}

// New arrays for all states, and their pointers.
template <class T>
void allocate_states(const NetworkShape &shape, const Layout &layout, StateObjects &arrays,
                     std::array<T *, kMaxStates> &pointers) {
  for (int state = 0; state < shape.description().states; ++state) {
    py::array made = new_array<T>(layout.state_shape(shape.states(), shape.state_size(state)));
    pointers[state] = pointer<T>(made);
    arrays[state] = std::move(made);
  }
}

// As Python has them.
inline py::object joined_state(const NetworkShape &shape, const StateObjects &arrays) {
  const int count = shape.description().states;
  if (count == 1) return arrays[0];
  py::tuple result(count);
  const std::vector<std::size_t> &order = shape.cell->order;
  for (std::size_t i = 0; i < order.size(); ++i) result[i] = arrays[order[i]];
  return result;
}

}  // namespace recurra
