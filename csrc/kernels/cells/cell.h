// What the epilogues hand to a cell for one vector of hidden units, and take from it. A cell header holds equations
// only; the cell's description is in csrc/model/known_cells.h.
#pragma once

#include "cells.h"
#include "kernels/activations.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

constexpr int kMaxGates = 4, kMaxSaved = 4, kMaxGateDeltas = 4;

template <class T>
struct StepVectors {
  Vec<T> pre[kMaxGates];  // in: pre-activations, gate by gate
  Vec<T> split;           // in: the input's half of a split gate, whose other half is in `pre`
  Vec<T> h_prev;          // in
  Vec<T> c;               // in: c_{t-1}; out: c_t
  Vec<T> h;               // out: h_t
  // Out: activations that the backward pass needs. gates() computes the first Cell::kActivated, step() the others.
  Vec<T> saved[kMaxSaved];
};

template <class T>
struct ReverseVectors {
  Vec<T> dh;                     // in: the whole gradient of h_t
  Vec<T> dc;                     // in: gradient of c_t from all but h_t; out: gradient of c_{t-1}
  Vec<T> saved[kMaxSaved];       // in
  Vec<T> h, h_prev;              // in: h of a cell without direct path, h_prev of one with it
  Vec<T> c, c_prev;              // in
  Vec<T> delta[kMaxGateDeltas];  // out: gradients of the pre-activations
  Vec<T> direct;                 // out: the gradient of h_{t-1} by the direct path around weight_hh
};

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
