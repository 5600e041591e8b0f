// The parts of the module's bindings, one file each.
#pragma once

#include <pybind11/pybind11.h>

namespace recurra {

void bind_network(pybind11::module_ &module);
void bind_parameters(pybind11::module_ &module);
void bind_dense(pybind11::module_ &module);
void bind_embedding(pybind11::module_ &module);
void bind_layers(pybind11::module_ &module);

}  // namespace recurra
