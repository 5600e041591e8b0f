// The natural logarithms of x and of 1 + x. Subnormal numbers are zeros, as they are in the kernels' floating-point
// mode.
#pragma once

#include <limits>

#include "kernels/functions/choices.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class T>
struct LogarithmConstants;

template <>
struct LogarithmConstants<float> {
  using Word = std::uint32_t;
  static constexpr int kBias = 127;
  static constexpr Word kRootHalf = 0x3f3504f3;      // the bits of sqrt(1/2)
  static constexpr float kCorrectedBelow = 0x1p30f;  // above, 1 + x rounds to x or next to it
  // (2 atanh(s) - 2 s) / s^3 in s^2, for the log of sqrt(1/2) to sqrt(2); together they are off by 2^-30.2 of it.
  static constexpr float kAtanh[] = {0x1.55557ap-1f, 0x1.995ed4p-2f, 0x1.31e0d8p-2f};
};

template <>
struct LogarithmConstants<double> {
  using Word = std::uint64_t;
  static constexpr int kBias = 1023;
  static constexpr Word kRootHalf = 0x3fe6a09e667f3bcd;
  static constexpr double kCorrectedBelow = 0x1p60;
  static constexpr double kAtanh[] = {0x1.5555555555592p-1, 0x1.999999997ff03p-2, 0x1.24924941e3514p-2,  // 2^-59.5
                                      0x1.c71c52123f14cp-3, 0x1.74663d6d97a15p-3, 0x1.39a1da3122c40p-3,
                                      0x1.2f045c319925dp-3};
};

// x = 2^power (1 + fraction), 1 + fraction between sqrt(1/2) and sqrt(2); inverse = 2^-power where x < 2^bias.
template <class T>
struct PowerAndFraction {
  Vec<T> power, fraction, inverse;
};

template <class T>
RECURRA_INLINE PowerAndFraction<T> split(Vec<T> x) {
  using L = LogarithmConstants<T>;
  using Word = typename L::Word;
  typedef Word Words __attribute__((vector_size(kVectorBytes)));  // unsigned: AVX2 can't shift signed 64 bits right
  using Bits = typename Vec<T>::Bits;
  constexpr int kShift = ActivationConstants<T>::kExponentShift;
  constexpr Word kOne = static_cast<Word>(L::kBias) << kShift, kBelow = (Word(1) << kShift) - 1;
  constexpr T kWhole = static_cast<T>(Word(1) << kShift);  // a number of this size has its integer in its low bits
  const Words biased = reinterpret_cast<Words>(x.bits()) - L::kRootHalf + kOne;
  const Words integer = (biased >> kShift) | reinterpret_cast<Words>(constant(kWhole).bits());
  const Words mantissa = (biased & kBelow) + L::kRootHalf, inverse = 2 * kOne - (biased & ~kBelow);
  return {Vec<T>::from_bits(reinterpret_cast<Bits>(integer)) - constant(kWhole + L::kBias),
          Vec<T>::from_bits(reinterpret_cast<Bits>(mantissa)) - constant(T(1)),
          Vec<T>::from_bits(reinterpret_cast<Bits>(inverse))};
}

// power ln 2 + log(1 + fraction), where log(1 + f) = 2 atanh(s) with s = f / (2 + f), and 2 s = f - s f.
template <class T>
RECURRA_INLINE Vec<T> sum_of_logarithms(Vec<T> power, Vec<T> fraction) {
  using C = ActivationConstants<T>;
  const Vec<T> s = fraction / (constant(T(2)) + fraction), square = s * s;
  const Vec<T> curve = polynomial(square, square * square, LogarithmConstants<T>::kAtanh);
  const Vec<T> small = fnma(s, fnma(square, curve, fraction), power * constant(C::kLn2Low));
  return fma(power, constant(C::kLn2High), fraction + small);
}

// `finite` for the normal numbers; else -infinity of a zero, NaN of less, and x itself if it is infinity or NaN.
template <class T>
RECURRA_INLINE Vec<T> logarithm_or_special(Vec<T> x, Vec<T> finite) {
  using Limits = std::numeric_limits<T>;
  const Vec<T> low = Vec<T>::select(x < Vec<T>::zero(), constant(Limits::quiet_NaN()), constant(-Limits::infinity()));
  const Vec<T> high = Vec<T>::select(x < constant(Limits::infinity()), finite, x);
  return Vec<T>::select(x < constant(Limits::min()), low, high);
}

template <class T>
RECURRA_INLINE Vec<T> log(Vec<T> x) {
  const auto [power, fraction, inverse] = split(x);
  return logarithm_or_special(x, sum_of_logarithms(power, fraction));
}

// What 1 + x loses by rounding goes into the fraction; beside 1 it is all of x. The sign's bit is for -0.
template <class T>
RECURRA_INLINE Vec<T> log1p(Vec<T> x) {
  const Vec<T> one = constant(T(1)), sum = one + x, lost = x - (sum - one);
  const auto [power, fraction, inverse] = split(sum);
  const Vec<T> whole =
      Vec<T>::select(x < constant(LogarithmConstants<T>::kCorrectedBelow), fma(lost, inverse, fraction), fraction);
  const Vec<T> result = logarithm_or_special(sum, sum_of_logarithms(power, whole));
  return Vec<T>::from_bits(result.bits() | sign_of(x));
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
