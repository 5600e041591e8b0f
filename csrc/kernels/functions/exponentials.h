// e^x and e^x - 1, whose results below the least normal number are 0.
#pragma once

#include <limits>
#include <type_traits>

#include "kernels/functions/choices.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class T>
struct ExponentialConstants;

template <>
struct ExponentialConstants<float> {
  static constexpr int kBias = 127;
  static constexpr float kLeast = -0x1.5d589ep+6f;    // e^x is normal from here,
  static constexpr float kTooLarge = 0x1.62e430p+6f;  // and infinite from here
  static constexpr float kMinusOne = -30, kTop = 89;  // e^x - 1 rounds to -1 below; 2^128 < e^kTop < 2^128.5
  static constexpr float kIdentity = 0x1p-30f;        // e^x - 1 rounds to x below
};

template <>
struct ExponentialConstants<double> {
  static constexpr int kBias = 1023;
  static constexpr double kLeast = -0x1.6232bdd7abcd2p+9;
  static constexpr double kTooLarge = 0x1.62e42fefa39f0p+9;
  static constexpr double kMinusOne = -60, kTop = 709.9;  // 2^1024 < e^kTop < 2^1024.5
  static constexpr double kIdentity = 0x1p-60;
};

// e^-x = 2^n (1 - r - square * curve), with n + `shift` in the exponent field of `power`, and 0 in its others.
template <class T>
struct Reduced {
  Vec<T> power, r, square, curve;
};

template <class T>
RECURRA_INLINE Reduced<T> reduce(Vec<T> x, int shift) {
  using C = ActivationConstants<T>;
  const Vec<T> round = constant(C::kRound + T(shift - ExponentialConstants<T>::kBias));
  const Vec<T> rounded = fma(x, constant(-C::kLog2E), round), n = rounded - round;
  const Vec<T> r = fma(n, constant(C::kLn2Low), fma(n, constant(C::kLn2High), x)), square = r * r;
  return {Vec<T>::from_bits(rounded.bits() << C::kExponentShift), r, square, polynomial(r, square, C::kExp)};
}

// a + b of the bits, as unsigned numbers: of an x whose result isn't used the sum is too large.
template <class T>
RECURRA_INLINE Vec<T> sum_of_bits(Vec<T> a, Vec<T> b) {
  using Unsigned = std::make_unsigned_t<typename Vec<T>::Int>;
  typedef Unsigned Wrapping __attribute__((vector_size(kVectorBytes)));
  const Wrapping sum = reinterpret_cast<Wrapping>(a.bits()) + reinterpret_cast<Wrapping>(b.bits());
  return Vec<T>::from_bits(reinterpret_cast<typename Vec<T>::Bits>(sum));
}

// n is added to the exponent of the rest instead of making a factor of it: the range has 255 powers of two, and the
// exponent field of a normal number 254. A NaN's bits are no number to add to, hence the sum with infinity.
template <class T>
RECURRA_INLINE Vec<T> exp(Vec<T> x) {
  using E = ExponentialConstants<T>;
  const auto [power, r, square, curve] = reduce(negative(x), 0);
  const Vec<T> rest = constant(T(1)) - fma(square, curve, r);
  const Vec<T> result = Vec<T>::select(x < constant(E::kLeast), Vec<T>::zero(), sum_of_bits(rest, power));
  return Vec<T>::select(x < constant(E::kTooLarge), result, x + constant(std::numeric_limits<T>::infinity()));
}

// Twice 2^(n-1) - 2^(n-1) r - 1/2 - ..., as 2^n may be infinite. r goes in before the smaller term: next to x = 0.4 the
// difference of the larger ones is exact, while the sum of r and the rest would be off by 2 ULP of the result.
template <class T>
RECURRA_INLINE Vec<T> expm1(Vec<T> x) {
  using E = ExponentialConstants<T>;
  const auto [power, r, square, curve] = reduce(at_most(-E::kMinusOne, at_least(-E::kTop, negative(x))), E::kBias - 1);
  const Vec<T> half = fnma(power, square * curve, fnma(power, r, power - constant(T(0.5))));
  return Vec<T>::select(absolute(x) < constant(E::kIdentity), x, half + half);
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
