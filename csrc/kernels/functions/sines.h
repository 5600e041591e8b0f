// Sine and cosine. The argument is reduced by multiples of pi/2, which three numbers of T's precision stand for: right
// for |x| up to kMostReduced. Beyond, the results are some numbers in [-1, 1] of which only that much is certain; of
// infinity they are NaN.
#pragma once

#include "kernels/functions/choices.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class T>
struct SineConstants;

template <>
struct SineConstants<float> {
  static constexpr float kMostReduced = 0x1p17f;
  static constexpr float kRound = 0x1.8p23f;
  static constexpr float kQuarters = 0x1.45f306p-1f;  // 2 / pi
  static constexpr float kQuarter[] = {0x1.921fb6p+0f, -0x1.777a5cp-25f, -0x1.ee59dap-50f};
  static constexpr float kMostAngle = 0.8f;  // at most pi/4 and what rounding the number of quarters may add
  // (sin r - r) / r^3 in r^2, off by 2^-27.8 of sin r; (cos r - 1 + r^2 / 2) / r^4, off by 2^-32.9
  static constexpr float kSine[] = {-0x1.555544p-3f, 0x1.1106b4p-7f, -0x1.99122ap-13f};
  static constexpr float kCosine[] = {0x1.55554ap-5f, -0x1.6c0c08p-10f, 0x1.99d83ap-16f};
};

template <>
struct SineConstants<double> {
  static constexpr double kMostReduced = 0x1p45;
  static constexpr double kRound = 0x1.8p52;
  static constexpr double kQuarters = 0x1.45f306dc9c883p-1;
  static constexpr double kQuarter[] = {0x1.921fb54442d18p+0, 0x1.1a62633145c07p-54, -0x1.f1976b7ed8fbcp-110};
  static constexpr double kMostAngle = 0.8;
  static constexpr double kSine[] = {-0x1.5555555555546p-3, 0x1.111111110f3c5p-7,   -0x1.a01a019b74837p-13,  // 2^-57.6
                                     0x1.71de34eb3621ep-19, -0x1.ae5df58d31719p-26, 0x1.5d71b5f606f13p-33};
  static constexpr double kCosine[] = {
      0x1.5555555555549p-5,   -0x1.6c16c16c14b8dp-10, 0x1.a01a019c19262p-16,  // 2^-63.8
      -0x1.27e4f79932c38p-22, 0x1.1ee99dd8d49f0p-29,  -0x1.8f85923540987p-37};
};

// c - a * b with one rounding on every ISA: with two, a reduced argument would be worth nothing. On plain x86-64 it is
// the C library's, slowly.
template <class T>
RECURRA_INLINE Vec<T> exact_fnma(Vec<T> a, Vec<T> b, Vec<T> c) {
#if defined(__x86_64__) && !defined(__FMA__)
  typename Vec<T>::Raw out;
  for (int lane = 0; lane < Vec<T>::size; ++lane) {
    if constexpr (sizeof(T) == 4) {
      out[lane] = __builtin_fmaf(-a.raw[lane], b.raw[lane], c.raw[lane]);
    } else {
      out[lane] = __builtin_fma(-a.raw[lane], b.raw[lane], c.raw[lane]);
    }
  }
  return {out};
#else
  return fnma(a, b, c);
#endif
}

// size = quarters * pi/2 + angle; `quarters` is right in its two lowest bits.
template <class T>
struct Turned {
  Vec<T> angle;
  typename Vec<T>::Bits quarters;
};

template <class T>
RECURRA_INLINE Turned<T> turn(Vec<T> size) {
  using C = SineConstants<T>;
  const Vec<T> round = constant(C::kRound);
  const Vec<T> rounded = fma(size, constant(C::kQuarters), round), n = rounded - round;
  Vec<T> angle = size;
  for (const T quarter : C::kQuarter) {
    angle = exact_fnma(n, constant(quarter), angle);
  }
  return {at_least(-C::kMostAngle, at_most(C::kMostAngle, angle)), rounded.bits()};
}

// The sine of quarters * pi/2 + angle.
template <class T>
RECURRA_INLINE Vec<T> sine_of(Vec<T> angle, typename Vec<T>::Bits quarters) {
  using C = SineConstants<T>;
  const Vec<T> square = angle * angle, fourth = square * square;
  const Vec<T> sine = fma(angle * square, polynomial(square, fourth, C::kSine), angle);
  const Vec<T> cosine =
      fma(fourth, polynomial(square, fourth, C::kCosine), fma(square, constant(T(-0.5)), constant(T(1))));
  const Vec<T> result = Vec<T>::select((quarters & 1) == 1, cosine, sine);
  return Vec<T>::from_bits(result.bits() ^ ((quarters & 2) << (8 * static_cast<int>(sizeof(T)) - 2)));
}

template <class T>
RECURRA_INLINE Vec<T> sin(Vec<T> x) {
  const auto [angle, quarters] = turn(absolute(x));
  return Vec<T>::from_bits(sine_of(angle, quarters).bits() ^ sign_of(x));
}

template <class T>
RECURRA_INLINE Vec<T> cos(Vec<T> x) {
  const auto [angle, quarters] = turn(absolute(x));
  return sine_of(angle, (quarters & 3) + 1);  // masked, as the bits of NaN and one more may be too many for a number
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
