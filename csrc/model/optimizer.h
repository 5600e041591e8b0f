// One step of an optimizer over all parameters of a layer, in place, under the parameters' mutex. Half a step is worse
// than one that is late, so it isn't interrupted; threads share out the elements.
#pragma once

#include <cmath>

#include "dispatch.h"
#include "model/parameters.h"
#include "system/pieces.h"

namespace recurra {

constexpr Index kElementWork = 16;  // multiply-adds in whose time an element is stepped

// What a step does to one layer. Arrays are in the order of the parameters, contiguous.
template <class T>
struct StepArrays {
  Parameters<T> *parameters;
  const T *const *gradients;
  T *const *moments[2];  // SGD: velocities and none; Adam: means and squares; null without
  Index frozen;          // the row of a table that stays as it is, or -1
};

// Calls run(begin, size) for pieces of the elements of an entry that a step may change, in several threads.
template <class Entry, class Run>
void for_each_stretch(const Entry &entry, Index frozen, const Run &run) {
  const auto share_out = [&](Index begin, Index end) {
    in_pieces(end - begin, kElementWork, nullptr, [&](Index first, Index last) { run(begin + first, last - first); });
  };
  if (frozen < 0) return share_out(0, entry.size);
  const Index width = entry.size / entry.shape[0], begin = frozen * width;
  share_out(0, begin);
  share_out(begin + width, entry.size);
}

struct AdamRates {
  double lr, beta1, beta2, eps, weight_decay;
  bool decoupled;  // AdamW: the decay shrinks the parameter itself instead of adding to the gradient
};

// `step` counts from 1.
template <class T>
void adam_step(const StepArrays<T> &layer, const AdamRates &rates, long long step) {
  const double t = static_cast<double>(step);
  AdamTask<T> task{};
  task.beta1 = rates.beta1;
  task.beta2 = rates.beta2;
  task.eps = rates.eps;
  task.weight_decay = rates.decoupled ? 0 : rates.weight_decay;
  task.shrink = rates.decoupled ? 1 - rates.lr * rates.weight_decay : 1;
  task.step_size = rates.lr / (1 - std::pow(rates.beta1, t));
  task.root = std::sqrt(1 - std::pow(rates.beta2, t));
  Parameters<T> &parameters = *layer.parameters;
  const std::lock_guard<std::mutex> lock(parameters.mutex);
  ++parameters.version;
  for (std::size_t i = 0; i < parameters.entries.size(); ++i) {
    for_each_stretch(parameters.entries[i], layer.frozen, [&](Index begin, Index size) {
      auto piece = task;
      piece.size = size;
      piece.parameter = parameters.data(i) + begin;
      piece.gradient = layer.gradients[i] + begin;
      piece.mean = layer.moments[0][i] + begin;
      piece.square = layer.moments[1][i] + begin;
      kernels_of<T>().adam(&piece);
    });
  }
}

struct SgdRates {
  double lr, momentum, weight_decay;
  bool nesterov;
};

// There are velocities if there is momentum.
template <class T>
void sgd_step(const StepArrays<T> &layer, const SgdRates &rates) {
  SgdTask<T> task{};
  task.lr = rates.lr;
  task.momentum = rates.momentum;
  task.weight_decay = rates.weight_decay;
  task.nesterov = rates.nesterov;
  Parameters<T> &parameters = *layer.parameters;
  const std::lock_guard<std::mutex> lock(parameters.mutex);
  ++parameters.version;
  for (std::size_t i = 0; i < parameters.entries.size(); ++i) {
    for_each_stretch(parameters.entries[i], layer.frozen, [&](Index begin, Index size) {
      auto piece = task;
      piece.size = size;
      piece.parameter = parameters.data(i) + begin;
      piece.gradient = layer.gradients[i] + begin;
      piece.velocity = layer.moments[0] ? layer.moments[0][i] + begin : nullptr;
      kernels_of<T>().sgd(&piece);
    });
  }
}

}  // namespace recurra
