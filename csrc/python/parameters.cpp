// Parameters from Python: read-only views, and a checked load that replaces all of them at once.
#include "python/arguments.h"
#include "python/bindings.h"
#include "python/named_arrays.h"
#include "python/tapes.h"

namespace recurra {
namespace {

template <class T>
using Holder = std::shared_ptr<Parameters<T>>;

template <class Entry>
Shape shape_of(const Entry &entry) {
  Shape shape;
  for (const Index length : entry.shape) shape.push_back(length);
  return shape;
}

// Interned, and kept for good: names repeat from layer to layer.
template <class Entry>
py::handle key_of(const Entry &entry) {
  if (!entry.key) entry.key = PyUnicode_InternFromString(entry.name.c_str());
  if (!entry.key) throw py::error_already_set();
  return static_cast<PyObject *>(entry.key);
}

// dict name -> read-only view; the views keep the parameters alive, and numpy finds no way to make them writeable.
template <class T>
py::dict views(const Holder<T> &parameters) {
  py::dict result;
  const py::object owner = py::cast(parameters);
  for (std::size_t i = 0; i < parameters->entries.size(); ++i) {
    const auto &entry = parameters->entries[i];
    py::array_t<T> view(entry.shape, parameters->data(i), owner);
    py::detail::array_proxy(view.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
    result[key_of(entry)] = view;
  }
  return result;
}

// Says which names are missing, and which are too many.
template <class T>
[[noreturn]] void refuse_names(const Parameters<T> &parameters, const py::dict &given, Name what) {
  std::string got;
  const auto add = [&](const char *kind, const std::string &name) { got += (got.empty() ? "" : ", ") + (kind + name); };
  for (const auto &entry : parameters.entries) {
    if (!given.contains(key_of(entry))) add("no ", entry.name);
  }
  for (const auto &[key, value] : given) {
    const std::string name = py::str(key);
    const bool known = std::any_of(parameters.entries.begin(), parameters.entries.end(),
                                   [&](const auto &entry) { return entry.name == name; });
    if (!known) add("also ", name);
  }
  refuse_value(what, "the names of the parameters", got);
}

}  // namespace

template <class T>
std::vector<py::array> arrays_of(const Parameters<T> &parameters, py::handle state, Name what) {
  if (!PyDict_Check(state.ptr()) && !py::hasattr(state, "keys")) {  // a list or an array is no mapping
    refuse_type(what, "a dict of arrays by the parameters' names", type_name(state));
  }
  const py::dict given = py::dict(py::reinterpret_borrow<py::object>(state));
  if (given.size() != parameters.entries.size()) refuse_names(parameters, given, what);
  std::vector<py::array> arrays;
  arrays.reserve(parameters.entries.size());
  for (const auto &entry : parameters.entries) {
    PyObject *found = nullptr;
#if PY_VERSION_HEX >= 0x030D0000
    PyDict_GetItemRef(given.ptr(), key_of(entry).ptr(), &found);
#else
    found = PyDict_GetItemWithError(given.ptr(), key_of(entry).ptr());
    Py_XINCREF(found);
#endif
    const auto array = py::reinterpret_steal<py::object>(found);
    if (!array && PyErr_Occurred()) throw py::error_already_set();
    if (!array) refuse_names(parameters, given, what);
    arrays.push_back(typed_array<T>(array, entry.name));
    check_shape(arrays.back(), entry.name, [&] { return entry.symbols; }, shape_of(entry));
  }
  return arrays;
}

template <class T>
std::vector<T *> targets_of(const Parameters<T> &parameters, const std::vector<py::array> &arrays, Name what) {
  std::vector<T *> pointers;
  pointers.reserve(arrays.size());
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    const bool fit = contiguous<T>(arrays[i]) && arrays[i].writeable();
    if (!fit) {
      refuse_value(std::string(what) + "['" + parameters.entries[i].name + "']", "a writeable C-contiguous array",
                   arrays[i].writeable() ? "one that isn't contiguous" : "a read-only one");
    }
    pointers.push_back(pointer<T>(arrays[i]));
  }
  return pointers;
}

template std::vector<py::array> arrays_of(const Parameters<float> &, py::handle, Name);
template std::vector<py::array> arrays_of(const Parameters<double> &, py::handle, Name);
template std::vector<float *> targets_of(const Parameters<float> &, const std::vector<py::array> &, Name);
template std::vector<double *> targets_of(const Parameters<double> &, const std::vector<py::array> &, Name);

namespace {

// dict name -> copy, all of one version.
template <class T>
py::dict snapshot(const Holder<T> &parameters) {
  py::dict result;
  std::vector<T *> to;
  for (const auto &entry : parameters->entries) {
    const py::array copy = new_array<T>(shape_of(entry));
    to.push_back(pointer<T>(copy));
    result[key_of(entry)] = copy;
  }
  const WithoutGil released;
  const std::lock_guard<std::mutex> lock(parameters->mutex);
  for (std::size_t i = 0; i < to.size(); ++i) std::copy_n(parameters->data(i), parameters->entries[i].size, to[i]);
  return result;
}

template <class T>
void load(const Holder<T> &parameters, py::handle state, const std::string &what) {
  std::vector<py::array> arrays = arrays_of(*parameters, state, what);
  const T *own = parameters->memory.data(), *own_end = own + parameters->memory.size();
  for (py::array &array : arrays) {
    const bool view = pointer<T>(array) >= own && pointer<T>(array) < own_end;  // of a parameter, maybe another one
    if (view || !contiguous<T>(array)) array = copied(array);
  }
  std::vector<const T *> pointers;
  for (const py::array &array : arrays) pointers.push_back(pointer<T>(array));
  const WithoutGil released;
  parameters->replace(pointers.data());
}

template <class T>
void bind(py::module_ &module, const char *name) {
  py::class_<Parameters<T>, Holder<T>>(module, name)
      .def("views", views<T>)
      .def_property_readonly("version",
                             [](const Holder<T> &parameters) {
                               const std::lock_guard<std::mutex> lock(parameters->mutex);
                               return parameters->version;
                             })
      .def("snapshot", snapshot<T>)
      .def("load", load<T>, py::arg("state"), py::arg("what") = "state_dict");
}

}  // namespace

template <class T>
std::vector<T *> gradient_targets(const Parameters<T> &parameters, py::handle grads, Arguments<T> &arguments) {
  const std::vector<py::array> arrays = arrays_of(parameters, grads, "grads");
  for (const py::array &array : arrays) arguments.keep(array);
  return targets_of(parameters, arrays, "grads");
}
template std::vector<float *> gradient_targets(const Parameters<float> &, py::handle, Arguments<float> &);
template std::vector<double *> gradient_targets(const Parameters<double> &, py::handle, Arguments<double> &);

void bind_parameters(py::module_ &module) {
  bind<float>(module, "Parameters32");
  bind<double>(module, "Parameters64");
}

}  // namespace recurra
