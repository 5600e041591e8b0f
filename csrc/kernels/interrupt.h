// Kernels count the work they have done, and now and then ask whether it should go on.
#pragma once

#include "kernels.h"
#include "kernels/simd.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

RECURRA_INLINE bool interrupted(Pulse *pulse, Index multiply_adds) {
  pulse->credit -= multiply_adds;
  return pulse->credit < 0 && pulse->poll(pulse);
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
