// Sigmoid, tanh and relu on Vec, and the slopes of the first two from their saved outputs.
//
// Only + - * / fma, selects and integer operations on bits, in one order, so every ISA gives the same bits. Division is
// IEEE's: it works beside the FMA ports, so it is cheaper than a reciprocal estimate with its Newton steps.
#pragma once

#include "kernels/simd.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class T>
struct ActivationConstants;

template <>
struct ActivationConstants<float> {
  static constexpr float kLog2E = 0x1.715476p+0f;
  static constexpr float kLn2High = 0x1.62e4p-1f;  // 16 bits, so n * kLn2High is exact without FMA too
  static constexpr float kLn2Low = 0x1.7f7d1cp-20f;
  // Below kLowest the sigmoid rounds to 0, above kHighest to 1; from kTwiceTanhOne / 2 on tanh does.
  static constexpr float kLowest = -104.0f, kHighest = 32.0f;
  static constexpr float kTwiceTanhOne = 20.0f;
  static constexpr float kRound = 0x1.8p23f + 127;  // its low bits become the exponent field of 2^n
  static constexpr int kExponentShift = 23;
  static constexpr int kHeadroom = 24;
  static constexpr float kScale = 0x1p-24f;  // 2^-kHeadroom: times e^104 it is finite
  // (1 - e^-r - r) / r^2 on |r| <= ln2/2, relative to e^-r
  static constexpr float kExp[] = {-0x1.fffffcp-2f, 0x1.55548cp-3f, -0x1.555858p-5f, 0x1.123da6p-7f, -0x1.6ac142p-10f};
};

template <>
struct ActivationConstants<double> {
  static constexpr double kLog2E = 0x1.71547652b82fep+0;
  static constexpr double kLn2High = 0x1.62e42fefa3800p-1;  // 42 bits
  static constexpr double kLn2Low = 0x1.ef35793c76730p-45;
  static constexpr double kLowest = -746.0, kHighest = 64.0;
  static constexpr double kRound = 0x1.8p52 + 1023;
  static constexpr int kExponentShift = 52;
  static constexpr int kHeadroom = 54;
  static constexpr double kScale = 0x1p-54;  // times e^746 it is finite
  static constexpr double kExp[] = {-0x1.000000000000ap-1,  0x1.55555555554f9p-3,   -0x1.555555555083ep-5,
                                    0x1.1111111127d12p-7,   -0x1.6c16c18438b27p-10, 0x1.a01a012a0e169p-13,
                                    -0x1.a01999e25d12cp-16, 0x1.71df25b58a64bp-19,  -0x1.28ad9b8b5ddb9p-22,
                                    0x1.ad7f3af682030p-26};
  // x^3 / (x - tanh x) in x^2, below kTanhSplit
  static constexpr double kTanh[] = {0x1.8000000000032p+1,  0x1.3333333331e67p+0,   -0x1.767dce2bf7fcbp-8,
                                     0x1.0a4e09252e479p-12, -0x1.9975b36f5d13ap-17, 0x1.405d11ce5599fp-21,
                                     -0x1.ce190893c2d0ap-26};
  static constexpr double kTanhSplit = 0.7;
};

template <class T>
RECURRA_INLINE Vec<T> constant(T value) {
  return Vec<T>::broadcast(value);
}

// coefficients[0] + coefficients[1] x + ..., its even and its odd powers by Horner's rule: as many operations as all
// in one chain, and half as long a wait.
template <class T, int N>
RECURRA_INLINE Vec<T> polynomial(Vec<T> x, Vec<T> square, const T (&coefficients)[N]) {
  constexpr int kEven = (N - 1) / 2 * 2, kOdd = (N - 2) / 2 * 2 + 1;
  Vec<T> even = constant(coefficients[kEven]), odd = constant(coefficients[kOdd]);
  for (int i = kEven - 2; i >= 0; i -= 2) even = fma(square, even, constant(coefficients[i]));
  for (int i = kOdd - 2; i >= 1; i -= 2) odd = fma(square, odd, constant(coefficients[i]));
  return fma(x, odd, even);
}

// e^-x = scale (1 - fall), scale a power of two.
template <class T>
struct Exponential {
  Vec<T> scale, fall;
};

// 2^shift e^-x, for x within the range of T's exponents or NaN.
template <class T>
RECURRA_INLINE Exponential<T> exponential(Vec<T> x, int shift) {
  using C = ActivationConstants<T>;
  const Vec<T> round = constant(C::kRound + T(shift));
  const Vec<T> rounded = fma(x, constant(-C::kLog2E), round), n = rounded - round;
  const Vec<T> r = fma(n, constant(C::kLn2Low), fma(n, constant(C::kLn2High), x));  // e^-x = 2^n e^-r
  const Vec<T> square = r * r;
  return {Vec<T>::from_bits(rounded.bits() << C::kExponentShift), fma(square, polynomial(r, square, C::kExp), r)};
}

// 1 / (1 + e^-x), both sides of the fraction times kScale, so that it is right in the subnormal range too.
template <class T>
RECURRA_INLINE Vec<T> sigmoid(Vec<T> x) {
  using C = ActivationConstants<T>;
  const auto [scale, fall] = exponential(at_most(C::kHighest, at_least(C::kLowest, x)), -C::kHeadroom);
  const Vec<T> one = constant(C::kScale);
  if constexpr (sizeof(T) == 4) {
    return one / fnma(scale, fall, scale + one);
  } else {  // from 2^53 up scale + one would round the 1 away, and the quotient be off by 2.5 ULP
    const typename Vec<T>::Bits large = scale > one;
    return one / (fnma(scale, fall, Vec<T>::select(large, one, scale)) + Vec<T>::select(large, scale, one));
  }
}

// (1 - e^-2|x|) / (1 + e^-2|x|), with the sign of x; without cancellation, since the fall of a small x is exact enough.
RECURRA_INLINE Vec<float> tanh(Vec<float> x) {
  using C = ActivationConstants<float>;
  const Vec<float>::Bits sign = constant(-0.0f).bits();
  const Vec<float> size = Vec<float>::from_bits(x.bits() & ~sign), one = constant(1.0f);
  const auto [scale, fall] = exponential(at_most(C::kTwiceTanhOne, size + size), 0);
  const Vec<float> result = fma(scale, fall, one - scale) / fnma(scale, fall, one + scale);
  return Vec<float>::from_bits(result.bits() | (x.bits() & sign));
}

// x - x^3/p(x^2), or 1 - 2/(1 + e^2|x|): the three roundings of the fraction above would make 2.06 ULP.
RECURRA_INLINE Vec<double> tanh(Vec<double> x) {
  using C = ActivationConstants<double>;
  const Vec<double>::Bits sign = constant(-0.0).bits();
  const Vec<double> size = Vec<double>::from_bits(x.bits() & ~sign), square = size * size, one = constant(1.0);
  const auto [scale, fall] = exponential(at_least(-C::kHighest * 2, constant(-2.0) * size), 0);
  const Vec<double>::Bits small = size < constant(C::kTanhSplit);
  const Vec<double> top = Vec<double>::select(small, square * size, constant(2.0));
  const Vec<double> bottom =
      Vec<double>::select(small, polynomial(square, square * square, C::kTanh), fnma(scale, fall, scale + one));
  const Vec<double> result = Vec<double>::select(small, size, one) - top / bottom;
  return Vec<double>::from_bits(result.bits() | (x.bits() & sign));
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
