// The layers of one call, and arrays by the names of their parameters: all are checked before any is changed.
//
// What is in the mappings of all layers is collected first, which may run Python code; then the arrays' pointers are
// taken, which checks them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <utility>
#include <vector>

#include "model/optimizer.h"
#include "python/arguments.h"
#include "python/classes.h"
#include "python/named_arrays.h"
#include "python/sparse_rows.h"
#include "python/views.h"

namespace recurra {

enum class ArrayUse { kRead, kWrite };

struct ArrayKind {
  Name name;
  ArrayUse use;
  bool gradient = false;  // may be of some rows only
  bool optional = false;  // None stands for no arrays, or for no array

  // Gradients are read and written to in turn.
  Takes takes() const { return use == ArrayUse::kRead && !gradient ? Takes::kArrays : Takes::kNumPy; }
};

// One layer's arrays of one kind, by the names of its parameters.
template <class T>
class NamedArrays {
 public:
  void collect(const Parameters<T> &parameters, py::handle mapping, const ArrayKind &kind) {
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
    if (kind_.use == ArrayUse::kRead) {
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
          kind_.use == ArrayUse::kWrite ? target_of<T>(entries[i], arrays_[i], kind_.name) : pointer<T>(arrays_[i]);
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
  ArrayKind kind_{};
  std::vector<py::object> objects_;
  std::vector<std::pair<std::size_t, SparseRows<T>>> sparse_;  // by the parameters' numbers, which rise
  std::vector<py::array> arrays_;
  std::vector<std::pair<ParametersPtr<T>, Buffer<T>>> snapshots_;
  std::vector<T *> pointers_;
  std::vector<Gradient<T>> gradients_;
};

// A layer and up to three kinds of its arrays.
template <class T>
struct LayerArrays {
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
  Layers(const py::list &list, std::initializer_list<ArrayKind> kinds, Index groups = std::numeric_limits<Index>::max())
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
  LayerArrays<T> collected(const py::tuple &tuple, std::initializer_list<ArrayKind> kinds) const {
    LayerArrays<T> layer{self_of<Parameters<T>>(tuple[0]), {}, {}, -1, count()};
    std::size_t member = 1;
    for (const ArrayKind &kind : kinds) {
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
  std::vector<LayerArrays<float>> singles_;
  std::vector<LayerArrays<double>> doubles_;
};

}  // namespace recurra
