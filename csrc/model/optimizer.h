// One step of an optimizer over all parameters of a layer, in place, under the parameters' mutex. Half a step is worse
// than one that is late, so it isn't interrupted; threads share out the elements.
#pragma once

#include <cmath>
#include <vector>

#include "dispatch.h"
#include "model/parameters.h"
#include "system/pieces.h"

namespace recurra {

constexpr Index kElementWork = 16;  // multiply-adds in whose time an element is stepped

// A gradient of one parameter: of all elements, or of some rows of a table, which rise.
template <class T>
struct Gradient {
  T *values = nullptr;
  const Index *rows = nullptr;  // null: of all
  Index count = 0;              // of rows

  Index size(const ParameterTable::Entry &entry) const {
    return rows ? count * (entry.size / entry.shape[0]) : entry.size;
  }
};

// What a step does to one layer. Arrays are in the order of the parameters, contiguous.
template <class T>
struct StepArrays {
  Parameters<T> *parameters;
  const Gradient<T> *gradients;
  T *const *moments[2];  // SGD: velocities and none; Adam: means and squares; null without
  const Index *groups;   // whose rates are each parameter's; -1: it stays as it is
  Index frozen;          // the row of a table that stays as it is, or -1
};

// Calls run(at, from, size) for pieces of the elements of a parameter that a step may change, in several threads: `at`
// is where a piece begins in the parameter, `from` where in the gradient.
template <class T, class Run>
void for_each_stretch(const ParameterTable::Entry &entry, const Gradient<T> &gradient, Index frozen, const Run &run) {
  if (gradient.rows) {
    const Index width = entry.size / entry.shape[0];
    in_pieces(gradient.count, checked_product(kElementWork, width), nullptr, [&](Index first, Index last) {
      for (Index i = first; i < last; ++i) {
        if (gradient.rows[i] != frozen) run(gradient.rows[i] * width, i * width, width);
      }
    });
    return;
  }
  const auto share_out = [&](Index begin, Index end) {
    in_pieces(end - begin, kElementWork, nullptr,
              [&](Index first, Index last) { run(begin + first, begin + first, last - first); });
  };
  if (frozen < 0) return share_out(0, entry.size);
  const Index width = entry.size / entry.shape[0], begin = frozen * width;
  share_out(0, begin);
  share_out(begin + width, entry.size);
}

// Steps every parameter of a layer that is in a group: step(parameter's number, its group, gradient, at, from, size).
template <class T, class Step>
void step_all(const StepArrays<T> &layer, const Step &step) {
  Parameters<T> &parameters = *layer.parameters;
  const std::lock_guard<std::mutex> lock(parameters.mutex);
  ++parameters.version;
  for (std::size_t i = 0; i < parameters.entries.size(); ++i) {
    if (layer.groups[i] < 0) continue;
    const auto group = static_cast<std::size_t>(layer.groups[i]);
    for_each_stretch(parameters.entries[i], layer.gradients[i], layer.frozen,
                     [&](Index at, Index from, Index size) { step(i, group, at, from, size); });
  }
}

struct AdamRates {
  double lr, beta1, beta2, eps, weight_decay;
};

// What the parameters of each group have in common at a step, which counts from 1.
template <class T>
struct AdamTasks {
  explicit AdamTasks(std::size_t groups) : dense(groups) {}

  // `decoupled`: AdamW, whose decay shrinks the parameter itself instead of adding to the gradient.
  void begin(const std::vector<AdamRates> &groups, bool decoupled, long long step) {
    const double t = static_cast<double>(step);
    for (std::size_t i = 0; i < dense.size(); ++i) {
      const AdamRates &rates = groups[i];
      AdamTask<T> &task = dense[i];
      task.beta1 = rates.beta1;
      task.beta2 = rates.beta2;
      task.eps = rates.eps;
      task.weight_decay = decoupled ? 0 : rates.weight_decay;
      task.shrink = decoupled ? 1 - rates.lr * rates.weight_decay : 1;
      task.step_size = rates.lr / (1 - std::pow(rates.beta1, t));
      task.root = std::sqrt(1 - std::pow(rates.beta2, t));
    }
  }
  // Of a gradient of some rows, as torch.optim.SparseAdam has it: eps is added to the root of the square before, not
  // after the square is corrected.
  AdamTask<T> sparse(std::size_t group) const {
    AdamTask<T> task = dense[group];
    task.step_size *= task.root;
    task.root = 1;
    return task;
  }
  std::vector<AdamTask<T>> dense;  // by groups
};

template <class T>
void adam_step(const StepArrays<T> &layer, const AdamTasks<T> &tasks) {
  step_all(layer, [&](std::size_t i, std::size_t group, Index at, Index from, Index size) {
    AdamTask<T> piece = layer.gradients[i].rows ? tasks.sparse(group) : tasks.dense[group];
    piece.size = size;
    piece.parameter = layer.parameters->data(i) + at;
    piece.gradient = layer.gradients[i].values + from;
    piece.mean = layer.moments[0][i] + at;
    piece.square = layer.moments[1][i] + at;
    kernels_of<T>().adam(&piece);
  });
}

struct SgdRates {
  double lr, momentum, weight_decay;
  bool nesterov;
};

// There are velocities where there is momentum.
template <class T>
void sgd_step(const StepArrays<T> &layer, const std::vector<SgdRates> &rates) {
  step_all(layer, [&](std::size_t i, std::size_t group, Index at, Index from, Index size) {
    SgdTask<T> piece{};
    piece.lr = rates[group].lr;
    piece.momentum = rates[group].momentum;
    piece.weight_decay = rates[group].weight_decay;
    piece.nesterov = rates[group].nesterov;
    piece.size = size;
    piece.parameter = layer.parameters->data(i) + at;
    piece.gradient = layer.gradients[i].values + from;
    piece.velocity = rates[group].momentum > 0 ? layer.moments[0][i] + at : nullptr;
    kernels_of<T>().sgd(&piece);
  });
}

}  // namespace recurra
