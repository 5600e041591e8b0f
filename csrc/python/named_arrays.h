// Arrays by the names of a layer's parameters, such as its gradients: from a mapping, checked. Defined in
// parameters.cpp.
#pragma once

#include "python/arguments.h"

namespace recurra {

// One array for each parameter from a mapping with exactly their names, in their order, of their dtype and shapes.
// Nothing is done to any. `what` names the mapping in an error.
template <class T>
std::vector<py::array> arrays_of(const ParameterTable &table, py::handle state, Name what);

// The pointers of such arrays, if they may be written to: contiguous and writeable.
template <class T>
std::vector<T *> targets_of(const Parameters<T> &parameters, const std::vector<py::array> &arrays, Name what);

// Refuses parameters that are somebody else's arrays, which are only read.
template <class T>
void check_own(const Parameters<T> &parameters);

}  // namespace recurra
