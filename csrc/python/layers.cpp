// What is done to several layers at once, all of them or none: a step of an optimizer, loading weights, setting
// gradients to 0, their norm and scaling them.
//
// Each function makes `Layers`, which checks everything, and then changes what they point to, where nothing can fail.
#include <tuple>

#include "python/bindings.h"
#include "python/gil.h"
#include "python/layer_arrays.h"

namespace recurra {
namespace {

void load_all(const py::list &list, const std::string &what) {
  with_foreign([&] {
    Layers layers(list, {{what, ArrayUse::kRead}});
    const WithoutGil released;
    layers.each([](auto &layer) { layer.parameters->replace(layer.arrays[0].pointers()); });
  });
}

// Calls change(gradient, size) for the gradient of every parameter that is in a group.
template <class Change>
void each_gradient(Layers &layers, const Change &change) {
  layers.each([&](const auto &layer) {
    for (std::size_t i = 0; i < layer.groups.size(); ++i) {
      const auto &gradient = layer.arrays[0].gradients()[i];
      if (layer.groups[i] >= 0) change(gradient, gradient.size(layer.parameters->entries[i]));
    }
  });
}

// A list of one number, the steps so far, is counted up by the core: Ctrl-C during a long step raises as soon as Python
// has the call's result, before it could count. Read and written in one go, and before the step, which gives up the
// GIL: of two threads that step at once, each has a number of its own. After this nothing may fail.
long long counted_up(const py::list &count) {
  const py::scoped_critical_section locked(count);
  if (count.size() != 1) throw std::runtime_error("count: expected a list of one number");
  PyObject *last = PyList_GET_ITEM(count.ptr(), 0);
  const long long next = py::cast<long long>(py::handle(last)) + 1;
  PyObject *number = PyLong_FromLongLong(next);
  if (!number) throw py::error_already_set();
  PyList_SET_ITEM(count.ptr(), 0, number);  // PyList_SetItem would let go of the lock to take it again
  Py_DECREF(last);
  return next;
}

// The rates of each group are a tuple of numbers.
template <class Rates, class... Number>
std::vector<Rates> rates_of(const py::list &groups) {
  std::vector<Rates> rates;
  for (const py::handle group : groups) {
    const auto make = [](Number... numbers) { return Rates{numbers...}; };
    rates.push_back(std::apply(make, py::cast<std::tuple<Number...>>(group)));
  }
  return rates;
}

void sgd(const py::list &list, const py::list &count, const py::list &groups) {
  const auto rates = rates_of<SgdRates, double, double, double, bool>(groups);
  Layers layers(list, {{"grads", ArrayUse::kRead, true}, {"momentum_buffer", ArrayUse::kWrite, false, true}},
                static_cast<Index>(rates.size()));
  const auto momentum = [&](std::size_t group) { return rates[group].momentum; };
  layers.require(1, [&](std::size_t group) { return momentum(group) > 0; });
  layers.refuse_rows("momentum", momentum);
  layers.refuse_rows("weight_decay", [&](std::size_t group) { return rates[group].weight_decay; });
  counted_up(count);
  const WithoutGil released;
  layers.each([&](auto &layer) { sgd_step(layer.step(), rates); });
}

void adam(const py::list &list, const py::list &count, const py::list &groups, bool decoupled) {
  const auto rates = rates_of<AdamRates, double, double, double, double, double>(groups);
  const ArrayKind means{"exp_avg", ArrayUse::kWrite, false, true}, squares{"exp_avg_sq", ArrayUse::kWrite, false, true};
  Layers layers(list, {{"grads", ArrayUse::kRead, true}, means, squares}, static_cast<Index>(rates.size()));
  for (const std::size_t kind : {1, 2}) layers.require(kind, [](std::size_t) { return true; });
  layers.refuse_rows("weight_decay", [&](std::size_t group) { return rates[group].weight_decay; });
  AdamTasks<float> singles(rates.size());
  AdamTasks<double> doubles(rates.size());
  const long long step = counted_up(count);
  const WithoutGil released;  // and in our floating-point mode, which the tasks' numbers depend on too
  singles.begin(rates, decoupled, step);
  doubles.begin(rates, decoupled, step);
  layers.each([&](auto &layer) {
    if constexpr (std::is_same_v<decltype(layer), LayerArrays<float> &>) {
      adam_step(layer.step(), singles);
    } else {
      adam_step(layer.step(), doubles);
    }
  });
}

void zero_gradients(const py::list &list) {
  Layers layers(list, {{"grads", ArrayUse::kWrite, true}});
  {
    const WithoutGil released;
    each_gradient(layers, [](auto &gradient, Index size) {
      if (!gradient.rows) std::fill_n(gradient.values, size, 0);
    });
  }
  layers.each([](const auto &layer) { layer.arrays[0].clear_rows(); });
}

// Done in pieces, between which Ctrl-C is seen; the chains go on from piece to piece.
template <class T>
double squares_of(const LayerArrays<T> &layer, Interrupt &interrupt) {
  constexpr Index kPiece = kSquareChains << 16;
  double chains[kSquareChains] = {}, sum = 0;
  const auto &entries = layer.parameters->entries;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const T *gradient = layer.arrays[0].pointers()[i];
    for (Index first = 0, size = layer.arrays[0].gradients()[i].size(entries[i]); first < size; first += kPiece) {
      kernels_of<T>().add_squares(std::min(kPiece, size - first), gradient + first, chains);
      if (size > kPiece && (interrupt.stopped() || (interrupt.due() && interrupt.ask()))) return 0;
    }
  }
  for (const double chain : chains) sum += chain;
  return sum;
}

// Of all gradients' elements, in float64: layer by layer, in their order.
double square_sum(const py::list &list) {
  Layers layers(list, {{"grads", ArrayUse::kRead, true}});
  std::vector<double> sums(layers.count());
  double sum = 0;
  Interrupt interrupt(signalled);
  {
    const WithoutGil released;
    layers.each([&](const auto &layer) { sums[layer.at] = squares_of(layer, interrupt); });
    for (const double one : sums) sum += one;
  }
  if (interrupt.stopped()) throw py::error_already_set();
  return sum;
}

void scale_gradients(const py::list &list, double factor) {
  Layers layers(list, {{"grads", ArrayUse::kWrite, true}});
  const WithoutGil released;
  each_gradient(layers, [&](auto &gradient, Index size) {
    kernels_of<std::remove_reference_t<decltype(*gradient.values)>>().scale(size, factor, gradient.values);
  });
}

}  // namespace

void register_layers(py::module_ &module) {
  module.def("load_all", load_all, py::arg("layers"), py::arg("what"));
  module.def("sgd", sgd, py::arg("layers"), py::arg("count"), py::arg("groups"));
  module.def("adam", adam, py::arg("layers"), py::arg("count"), py::arg("groups"), py::arg("decoupled"));
  module.def("zero_gradients", zero_gradients, py::arg("layers"));
  module.def("square_sum", square_sum, py::arg("layers"));
  module.def("scale_gradients", scale_gradients, py::arg("layers"), py::arg("factor"));
}

}  // namespace recurra
