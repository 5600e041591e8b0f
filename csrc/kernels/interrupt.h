// Kernels count the work they have done, and now and then ask whether it should go on.
#pragma once

#include "kernels.h"
#include "kernels/simd.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

RECURRA_INLINE bool interrupted(Worker *worker, Index multiply_adds) {
  worker->credit -= multiply_adds;
  return worker->credit < 0 && worker->poll(worker);
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
