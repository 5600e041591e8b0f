// Small helpers of the two halves of Network: where arrays of states and sequences lie.
#pragma once

#include <algorithm>

#include "model/network.h"

namespace recurra {

template <class T>
T *state_at(T *base, Index layer_direction, const Sequences &sequences, Index hidden_size) {
  return base ? base + layer_direction * sequences.rows.batch * hidden_size : nullptr;
}

// A view of the features of one direction.
template <class T>
RowView<T> columns_of(RowView<T> view, Index first) {
  if (view.base) view.base += first;
  return view;
}

template <class T>
RowView<T> view_of(const Strided<T> &array) {
  return {array.base, array.step, array.row, false};
}

template <class T>
RowView<const T> read(const RowView<T> &view) {
  return {view.base, view.step_stride, view.row_stride, view.compact};
}

// visit(t, b, compact row) for the rows of sorted sequences [first, last).
template <class Visit>
void for_rows(const Rows &rows, Index first, Index last, Visit visit) {
  for (Index t = 0; t < rows.steps; ++t) {
    for (Index b = first, end = std::min(last, rows.alive[t]); b < end; ++b) visit(t, b, rows.offset[t] + b);
  }
}

// Zeros beyond the end of the sorted sequences [first, last), or some of them if interrupted.
template <class T>
void clear_padding(const Sequences &sequences, Index first, Index last, const Strided<T> &array, Index features,
                   Worker &worker) {
  for (Index b = first; sequences.ragged() && b < last; ++b) {
    for (Index t = sequences.length(b); t < sequences.rows.steps; ++t) {
      T *row = array.base + t * array.step + sequences.rows.order[b] * array.row;
      std::fill(row, row + features, T(0));
      if (stops(worker, kCopyWork * features)) return;
    }
  }
}

// A row stride for `features` values; rows a multiple of 4 KB apart would fight for the same few lines of L1.
template <class T>
Index padded_stride(Index features) {
  const Index line = static_cast<Index>(kLine / sizeof(T)), lines = (features + line - 1) / line;
  if (features == 0) return 0;
  return (lines % 8 == 0 ? lines + 1 : lines) * line;
}

}  // namespace recurra
