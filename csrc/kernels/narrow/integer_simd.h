// Products of int8 weights and 12-bit activations, summed in int32: what the instruction sets have for them.
//
// A vector of weights is kDepthGroup depths of Vec<float>::size outputs. A sum of up to kExactDepth products is exact,
// whatever its order, so that every ISA has the same.
#pragma once

#include "kernels/integers.h"
#include "kernels/simd.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

using Integers = Vec<float>::Bits;  // int32, a lane for each output
using Quantised = std::int16_t;     // what an activation takes in a quantised row, in an order of the ISA's own

constexpr Index kOutputs = Vec<float>::size;
constexpr Index kExactDepth = 8192;  // 127 · 2047 · 8192 is below 2³¹

RECURRA_INLINE Integers load_integers(const void *from) {
  typedef std::int32_t Unaligned __attribute__((vector_size(kVectorBytes), aligned(1), may_alias));
  return reinterpret_cast<Integers>(*static_cast<const Unaligned *>(from));
}
RECURRA_INLINE Integers repeat(std::int32_t value) { return value - Integers{}; }
RECURRA_INLINE std::int32_t load_int32(const void *from) {
  std::int32_t value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

// int32 as floats, rounded to nearest even.
RECURRA_INLINE Vec<float> to_floats(Integers integers) { return {__builtin_convertvector(integers, Vec<float>::Raw)}; }

// Floats of up to 2²² as integers, rounded to nearest even: adding 1.5 · 2²³ leaves no bits behind the point.
RECURRA_INLINE Integers to_integers(Vec<float> values) {
  const Vec<float> shift = Vec<float>::broadcast(12582912.0f);
  return (values + shift).bits() - shift.bits();
}

#if defined(__AVX512BW__)
// Masked by all ones, since GCC 12 warns of the plain form's undefined operand.
RECURRA_INLINE __m256i low_halves(Integers values) {
  return _mm512_maskz_cvtepi32_epi16(static_cast<__mmask16>(-1), reinterpret_cast<__m512i>(values));
}
#endif

// Each of the following sections says:
//   kDepthGroup  depths that are multiplied at once
//   kByOutput    whether the depths of an output lie side by side in a vector of weights, else the outputs of a depth
//   kBiased      whether activations are stored with 2048 added, for which sums of weights make up
//   kSumParts    registers of a sum
//   load_weights, load_activations, accumulate, sums_from, total
//                a vector of weights, the activations of its depths, sum += their products, a sum's begin and its end
//   weights_at   the weights of one depth of a vector
//   store_activations
//                writes the activations of kOutputs depths

#if defined(__AVX512VNNI__)

// Multiplies unsigned by signed bytes, four depths at once, without saturation: an activation is 128 · high + low -
// 2048, with a high byte of 31 at most and a low one of 127. Two products a weight, half of what widened weights take.
constexpr Index kDepthGroup = 4;
constexpr bool kByOutput = true, kBiased = true;
constexpr int kSumParts = 2;
struct Sums {
  Integers high, low;
};
struct ActivationGroup {
  __m512i high, low;
};
RECURRA_INLINE Sums sums_from(Integers begun) { return {Integers{}, begun}; }
RECURRA_INLINE Integers total(const Sums &sums) { return (sums.high << 7) + sums.low; }
RECURRA_INLINE __m512i load_weights(const std::int8_t *from) {
  __m512i weights = _mm512_loadu_si512(from);
  __asm__("" : "+v"(weights));  // or GCC loads it for both products, 18 loads in 16 cycles: a quarter slower in L1
  return weights;
}
RECURRA_INLINE ActivationGroup load_activations(const Quantised *from) {
  return {_mm512_set1_epi32(load_int32(from)), _mm512_set1_epi32(load_int32(from + 2))};
}
RECURRA_INLINE void accumulate(Sums &sums, __m512i weights, const ActivationGroup &activations) {
  sums.high =
      reinterpret_cast<Integers>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sums.high), activations.high, weights));
  sums.low =
      reinterpret_cast<Integers>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sums.low), activations.low, weights));
}
RECURRA_INLINE Integers weights_at(const std::int8_t *group, int i) {
  return load_integers(group) << (24 - 8 * i) >> 24;
}
RECURRA_INLINE void store_activations(Integers values, Quantised *to) {
  const Integers biased = values + repeat(2048);
  const __m256i bytes = low_halves(biased >> 7 | (biased & repeat(127)) << 8);
  const __m256i order =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15));
  _mm256_storeu_si256(reinterpret_cast<__m256i *>(to), _mm256_shuffle_epi8(bytes, order));
}

#else

// Activations are int16, and weights are widened to that. Nothing is to be made up for.
constexpr Index kDepthGroup = 2;
constexpr bool kBiased = false;
constexpr int kSumParts = 1;
using Sums = Integers;
RECURRA_INLINE Sums sums_from(Integers begun) { return begun; }
RECURRA_INLINE Integers total(Sums sums) { return sums; }

#if defined(__AVX512BW__)

constexpr bool kByOutput = true;
RECURRA_INLINE __m512i load_weights(const std::int8_t *from) {
  return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(from)));
}
RECURRA_INLINE __m512i load_activations(const Quantised *from) { return _mm512_set1_epi32(load_int32(from)); }
RECURRA_INLINE void accumulate(Sums &sums, __m512i weights, __m512i activations) {
  sums += reinterpret_cast<Integers>(_mm512_madd_epi16(weights, activations));
}
RECURRA_INLINE Integers weights_at(const std::int8_t *group, int i) {
  return reinterpret_cast<Integers>(load_weights(group)) << (16 - 16 * i) >> 16;
}
RECURRA_INLINE void store_activations(Integers values, Quantised *to) {
  _mm256_storeu_si256(reinterpret_cast<__m256i *>(to), low_halves(values));
}

#elif defined(__AVX2__)

constexpr bool kByOutput = true;
RECURRA_INLINE __m256i load_weights(const std::int8_t *from) {
  return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i *>(from)));
}
RECURRA_INLINE __m256i load_activations(const Quantised *from) { return _mm256_set1_epi32(load_int32(from)); }
RECURRA_INLINE void accumulate(Sums &sums, __m256i weights, __m256i activations) {
  sums += reinterpret_cast<Integers>(_mm256_madd_epi16(weights, activations));
}
RECURRA_INLINE Integers weights_at(const std::int8_t *group, int i) {
  return reinterpret_cast<Integers>(load_weights(group)) << (16 - 16 * i) >> 16;
}
RECURRA_INLINE void store_activations(Integers values, Quantised *to) {
  const __m256i integers = reinterpret_cast<__m256i>(values);
  _mm_storeu_si128(reinterpret_cast<__m128i *>(to),
                   _mm_packs_epi32(_mm256_castsi256_si128(integers), _mm256_extracti128_si256(integers, 1)));
}

#elif defined(__SSE2__)

constexpr bool kByOutput = true;
RECURRA_INLINE __m128i load_weights(const std::int8_t *from) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i *>(from));
  return _mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8);
}
RECURRA_INLINE __m128i load_activations(const Quantised *from) { return _mm_set1_epi32(load_int32(from)); }
RECURRA_INLINE void accumulate(Sums &sums, __m128i weights, __m128i activations) {
  sums += reinterpret_cast<Integers>(_mm_madd_epi16(weights, activations));
}
RECURRA_INLINE Integers weights_at(const std::int8_t *group, int i) {
  return reinterpret_cast<Integers>(load_weights(group)) << (16 - 16 * i) >> 16;
}
RECURRA_INLINE void store_activations(Integers values, Quantised *to) {
  const __m128i integers = reinterpret_cast<__m128i>(values);
  _mm_storel_epi64(reinterpret_cast<__m128i *>(to), _mm_packs_epi32(integers, integers));
}

#elif defined(__aarch64__)

constexpr bool kByOutput = false;  // a product takes one depth of four outputs
RECURRA_INLINE int16x8_t load_weights(const std::int8_t *from) { return vmovl_s8(vld1_s8(from)); }
RECURRA_INLINE int16x4_t load_activations(const Quantised *from) {
  return vreinterpret_s16_s32(vdup_n_s32(load_int32(from)));
}
RECURRA_INLINE void accumulate(Sums &sums, int16x8_t weights, int16x4_t activations) {
  const int32x4_t even = vmlal_lane_s16(reinterpret_cast<int32x4_t>(sums), vget_low_s16(weights), activations, 0);
  sums = reinterpret_cast<Integers>(vmlal_high_lane_s16(even, weights, activations, 1));
}
RECURRA_INLINE Integers weights_at(const std::int8_t *group, int i) {
  const int16x8_t weights = load_weights(group);
  return reinterpret_cast<Integers>(vmovl_s16(i ? vget_high_s16(weights) : vget_low_s16(weights)));
}
RECURRA_INLINE void store_activations(Integers values, Quantised *to) {
  vst1_s16(to, vmovn_s32(reinterpret_cast<int32x4_t>(values)));
}

#else

constexpr bool kByOutput = false;
struct WeightGroup {
  Integers depths[kDepthGroup];
};
RECURRA_INLINE Integers weights_at(const std::int8_t *group, int i) {
  Integers weights;
  for (int lane = 0; lane < kOutputs; ++lane) {
    weights[lane] = group[i * kOutputs + lane];
  }
  return weights;
}
RECURRA_INLINE WeightGroup load_weights(const std::int8_t *from) {
  return {{weights_at(from, 0), weights_at(from, 1)}};
}
RECURRA_INLINE const Quantised *load_activations(const Quantised *from) { return from; }
RECURRA_INLINE void accumulate(Sums &sums, const WeightGroup &weights, const Quantised *activations) {
  sums += weights.depths[0] * repeat(activations[0]) + weights.depths[1] * repeat(activations[1]);
}
RECURRA_INLINE void store_activations(Integers values, Quantised *to) {
  for (int lane = 0; lane < kOutputs; ++lane) {
    to[lane] = static_cast<Quantised>(values[lane]);
  }
}

#endif
#endif

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
