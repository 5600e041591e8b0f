// Vec<T>: one SIMD register of float or double. Apart from this file only narrow/integer_simd.h and product/weights.h
// know an instruction set.
//
// Arithmetic is the compilers' vector extension, so an ISA without intrinsics below (SSE2) builds from the same source;
// intrinsics appear only where the extension has no word: FMA, the larger and the smaller of two, and tails.
// Everything here lives in an ISA-named namespace: the same header compiled under other -m flags makes other types,
// and the linker can't swap an AVX-512 copy of an inline function into the AVX2 build.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define RECURRA_INLINE inline __attribute__((always_inline))

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
constexpr int kAccumulators = 24;  // of 32 registers; the rest hold one row of weights, a broadcast and slack
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
constexpr int kAccumulators = 12;  // of 16
#elif defined(__aarch64__)
constexpr int kVectorBytes = 16;
constexpr int kAccumulators = 24;  // of 32
#else
constexpr int kVectorBytes = 16;
constexpr int kAccumulators = 12;  // SSE2 has 16 registers
#endif

template <class T>
struct IntOf;
template <>
struct IntOf<float> {
  using type = std::int32_t;
};
template <>
struct IntOf<double> {
  using type = std::int64_t;
};

template <class T>
struct Vec {
  using Int = typename IntOf<T>::type;
  typedef T Raw __attribute__((vector_size(kVectorBytes)));
  typedef Int Bits __attribute__((vector_size(kVectorBytes)));  // of a comparison: all ones where true
  typedef T Unaligned __attribute__((vector_size(kVectorBytes), aligned(alignof(T)), may_alias));

  static constexpr int size = kVectorBytes / static_cast<int>(sizeof(T));

  Raw raw;

  static RECURRA_INLINE Vec zero() { return {Raw{}}; }
  static RECURRA_INLINE Vec broadcast(T value) { return {value - Raw{}}; }  // minus: 0 + -0 would lose the sign
  static RECURRA_INLINE Vec load(const T *from) { return {*reinterpret_cast<const Unaligned *>(from)}; }
  static RECURRA_INLINE Vec load(const T *from,
                                 int count);  // the first `count` lanes; the others are zero and not read
  static RECURRA_INLINE Vec from_bits(Bits bits) { return {reinterpret_cast<Raw>(bits)}; }

  RECURRA_INLINE void store(T *to) const { *reinterpret_cast<Unaligned *>(to) = raw; }
  RECURRA_INLINE void store(T *to, int count) const;  // only the first `count` lanes are written
  RECURRA_INLINE Bits bits() const { return reinterpret_cast<Bits>(raw); }

  friend RECURRA_INLINE Vec operator+(Vec a, Vec b) { return {a.raw + b.raw}; }
  friend RECURRA_INLINE Vec operator-(Vec a, Vec b) { return {a.raw - b.raw}; }
  friend RECURRA_INLINE Vec operator*(Vec a, Vec b) { return {a.raw * b.raw}; }
  friend RECURRA_INLINE Vec operator/(Vec a, Vec b) { return {a.raw / b.raw}; }
  friend RECURRA_INLINE Bits operator<(Vec a, Vec b) { return a.raw < b.raw; }
  friend RECURRA_INLINE Bits operator>(Vec a, Vec b) { return a.raw > b.raw; }

  // Lane-wise `mask ? yes : no`. A comparison with NaN is false, so `select(x < lo, lo, x)` lets NaN through.
  static RECURRA_INLINE Vec select(Bits mask, Vec yes, Vec no) {
#if defined(__clang__) && defined(__aarch64__)
    __asm__("" : "+w"(mask));  // hides it from Clang 14, for which `x < 0 ? 0 : x` is fmax: that makes 0 of -0
#endif
    return {mask ? yes.raw : no.raw};
  }
};

// a * b + c with one rounding (two on plain x86-64, which has no such instruction and is exempt from equal bits).
template <class T>
RECURRA_INLINE Vec<T> fma(Vec<T> a, Vec<T> b, Vec<T> c) {
#if defined(__FP_FAST_FMA) && !defined(__x86_64__)
  typename Vec<T>::Raw out;
  for (int lane = 0; lane < Vec<T>::size; ++lane) {
    if constexpr (sizeof(T) == 4) {
      out[lane] = __builtin_fmaf(a.raw[lane], b.raw[lane], c.raw[lane]);
    } else {
      out[lane] = __builtin_fma(a.raw[lane], b.raw[lane], c.raw[lane]);
    }
  }
  return {out};
#else
  return {a.raw * b.raw + c.raw};
#endif
}

// The larger of limit and x, the smaller of them; NaN in x stays NaN. One instruction on x86, whose second operand is
// the one that wins when either is NaN.
template <class T>
RECURRA_INLINE Vec<T> at_least(T limit, Vec<T> x) {
  return Vec<T>::select(x < Vec<T>::broadcast(limit), Vec<T>::broadcast(limit), x);
}
template <class T>
RECURRA_INLINE Vec<T> at_most(T limit, Vec<T> x) {
  return Vec<T>::select(x > Vec<T>::broadcast(limit), Vec<T>::broadcast(limit), x);
}

// The lanes of a (from 0 on) and b (from Vec<T>::size on) that are named.
template <int... lane, class T>
RECURRA_INLINE Vec<T> shuffle(Vec<T> a, Vec<T> b) {
#if defined(__clang__)
  return {__builtin_shufflevector(a.raw, b.raw, lane...)};
#else  // which has Clang's word since GCC 12 only
  return {__builtin_shuffle(a.raw, b.raw, typename Vec<T>::Bits{lane...})};
#endif
}

// Asks for the cache line of `at`, to be read or to be written. The empty asm is there because GCC takes a function
// that only prefetches for one without effect, and drops the calls of it.
RECURRA_INLINE void fetch(const void *at) {
  __builtin_prefetch(at, 0);
  __asm__ volatile("");
}
RECURRA_INLINE void fetch_to_write(const void *at) {
  __builtin_prefetch(at, 1);
  __asm__ volatile("");
}

// c - a * b with one rounding: negating a factor is exact, so this is the same number as fma(-a, b, c).
template <class T>
RECURRA_INLINE Vec<T> fnma(Vec<T> a, Vec<T> b, Vec<T> c) {
  return fma(Vec<T>{-a.raw}, b, c);
}

#if defined(__AVX512F__)

// Masked by all ones, since GCC 12 warns of the plain forms' undefined operand.
template <>
RECURRA_INLINE Vec<float> at_least(float limit, Vec<float> x) {
  return {_mm512_maskz_max_ps(static_cast<__mmask16>(-1), _mm512_set1_ps(limit), x.raw)};
}
template <>
RECURRA_INLINE Vec<float> at_most(float limit, Vec<float> x) {
  return {_mm512_maskz_min_ps(static_cast<__mmask16>(-1), _mm512_set1_ps(limit), x.raw)};
}
template <>
RECURRA_INLINE Vec<double> at_least(double limit, Vec<double> x) {
  return {_mm512_maskz_max_pd(static_cast<__mmask8>(-1), _mm512_set1_pd(limit), x.raw)};
}
template <>
RECURRA_INLINE Vec<double> at_most(double limit, Vec<double> x) {
  return {_mm512_maskz_min_pd(static_cast<__mmask8>(-1), _mm512_set1_pd(limit), x.raw)};
}
template <>
RECURRA_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return {_mm512_fmadd_ps(a.raw, b.raw, c.raw)};
}
template <>
RECURRA_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return {_mm512_fmadd_pd(a.raw, b.raw, c.raw)};
}
template <>
RECURRA_INLINE Vec<float> Vec<float>::load(const float *from, int count) {
  return {_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1u), from)};
}
template <>
RECURRA_INLINE Vec<double> Vec<double>::load(const double *from, int count) {
  return {_mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << count) - 1u), from)};
}
template <>
RECURRA_INLINE void Vec<float>::store(float *to, int count) const {
  _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << count) - 1u), raw);
}
template <>
RECURRA_INLINE void Vec<double>::store(double *to, int count) const {
  _mm512_mask_storeu_pd(to, static_cast<__mmask8>((1u << count) - 1u), raw);
}

#elif defined(__AVX2__)

template <>
RECURRA_INLINE Vec<float> at_least(float limit, Vec<float> x) {
  return {_mm256_max_ps(_mm256_set1_ps(limit), x.raw)};
}
template <>
RECURRA_INLINE Vec<float> at_most(float limit, Vec<float> x) {
  return {_mm256_min_ps(_mm256_set1_ps(limit), x.raw)};
}
template <>
RECURRA_INLINE Vec<double> at_least(double limit, Vec<double> x) {
  return {_mm256_max_pd(_mm256_set1_pd(limit), x.raw)};
}
template <>
RECURRA_INLINE Vec<double> at_most(double limit, Vec<double> x) {
  return {_mm256_min_pd(_mm256_set1_pd(limit), x.raw)};
}
template <>
RECURRA_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return {_mm256_fmadd_ps(a.raw, b.raw, c.raw)};
}
template <>
RECURRA_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return {_mm256_fmadd_pd(a.raw, b.raw, c.raw)};
}
RECURRA_INLINE __m256i tail_mask32(int count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
RECURRA_INLINE __m256i tail_mask64(int count) {
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), _mm256_setr_epi64x(0, 1, 2, 3));
}
template <>
RECURRA_INLINE Vec<float> Vec<float>::load(const float *from, int count) {
  return {_mm256_maskload_ps(from, tail_mask32(count))};
}
template <>
RECURRA_INLINE Vec<double> Vec<double>::load(const double *from, int count) {
  return {_mm256_maskload_pd(from, tail_mask64(count))};
}
template <>
RECURRA_INLINE void Vec<float>::store(float *to, int count) const {
  _mm256_maskstore_ps(to, tail_mask32(count), raw);
}
template <>
RECURRA_INLINE void Vec<double>::store(double *to, int count) const {
  _mm256_maskstore_pd(to, tail_mask64(count), raw);
}

#elif defined(__aarch64__)

// Not by __FP_FAST_FMA, which Clang has defined since 16 only.
template <>
RECURRA_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return {vfmaq_f32(c.raw, a.raw, b.raw)};
}
template <>
RECURRA_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return {vfmaq_f64(c.raw, a.raw, b.raw)};
}
// NaN wins here, whichever operand it is.
template <>
RECURRA_INLINE Vec<float> at_least(float limit, Vec<float> x) {
  return {vmaxq_f32(vdupq_n_f32(limit), x.raw)};
}
template <>
RECURRA_INLINE Vec<float> at_most(float limit, Vec<float> x) {
  return {vminq_f32(vdupq_n_f32(limit), x.raw)};
}
template <>
RECURRA_INLINE Vec<double> at_least(double limit, Vec<double> x) {
  return {vmaxq_f64(vdupq_n_f64(limit), x.raw)};
}
template <>
RECURRA_INLINE Vec<double> at_most(double limit, Vec<double> x) {
  return {vminq_f64(vdupq_n_f64(limit), x.raw)};
}
// No masks, but two bits of `count` at most: a pair of lanes, and one after it. Copying by way of the stack is a call
// of memcpy, and a load that waits for two stores.
template <>
RECURRA_INLINE Vec<float> Vec<float>::load(const float *from, int count) {
  if (!(count & 2)) {
    return {count & 1 ? vsetq_lane_f32(*from, vdupq_n_f32(0), 0) : vdupq_n_f32(0)};
  }
  return {vcombine_f32(vld1_f32(from), count & 1 ? vset_lane_f32(from[2], vdup_n_f32(0), 0) : vdup_n_f32(0))};
}
template <>
RECURRA_INLINE Vec<double> Vec<double>::load(const double *from, int count) {
  return {count & 1 ? vsetq_lane_f64(*from, vdupq_n_f64(0), 0) : vdupq_n_f64(0)};
}
template <>
RECURRA_INLINE void Vec<float>::store(float *to, int count) const {
  if (count & 2) {
    vst1_f32(to, vget_low_f32(raw));
  }
  if (count & 1) {
    to[count & 2] = count & 2 ? vgetq_lane_f32(raw, 2) : vgetq_lane_f32(raw, 0);
  }
}
template <>
RECURRA_INLINE void Vec<double>::store(double *to, int count) const {
  if (count & 1) {
    *to = vgetq_lane_f64(raw, 0);
  }
}

#else

template <class T>
RECURRA_INLINE Vec<T> Vec<T>::load(const T *from, int count) {
  T lanes[size] = {};
  std::memcpy(lanes, from, static_cast<std::size_t>(count) * sizeof(T));
  return load(lanes);
}
template <class T>
RECURRA_INLINE void Vec<T>::store(T *to, int count) const {
  T lanes[size];
  store(lanes);
  std::memcpy(to, lanes, static_cast<std::size_t>(count) * sizeof(T));
}

#endif

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
