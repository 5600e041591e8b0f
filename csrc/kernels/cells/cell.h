// What the time loops hand to a cell for one vector of hidden units, and take from it. A cell header holds equations
// only.
#pragma once

#include "kernels/activations.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

constexpr int kMaxGates = 4;

template <class T>
struct StepVectors {
  Vec<T> pre[kMaxGates];   // in: pre-activations, gate by gate
  Vec<T> candidate_x;      // in: the input's share of the candidate, where the cell keeps it apart
  Vec<T> h_prev;           // in
  Vec<T> c;                // in: c_{t-1}; out: c_t
  Vec<T> h;                // out: h_t
  Vec<T> kept[kMaxGates];  // what the way back needs; the first Cell::kActivated are out of gates and in to step
};

template <class T>
struct ReverseVectors {
  Vec<T> dh;                // in: the whole gradient of h_t
  Vec<T> dc;                // in: gradient of c_t so far; out: that of c_{t-1}
  Vec<T> kept[kMaxGates];   // in
  Vec<T> h, h_prev;         // in
  Vec<T> c, c_prev;         // in
  Vec<T> delta[kMaxGates];  // out: gradients of the pre-activations
  Vec<T> beside;            // out: what reaches h_{t-1} beside W_hh, where something does
};

// Columns of the deltas that meet rows of a weight: weight row `row` + i belongs to delta column `delta` + i, all
// times hidden_size.
struct Span {
  int delta, row, count;
};

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
