// Products of int8 weights and 12-bit activations, summed in int32: the words that an instruction set has for them.
//
// Weights of one vector are kDepthGroup depths of Vec<float>::size outputs. A sum of up to kExactDepth products is
// exact, whatever the order, so that every ISA has the same.
#pragma once

#include "kernels/integers.h"
#include "kernels/simd.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

using Integers = Vec<float>::Bits;  // int32, one lane for each output
using Quantised = std::int16_t;     // what an activation takes in a quantised row, in an order of the ISA's own

constexpr Index kOutputs = Vec<float>::size;
constexpr Index kExactDepth = 8192;  // 127 · 2047 · 8192 is below 2³¹

RECURRA_INLINE Integers load_integers(const void *from) {
  typedef std::int32_t Unaligned __attribute__((vector_size(kVectorBytes), aligned(1), may_alias));
  return reinterpret_cast<Integers>(*static_cast<const Unaligned *>(from));
}
RECURRA_INLINE Integers repeat(std::int32_t value) { return value - Integers{}; }

constexpr Index kDepthGroup = 2;
constexpr int kSumParts = 1;      // registers of a sum
constexpr bool kBiased = false;   // whether activations are stored with 2048 added, which sums of weights undo
constexpr bool kByOutput = true;  // whether the depths of an output lie side by side, else the outputs of a depth

struct Sums {
  Integers parts[kSumParts];
};
struct WeightGroup {
  Integers even, odd;
};
struct ActivationGroup {
  Integers even, odd;
};

RECURRA_INLINE Sums sums_from(Integers begun) { return {{begun}}; }
RECURRA_INLINE WeightGroup load_weights(const std::int8_t *from) {
  WeightGroup group;
  for (int i = 0; i < kOutputs; ++i) {
    group.even[i] = from[2 * i];
    group.odd[i] = from[2 * i + 1];
  }
  return group;
}
RECURRA_INLINE ActivationGroup load_activations(const Quantised *from) { return {repeat(from[0]), repeat(from[1])}; }
RECURRA_INLINE void accumulate(Sums &sums, const WeightGroup &weights, const ActivationGroup &activations) {
  sums.parts[0] += weights.even * activations.even + weights.odd * activations.odd;
}
RECURRA_INLINE Integers total(const Sums &sums) { return sums.parts[0]; }

// The weights of depth i of a group, widened.
RECURRA_INLINE Integers weights_at(const std::int8_t *group, int i) {
  const WeightGroup weights = load_weights(group);
  return i ? weights.odd : weights.even;
}

// int32 as floats, rounded to nearest even.
RECURRA_INLINE Vec<float> to_floats(Integers integers) { return {__builtin_convertvector(integers, Vec<float>::Raw)}; }

// Floats of up to 2²² as integers, rounded to nearest even: adding 1.5 · 2²³ leaves no bits behind the point.
RECURRA_INLINE Integers to_integers(Vec<float> values) {
  const Vec<float> shift = Vec<float>::broadcast(12582912.0f);
  return (values + shift).bits() - shift.bits();
}

// Writes one vector of activations, and zeros for `count` below a whole one's.
RECURRA_INLINE void store_activations(Integers values, Quantised *to) {
  for (int i = 0; i < kOutputs; ++i) {
    to[i] = static_cast<Quantised>(values[i]);
  }
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
