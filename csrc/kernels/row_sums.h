// The sum over the units of a row, in an order that no vector width has a say in.
#pragma once

#include "kernels/rows.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// The i-th value is added to chain i mod 16, and the chains are then added up in pairs, c and c + 8 first.
constexpr int kSumChains = 16;

template <class T>
RECURRA_INLINE T sum_of(const T *values, Index count) {
  constexpr int V = Vec<T>::size, kVectors = kSumChains / V;
  Vec<T> sums[kVectors] = {};
  Index i = 0;
  for (; i + kSumChains <= count; i += kSumChains) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      sums[v] = sums[v] + Vec<T>::load(values + i + v * V);
    }
  }
  for (int v = 0; i < count; ++v, i += V) {  // what lanes beyond the end add is 0, which no chain notices
    sums[v] = sums[v] + get(values + i, count - i);
  }
  alignas(kVectorBytes) T chains[kSumChains];
  for (int v = 0; v < kVectors; ++v) {
    sums[v].store(chains + v * V);
  }
  for (int half = kSumChains / 2; half > 0; half /= 2) {
    for (int c = 0; c < half; ++c) {
      chains[c] += chains[c + half];
    }
  }
  return chains[0];
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
