// One build of the forward passes with bfloat16 and float16 weights: compiled once per ISA, as kernels.cpp.
#include "kernels/narrow_kernels.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

const NarrowFloatKernels &narrow_float_kernels() {
  static constexpr NarrowFloatKernels kernels{narrow_kernels<Bfloat16Weights>(), narrow_kernels<Float16Weights>()};
  return kernels;
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
