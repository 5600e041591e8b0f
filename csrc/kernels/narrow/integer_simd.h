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

// a + b modulo 2³².
RECURRA_INLINE Integers wrapping_add(Integers a, Integers b) {
  typedef std::uint32_t Unsigned __attribute__((vector_size(kVectorBytes)));
  return reinterpret_cast<Integers>(reinterpret_cast<Unsigned>(a) + reinterpret_cast<Unsigned>(b));
}

// int32 as floats, rounded to nearest even.
RECURRA_INLINE Vec<float> to_floats(Integers integers) { return {__builtin_convertvector(integers, Vec<float>::Raw)}; }

// Floats of up to 2²² as integers, rounded to nearest even; of others, something. Adding 1.5 · 2²³ leaves no bits
// behind the point.
RECURRA_INLINE Integers to_integers(Vec<float> values) {
  const Vec<float> shift = Vec<float>::broadcast(12582912.0f);
  return wrapping_add((values + shift).bits(), -shift.bits());
}

#if defined(__AVX512BW__)
// Masked by all ones, since GCC 12 warns of the plain form's undefined operand.
RECURRA_INLINE __m256i low_halves(Integers values) {
  return _mm512_maskz_cvtepi32_epi16(static_cast<__mmask16>(-1), reinterpret_cast<__m512i>(values));
}
#endif

// Each of the following sections says:
//   Quantised     what an activation takes in a quantised row, in an order of the ISA's own
//   kDepthGroup   depths of a vector of weights, and
//   weight_place  where in it that of an output and one of its depths is
//   Sums, kSumParts, sums_from, total
//                 a sum, its registers, its beginning, its end
//   load_weights, load_activations, accumulate
//                 a vector of weights, the activations of its depths, sum += their products
//   kBiased       whether these activations have 2048 added, for which sums of weights make up
//   weights_at    the weights of one depth of a vector
//   store_activations
//                 writes the activations of kOutputs depths
// and, where a single row has better instructions, the same for kRowGroups groups at once, `next` bytes apart:
//   load_row_weights, load_row_activations, accumulate_row, kRowBiased

#if defined(__AVX512VNNI__)

// Multiplies unsigned by signed bytes, four depths at once, without saturation: an activation is 128 · high + low -
// 2048, with a high byte of 31 at most and a low one of 127. Weights needn't be widened: a single row gets 108 products
// done in a nanosecond where int16 (vpdpwssd) has 83, several rows 115 either way, of 118 that Zen 4 could do.
constexpr Index kDepthGroup = 4;
constexpr bool kBiased = true;
using Quantised = std::int16_t;
constexpr Index weight_place(Index output, Index i) { return output * kDepthGroup + i; }
constexpr int kSumParts = 2;
struct Sums {
  Integers high, low;
};
struct ActivationGroup {
  __m512i high, low;
};
RECURRA_INLINE Sums sums_from(Integers begun) { return {Integers{}, begun}; }
RECURRA_INLINE Integers total(const Sums &sums) { return wrapping_add(sums.high << 7, sums.low); }
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
  const Integers biased = wrapping_add(values, repeat(2048));
  const __m256i bytes = low_halves(biased >> 7 | (biased & repeat(127)) << 8);
  const __m256i order =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15));
  _mm256_storeu_si256(reinterpret_cast<__m256i *>(to), _mm256_shuffle_epi8(bytes, order));
}

#else

constexpr bool kBiased = false;
constexpr int kSumParts = 1;
using Sums = Integers;
RECURRA_INLINE Sums sums_from(Integers begun) { return begun; }
RECURRA_INLINE Integers total(Sums sums) { return sums; }

#if defined(__AVX2__) && !defined(__AVX512BW__)

// Several rows share weights that are widened to int16 and multiplied in pairs of depths, even ones and odd ones. For
// a single row that takes six instructions for 32 weights, of which unsigned by signed bytes take five: an activation
// is 64 · high + low - 2048, so that products of four depths and either byte fit int16.
constexpr Index kDepthGroup = 4;
struct Quantised {
  std::int32_t bytes;  // of each four: their high bytes, their low bytes, the even two as int16, the odd two
};
constexpr Index weight_place(Index output, Index i) { return output * kDepthGroup + i; }
struct WeightGroup {
  __m256i even, odd;
};
using ActivationGroup = WeightGroup;
RECURRA_INLINE WeightGroup load_weights(const std::int8_t *from) {
  const __m256i both = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(from));
  return {_mm256_srai_epi16(_mm256_slli_epi16(both, 8), 8), _mm256_srai_epi16(both, 8)};
}
RECURRA_INLINE ActivationGroup load_activations(const Quantised *from) {
  return {_mm256_set1_epi32(from[2].bytes), _mm256_set1_epi32(from[3].bytes)};
}
RECURRA_INLINE void accumulate(Sums &sums, const WeightGroup &weights, const ActivationGroup &activations) {
  sums += reinterpret_cast<Integers>(_mm256_madd_epi16(weights.even, activations.even));
  sums += reinterpret_cast<Integers>(_mm256_madd_epi16(weights.odd, activations.odd));
}
RECURRA_INLINE Integers weights_at(const std::int8_t *group, int i) {
  return load_integers(group) << (24 - 8 * i) >> 24;
}
RECURRA_INLINE void store_activations(Integers values, Quantised *to) {
  const __m256i integers = reinterpret_cast<__m256i>(values);
  const __m128i halves = _mm_packs_epi32(_mm256_castsi256_si128(integers), _mm256_extracti128_si256(integers, 1));
  const __m128i biased = _mm_add_epi16(halves, _mm_set1_epi16(2048));
  const __m128i bytes =
      _mm_or_si128(_mm_srli_epi16(biased, 6), _mm_slli_epi16(_mm_and_si128(biased, _mm_set1_epi16(63)), 8));
  const __m128i split = _mm_shuffle_epi8(bytes, _mm_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15));
  const __m128i pairs = _mm_shuffle_epi8(halves, _mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15));
  _mm_storeu_si128(reinterpret_cast<__m128i *>(to), _mm_unpacklo_epi64(split, pairs));
  _mm_storeu_si128(reinterpret_cast<__m128i *>(to + 4), _mm_unpackhi_epi64(split, pairs));
}

constexpr Index kRowGroups = 2;
constexpr bool kRowBiased = true;
struct RowWeights {
  __m256i first, second;
};
struct RowActivations {
  __m256i high[2], low[2];
};
RECURRA_INLINE RowWeights load_row_weights(const std::int8_t *from, Index next) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i *>(from)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i *>(from + next))};
}
RECURRA_INLINE RowActivations load_row_activations(const Quantised *from) {
  return {{_mm256_set1_epi32(from[0].bytes), _mm256_set1_epi32(from[4].bytes)},
          {_mm256_set1_epi32(from[1].bytes), _mm256_set1_epi32(from[5].bytes)}};
}
RECURRA_INLINE void accumulate_row(Sums &sums, const RowWeights &weights, const RowActivations &activations) {
  const __m256i high = _mm256_add_epi16(_mm256_maddubs_epi16(activations.high[0], weights.first),
                                        _mm256_maddubs_epi16(activations.high[1], weights.second));
  const __m256i low = _mm256_add_epi16(_mm256_maddubs_epi16(activations.low[0], weights.first),
                                       _mm256_maddubs_epi16(activations.low[1], weights.second));
  sums = wrapping_add(sums, reinterpret_cast<Integers>(_mm256_madd_epi16(high, _mm256_set1_epi16(64))));
  sums = wrapping_add(sums, reinterpret_cast<Integers>(_mm256_madd_epi16(low, _mm256_set1_epi16(1))));
}

#else

// Activations are int16, and weights are widened to that.
constexpr Index kDepthGroup = 2;
using Quantised = std::int16_t;

#if defined(__AVX512BW__)

constexpr Index weight_place(Index output, Index i) { return output * kDepthGroup + i; }
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

#elif defined(__SSE2__)

constexpr Index weight_place(Index output, Index i) { return output * kDepthGroup + i; }
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

// A product takes one depth of four outputs.
constexpr Index weight_place(Index output, Index i) { return i * kOutputs + output; }
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

constexpr Index weight_place(Index output, Index i) { return i * kOutputs + output; }
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
#endif

#if !defined(__AVX2__) || defined(__AVX512BW__)

constexpr Index kRowGroups = 1;
constexpr bool kRowBiased = kBiased;
RECURRA_INLINE auto load_row_weights(const std::int8_t *from, Index) { return load_weights(from); }
RECURRA_INLINE auto load_row_activations(const Quantised *from) { return load_activations(from); }
template <class WeightGroup_, class ActivationGroup_>
RECURRA_INLINE void accumulate_row(Sums &sums, const WeightGroup_ &weights, const ActivationGroup_ &activations) {
  accumulate(sums, weights, activations);
}

#endif

constexpr Index kDepthStep = kDepthGroup * kRowGroups;  // of which a panel has a whole number

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
