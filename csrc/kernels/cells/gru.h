// The gated recurrent unit (Cho et al. 2014), in both of its conventions. r = σ(a_r), z = σ(a_z), and
//   reset after:   n = tanh(W_in x + b_in + r ∘ (W_hn h_{t-1} + b_hn))        (cuDNN's and PyTorch's)
//   reset before:  n = tanh(W_in x + b_in + b_hn + W_hn (r ∘ h_{t-1}))        (the paper's)
//   h_t = (1 - z) ∘ n + z ∘ h_{t-1}
#pragma once

#include "kernels/cells/cell.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// (1 - z) ∘ n + z ∘ h; at z = 1 it is h to the bit, at z = 0 it is n.
template <class T>
RECURRA_INLINE Vec<T> blend(Vec<T> z, Vec<T> n, Vec<T> h) {
  return fma(constant(T(1)) - z, n, z * h);
}

template <class T>
RECURRA_INLINE Vec<T> candidate_delta(Vec<T> dh, Vec<T> z, Vec<T> n) {
  return dh * (constant(T(1)) - z) * tanh_slope(n);
}
template <class T>
RECURRA_INLINE Vec<T> update_delta(Vec<T> dh, Vec<T> h_prev, Vec<T> n, Vec<T> z) {
  return fma(dh, h_prev, Vec<T>{-(dh * n).raw}) * sigmoid_slope(z);
}

struct Gru {
  static constexpr int kGates = 3, kStates = 1, kSaved = 4, kDeltas = 4, kUnitVectors = 1, kStages = 1;
  static constexpr bool kSplit = true;  // the input's half of the last gate comes apart
  static constexpr bool kDirect = true;
  static constexpr int kActivated = 2;  // r z

  template <class T>
  static RECURRA_INLINE void gates(StepVectors<T> &v) {
    v.saved[0] = sigmoid(v.pre[0]);
    v.saved[1] = sigmoid(v.pre[1]);
  }

  template <class T>
  static RECURRA_INLINE void step(StepVectors<T> &v) {
    v.saved[2] = tanh(fma(v.saved[0], v.pre[2], v.split));
    v.saved[3] = v.pre[2];
    v.h = blend(v.saved[1], v.saved[2], v.h_prev);
  }

  // dn = dh ∘ (1-z)   dz = dh ∘ h_{t-1} - dh ∘ n   da_n = dn ∘ (1-n²)   da_z = dz ∘ z(1-z)   da_r = da_n ∘ n_h ∘ r(1-r)
  template <class T>
  static RECURRA_INLINE void reverse(ReverseVectors<T> &v) {
    const Vec<T> r = v.saved[0], z = v.saved[1], n = v.saved[2], n_h = v.saved[3];
    const Vec<T> da_n = candidate_delta(v.dh, z, n);
    v.delta[0] = da_n;
    v.delta[1] = da_n * n_h * sigmoid_slope(r);
    v.delta[2] = update_delta(v.dh, v.h_prev, n, z);
    v.delta[3] = da_n * r;
    v.direct = v.dh * z;
  }
};

// The candidate needs r of every unit before its product can start, so a step has two stages, and so has its reverse.
struct GruResetBefore {
  static constexpr int kGates = 3, kStates = 1, kSaved = 4, kDeltas = 3, kUnitVectors = 1, kStages = 2;
  static constexpr bool kSplit = false;
  static constexpr bool kDirect = true;
  static constexpr int kActivated = 2;  // r z

  template <class T>
  static RECURRA_INLINE void gates(StepVectors<T> &v) {
    v.saved[0] = sigmoid(v.pre[0]);
    v.saved[1] = sigmoid(v.pre[1]);
  }

  template <class T>
  static RECURRA_INLINE void step(StepVectors<T> &v) {
    v.saved[3] = tanh(v.pre[2]);
    v.h = blend(v.saved[1], v.saved[3], v.h_prev);
  }

  // dn = dh ∘ (1-z)   dz = dh ∘ h_{t-1} - dh ∘ n   da_n = dn ∘ (1-n²)   da_z = dz ∘ z(1-z)
  template <class T>
  static RECURRA_INLINE void reverse(ReverseVectors<T> &v) {
    const Vec<T> z = v.saved[1], n = v.saved[3];
    v.delta[1] = update_delta(v.dh, v.h_prev, n, z);
    v.delta[2] = candidate_delta(v.dh, z, n);
    v.direct = v.dh * z;
  }

  // q = da_n · W_hn is the gradient of r ∘ h_{t-1}: da_r = q ∘ h_{t-1} ∘ r(1-r), and q ∘ r adds to the direct path.
  template <class T>
  static RECURRA_INLINE Vec<T> reverse_stage(Vec<T> q, Vec<T> h_prev, Vec<T> r, Vec<T> &direct) {
    direct = fma(q, r, direct);
    return q * h_prev * sigmoid_slope(r);
  }
};

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
