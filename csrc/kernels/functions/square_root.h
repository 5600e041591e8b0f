// The square root, as IEEE 754 rounds it.
#pragma once

#include "kernels/simd.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class T>
RECURRA_INLINE Vec<T> square_root(Vec<T> x) {
  typename Vec<T>::Raw out;
  for (int lane = 0; lane < Vec<T>::size; ++lane) {  // which the compilers make one instruction of
    if constexpr (sizeof(T) == 4) {
      out[lane] = __builtin_sqrtf(x.raw[lane]);
    } else {
      out[lane] = __builtin_sqrt(x.raw[lane]);
    }
  }
  return {out};
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
