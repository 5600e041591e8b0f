// Elman's network: h_t = f(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh), f = tanh or relu.
#pragma once

#include "kernels/cells/cell.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <bool kRelu>
struct Rnn {
  static constexpr int kGates = 1, kStates = 1, kSaved = 0, kDeltas = 1, kUnitVectors = 4, kStages = 1;
  static constexpr bool kSplit = false;
  static constexpr bool kDirect = false;
  static constexpr int kActivated = 0;

  template <class T>
  static RECURRA_INLINE void gates(StepVectors<T> &) {}

  template <class T>
  static RECURRA_INLINE void step(StepVectors<T> &v) {
    v.h = kRelu ? relu(v.pre[0]) : tanh(v.pre[0]);
  }

  // da = dh ∘ f'(a), with f' from the output: 1 - h² or [h > 0]
  template <class T>
  static RECURRA_INLINE void reverse(ReverseVectors<T> &v) {
    v.delta[0] = kRelu ? Vec<T>::select(v.h > Vec<T>::zero(), v.dh, Vec<T>::zero()) : v.dh * tanh_slope(v.h);
  }
};

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
