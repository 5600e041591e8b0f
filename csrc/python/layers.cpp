// What is done to several layers at once, all of them or none: a step of an optimizer, loading weights, setting
// gradients to 0, their norm and scaling them.
//
// Each function first collects what is in the mappings of all layers, which may run Python code; then takes the arrays'
// pointers, which checks them; and then changes what they point to, where nothing can fail.
#include <limits>
#include <tuple>

#include "model/optimizer.h"
#include "python/arguments.h"
#include "python/bindings.h"
#include "python/classes.h"
#include "python/gil.h"
#include "python/named_arrays.h"
#include "python/sparse_rows.h"
#include "python/views.h"

namespace recurra {
namespace {

enum class Access { kRead, kWrite };

struct Kind {
  Name name;
  Access access;
  bool gradient = false;  // may be of some rows only
  bool optional = false;  // None stands for no arrays, or for no array

  // Gradients are read and written to in turn.
  Takes takes() const { return access == Access::kRead && !gradient ? Takes::kArrays : Takes::kNumPy; }
};

// One layer's arrays of one kind, by the names of its parameters.
template <class T>
class NamedArrays {
 public:
  void collect(const Parameters<T> &parameters, py::handle mapping, const Kind &kind) {
    kind_ = kind;
    if (kind.optional && mapping.is_none()) return;
    objects_ = objects_of(*parameters.table, mapping, kind.name);
    if (!kind.gradient) return;
    for (std::size_t i = 0; i < objects_.size(); ++i) {
      if (auto sparse = SparseRows<T>::find(objects_[i])) sparse_.emplace_back(i, std::move(*sparse));
    }
  }
  void take_pointers(const Parameters<T> &parameters) {
    if (objects_.empty()) return;
    const auto &entries = parameters.entries;
    auto next = sparse_.begin();
    arrays_.reserve(objects_.size());
    for (std::size_t i = 0; i < objects_.size(); ++i) {
      if (next != sparse_.end() && next->first == i) {
        arrays_.push_back(next++->second.take(entries[i]));
      } else {
        const bool none = kind_.optional && objects_[i].is_none();
        arrays_.push_back(none ? py::array() : array_of<T>(entries[i], objects_[i], kind_.takes()));
      }
    }
    if (kind_.access == Access::kRead) {
      snapshots_ = detach_from_parameters<T>(arrays_);
      for (py::array &array : arrays_) {
        if (!contiguous<T>(array)) array = copied(array);
      }
    }
    if (kind_.gradient) gradients_.resize(arrays_.size());
    pointers_.resize(arrays_.size());
    for (std::size_t i = 0; i < arrays_.size(); ++i) {
      if (kind_.optional && objects_[i].is_none()) continue;
      pointers_[i] =
          kind_.access == Access::kWrite ? target_of<T>(entries[i], arrays_[i], kind_.name) : pointer<T>(arrays_[i]);
      if (kind_.gradient) gradients_[i].values = pointers_[i];
    }
    for (const auto &[i, sparse] : sparse_) sparse.point(gradients_[i]);
  }
  T *const *pointers() const { return pointers_.empty() ? nullptr : pointers_.data(); }
  const Gradient<T> *gradients() const { return gradients_.data(); }

  // Of those by rows, leaves none.
  void clear_rows() const {
    for (const auto &[i, sparse] : sparse_) sparse.clear();
  }

 private:
  Kind kind_{};
  std::vector<py::object> objects_;
  std::vector<std::pair<std::size_t, SparseRows<T>>> sparse_;  // by the parameters' numbers, which rise
  std::vector<py::array> arrays_;
  std::vector<std::pair<ParametersPtr<T>, Buffer<T>>> snapshots_;
  std::vector<T *> pointers_;
  std::vector<Gradient<T>> gradients_;
};

// A layer and up to three kinds of its arrays.
template <class T>
struct Layer {
  ParametersPtr<T> parameters;
  NamedArrays<T> arrays[3];
  std::vector<Index> groups;  // see StepArrays
  Index frozen;
  std::size_t at;

  StepArrays<T> step() const {
    return {
        parameters.get(), arrays[0].gradients(), {arrays[1].pointers(), arrays[2].pointers()}, groups.data(), frozen};
  }
};

// The layers of a list of tuples: (parameters, arrays of each kind..., frozen row, groups). What isn't given is no
// frozen row and group 0.
class Layers {
 public:
  Layers(const py::list &list, std::initializer_list<Kind> kinds, Index groups = std::numeric_limits<Index>::max())
      : groups_(groups) {
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
    check_apart();
  }

  std::size_t count() const { return singles_.size() + doubles_.size(); }

  // Float32 first: no two layers share anything, so their order doesn't matter.
  template <class Change>
  void each(const Change &change) {
    for (auto &layer : singles_) change(layer);
    for (auto &layer : doubles_) change(layer);
  }

  // Refuses layers without the arrays of a kind for some parameter in a group of which needed(group) is true.
  template <class Needed>
  void require(std::size_t kind, const Needed &needed) {
    each([&](auto &layer) {
      for (std::size_t i = 0; i < layer.groups.size(); ++i) {
        const bool there = layer.arrays[kind].pointers() && layer.arrays[kind].pointers()[i];
        if (layer.groups[i] >= 0 && needed(static_cast<std::size_t>(layer.groups[i])) && !there) {
          throw std::runtime_error("layers: expected an array for every parameter of the group");
        }
      }
    });
  }

  // Refuses gradients of some rows where a rate of the group is for all rows, such as a decay.
  template <class Rate>
  void refuse_rows(Name name, const Rate &rate) {
    each([&](auto &layer) {
      for (std::size_t i = 0; i < layer.groups.size(); ++i) {
        if (layer.groups[i] < 0 || !layer.arrays[0].gradients()[i].rows) continue;
        if (rate(static_cast<std::size_t>(layer.groups[i])) > 0) {
          refuse_value(name, "0 for a gradient of some rows", "more, for " + layer.parameters->entries[i].name);
        }
      }
    });
  }

 private:
  template <class T>
  Layer<T> collected(const py::tuple &tuple, std::initializer_list<Kind> kinds) const {
    Layer<T> layer{self_of<Parameters<T>>(tuple[0]), {}, {}, -1, count()};
    std::size_t member = 1;
    for (const Kind &kind : kinds) {
      layer.arrays[member - 1].collect(*layer.parameters, tuple[member], kind);
      ++member;
    }
    if (member < tuple.size()) layer.frozen = py::cast<Index>(tuple[member++]);
    for (const auto &entry : layer.parameters->entries) {
      const Index rows = entry.shape.empty() ? 0 : entry.shape[0];
      if (layer.frozen != -1 && (layer.frozen < 0 || layer.frozen >= rows)) {
        throw std::runtime_error("layers: expected a row that every parameter has, or -1");
      }
    }
    layer.groups =
        groups_of(member < tuple.size() ? py::object(tuple[member]) : py::int_(0), layer.parameters->entries.size());
    return layer;
  }

  // One number for all parameters, or a tuple of one for each.
  std::vector<Index> groups_of(py::handle given, std::size_t count) const {
    std::vector<Index> groups;
    if (PyLong_Check(given.ptr())) {
      groups.assign(count, py::cast<Index>(given));
    } else {
      for (const py::handle group : py::cast<py::tuple>(given)) groups.push_back(py::cast<Index>(group));
    }
    const auto wrong = [this](Index group) { return group < -1 || group >= groups_; };
    if (groups.size() != count || std::any_of(groups.begin(), groups.end(), wrong)) {
      throw std::runtime_error("layers: expected a group's number for every parameter");
    }
    return groups;
  }

  // Arrays that are lent to be changed may not overlap: each would be changed twice.
  void check_apart() {
    std::vector<std::pair<std::uintptr_t, std::uintptr_t>> lent;
    each([&](auto &layer) {
      if (!layer.parameters->lent()) return;
      const std::lock_guard<std::mutex> lock(layer.parameters->mutex);
      for (std::size_t i = 0; i < layer.parameters->entries.size(); ++i) {
        const auto *begin = layer.parameters->data(i), *end = begin + layer.parameters->entries[i].size;
        if (begin < end)
          lent.emplace_back(reinterpret_cast<std::uintptr_t>(begin), reinterpret_cast<std::uintptr_t>(end));
      }
    });
    std::sort(lent.begin(), lent.end());
    for (std::size_t i = 1; i < lent.size(); ++i) {
      if (lent[i].first < lent[i - 1].second) refuse_value("params", "arrays that are apart", "some that overlap");
    }
  }

  Index groups_;
  std::vector<Layer<float>> singles_;
  std::vector<Layer<double>> doubles_;
};

void load_all(const py::list &list, const std::string &what) {
  with_foreign([&] {
    Layers layers(list, {{what, Access::kRead}});
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
  if (count.size() != 1) throw std::runtime_error("count: expected a list of one number");
  const py::scoped_critical_section locked(count);
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
  Layers layers(list, {{"grads", Access::kRead, true}, {"momentum_buffer", Access::kWrite, false, true}},
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
  const Kind means{"exp_avg", Access::kWrite, false, true}, squares{"exp_avg_sq", Access::kWrite, false, true};
  Layers layers(list, {{"grads", Access::kRead, true}, means, squares}, static_cast<Index>(rates.size()));
  for (const std::size_t kind : {1, 2}) layers.require(kind, [](std::size_t) { return true; });
  layers.refuse_rows("weight_decay", [&](std::size_t group) { return rates[group].weight_decay; });
  AdamTasks<float> singles(rates.size());
  AdamTasks<double> doubles(rates.size());
  const long long step = counted_up(count);
  const WithoutGil released;  // and in our floating-point mode, which the tasks' numbers depend on too
  singles.begin(rates, decoupled, step);
  doubles.begin(rates, decoupled, step);
  layers.each([&](auto &layer) {
    if constexpr (std::is_same_v<decltype(layer), Layer<float> &>) {
      adam_step(layer.step(), singles);
    } else {
      adam_step(layer.step(), doubles);
    }
  });
}

void zero_gradients(const py::list &list) {
  Layers layers(list, {{"grads", Access::kWrite, true}});
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
double squares_of(const Layer<T> &layer, Interrupt &interrupt) {
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
  Layers layers(list, {{"grads", Access::kRead, true}});
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
  Layers layers(list, {{"grads", Access::kWrite, true}});
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
