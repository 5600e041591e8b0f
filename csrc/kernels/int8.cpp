// One build of the forward passes with int8 weights: compiled once per ISA, as kernels.cpp, and once more for AVX-512
// with VNNI, whose only difference from AVX-512 is here.
#include "kernels/narrow_kernels.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

const Kernels<float> &int8_kernels() {
  static constexpr Kernels<float> kernels = narrow_kernels<Int8Weights>();
  return kernels;
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
