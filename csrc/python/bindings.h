// The parts of the module, one file each.
#pragma once

#include <pybind11/pybind11.h>

namespace recurra {

void register_process(pybind11::module_ &module);
void register_functions(pybind11::module_ &module);
void register_parameters(pybind11::module_ &module);
void register_cells(pybind11::module_ &module);
void register_network(pybind11::module_ &module);
void register_linear(pybind11::module_ &module);
void register_embedding(pybind11::module_ &module);
void register_layers(pybind11::module_ &module);
void register_stream(pybind11::module_ &module);

}  // namespace recurra
