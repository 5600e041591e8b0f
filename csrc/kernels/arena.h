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

// A row of features at (t, b); see RowView.
template <class T>
RECURRA_INLINE T *row_at(const RowView<T> &view, const Rows &rows, Index t, Index b) {
  return view.compact ? view.base + (rows.offset[t] + b) * view.row_stride
                      : view.base + t * view.step_stride + rows.order[b] * view.row_stride;
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
