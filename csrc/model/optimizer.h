// One step of an optimizer over all parameters of a layer, in place, under the parameters' mutex.
#pragma once

#include <cmath>

#include "dispatch.h"
#include "model/parameters.h"

namespace recurra {

struct AdamRates {
  double lr, beta1, beta2, eps, weight_decay;
  bool decoupled;  // AdamW: the decay shrinks the parameter itself instead of adding to the gradient
};

// Arrays in the order of the parameters, contiguous; `step` counts from 1.
template <class T>
void adam_step(Parameters<T> &parameters, const AdamRates &rates, long long step, const T *const *gradients,
               T *const *means, T *const *squares) {
  const double t = static_cast<double>(step);
  AdamTask<T> task{};
  task.beta1 = rates.beta1;
  task.beta2 = rates.beta2;
  task.eps = rates.eps;
  task.weight_decay = rates.decoupled ? 0 : rates.weight_decay;
  task.shrink = rates.decoupled ? 1 - rates.lr * rates.weight_decay : 1;
  task.step_size = rates.lr / (1 - std::pow(rates.beta1, t));
  task.root = std::sqrt(1 - std::pow(rates.beta2, t));
  const std::lock_guard<std::mutex> lock(parameters.mutex);
  ++parameters.version;
  for (std::size_t i = 0; i < parameters.entries.size(); ++i) {
    task.size = parameters.entries[i].size;
    task.parameter = parameters.data(i);
    task.gradient = gradients[i];
    task.mean = means[i];
    task.square = squares[i];
    kernels_of<T>().adam(&task);
  }
}

struct SgdRates {
  double lr, momentum, weight_decay;
  bool nesterov;
};

// `velocities` may be null without momentum.
template <class T>
void sgd_step(Parameters<T> &parameters, const SgdRates &rates, const T *const *gradients, T *const *velocities) {
  SgdTask<T> task{};
  task.lr = rates.lr;
  task.momentum = rates.momentum;
  task.weight_decay = rates.weight_decay;
  task.nesterov = rates.nesterov;
  const std::lock_guard<std::mutex> lock(parameters.mutex);
  ++parameters.version;
  for (std::size_t i = 0; i < parameters.entries.size(); ++i) {
    task.size = parameters.entries[i].size;
    task.parameter = parameters.data(i);
    task.gradient = gradients[i];
    task.velocity = velocities ? velocities[i] : nullptr;
    kernels_of<T>().sgd(&task);
  }
}

}  // namespace recurra
