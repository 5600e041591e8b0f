// Functions of one array element at a time: the activations by themselves, and the optimisers.
#pragma once

#include "kernels/activations.h"
#include "kernels/rows.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class T>
void sigmoid_of(Index size, const T *x, T *y) {
  for (Index i = 0; i < size; i += Vec<T>::size) {
    put(sigmoid(get(x + i, size - i)), y + i, size - i);
  }
}

template <class T>
void tanh_of(Index size, const T *x, T *y) {
  for (Index i = 0; i < size; i += Vec<T>::size) {
    put(tanh(get(x + i, size - i)), y + i, size - i);
  }
}

// Adam (Kingma & Ba 2015, algorithm 1) and AdamW (Loshchilov & Hutter 2019), as PyTorch has them:
//   g += λ p, or p *= 1 - lr λ     m = β₁ m + (1-β₁) g     v = β₂ v + (1-β₂) g²
//   p -= lr/(1-β₁ᵗ) · m / (√v / √(1-β₂ᵗ) + ε)
// Plain scalars: the compiler makes vectors of them, and without contraction every ISA gets the same bits.
template <class T>
void adam(const AdamTask<T> *task) {
  const T decay = static_cast<T>(task->weight_decay);
  const T beta1 = static_cast<T>(task->beta1), rate1 = static_cast<T>(1 - task->beta1);
  const T beta2 = static_cast<T>(task->beta2), rate2 = static_cast<T>(1 - task->beta2);
  const T eps = static_cast<T>(task->eps), shrink = static_cast<T>(task->shrink);
  const T step = static_cast<T>(task->step_size), root = static_cast<T>(task->root);
  T *__restrict parameter = task->parameter, *__restrict mean = task->mean, *__restrict square = task->square;
  const T *__restrict gradient = task->gradient;
  for (Index i = 0; i < task->size; ++i) {
    const T g = gradient[i] + decay * parameter[i];
    const T m = beta1 * mean[i] + rate1 * g;
    const T v = beta2 * square[i] + rate2 * (g * g);
    T sqrt_v;
    if constexpr (sizeof(T) == 4) {
      sqrt_v = __builtin_sqrtf(v);
    } else {
      sqrt_v = __builtin_sqrt(v);
    }
    mean[i] = m;
    square[i] = v;
    parameter[i] = shrink * parameter[i] - step * (m / (sqrt_v / root + eps));
  }
}

// Stochastic gradient descent, with momentum as Sutskever et al. (2013) have it:
//   g += λ p     v = μ v + g     g = v, or g + μ v (Nesterov)     p -= lr · g
template <class T>
void sgd(const SgdTask<T> *task) {
  const T decay = static_cast<T>(task->weight_decay), momentum = static_cast<T>(task->momentum);
  const T lr = static_cast<T>(task->lr);
  T *__restrict parameter = task->parameter, *__restrict velocity = task->velocity;
  const T *__restrict gradient = task->gradient;
  for (Index i = 0; i < task->size; ++i) {
    T g = gradient[i] + decay * parameter[i];
    if (velocity) {
      velocity[i] = momentum * velocity[i] + g;
      g = task->nesterov ? g + momentum * velocity[i] : velocity[i];
    }
    parameter[i] -= lr * g;
  }
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
