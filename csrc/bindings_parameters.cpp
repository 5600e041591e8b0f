// Parameters from Python: read-only views, a checked load that replaces all of them at once, and Adam.
#include "arguments.h"
#include "bindings.h"
#include "dense.h"

namespace recurra {
namespace {

template <class T>
using Holder = std::shared_ptr<Parameters<T>>;

// dict name -> read-only view; the views keep the parameters alive, and numpy finds no way to make them writeable.
template <class T>
py::dict views(const Holder<T> &parameters) {
  py::dict result;
  const py::object owner = py::cast(parameters);
  for (std::size_t i = 0; i < parameters->entries.size(); ++i) {
    const auto &entry = parameters->entries[i];
    py::array_t<T> view(entry.shape, parameters->data(i), owner);
    py::detail::array_proxy(view.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
    result[py::str(entry.name)] = view;
  }
  return result;
}

// One array for each parameter from a mapping with exactly their names, in their order; nothing is done to any.
template <class T>
std::vector<py::array> arrays_of(const Parameters<T> &parameters, py::handle state, const std::string &what) {
  if (!PyMapping_Check(state.ptr()) || PySequence_Check(state.ptr()) > PyDict_Check(state.ptr())) {
    // A mapping that isn't a dict is asked below; a list or an array would answer to integers only.
    if (!py::hasattr(state, "keys")) refuse_type(what, "a dict of arrays by the parameters' names", type_name(state));
  }
  const py::dict given = py::dict(py::reinterpret_borrow<py::object>(state));
  std::vector<py::array> arrays;
  std::string missing;
  for (const auto &entry : parameters.entries) {
    if (!given.contains(entry.name.c_str())) {
      missing += (missing.empty() ? "" : ", ") + entry.name;
      continue;
    }
    arrays.push_back(typed_array<T>(given[entry.name.c_str()], entry.name));
    check_shape(arrays.back(), entry.name, entry.symbols.c_str(), entry.shape);
  }
  std::string surplus;
  for (const auto &[key, value] : given) {
    const std::string name = py::str(key);
    const bool known = std::any_of(parameters.entries.begin(), parameters.entries.end(),
                                   [&](const auto &entry) { return entry.name == name; });
    if (!known) surplus += (surplus.empty() ? "" : ", ") + name;
  }
  if (!missing.empty() || !surplus.empty()) {
    const std::string got = (missing.empty() ? "" : "no " + missing) +
                            (missing.empty() || surplus.empty() ? "" : ", and ") +
                            (surplus.empty() ? "" : "also " + surplus);
    refuse_value(what, "the names of the parameters", got);
  }
  return arrays;
}

// The same of arrays to be written to: contiguous and writeable, such as the gradients a layer makes.
template <class T>
std::vector<T *> targets_of(const Parameters<T> &parameters, const std::vector<py::array> &arrays,
                            const std::string &what) {
  std::vector<T *> pointers;
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    const bool fit = contiguous<T>(arrays[i]) && arrays[i].writeable();
    if (!fit) {
      refuse_value(what + "['" + parameters.entries[i].name + "']", "a writeable C-contiguous array",
                   arrays[i].writeable() ? "one that isn't contiguous" : "a read-only one");
    }
    pointers.push_back(pointer<T>(arrays[i]));
  }
  return pointers;
}

template <class T>
void load(const Holder<T> &parameters, py::handle state) {
  std::vector<py::array> arrays = arrays_of(*parameters, state, "state_dict");
  for (py::array &array : arrays) {
    if (!contiguous<T>(array)) array = copied(array);
  }
  const WithoutGil released;
  const std::lock_guard<std::mutex> lock(parameters->mutex);
  ++parameters->version;
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    std::memmove(parameters->data(i), arrays[i].data(),
                 static_cast<std::size_t>(parameters->entries[i].size) * sizeof(T));
  }
}

// Checks one parameter set's gradients, so that a list of them can be refused before any of them is used.
template <class T>
void check_gradients(const Holder<T> &parameters, py::handle gradients) {
  arrays_of(*parameters, gradients, "grads");
}

template <class T>
void step(const Holder<T> &parameters, py::handle gradients, py::handle means, py::handle squares, long long count,
          double lr, double beta1, double beta2, double eps, double weight_decay) {
  std::vector<py::array> given = arrays_of(*parameters, gradients, "grads");
  for (py::array &array : given) {
    if (!contiguous<T>(array)) array = copied(array);
  }
  const std::vector<py::array> mean_arrays = arrays_of(*parameters, means, "means");
  const std::vector<py::array> square_arrays = arrays_of(*parameters, squares, "squares");
  const std::vector<T *> mean = targets_of(*parameters, mean_arrays, "means");
  const std::vector<T *> square = targets_of(*parameters, square_arrays, "squares");
  std::vector<const T *> gradient;
  for (const py::array &array : given) gradient.push_back(pointer<T>(array));
  const WithoutGil released;
  adam_step(*parameters, {lr, beta1, beta2, eps, weight_decay}, count, gradient.data(), mean.data(), square.data());
}

template <class T>
void bind(py::module_ &module, const char *name) {
  py::class_<Parameters<T>, Holder<T>>(module, name)
      .def("views", views<T>)
      .def("load", load<T>, py::arg("state"))
      .def("check_gradients", check_gradients<T>, py::arg("grads"))
      .def("adam", step<T>, py::arg("grads"), py::arg("means"), py::arg("squares"), py::arg("step"), py::arg("lr"),
           py::arg("beta1"), py::arg("beta2"), py::arg("eps"), py::arg("weight_decay"));
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
