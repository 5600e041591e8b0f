// The gated recurrent unit (Cho et al. 2014), in both of its conventions. r = σ(a_r), z = σ(a_z), and
//   reset after:   n = tanh(W_in x + b_in + r ∘ (W_hn h_{t-1} + b_hn))        (cuDNN's and PyTorch's)
//   reset before:  n = tanh(W_in x + b_in + b_hn + W_hn (r ∘ h_{t-1}))        (the paper's)
//   h_t = (1 - z) ∘ n + z ∘ h_{t-1}
#pragma once

#include "kernels/cells/cell.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// (1 - z) ∘ n + z ∘ h in two multiply-adds; at z = 1 it is h to the bit, at z = 0 it is n.
template <class T>
RECURRA_INLINE Vec<T> blend(Vec<T> z, Vec<T> n, Vec<T> h) {
  return fma(z, h, fnma(z, n, n));
}

struct Gru {
  static constexpr int kGates = 3;  // r z n
  static constexpr int kUnitVectors = 1;
  static constexpr int kActivated = 2;  // r z
  static constexpr int kKept = 4;       // r z n n_h, where n_h = W_hn h + b_hn
  static constexpr int kDeltas = 4;  // r z n_h n_x: the recurrent weight sees the first three, the input weight r z n_x
  static constexpr bool kCellState = false;
  static constexpr bool kSplitCandidate = true;
  static constexpr bool kResetBefore = false;
  static constexpr Span kInputSpans[] = {{0, 0, 2}, {3, 2, 1}};
  static constexpr Span kHiddenSpans[] = {{0, 0, 3}};

  template <class T>
  static RECURRA_INLINE void gates(StepVectors<T> &v) {
    v.kept[0] = sigmoid(v.pre[0]);
    v.kept[1] = sigmoid(v.pre[1]);
  }

  template <class T>
  static RECURRA_INLINE void step(StepVectors<T> &v) {
    v.kept[2] = tanh(fma(v.kept[0], v.pre[2], v.candidate_x));
    v.kept[3] = v.pre[2];
    v.h = blend(v.kept[1], v.kept[2], v.h_prev);
  }

  // dn = dh ∘ (1-z)   dz = dh ∘ (h_{t-1} - n)   da_n = dn ∘ (1-n²)   da_z = dz ∘ z(1-z)   da_r = da_n ∘ n_h ∘ r(1-r)
  template <class T>
  static RECURRA_INLINE void reverse(ReverseVectors<T> &v) {
    const Vec<T> r = v.kept[0], z = v.kept[1], n = v.kept[2], n_h = v.kept[3];
    const Vec<T> da_n = fnma(v.dh, z, v.dh) * tanh_slope(n);
    v.delta[0] = da_n * n_h * sigmoid_slope(r);
    v.delta[1] = v.dh * (v.h_prev - n) * sigmoid_slope(z);
    v.delta[2] = da_n * r;
    v.delta[3] = da_n;
    v.beside = v.dh * z;
  }
};

// The candidate needs r of every unit before its product can start, so a step has two halves, and so has its reverse.
struct GruResetBefore {
  static constexpr int kGates = 3;  // r z n
  static constexpr int kUnitVectors = 1;
  static constexpr int kActivated = 2;  // r z
  static constexpr int kKept = 3;
  static constexpr int kDeltas = 3;
  static constexpr bool kCellState = false;
  static constexpr bool kSplitCandidate = false;
  static constexpr bool kResetBefore = true;
  static constexpr Span kInputSpans[] = {{0, 0, 3}};
  static constexpr Span kHiddenSpans[] = {{0, 0, 2}};     // of h_{t-1}
  static constexpr Span kCandidateSpans[] = {{2, 2, 1}};  // of r ∘ h_{t-1}

  template <class T>
  static RECURRA_INLINE void gates(StepVectors<T> &v) {
    v.kept[0] = sigmoid(v.pre[0]);
    v.kept[1] = sigmoid(v.pre[1]);
  }

  template <class T>
  static RECURRA_INLINE void step(StepVectors<T> &v) {
    v.kept[2] = tanh(v.pre[2]);
    v.h = blend(v.kept[1], v.kept[2], v.h_prev);
  }

  // dn = dh ∘ (1-z)   dz = dh ∘ (h_{t-1} - n)   da_n = dn ∘ (1-n²)   da_z = dz ∘ z(1-z)
  template <class T>
  static RECURRA_INLINE void reverse(ReverseVectors<T> &v) {
    const Vec<T> z = v.kept[1], n = v.kept[2];
    v.delta[1] = v.dh * (v.h_prev - n) * sigmoid_slope(z);
    v.delta[2] = fnma(v.dh, z, v.dh) * tanh_slope(n);
    v.beside = v.dh * z;
  }

  // q = da_n · W_hn is the gradient of r ∘ h_{t-1}: da_r = q ∘ h_{t-1} ∘ r(1-r), and q ∘ r goes beside W_h{r,z}.
  template <class T>
  static RECURRA_INLINE Vec<T> reverse_reset(Vec<T> q, Vec<T> h_prev, Vec<T> r, Vec<T> &beside) {
    beside = fma(q, r, beside);
    return q * h_prev * sigmoid_slope(r);
  }
};

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
