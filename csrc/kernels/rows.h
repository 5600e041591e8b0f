// Rows of features in memory: where one begins, and its last vector, which it may end inside.
#pragma once

#include "kernels.h"
#include "kernels/simd.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// A row of features at (t, b); see RowView.
template <class T>
RECURRA_INLINE T *row_at(const RowView<T> &view, const Rows &rows, Index t, Index b) {
  return view.compact ? view.base + (rows.offset[t] + b) * view.row_stride
                      : view.base + (rows.begin[b] + t) * view.step_stride + rows.sequence[b] * view.row_stride;
}

// Loads and stores of `lanes` values where a row may end inside the vector.
template <class T>
RECURRA_INLINE Vec<T> get(const T *from, Index lanes) {
  return lanes >= Vec<T>::size ? Vec<T>::load(from) : Vec<T>::load(from, static_cast<int>(lanes));
}
template <class T>
RECURRA_INLINE void put(Vec<T> v, T *to, Index lanes) {
  if (lanes >= Vec<T>::size) {
    v.store(to);
  } else {
    v.store(to, static_cast<int>(lanes));
  }
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
