// Parameters from Python: read-only views, and a checked load that replaces all of them at once.
#include "python/bindings.h"
#include "python/classes.h"
#include "python/gil.h"
#include "python/named_arrays.h"
#include "python/views.h"

namespace recurra {

Shape shape_of(const ParameterTable::Entry &entry) {
  Shape shape;
  for (const Index length : entry.shape) shape.push_back(length);
  return shape;
}

namespace {

// Interned, and kept for good: names repeat from layer to layer. Without a GIL two threads may both come first, with
// the same string.
py::handle key_of(const ParameterTable::Entry &entry) {
  auto *key = static_cast<PyObject *>(__atomic_load_n(&entry.key, __ATOMIC_ACQUIRE));
  if (key) return key;
  key = PyUnicode_InternFromString(entry.name.c_str());
  if (!key) throw py::error_already_set();
  __atomic_store_n(&entry.key, static_cast<void *>(key), __ATOMIC_RELEASE);
  return key;
}

// What lent parameters hold on to.
using Lent = std::vector<py::array>;

template <class T>
std::shared_ptr<Lent> lent_by(const ParametersPtr<T> &parameters) {
  if (!parameters->lent()) return nullptr;
  const std::lock_guard<std::mutex> lock(parameters->mutex);
  return std::static_pointer_cast<Lent>(parameters->keeper());
}

// dict name -> read-only view; numpy finds no way to make them writeable. They keep the parameters alive, or, of
// lent ones, the array that is lent now.
template <class T>
py::dict views(const ParametersPtr<T> &parameters) {
  py::dict result;
  const std::shared_ptr<Lent> lent = lent_by(parameters);
  const py::object owner = wrap(parameters);
  for (std::size_t i = 0; i < parameters->entries.size(); ++i) {
    const auto &entry = parameters->entries[i];
    const py::object base = lent ? py::object((*lent)[i]) : owner;
    py::array_t<T> view(entry.shape, lent ? pointer<T>((*lent)[i]) : parameters->data(i), base);
    py::detail::array_proxy(view.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
    result[key_of(entry)] = view;
  }
  return result;
}

// What is to be taken off the names of a part of a larger model so that they fit, or "".
std::string prefix_of(const ParameterTable &table, const py::dict &given) {
  if (table.entries.empty()) return "";
  const std::string first = "." + table.entries.front().name;
  for (const auto &[key, value] : given) {
    const std::string name = py::str(key);
    if (name.size() < first.size() || name.compare(name.size() - first.size(), first.size(), first) != 0) continue;
    const std::string prefix = name.substr(0, name.size() - first.size() + 1);
    if (std::all_of(table.entries.begin(), table.entries.end(),
                    [&](const auto &entry) { return given.contains(py::str(prefix + entry.name)); })) {
      return prefix;
    }
  }
  return "";
}

// Says which names are missing, and which are too many.
[[noreturn]] void refuse_names(const ParameterTable &table, const py::dict &given, Name what) {
  constexpr std::size_t kMost = 8;  // quoted; a large model has hundreds
  std::string got;
  std::size_t count = 0;
  const auto add = [&](const char *kind, const std::string &name) {
    if (++count <= kMost) got += (got.empty() ? "" : ", ") + (kind + name);
  };
  for (const auto &entry : table.entries) {
    if (!given.contains(key_of(entry))) add("no ", entry.name);
  }
  for (const auto &[key, value] : given) {
    const std::string name = py::str(key);
    const bool known =
        std::any_of(table.entries.begin(), table.entries.end(), [&](const auto &entry) { return entry.name == name; });
    if (!known) add("also ", name);
  }
  if (count > kMost) got += " and " + std::to_string(count - kMost) + " more";
  if (const std::string prefix = prefix_of(table, given); !prefix.empty()) {
    got += ": take '" + prefix + "' off the names that begin with it, and leave the others out";
  }
  refuse_value(what, "the names of the parameters", got);
}

}  // namespace

py::dict copied_mapping(py::handle mapping, Name what, const char *expected) {
  py::object given;
  if (PyDict_Check(mapping.ptr())) {
    given = py::reinterpret_steal<py::object>(PyDict_Copy(mapping.ptr()));
  } else if (const py::handle read = ForeignArrays::find_read(mapping)) {
    given = py::reinterpret_borrow<py::object>(read);
  } else {
    PyObject *keys = PyObject_GetAttrString(mapping.ptr(), "keys");
    if (!keys && !PyErr_ExceptionMatches(PyExc_AttributeError)) throw py::error_already_set();
    if (!keys) {  // a list or an array is no mapping
      PyErr_Clear();
      refuse_type(what, expected, type_name(mapping));
    }
    Py_DECREF(keys);
    given = py::reinterpret_steal<py::object>(
        PyObject_CallOneArg(reinterpret_cast<PyObject *>(&PyDict_Type), mapping.ptr()));
    if (given) ForeignArrays::keep_read(mapping, given);
  }
  if (!given) throw py::error_already_set();
  return py::reinterpret_borrow<py::dict>(given);
}

// Once there is a copy, the names may be compared, which is code too where a key is no string.
std::vector<py::object> objects_of(const ParameterTable &table, py::handle mapping, Name what) {
  const py::dict dict = copied_mapping(mapping, what, "a dict of arrays by the parameters' names");
  if (dict.size() != table.entries.size()) refuse_names(table, dict, what);
  std::vector<py::object> objects;
  objects.reserve(table.entries.size());
  for (const auto &entry : table.entries) {
    PyObject *found = PyDict_GetItemWithError(dict.ptr(), key_of(entry).ptr());
    if (!found && PyErr_Occurred()) throw py::error_already_set();
    if (!found) refuse_names(table, dict, what);
    objects.push_back(py::reinterpret_borrow<py::object>(found));
  }
  return objects;
}

template <class T>
py::array array_of(const ParameterTable::Entry &entry, py::handle object, Takes takes) {
  py::array array = typed_array<T>(object, entry.name, takes);
  check_shape(array, entry.name, [&] { return entry.symbols; }, shape_of(entry));
  return array;
}

template <class T>
std::vector<py::array> arrays_of(const ParameterTable &table, const std::vector<py::object> &objects, Takes takes) {
  std::vector<py::array> arrays;
  arrays.reserve(objects.size());
  for (std::size_t i = 0; i < objects.size(); ++i) arrays.push_back(array_of<T>(table.entries[i], objects[i], takes));
  return arrays;
}

template <class T>
T *target_of(const ParameterTable::Entry &entry, const py::array &array, Name what) {
  const bool fit = contiguous<T>(array) && array.writeable();
  if (!fit) {
    refuse_value(std::string(what) + "['" + entry.name + "']", "a writeable C-contiguous array",
                 array.writeable() ? "one that isn't contiguous" : "a read-only one");
  }
  return pointer<T>(array);
}

template <class T>
std::vector<py::array> listed_arrays(const ParameterTable &table, py::handle given) {
  const std::size_t count = table.entries.size();
  if (!PyTuple_Check(given.ptr()) || PyTuple_GET_SIZE(given.ptr()) != static_cast<Py_ssize_t>(count)) {
    refuse_type("arrays", "a tuple of " + std::to_string(count) + " arrays", type_name(given));
  }
  std::vector<py::object> objects;
  objects.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    objects.push_back(py::reinterpret_borrow<py::object>(PyTuple_GET_ITEM(given.ptr(), static_cast<Py_ssize_t>(i))));
  }
  std::vector<py::array> arrays = arrays_of<T>(table, objects, Takes::kArrays);
  for (py::array &array : arrays) {
    if (!contiguous<T>(array)) array = copied(array);
  }
  return arrays;
}

template <class T>
std::vector<T *> targets_of(const ParameterTable &table, const std::vector<py::array> &arrays, Name what) {
  std::vector<T *> pointers;
  pointers.reserve(arrays.size());
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    pointers.push_back(target_of<T>(table.entries[i], arrays[i], what));
  }
  return pointers;
}

template <class T>
std::vector<T *> gradient_targets(const Parameters<T> &parameters, const std::vector<py::object> &objects,
                                  Arguments<T> &arguments) {
  const std::vector<py::array> arrays = arrays_of<T>(*parameters.table, objects, Takes::kNumPy);
  for (const py::array &array : arrays) arguments.keep(array);
  return targets_of<T>(*parameters.table, arrays, "grads");
}

namespace {

// dict name -> copy, all of one version.
template <class T>
py::dict snapshot(const ParametersPtr<T> &parameters) {
  py::dict result;
  std::vector<T *> to;
  for (const auto &entry : parameters->entries) {
    const py::array copy = new_array<T>(shape_of(entry));
    to.push_back(pointer<T>(copy));
    result[key_of(entry)] = copy;
  }
  bool done = false;
  {
    const WithoutGil released;
    done = parameters->copy_to(to, signalled);
  }
  if (!done) throw py::error_already_set();
  return result;
}

template <class T>
void load(const ParametersPtr<T> &parameters, py::handle state, const std::string &what) {
  const ParameterTable &table = *parameters->table;
  std::vector<py::array> arrays = arrays_of<T>(table, objects_of(table, state, what), Takes::kArrays);
  const auto snapshots = detach_from_parameters<T>(arrays);
  for (py::array &array : arrays) {
    if (!contiguous<T>(array)) array = copied(array);
  }
  std::vector<const T *> pointers;
  for (const py::array &array : arrays) pointers.push_back(pointer<T>(array));
  const WithoutGil released;
  parameters->replace(pointers.data());
}

// The arrays of every entry, which may be written to, and what keeps them alive.
template <class T>
std::pair<std::vector<T *>, std::shared_ptr<void>> lent_arrays(const ParameterTable &table, py::handle given) {
  std::vector<py::array> arrays = arrays_of<T>(table, objects_of(table, given, "params"), Takes::kNumPy);
  std::vector<T *> pointers = targets_of<T>(table, arrays, "params");
  const auto release = [](Lent *held) {
    if (finalizing()) return;  // nobody can have the GIL any more
    const PyGILState_STATE state = take_gil();
    delete held;
    PyGILState_Release(state);
  };
  return {std::move(pointers), std::shared_ptr<Lent>(new Lent(std::move(arrays)), release)};
}

template <class T>
void lend(const ParametersPtr<T> &parameters, py::handle given) {
  if (!parameters->lent()) throw std::runtime_error("parameters: expected lent ones, got ones of a layer");
  auto [pointers, keeper] = lent_arrays<T>(*parameters->table, given);
  const WithoutGil released;
  const std::lock_guard<std::mutex> lock(parameters->mutex);
  parameters->lend(std::move(pointers), keeper);
}

// Parameters that are the caller's arrays, a dict of them by name, to be changed in place.
template <class T>
py::object lent_parameters(py::handle given) {
  const py::dict dict = copied_mapping(given, "params", "a dict of arrays by name");
  std::vector<ParameterTable::Entry> entries;
  for (const auto &[key, value] : dict) {
    if (!PyUnicode_CheckExact(key.ptr())) refuse_type("params", "names that are strings", py::repr(key));
    const std::string name = py::str(key);
    const py::array array = typed_array<T>(value, name, Takes::kNumPy);
    entries.push_back({name, {array.shape(), array.shape() + array.ndim()}, "the parameter's shape"});
  }
  const auto table = std::make_shared<ParameterTable>(std::move(entries));
  auto [pointers, keeper] = lent_arrays<T>(*table, dict);
  return wrap(std::make_shared<Parameters<T>>(table, std::move(pointers), std::move(keeper)));
}

template <class T>
long long version(const ParametersPtr<T> &parameters) {
  const std::lock_guard<std::mutex> lock(parameters->mutex);
  return parameters->version;
}

// Parameters of a layer that Python computes: vectors of one length, zeros at first.
template <class T>
py::object vectors(const py::tuple &names, Index size) {
  if (size < 1) refuse_value("size", "a positive integer", std::to_string(size));
  std::vector<ParameterTable::Entry> entries;
  for (const py::handle name : names) entries.push_back({py::str(name), {size}, "(features,)"});
  return wrap(std::make_shared<Parameters<T>>(std::make_shared<ParameterTable>(std::move(entries))));
}

template <class T>
void bind(py::module_ &module, const std::string &suffix) {
  Class<Parameters<T>> bound(module, "Parameters" + suffix);
  module.def(("vectors" + suffix).c_str(), vectors<T>, py::arg("names"), py::arg("size"));
  bound.def("views", views<T>)
      .def_property_readonly("version", version<T>)
      .def("lend", lend<T>, py::arg("params"))
      .def("snapshot", snapshot<T>)
      .def("load", load<T>, py::arg("state"), py::arg("what") = "state_dict");
}

}  // namespace

#define RECURRA_INSTANTIATE(T)                                                                                  \
  template py::array array_of<T>(const ParameterTable::Entry &, py::handle, Takes);                             \
  template std::vector<py::array> arrays_of<T>(const ParameterTable &, const std::vector<py::object> &, Takes); \
  template T *target_of(const ParameterTable::Entry &, const py::array &, Name);                                \
  template std::vector<T *> targets_of(const ParameterTable &, const std::vector<py::array> &, Name);           \
  template std::vector<py::array> listed_arrays<T>(const ParameterTable &, py::handle);                         \
  template std::vector<T *> gradient_targets(const Parameters<T> &, const std::vector<py::object> &, Arguments<T> &);
RECURRA_INSTANTIATE(float)
RECURRA_INSTANTIATE(double)
#undef RECURRA_INSTANTIATE

void register_parameters(py::module_ &module) {
  bind<float>(module, "32");
  bind<double>(module, "64");
  module.def("lent32", lent_parameters<float>, py::arg("params"));
  module.def("lent64", lent_parameters<double>, py::arg("params"));
}

}  // namespace recurra
