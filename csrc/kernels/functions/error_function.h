// The error function: x + x p(x^2) near zero, 1 - e^-q(|x|) with q = -log(1 - erf) from kSplit on.
#pragma once

#include "kernels/functions/choices.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class T>
struct ErfConstants;

template <>
struct ErfConstants<float> {
  static constexpr float kSplit = 0.8f, kOne = 4;  // erf rounds to 1 from kOne on
  // Off by 2^-28.1 of erf.
  static constexpr float kNear[] = {0x1.06eba8p-3f,  -0x1.812732p-2f, 0x1.ce2888p-4f,
                                    -0x1.b774a4p-6f, 0x1.4d5f72p-8f,  -0x1.570098p-11f};
  // So that erf is off by 2^-27.9: the smaller 1 - erf, the less precisely its logarithm is needed.
  static constexpr float kFar[] = {0x1.dcfc12p-15f, 0x1.20d664p+0f, 0x1.45b468p-1f,  0x1.ad931ap-4f,
                                   -0x1.73e076p-6f, 0x1.9ed6b6p-9f, -0x1.b5b702p-13f};
};

template <>
struct ErfConstants<double> {
  static constexpr double kSplit = 1, kOne = 6;
  static constexpr double kNear[] = {0x1.06eba8214db68p-3,   -0x1.812746b03799dp-2,  0x1.ce2f21a03f8b9p-4,  // 2^-56.0
                                     -0x1.b82ce311a97d6p-6,  0x1.565bcceeda3b7p-8,   -0x1.c02daeb70543cp-11,
                                     0x1.f9a296b4bbce2p-14,  -0x1.f4c82f095c441p-17, 0x1.b96b57d9ec2c1p-20,
                                     -0x1.5b8c7060f2581p-23, 0x1.d3ddcda65e7bap-27,  -0x1.a23e97ea90691p-31};
  static constexpr double kFar[] = {0x1.0dfa374b3cb35p-21,  0x1.20dd1fd311f7dp+0,   0x1.45f6275b604d9p-1,  // 2^-55.0
                                    0x1.a4ac5bf6866f4p-4,   -0x1.372290354ebe5p-6,  -0x1.ae94eda474027p-12,
                                    0x1.f6414d137e30dp-10,  -0x1.940aea25322edp-11, 0x1.1b3b4be9c12c5p-13,
                                    0x1.53f851faf6ac5p-16,  -0x1.7ee03e8653a3dp-16, 0x1.22ce3c91cef60p-17,
                                    -0x1.1ea08d9fb9781p-19, 0x1.90cc46bbfc0ccp-22,  -0x1.8eba0896163c7p-25,
                                    0x1.0e5282a726661p-28,  -0x1.c19ca1262b60fp-33, 0x1.5abf29a2a26b9p-38};
};

template <class T>
RECURRA_INLINE Vec<T> erf(Vec<T> x) {
  using C = ErfConstants<T>;
  const Vec<T> size = absolute(x), square = size * size, within = at_most(C::kOne, size);
  const Vec<T> near = fma(size, polynomial(square, square * square, C::kNear), size);
  const auto [scale, fall] = exponential(polynomial(within, within * within, C::kFar), 0);
  const Vec<T> far = fma(scale, fall, constant(T(1)) - scale);
  const Vec<T> result = Vec<T>::select(size < constant(C::kSplit), near, far);
  return Vec<T>::from_bits(result.bits() | sign_of(x));
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
