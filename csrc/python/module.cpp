// The module recurra._core.
#include "python/bindings.h"
#include "python/gil.h"
#include "system/fork.h"

PYBIND11_MODULE(_core, module, pybind11::mod_gil_not_used()) {
  recurra::ForkGate::instance();  // from here on, a fork is noticed
  recurra::note_main_thread();
  module.doc() = "The compiled half of recurra; see the package for how to use it.";
  recurra::register_process(module);
  recurra::register_functions(module);
  recurra::register_parameters(module);
  recurra::register_cells(module);
  recurra::register_network(module);
  recurra::register_linear(module);
  recurra::register_embedding(module);
  recurra::register_layers(module);
  recurra::register_stream(module);
}
