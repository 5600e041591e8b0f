// Parameters from Python: read-only views, a checked load that replaces all of them at once, and the optimisers.
#include <numeric>

#include "model/optimizer.h"
#include "python/bindings.h"
#include "python/classes.h"
#include "python/gil.h"
#include "python/gradients.h"
#include "python/views.h"

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
  const py::object owner = wrap(parameters);
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

// The arrays behind objects_of, checked; nothing is done to any, and no Python code runs.
template <class T>
std::vector<py::array> arrays_of(const Parameters<T> &parameters, const std::vector<py::object> &objects) {
  std::vector<py::array> arrays;
  arrays.reserve(objects.size());
  for (std::size_t i = 0; i < objects.size(); ++i) {
    const auto &entry = parameters.entries[i];
    arrays.push_back(typed_array<T>(objects[i], entry.name));
    check_shape(arrays.back(), entry.name, [&] { return entry.symbols; }, shape_of(entry));
  }
  return arrays;
}

// The same of arrays to be written to: contiguous and writeable, such as the gradients a layer makes.
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
  std::vector<py::array> arrays = arrays_of(*parameters, objects_of(*parameters, state, what));
  const auto snapshots = detach_from_parameters<T>(arrays);
  for (py::array &array : arrays) {
    if (!contiguous<T>(array)) array = copied(array);
  }
  const WithoutGil released;
  const std::lock_guard<std::mutex> lock(parameters->mutex);
  ++parameters->version;
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    std::memcpy(parameters->data(i), arrays[i].data(),
                static_cast<std::size_t>(parameters->entries[i].size) * sizeof(T));
  }
}

// Checks one parameter set's gradients, so that a list of them can be refused before any of them is used.
template <class T>
void check_gradients(const Holder<T> &parameters, py::handle gradients) {
  arrays_of(*parameters, objects_of(*parameters, gradients, "grads"));
}

template <class T>
void zero_gradients(const Holder<T> &parameters, py::handle gradients) {
  const std::vector<py::array> arrays = arrays_of(*parameters, objects_of(*parameters, gradients, "grads"));
  const std::vector<T *> pointers = targets_of(*parameters, arrays, "grads");
  for (std::size_t i = 0; i < pointers.size(); ++i) std::fill_n(pointers[i], parameters->entries[i].size, T(0));
}

// Gradients to be read, contiguous; `held` keeps them.
template <class T>
std::vector<const T *> gradients_of(const Parameters<T> &parameters, const std::vector<py::object> &grads,
                                    std::vector<py::array> &held) {
  held = arrays_of(parameters, grads);
  std::vector<const T *> pointers;
  pointers.reserve(held.size());
  for (py::array &array : held) {
    if (!contiguous<T>(array)) array = copied(array);
    pointers.push_back(pointer<T>(array));
  }
  return pointers;
}

// Of all gradients' elements, in float64. Eight chains, so that the compiler makes vectors of them.
template <class T>
double square_sum(const Holder<T> &parameters, py::handle grads) {
  std::vector<py::array> held;
  const std::vector<const T *> gradients = gradients_of(*parameters, objects_of(*parameters, grads, "grads"), held);
  const WithoutGil released;
  double sums[8] = {};
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    const Index size = parameters->entries[i].size;
    Index k = 0;
    for (; k + 8 <= size; k += 8) {
      for (int lane = 0; lane < 8; ++lane) {
        const double value = static_cast<double>(gradients[i][k + lane]);
        sums[lane] += value * value;
      }
    }
    for (int lane = 0; k + lane < size; ++lane) {
      const double value = static_cast<double>(gradients[i][k + lane]);
      sums[lane] += value * value;
    }
  }
  return std::accumulate(sums, sums + 8, 0.0);
}

template <class T>
void adam(const Holder<T> &parameters, py::handle grads, py::handle means, py::handle squares, long long count,
          double lr, double beta1, double beta2, double eps, double weight_decay, bool decoupled) {
  const std::vector<py::object> grad_objects = objects_of(*parameters, grads, "grads");
  const std::vector<py::object> mean_objects = objects_of(*parameters, means, "means");
  const std::vector<py::object> square_objects = objects_of(*parameters, squares, "squares");
  std::vector<py::array> held;
  const std::vector<const T *> gradient = gradients_of(*parameters, grad_objects, held);
  const std::vector<py::array> mean_arrays = arrays_of(*parameters, mean_objects);
  const std::vector<py::array> square_arrays = arrays_of(*parameters, square_objects);
  const std::vector<T *> mean = targets_of(*parameters, mean_arrays, "means");
  const std::vector<T *> square = targets_of(*parameters, square_arrays, "squares");
  const WithoutGil released;
  adam_step(*parameters, {lr, beta1, beta2, eps, weight_decay, decoupled}, count, gradient.data(), mean.data(),
            square.data());
}

template <class T>
void sgd(const Holder<T> &parameters, py::handle grads, py::handle velocities, double lr, double momentum,
         double weight_decay, bool nesterov) {
  const std::vector<py::object> grad_objects = objects_of(*parameters, grads, "grads");
  std::vector<py::object> velocity_objects;
  if (!velocities.is_none()) velocity_objects = objects_of(*parameters, velocities, "velocities");
  std::vector<py::array> held, velocity_arrays;
  const std::vector<const T *> gradient = gradients_of(*parameters, grad_objects, held);
  std::vector<T *> velocity;
  if (!velocities.is_none()) {
    velocity_arrays = arrays_of(*parameters, velocity_objects);
    velocity = targets_of(*parameters, velocity_arrays, "velocities");
  }
  const WithoutGil released;
  sgd_step(*parameters, {lr, momentum, weight_decay, nesterov}, gradient.data(),
           velocity.empty() ? nullptr : velocity.data());
}

template <class T>
long long version(const Holder<T> &parameters) {
  const std::lock_guard<std::mutex> lock(parameters->mutex);
  return parameters->version;
}

template <class T>
void bind(py::module_ &module, const char *name) {
  Class<Parameters<T>> bound(module, name);
  bound.def("views", views<T>)
      .def_property_readonly("version", version<T>)
      .def("snapshot", snapshot<T>)
      .def("load", load<T>, py::arg("state"), py::arg("what") = "state_dict")
      .def("check_gradients", check_gradients<T>, py::arg("grads"))
      .def("square_sum", square_sum<T>, py::arg("grads"))
      .def("zero_gradients", zero_gradients<T>, py::arg("grads"))
      .def("adam", adam<T>, py::arg("grads"), py::arg("means"), py::arg("squares"), py::arg("step"), py::arg("lr"),
           py::arg("beta1"), py::arg("beta2"), py::arg("eps"), py::arg("weight_decay"), py::arg("decoupled"))
      .def("sgd", sgd<T>, py::arg("grads"), py::arg("velocities"), py::arg("lr"), py::arg("momentum"),
           py::arg("weight_decay"), py::arg("nesterov"));
}

}  // namespace

// Of any mapping, what it held at one moment: a dict of our own. Then the names may be compared, which is code too
// where a key is no string.
template <class T>
std::vector<py::object> objects_of(const Parameters<T> &parameters, py::handle mapping, Name what) {
  py::object given;
  if (PyDict_Check(mapping.ptr())) {
    given = py::reinterpret_steal<py::object>(PyDict_Copy(mapping.ptr()));
  } else {
    PyObject *keys = PyObject_GetAttrString(mapping.ptr(), "keys");
    if (!keys && !PyErr_ExceptionMatches(PyExc_AttributeError)) throw py::error_already_set();
    if (!keys) {  // a list or an array is no mapping
      PyErr_Clear();
      refuse_type(what, "a dict of arrays by the parameters' names", type_name(mapping));
    }
    Py_DECREF(keys);
    given = py::reinterpret_steal<py::object>(
        PyObject_CallOneArg(reinterpret_cast<PyObject *>(&PyDict_Type), mapping.ptr()));
  }
  if (!given) throw py::error_already_set();
  const auto dict = py::reinterpret_borrow<py::dict>(given);
  if (dict.size() != parameters.entries.size()) refuse_names(parameters, dict, what);
  std::vector<py::object> objects;
  objects.reserve(parameters.entries.size());
  for (const auto &entry : parameters.entries) {
    PyObject *found = PyDict_GetItemWithError(dict.ptr(), key_of(entry).ptr());
    if (!found && PyErr_Occurred()) throw py::error_already_set();
    if (!found) refuse_names(parameters, dict, what);
    objects.push_back(py::reinterpret_borrow<py::object>(found));
  }
  return objects;
}
template std::vector<py::object> objects_of(const Parameters<float> &, py::handle, Name);
template std::vector<py::object> objects_of(const Parameters<double> &, py::handle, Name);

template <class T>
std::vector<T *> gradient_targets(const Parameters<T> &parameters, const std::vector<py::object> &objects,
                                  Arguments<T> &arguments) {
  const std::vector<py::array> arrays = arrays_of(parameters, objects);
  for (const py::array &array : arrays) arguments.keep(array);
  return targets_of(parameters, arrays, "grads");
}
template std::vector<float *> gradient_targets(const Parameters<float> &, const std::vector<py::object> &,
                                               Arguments<float> &);
template std::vector<double *> gradient_targets(const Parameters<double> &, const std::vector<py::object> &,
                                                Arguments<double> &);

void register_parameters(py::module_ &module) {
  bind<float>(module, "Parameters32");
  bind<double>(module, "Parameters64");
}

}  // namespace recurra
