// The module recurra._core: pybind11 only. Functions check, allocate, release the GIL and call.
#include "bindings.h"

#include "arguments.h"
#include "dispatch.h"
#include "parallel.h"

namespace recurra {
namespace {

py::dict build_info_dict() {
  const BuildInfo info = build_info();
  const auto list = [](const std::vector<const char *> &names) {
    py::list result;
    for (const char *name : names) result.append(name);
    return result;
  };
  py::dict result;
  result["version"] = info.version;
  result["compiler"] = info.compiler;
  result["flags"] = info.flags;
  result["isas"] = list(info.isas);
  result["isas_available"] = list(info.isas_available);
  result["isa"] = info.isa;
  result["threads"] = usable_threads(thread_setting());
  result["openmp"] = info.openmp;
  return result;
}

void set_num_threads(py::handle n) {
  const std::string expected = "an integer from 1 to " + std::to_string(kMaxThreads);
  if (!PyIndex_Check(n.ptr()) || PyBool_Check(n.ptr())) refuse_type("n", expected, type_name(n));
  const auto number = py::reinterpret_steal<py::object>(PyNumber_Index(n.ptr()));
  if (!number) throw py::error_already_set();
  int overflow = 0;
  const long value = PyLong_AsLongAndOverflow(number.ptr(), &overflow);
  if (overflow || value < 1 || value > kMaxThreads) refuse_value("n", expected, py::str(number));
  thread_setting() = static_cast<int>(value);
}

template <class T>
py::array activation(const py::array &x, void (*Kernels<T>::*function)(Index, const T *, T *)) {
  const py::array from = contiguous<T>(x) ? x : copied(x);
  const py::array to = new_array<T>(Shape(from));
  T *out = pointer<T>(to);
  {
    const WithoutGil released;
    (kernels_of<T>().*function)(from.size(), pointer<T>(from), out);
  }
  return to;
}

py::array activation_of(py::handle x, void (*Kernels<float>::*single)(Index, const float *, float *),
                        void (*Kernels<double>::*twice)(Index, const double *, double *)) {
  if (py::isinstance<py::array_t<double>>(x)) return activation<double>(py::reinterpret_borrow<py::array>(x), twice);
  return activation<float>(typed_array<float>(x, "x"), single);
}

}  // namespace

PYBIND11_MODULE(_core, module, py::mod_gil_not_used()) {
  module.doc() = "The compiled half of recurra; see the package for how to use it.";
  module.def("build_info", build_info_dict);
  module.def("set_num_threads", set_num_threads, py::arg("n"));
  module.def("get_num_threads", [] { return usable_threads(thread_setting()); });
  module.def("sigmoid",
             [](py::handle x) { return activation_of(x, &Kernels<float>::sigmoid, &Kernels<double>::sigmoid); });
  module.def("tanh", [](py::handle x) { return activation_of(x, &Kernels<float>::tanh, &Kernels<double>::tanh); });
  bind_parameters(module);
  bind_network(module);
  bind_dense(module);
  bind_embedding(module);
}

}  // namespace recurra
