// What is done to several layers at once, all of them or none: a step of an optimizer, loading weights, setting
// gradients to 0, their norm and scaling them.
//
// Each function first collects what is in the mappings of all layers, which may run Python code; then takes the arrays'
// pointers, which checks them; and then changes what they point to, where nothing can fail.
#include "model/optimizer.h"
#include "python/arguments.h"
#include "python/bindings.h"
#include "python/classes.h"
#include "python/gil.h"
#include "python/named_arrays.h"
#include "python/views.h"

namespace recurra {
namespace {

enum class Access { kRead, kWrite };

// One layer's arrays of one kind, by the names of its parameters.
template <class T>
class NamedArrays {
 public:
  void collect(const Parameters<T> &parameters, py::handle mapping, Name what, Access access) {
    what_ = what;
    access_ = access;
    objects_ = objects_of(*parameters.table, mapping, what);
  }
  void take_pointers(const Parameters<T> &parameters) {
    if (objects_.empty()) return;
    arrays_ = arrays_of<T>(*parameters.table, objects_);
    if (access_ == Access::kWrite) {
      pointers_ = targets_of(parameters, arrays_, what_);
      return;
    }
    snapshots_ = detach_from_parameters<T>(arrays_);
    pointers_.reserve(arrays_.size());
    for (py::array &array : arrays_) {
      if (!contiguous<T>(array)) array = copied(array);
      pointers_.push_back(pointer<T>(array));
    }
  }
  T *const *pointers() const { return pointers_.empty() ? nullptr : pointers_.data(); }

 private:
  Name what_;
  Access access_ = Access::kRead;
  std::vector<py::object> objects_;
  std::vector<py::array> arrays_;
  std::vector<std::pair<ParametersPtr<T>, Buffer<T>>> snapshots_;
  std::vector<T *> pointers_;
};

// A layer and up to three kinds of its arrays.
template <class T>
struct Layer {
  ParametersPtr<T> parameters;
  NamedArrays<T> arrays[3];
  Index frozen;  // see StepArrays
  std::size_t at;

  StepArrays<T> step() const {
    return {parameters.get(), arrays[0].pointers(), {arrays[1].pointers(), arrays[2].pointers()}, frozen};
  }
};

struct Kind {
  Name name;
  Access access;
  bool optional = false;  // None stands for no arrays
};

// The layers of a list of tuples (parameters, arrays of each kind..., and, for a step, the frozen row).
class Layers {
 public:
  Layers(const py::list &list, std::initializer_list<Kind> kinds) {
    for (py::handle item : list) {
      const auto tuple = py::cast<py::tuple>(item);
      if (object_of<Parameters<float>>(tuple[0])) {
        singles_.push_back(collected<float>(tuple, kinds));
      } else {
        doubles_.push_back(collected<double>(tuple, kinds));
      }
    }
    each([&](auto &layer) {
      for (std::size_t kind = 0; kind < kinds.size(); ++kind) layer.arrays[kind].take_pointers(*layer.parameters);
    });
  }

  std::size_t count() const { return singles_.size() + doubles_.size(); }

  // Float32 first: no two layers share anything, so their order doesn't matter.
  template <class Change>
  void each(const Change &change) {
    for (auto &layer : singles_) change(layer);
    for (auto &layer : doubles_) change(layer);
  }

 private:
  template <class T>
  Layer<T> collected(const py::tuple &tuple, std::initializer_list<Kind> kinds) const {
    Layer<T> layer{self_of<Parameters<T>>(tuple[0]), {}, -1, count()};
    check_own(*layer.parameters);
    std::size_t member = 1;
    for (const Kind &kind : kinds) {
      const py::object mapping = tuple[member];
      if (!kind.optional || !mapping.is_none())
        layer.arrays[member - 1].collect(*layer.parameters, mapping, kind.name, kind.access);
      ++member;
    }
    if (member < tuple.size()) layer.frozen = py::cast<Index>(tuple[member]);
    return layer;
  }

  std::vector<Layer<float>> singles_;
  std::vector<Layer<double>> doubles_;
};

void load_all(const py::list &list, const std::string &what) {
  Layers layers(list, {{what, Access::kRead}});
  const WithoutGil released;
  layers.each([](auto &layer) { layer.parameters->replace(layer.arrays[0].pointers()); });
}

// A list of one number, the steps so far, is counted up by the core: Ctrl-C during a long step raises as soon as Python
// has the call's result, before it could count.
class Counter {
 public:
  explicit Counter(const py::list &count)
      : list_(count),
        number_(py::cast<long long>(count[0]) + 1),
        next_(py::reinterpret_steal<py::object>(PyLong_FromLongLong(number_))) {
    if (!next_) throw py::error_already_set();
  }
  long long next() const { return number_; }
  void advance() { PyList_SetItem(list_.ptr(), 0, next_.release().ptr()); }

 private:
  py::list list_;
  long long number_;
  py::object next_;
};

void sgd(const py::list &list, const py::list &count, double lr, double momentum, double weight_decay, bool nesterov) {
  Layers layers(list, {{"grads", Access::kRead}, {"momentum_buffer", Access::kWrite, true}});
  Counter counter(count);
  {
    const WithoutGil released;
    layers.each([&](auto &layer) { sgd_step(layer.step(), {lr, momentum, weight_decay, nesterov}); });
  }
  counter.advance();
}

void adam(const py::list &list, const py::list &count, double lr, double beta1, double beta2, double eps,
          double weight_decay, bool decoupled) {
  Layers layers(list, {{"grads", Access::kRead}, {"exp_avg", Access::kWrite}, {"exp_avg_sq", Access::kWrite}});
  Counter counter(count);
  {
    const WithoutGil released;
    const AdamRates rates{lr, beta1, beta2, eps, weight_decay, decoupled};
    layers.each([&](auto &layer) { adam_step(layer.step(), rates, counter.next()); });
  }
  counter.advance();
}

void zero_gradients(const py::list &list) {
  Layers layers(list, {{"grads", Access::kWrite}});
  const WithoutGil released;
  layers.each([](auto &layer) {
    const auto &entries = layer.parameters->entries;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      std::fill_n(layer.arrays[0].pointers()[i], entries[i].size, 0);
    }
  });
}

// Done in pieces, between which Ctrl-C is seen; the chains go on from piece to piece.
template <class T>
double squares_of(const Layer<T> &layer, Interrupt &interrupt) {
  constexpr Index kPiece = kSquareChains << 16;
  double chains[kSquareChains] = {}, sum = 0;
  const auto &entries = layer.parameters->entries;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const T *gradient = layer.arrays[0].pointers()[i];
    for (Index first = 0, size = entries[i].size; first < size; first += kPiece) {
      kernels_of<T>().add_squares(std::min(kPiece, size - first), gradient + first, chains);
      if (size > kPiece && (interrupt.stopped() || (interrupt.due() && interrupt.ask()))) return 0;
    }
  }
  for (const double chain : chains) sum += chain;
  return sum;
}

// Of all gradients' elements, in float64: layer by layer, in their order.
double square_sum(const py::list &list) {
  Layers layers(list, {{"grads", Access::kRead}});
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

template <class T>
void scale(const Layer<T> &layer, double factor) {
  const auto &entries = layer.parameters->entries;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    kernels_of<T>().scale(entries[i].size, factor, layer.arrays[0].pointers()[i]);
  }
}

void scale_gradients(const py::list &list, double factor) {
  Layers layers(list, {{"grads", Access::kWrite}});
  const WithoutGil released;
  layers.each([&](const auto &layer) { scale(layer, factor); });
}

}  // namespace

void register_layers(py::module_ &module) {
  module.def("load_all", load_all, py::arg("layers"), py::arg("what"));
  module.def("sgd", sgd, py::arg("layers"), py::arg("count"), py::arg("lr"), py::arg("momentum"),
             py::arg("weight_decay"), py::arg("nesterov"));
  module.def("adam", adam, py::arg("layers"), py::arg("count"), py::arg("lr"), py::arg("beta1"), py::arg("beta2"),
             py::arg("eps"), py::arg("weight_decay"), py::arg("decoupled"));
  module.def("zero_gradients", zero_gradients, py::arg("layers"));
  module.def("square_sum", square_sum, py::arg("layers"));
  module.def("scale_gradients", scale_gradients, py::arg("layers"), py::arg("factor"));
}

}  // namespace recurra
