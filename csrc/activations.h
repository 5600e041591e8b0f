// Sigmoid, tanh and relu on Vec, and the slopes of the first two from their saved outputs.
//
// Only + - * / fma, selects and integer operations on bits, in one order, so every ISA gives the same bits. Division is
// IEEE's: it works beside the FMA ports, so it is cheaper than a reciprocal estimate with its Newton steps.
#pragma once

#include "simd.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class T>
struct ActivationConstants;

template <>
struct ActivationConstants<float> {
  static constexpr float kLog2E = 0x1.715476p+0f;
  static constexpr float kLn2High = 0x1.62e4p-1f;  // 16 bits, so n * kLn2High is exact without FMA too
  static constexpr float kLn2Low = 0x1.7f7d1cp-20f;
  // Below kLowest the sigmoid rounds to 0, above kHighest to 1.
  static constexpr float kLowest = -104.0f, kHighest = 32.0f;
  // 2^-24: keeps kScale * e^104 finite, so that the quotient is right in the subnormal range too.
  static constexpr float kScale = 0x1p-24f;
  static constexpr float kRound = 0x1.8p23f + 127 - 24;  // its low bits become the exponent field of 2^n * kScale
  static constexpr int kExponentShift = 23;
  // (1 - e^-r - r) / r^2 on |r| <= ln2/2, relative to e^-r
  static constexpr float kExp[] = {-0x1.fffffcp-2f, 0x1.55548cp-3f, -0x1.555858p-5f, 0x1.123da6p-7f, -0x1.6ac142p-10f};
  // x^3 / (x - tanh x) in x^2
  static constexpr float kTanh[] = {0x1.800016p+1f, 0x1.33307cp+0f, -0x1.6a5590p-8f};
  static constexpr float kTanhSplit = 0.625f;
};

template <>
struct ActivationConstants<double> {
  static constexpr double kLog2E = 0x1.71547652b82fep+0;
  static constexpr double kLn2High = 0x1.62e42fefa3800p-1;  // 42 bits
  static constexpr double kLn2Low = 0x1.ef35793c76730p-45;
  static constexpr double kLowest = -746.0, kHighest = 64.0;
  static constexpr double kScale = 0x1p-54;
  static constexpr double kRound = 0x1.8p52 + 1023 - 54;
  static constexpr int kExponentShift = 52;
  static constexpr double kExp[] = {-0x1.000000000000ap-1,  0x1.55555555554f9p-3,   -0x1.555555555083ep-5,
                                    0x1.1111111127d12p-7,   -0x1.6c16c18438b27p-10, 0x1.a01a012a0e169p-13,
                                    -0x1.a01999e25d12cp-16, 0x1.71df25b58a64bp-19,  -0x1.28ad9b8b5ddb9p-22,
                                    0x1.ad7f3af682030p-26};
  static constexpr double kTanh[] = {0x1.8000000000032p+1,  0x1.3333333331e67p+0,   -0x1.767dce2bf7fcbp-8,
                                     0x1.0a4e09252e479p-12, -0x1.9975b36f5d13ap-17, 0x1.405d11ce5599fp-21,
                                     -0x1.ce190893c2d0ap-26};
  static constexpr double kTanhSplit = 0.7;
};

// coefficients[0] + coefficients[1] x + ..., by Horner's rule.
template <class T, int N>
RECURRA_INLINE Vec<T> polynomial(Vec<T> x, const T (&coefficients)[N]) {
  Vec<T> sum = Vec<T>::broadcast(coefficients[N - 1]);
  for (int i = N - 2; i >= 0; --i) sum = fma(sum, x, Vec<T>::broadcast(coefficients[i]));
  return sum;
}

// kScale * (1 + e^-x), for x within [kLowest, kHighest] or NaN.
template <class T>
RECURRA_INLINE Vec<T> exp_plus_one(Vec<T> x) {
  using C = ActivationConstants<T>;
  const Vec<T> round = Vec<T>::broadcast(C::kRound);
  const Vec<T> rounded = fma(x, Vec<T>::broadcast(-C::kLog2E), round);
  const Vec<T> n = rounded - round;
  Vec<T> r = fma(n, Vec<T>::broadcast(C::kLn2High), x);
  r = fma(n, Vec<T>::broadcast(C::kLn2Low), r);                                 // e^-x = 2^n e^-r
  const Vec<T> scale = Vec<T>::from_bits(rounded.bits() << C::kExponentShift);  // 2^n kScale
  const Vec<T> fall = fma(r * r, polynomial(r, C::kExp), r);                    // 1 - e^-r
  const Vec<T> one = Vec<T>::broadcast(C::kScale);
  if constexpr (sizeof(T) == 4) {
    return fnma(scale, fall, scale + one);
  } else {  // from 2^53 up scale + one would round the 1 away, and the quotient be off by 2.5 ULP
    const typename Vec<T>::Bits large = scale > one;
    return fnma(scale, fall, Vec<T>::select(large, one, scale)) + Vec<T>::select(large, scale, one);
  }
}

// 1 / (1 + e^-x)
template <class T>
RECURRA_INLINE Vec<T> sigmoid(Vec<T> x) {
  using C = ActivationConstants<T>;
  return Vec<T>::broadcast(C::kScale) / exp_plus_one(at_most(C::kHighest, at_least(C::kLowest, x)));
}

template <class T>
RECURRA_INLINE Vec<T> tanh(Vec<T> x) {
  using C = ActivationConstants<T>;
  const typename Vec<T>::Bits sign = Vec<T>::broadcast(T(-0.0)).bits();
  const Vec<T> size = Vec<T>::from_bits(x.bits() & ~sign), square = x * x;
  const typename Vec<T>::Bits small = size < Vec<T>::broadcast(C::kTanhSplit);
  const Vec<T> top = Vec<T>::select(small, square * size, Vec<T>::broadcast(2 * C::kScale));
  const Vec<T> bottom = Vec<T>::select(small, polynomial(square, C::kTanh),
                                       exp_plus_one(at_least(-C::kHighest * 2, size * Vec<T>::broadcast(T(-2)))));
  const Vec<T> result = Vec<T>::select(small, size, Vec<T>::broadcast(T(1))) - top / bottom;
  return Vec<T>::from_bits(result.bits() | (x.bits() & sign));
}

template <class T>
RECURRA_INLINE Vec<T> relu(Vec<T> x) {  // NaN stays NaN
  return Vec<T>::select(x < Vec<T>::zero(), Vec<T>::zero(), x);
}

// The derivatives, from s = sigmoid(x) and t = tanh(x).
template <class T>
RECURRA_INLINE Vec<T> sigmoid_slope(Vec<T> s) {  // s (1 - s)
  return fnma(s, s, s);
}

template <class T>
RECURRA_INLINE Vec<T> tanh_slope(Vec<T> t) {  // 1 - t^2
  return fnma(t, t, Vec<T>::broadcast(T(1)));
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
