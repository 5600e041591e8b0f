// In what form packed weights lie in memory, and how a vector of them comes into a register. The products are templates
// over it: with bfloat16 and float16 only the loads differ, so their chains are those of a float32 layer whose weights
// are the widened ones.
#pragma once

#include "kernels/arena.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// As they are computed with.
template <class T>
struct FullWeights {
  using Storage = T;      // of packed weights
  using Row = const T *;  // what is multiplied by them
  static constexpr int kLanes = Vec<T>::size;
  static constexpr bool kIntegers = false;

  // Elements of storage in a panel, and where in it the weights of depth k begin.
  static constexpr Index panel_size(Index depth, int vectors) { return depth * vectors * Vec<T>::size; }
  static RECURRA_INLINE const T *panel_at(const T *panel, Index k, int vectors) {
    return panel + panel_size(k, vectors);
  }
  static RECURRA_INLINE Vec<T> load(const T *from) { return Vec<T>::load(from); }
  // to[:] = from[:] + the product of a row that is 1 at k and else 0 with a panel.
  static RECURRA_INLINE void one_hot(const T *from, const T *panel, int vectors, Index k, T *to) {
    for (Index i = 0, width = vectors * Vec<T>::size; i < width; i += Vec<T>::size) {
      (Vec<T>::load(from + i) + load(panel + k * width + i)).store(to + i);
    }
  }
};

// Lanes of 16 bits, as many as a vector of float has, each widened to 32 bits with zeros.
RECURRA_INLINE Vec<float>::Bits load_halves(const std::uint16_t *from) {
#if defined(__AVX512F__)
  return reinterpret_cast<Vec<float>::Bits>(_mm512_maskz_cvtepu16_epi32(
      static_cast<__mmask16>(-1), _mm256_loadu_si256(reinterpret_cast<const __m256i *>(from))));
#elif defined(__AVX2__)
  return reinterpret_cast<Vec<float>::Bits>(
      _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i *>(from))));
#else
  typedef std::uint16_t Halves __attribute__((vector_size(kVectorBytes / 2), aligned(2), may_alias));
  return __builtin_convertvector(*reinterpret_cast<const Halves *>(from), Vec<float>::Bits);
#endif
}

// What both formats of 16 bits have in common; Weights::load widens a vector.
template <class Weights>
struct HalfWeights {
  using Storage = std::uint16_t;
  using Row = const float *;
  static constexpr int kLanes = Vec<float>::size;
  static constexpr bool kIntegers = false;

  static constexpr Index panel_size(Index depth, int vectors) { return depth * vectors * Vec<float>::size; }
  static RECURRA_INLINE const Storage *panel_at(const Storage *panel, Index k, int vectors) {
    return panel + panel_size(k, vectors);
  }
  static RECURRA_INLINE Vec<float> widened(const Storage *from) { return Weights::load(from); }
  static RECURRA_INLINE void one_hot(const float *from, const Storage *panel, int vectors, Index k, float *to) {
    for (Index i = 0, width = vectors * kLanes; i < width; i += kLanes) {
      (Vec<float>::load(from + i) + Weights::load(panel + k * width + i)).store(to + i);
    }
  }
};

// The upper half of a float32.
struct Bfloat16Weights : HalfWeights<Bfloat16Weights> {
  static RECURRA_INLINE Vec<float> load(const Storage *from) { return Vec<float>::from_bits(load_halves(from) << 16); }
};

// IEEE's 16 bits. Every one of them is a normal float32, so flushing subnormal numbers changes none, as long as none is
// subnormal on the way: the conversions don't heed that mode, and the portable code makes those from an integer.
struct Float16Weights : HalfWeights<Float16Weights> {
  static RECURRA_INLINE Vec<float> load(const Storage *from) {
#if defined(__AVX512F__)
    return {
        _mm512_maskz_cvtph_ps(static_cast<__mmask16>(-1), _mm256_loadu_si256(reinterpret_cast<const __m256i *>(from)))};
#elif defined(__AVX2__)
    return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(from)))};
#elif defined(__aarch64__)
    return {vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from)))};
#else
    using Bits = Vec<float>::Bits;
    const Bits half = load_halves(from), sign = (half & 0x8000) << 16, rest = half & 0x7fff;
    const Bits subnormal = reinterpret_cast<Bits>(__builtin_convertvector(rest, Vec<float>::Raw) * (1.0f / (1 << 24)));
    const Bits special = rest >= 0x7c00;  // infinities and NaN
    const Bits normal = ((rest << 13) + (112 << 23)) | (special & 0x7f800000);
    return Vec<float>::from_bits(sign | (rest < 0x400 ? subnormal : normal));
#endif
  }
};

// The rows of a source as products read them: with weights that are floats, as they are.
template <class T, class W>
struct Sources {
  Sources() = default;
  Sources(Index, Index, Arena &) {}

  const typename W::Row *of(const T *const *rows, Index, T) const { return rows; }
};

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
