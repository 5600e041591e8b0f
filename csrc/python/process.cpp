// What concerns the whole process: threads, and what this build is.
#include "dispatch.h"
#include "python/bindings.h"
#include "python/errors.h"
#include "system/fork.h"
#include "system/parallel.h"

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
  result["threading"] = kThreading;
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

}  // namespace

void register_process(py::module_ &module) {
  module.def("build_info", build_info_dict, R"doc(
What built the package, and what it runs on.

Returns:
    A dict of "version", the package's; "compiler" and "flags"; "isas", the instruction sets it was built for, weakest
    first; "isas_available", those of them that this machine runs; "isa", the one in use, RECURRA_ISA or else the
    best; "threads", as `get_num_threads`; "threading", what makes them: "OpenMP", "std" (the
    standard library of C++) or, where there is but one, "none".

Example:
    >>> info = recurra.build_info()
    >>> list(info)
    ['version', 'compiler', 'flags', 'isas', 'isas_available', 'isa', 'threads', 'threading']
    >>> info["isa"] in info["isas_available"]
    True
)doc");
  module.def("set_num_threads", set_num_threads, py::arg("n"));
  module.def("cpu_quota", cpu_quota, py::arg("groups"), py::arg("root"));
  module.def("enter_forked_child", [] { ForkGate::instance().enter_child(); });
  module.def("get_num_threads", [] { return usable_threads(thread_setting()); });
}

}  // namespace recurra
