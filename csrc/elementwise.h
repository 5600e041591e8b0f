// Functions of one array element at a time: the activations by themselves, and Adam.
#pragma once

#include "activations.h"
#include "gemm.h"

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

// Adam (Kingma & Ba 2015, algorithm 1, as PyTorch has it):
//   g += λ p     m += (1-β₁)(g - m)     v = β₂ v + (1-β₂) g²     p -= lr/(1-β₁ᵗ) · m / (√v / √(1-β₂ᵗ) + ε)
// Plain scalars: the compiler makes vectors of them, and without contraction every ISA gets the same bits.
template <class T>
void adam(const AdamTask<T> *task) {
  const T decay = static_cast<T>(task->weight_decay), rate1 = static_cast<T>(1 - task->beta1);
  const T beta2 = static_cast<T>(task->beta2), rate2 = static_cast<T>(1 - task->beta2);
  const T eps = static_cast<T>(task->eps);
  const T step = static_cast<T>(task->step_size), root = static_cast<T>(task->root);
  T *__restrict parameter = task->parameter, *__restrict mean = task->mean, *__restrict square = task->square;
  const T *__restrict gradient = task->gradient;
  for (Index i = 0; i < task->size; ++i) {
    const T g = gradient[i] + decay * parameter[i];
    const T m = mean[i] + rate1 * (g - mean[i]);
    const T v = beta2 * square[i] + rate2 * (g * g);
    T sqrt_v;
    if constexpr (sizeof(T) == 4) {
      sqrt_v = __builtin_sqrtf(v);
    } else {
      sqrt_v = __builtin_sqrt(v);
    }
    mean[i] = m;
    square[i] = v;
    parameter[i] -= step * (m / (sqrt_v / root + eps));
  }
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
