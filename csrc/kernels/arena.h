// Cuts a block of memory into aligned arrays. On a null block it only adds up, so one constructor both measures and
// cuts.
#pragma once

#include "kernels.h"
#include "kernels/simd.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

struct Arena {
  char *base;
  Index used = 0;

  template <class U>
  RECURRA_INLINE U *take(Index count) {
    char *at = base + used;
    used += (count * static_cast<Index>(sizeof(U)) + 63) / 64 * 64;
    return reinterpret_cast<U *>(at);
  }
};

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
