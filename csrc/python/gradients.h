// The caller's dicts of arrays by the parameters' names; in parameters.cpp.
#pragma once

#include <vector>

#include "model/parameters.h"
#include "python/arguments.h"

namespace recurra {

// The values of a mapping with exactly the parameters' names, in their order, not looked at yet. May run Python code.
template <class T>
std::vector<py::object> objects_of(const Parameters<T> &parameters, py::handle mapping, Name what);

// The pointers that gradients are added to: contiguous and writeable arrays, one for every parameter.
template <class T>
std::vector<T *> gradient_targets(const Parameters<T> &parameters, const std::vector<py::object> &objects,
                                  Arguments<T> &arguments);

}  // namespace recurra
