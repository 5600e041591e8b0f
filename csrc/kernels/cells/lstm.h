// The LSTM with a forget gate (Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000), no peepholes:
//   i = σ(a_i)   f = σ(a_f)   g = tanh(a_g)   o = σ(a_o)      a = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh
//   c_t = f ∘ c_{t-1} + i ∘ g                 h_t = o ∘ tanh(c_t)
#pragma once

#include "kernels/cells/cell.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

struct Lstm {
  static constexpr int kGates = 4, kStates = 2, kSaved = 4, kDeltas = 4, kUnitVectors = 1, kStages = 1;
  static constexpr bool kSplit = false;
  static constexpr bool kDirect = false;
  static constexpr int kActivated = 4;  // gates that gates() activates, before step() finishes

  template <class T>
  static RECURRA_INLINE void gates(StepVectors<T> &v) {
    v.saved[0] = sigmoid(v.pre[0]);
    v.saved[1] = sigmoid(v.pre[1]);
    v.saved[2] = tanh(v.pre[2]);
    v.saved[3] = sigmoid(v.pre[3]);
  }

  template <class T>
  static RECURRA_INLINE void step(StepVectors<T> &v) {
    const Vec<T> i = v.saved[0], f = v.saved[1], g = v.saved[2], o = v.saved[3];
    v.c = fma(f, v.c, i * g);
    v.h = o * tanh(v.c);
  }

  // dc_t = dh ∘ o ∘ (1 - tanh²c_t) + (what came from c_{t+1})         dc_{t-1} = dc_t ∘ f
  // da_i = dc ∘ g ∘ i(1-i)   da_f = dc ∘ c_{t-1} ∘ f(1-f)   da_g = dc ∘ i ∘ (1-g²)   da_o = dh ∘ tanh(c_t) ∘ o(1-o)
  template <class T>
  static RECURRA_INLINE void reverse(ReverseVectors<T> &v) {
    const Vec<T> i = v.saved[0], f = v.saved[1], g = v.saved[2], o = v.saved[3];
    const Vec<T> tanh_c = tanh(v.c);
    const Vec<T> dc = fma(v.dh * o, tanh_slope(tanh_c), v.dc);
    v.delta[0] = dc * g * sigmoid_slope(i);
    v.delta[1] = dc * v.c_prev * sigmoid_slope(f);
    v.delta[2] = dc * i * tanh_slope(g);
    v.delta[3] = v.dh * tanh_c * sigmoid_slope(o);
    v.dc = dc * f;
  }
};

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
