// Sums over the units of a row, in an order that no instruction set changes.
#pragma once

#include "kernels/rows.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

constexpr int kRowChains = 16;  // as many as the widest vector has lanes of float

// Unit i is added to chain i mod kRowChains, and the chains are added pairwise.
template <class T>
T sum_of(const T *values, Index count) {
  constexpr Index V = Vec<T>::size;
  static_assert(kRowChains % V == 0, "whole vectors of chains");
  Vec<T> sums[kRowChains / V] = {};
  for (Index i = 0; i < count; i += kRowChains) {
    for (Index v = 0; v < kRowChains / V && i + v * V < count; ++v) {
      sums[v] = sums[v] + get(values + i + v * V, count - i - v * V);
    }
  }
  T chains[kRowChains];
  for (Index v = 0; v < kRowChains / V; ++v) {
    sums[v].store(chains + v * V);
  }
  for (int width = kRowChains / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) {
      chains[i] = chains[i] + chains[i + width];
    }
  }
  return chains[0];
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
