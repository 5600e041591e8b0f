// The order in which BPTT visits rows, and where the deltas and states of a row are.
#pragma once

#include "kernels.h"
#include "kernels/simd.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// The row of `deltas` that belongs to (t, b): BPTT visits steps from a sequence's last to its first.
RECURRA_INLINE Index visited_row(const Rows &rows, bool reverse, Index t, Index b) {
  return reverse ? rows.offset[t] + b : rows.offset[rows.steps] - rows.offset[t + 1] + b;
}

// The step of a compact row.
RECURRA_INLINE Index step_of(const Rows &rows, Index row) {
  Index least = 0, most = rows.steps;  // offset[least] <= row < offset[most]
  while (most - least > 1) {
    const Index middle = least + (most - least) / 2;
    (rows.offset[middle] <= row ? least : most) = middle;
  }
  return least;
}

// Iterates over the rows in that order.
struct Visit {
  const Rows &rows;
  bool reverse;
  Index t, b;

  Visit(const Rows &of, bool backwards, Index row) : rows(of), reverse(backwards) {
    t = step_of(rows, reverse ? row : rows.offset[rows.steps] - 1 - row);
    b = reverse ? row - rows.offset[t] : row - (rows.offset[rows.steps] - rows.offset[t + 1]);
  }
  void next() {
    ++b;
    while (t >= 0 && t < rows.steps && b >= rows.alive[t]) {
      t += reverse ? 1 : -1;
      b = 0;
    }
  }
};

template <class T>
RECURRA_INLINE T *delta_row(const Deltas<T> &deltas, Index visited) {
  return deltas.base + (visited & deltas.wrap) * deltas.stride;
}

// Where a state that entered step t of sequence b is: an earlier step's row in `compact` (row stride `stride`), or the
// caller's initial state (batch, size), or null for zeros.
template <class T>
RECURRA_INLINE const T *entering(const Rows &rows, bool reverse, Index t, Index b, const T *compact, Index stride,
                                 const T *initial, Index size) {
  if (reverse ? b < rows.alive[t + 1] : t > 0) {
    return compact + (rows.offset[reverse ? t + 1 : t - 1] + b) * stride;
  }
  return initial ? initial + rows.order[b] * size : nullptr;
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
