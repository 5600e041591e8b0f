// Arrays by the names of a layer's parameters, such as its gradients: from a mapping, checked. Defined in
// parameters.cpp.
//
// What is in a mapping is fetched first, which may run Python code, and of all mappings of a call before any array is
// looked at.
#pragma once

#include <vector>

#include "model/parameters.h"
#include "python/arguments.h"

namespace recurra {

Shape shape_of(const ParameterTable::Entry &entry);

// A dict of our own of what a mapping held at one moment. `expected` says what it is a dict of.
py::dict copied_mapping(py::handle mapping, Name what, const char *expected);

// The values of a mapping with exactly the parameters' names, in their order, not looked at yet. `what` names the
// mapping in an error.
std::vector<py::object> objects_of(const ParameterTable &table, py::handle mapping, Name what);

// The arrays behind them, of the parameters' dtype and shapes; nothing is done to any, and no Python code runs.
template <class T>
py::array array_of(const ParameterTable::Entry &entry, py::handle object, Takes takes);
template <class T>
std::vector<py::array> arrays_of(const ParameterTable &table, const std::vector<py::object> &objects, Takes takes);

// The same from a tuple of arrays in the table's order, contiguous: copies where they aren't.
template <class T>
std::vector<py::array> listed_arrays(const ParameterTable &table, py::handle arrays);

template <class T>
std::vector<const T *> pointers_of(const std::vector<py::array> &arrays) {
  std::vector<const T *> pointers;
  pointers.reserve(arrays.size());
  for (const py::array &array : arrays) pointers.push_back(pointer<T>(array));
  return pointers;
}

// The pointers of such arrays, if they may be written to: contiguous and writeable.
template <class T>
T *target_of(const ParameterTable::Entry &entry, const py::array &array, Name what);
template <class T>
std::vector<T *> targets_of(const ParameterTable &table, const std::vector<py::array> &arrays, Name what);

// The pointers that gradients are added to.
template <class T>
std::vector<T *> gradient_targets(const Parameters<T> &parameters, const std::vector<py::object> &objects,
                                  Arguments<T> &arguments);

}  // namespace recurra
