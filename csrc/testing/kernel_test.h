// What the tests of kernels have in common. They are compiled once per ISA, under its flags and in its namespace, into
// a program of their own, so that here containers are allowed.
#pragma once

#include <doctest/doctest.h>

#include <vector>

#include "kernels/integers.h"
#include "kernels/simd.h"
#include "testing/numbers.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

using namespace recurra::testing;  // NOLINT

// a * b + c as the kernels of this ISA round it: once, or twice on plain x86-64.
template <class T>
T scalar_fma(T a, T b, T c) {
#if defined(__x86_64__) && !defined(__FMA__)
  return a * b + c;
#else
  return std::fma(a, b, c);
#endif
}

// 0, 1, primes, and the widths of this ISA's vectors and panels with their neighbours.
template <class T>
std::vector<Index> odd_sizes() {
  constexpr Index V = Vec<T>::size;
  return {0, 1, 2, 3, 7, V - 1, V, V + 1, 2 * V + 1, 4 * V - 1, 4 * V, 4 * V + 1, 37, 131};
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
