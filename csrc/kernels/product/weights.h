// In what form packed weights lie in memory, and how a vector of them comes into a register. The products are templates
// over it: with bfloat16 and float16 only the loads differ, so their chains are those of a float32 layer whose weights
// are the widened ones. narrow/int8_weights.h has the form that isn't multiplied as floats.
#pragma once

#include "kernels/arena.h"
#include "kernels/integers.h"
#include "kernels/product/tile_shapes.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// Shapes of tiles, of weights that take no registers beside a column of a panel: the most rows, and the vectors that a
// tile of some rows does in one pass down its panel.
struct TileShapes {
  static constexpr int rows(int vectors) { return tile_rows(vectors); }
  static constexpr int pass(int rows, int vectors) {
    return kTwoPasses && rows == kPassRows && vectors == kPanelVectors ? vectors / 2 : vectors;
  }
  static constexpr int at_most(int rows, int vectors) { return one_pass_or_two(rows, vectors); }
};

// As they are computed with.
template <class T>
struct FullWeights {
  using Storage = T;      // of packed weights
  using Row = const T *;  // what is multiplied by them
  static constexpr int kLanes = Vec<T>::size;
  static constexpr bool kNarrow = false, kIntegers = false;
  static constexpr Index kGroup = 1;  // depths whose weights lie together
  using Shapes = TileShapes;

  // Elements of storage in a panel, and where in it the weights of depth k begin.
  static constexpr Index panel_size(Index depth, int vectors) { return depth * vectors * Vec<T>::size; }
  static RECURRA_INLINE const T *panel_at(const T *panel, Index k, int vectors) {
    return panel + panel_size(k, vectors);
  }
  static constexpr Index weight_at(Index k, Index column, Index width) { return k * width + column; }
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

// The upper half of a float32. Those of two depths lie side by side in 32 bits, and a single instruction makes a vector
// of either: with halves that are widened first, products were no faster than float32's.
struct Bfloat16Weights {
  using Storage = std::uint16_t;
  using Row = const float *;
  using Pair = Vec<float>::Bits;
  static constexpr int kLanes = Vec<float>::size;
  static constexpr bool kNarrow = true, kIntegers = false;
  static constexpr Index kGroup = 2;
  // With 16 registers, 12 sums and three columns that are shifted out of pairs had some sums on the stack, and a
  // product took one and a half times as long; five rows in two passes take as long as float32's.
  struct Shapes {
    static constexpr int rows(int vectors) {
      return !kTwoPasses || vectors == 1 ? tile_rows(vectors) : vectors == 3 ? 3 : 5;
    }
    static constexpr int pass(int rows, int vectors) {
      return kTwoPasses && rows > 2 && vectors == kPanelVectors ? vectors / 2 : vectors;
    }
    static constexpr int at_most(int rows, int vectors) {
      return rows < Shapes::rows(vectors) ? rows : Shapes::rows(vectors);
    }
  };

  static constexpr Index panel_size(Index depth, int vectors) { return ceil_div(depth, 2) * 2 * vectors * kLanes; }
  // k is a multiple of kGroup.
  static RECURRA_INLINE const Storage *panel_at(const Storage *panel, Index k, int vectors) {
    return panel + k * vectors * kLanes;
  }
  static constexpr Index weight_at(Index k, Index column, Index width) {
    return k / 2 * 2 * width + 2 * column + k % 2;
  }

  static RECURRA_INLINE Pair load_pair(const Storage *from) {
    typedef std::int32_t Unaligned __attribute__((vector_size(kVectorBytes), aligned(2), may_alias));
    Pair pair = *reinterpret_cast<const Unaligned *>(from);
#if defined(__AVX2__)
    __asm__("" : "+v"(pair));  // or GCC loads it for either half, and loads are what a product has too many of
#endif
    return pair;
  }
  // Of one depth of a pair, 0 or 1.
  template <int depth>
  static RECURRA_INLINE Vec<float> half(Pair pair) {
    return Vec<float>::from_bits(depth == 0 ? pair << 16 : pair & ~0xffff);
  }
  template <int depth>
  static RECURRA_INLINE Vec<float> load(const Storage *from) {
    Pair pair = reinterpret_cast<Pair>(Vec<float>::load(reinterpret_cast<const float *>(from)).raw);
#if defined(__SSE2__) && !defined(__AVX512F__)
    if (depth == 1) {  // by shifts, as a tile's sums leave no register for a mask
      pair >>= 16;
      __asm__("" : "+x"(pair));
      return half<0>(pair);
    }
#endif
    return half<depth>(pair);
  }

  static RECURRA_INLINE Vec<float> widened(const Storage *from) {
    return Vec<float>::from_bits(load_halves(from) << 16);
  }
  static RECURRA_INLINE void one_hot(const float *from, const Storage *panel, int vectors, Index k, float *to) {
    for (int v = 0; v < vectors; ++v) {
      const Pair pair = load_pair(panel + (k / 2 * vectors + v) * 2 * kLanes);
      (Vec<float>::load(from + v * kLanes) + (k % 2 ? half<1>(pair) : half<0>(pair))).store(to + v * kLanes);
    }
  }
};

// IEEE's 16 bits. Every one of them is a normal float32, so flushing subnormal numbers changes none, as long as none is
// subnormal on the way: the conversions don't heed that mode, and the portable code makes those from an integer.
struct Float16Weights {
  using Storage = std::uint16_t;
  using Row = const float *;
  static constexpr int kLanes = Vec<float>::size;
  static constexpr bool kNarrow = true, kIntegers = false;
  static constexpr Index kGroup = 1;
  using Shapes = TileShapes;

  static constexpr Index panel_size(Index depth, int vectors) { return depth * vectors * kLanes; }
  static RECURRA_INLINE const Storage *panel_at(const Storage *panel, Index k, int vectors) {
    return panel + panel_size(k, vectors);
  }
  static constexpr Index weight_at(Index k, Index column, Index width) { return k * width + column; }

#if !defined(__AVX2__) && !defined(__aarch64__)
  static __attribute__((noinline)) Vec<float> from_integers(const Storage *from) {  // inline, products are 40 KB more
    using Bits = Vec<float>::Bits;
    const Bits half = load_halves(from), sign = (half & 0x8000) << 16, rest = half & 0x7fff;
    const Bits subnormal = reinterpret_cast<Bits>(__builtin_convertvector(rest, Vec<float>::Raw) * (1.0f / (1 << 24)));
    const Bits special = rest >= 0x7c00;  // infinities and NaN
    const Bits normal = ((rest << 13) + (112 << 23)) | (special & 0x7f800000);
    return Vec<float>::from_bits(sign | (rest < 0x400 ? subnormal : normal));
  }
#endif
  template <int depth = 0>
  static RECURRA_INLINE Vec<float> load(const Storage *from) {
#if defined(__AVX512F__)
    return {
        _mm512_maskz_cvtph_ps(static_cast<__mmask16>(-1), _mm256_loadu_si256(reinterpret_cast<const __m256i *>(from)))};
#elif defined(__AVX2__)
    return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(from)))};
#elif defined(__aarch64__)
    return {vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from)))};
#else
    return from_integers(from);
#endif
  }
  static RECURRA_INLINE Vec<float> widened(const Storage *from) { return load(from); }
  static RECURRA_INLINE void one_hot(const float *from, const Storage *panel, int vectors, Index k, float *to) {
    for (Index i = 0, width = vectors * kLanes; i < width; i += kLanes) {
      (Vec<float>::load(from + i) + load(panel + k * width + i)).store(to + i);
    }
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
