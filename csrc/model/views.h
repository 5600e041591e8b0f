// Small helpers of the two halves of Network: where arrays of states and sequences lie.
#pragma once

#include <algorithm>

#include "model/network.h"

namespace recurra {

// Of states (layers * directions, rows.batch, size) those of one layer and direction.
template <class T>
T *state_at(T *base, Index layer_direction, const Rows &rows, Index size) {
  return base ? base + layer_direction * rows.batch * size : nullptr;
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

// Where the caller has (t, b) of the sorted rows.
template <class T>
T *caller_row(const Strided<T> &array, const Rows &rows, Index t, Index b) {
  return array.base + (rows.begin[b] + t) * array.step + rows.sequence[b] * array.row;
}

// visit(t, b, compact row) for the rows of sorted sequences [first, last).
template <class Visit>
void for_rows(const Rows &rows, Index first, Index last, Visit visit) {
  for (Index t = 0; t < rows.steps; ++t) {
    for (Index b = first, end = std::min(last, rows.alive[t]); b < end; ++b) visit(t, b, rows.offset[t] + b);
  }
}

// Zeros beyond the end of those of the caller's sequences of which the last segment is among the sorted rows
// [first, last), or some of them if interrupted.
template <class T>
void clear_padding(const Sequences &sequences, Index first, Index last, const Strided<T> &array, Index features,
                   Worker &worker) {
  const Rows &rows = sequences.rows;
  for (Index b = first; sequences.padded() && b < last; ++b) {
    if (!sequences.last(b)) continue;
    for (Index t = sequences.length(b), end = sequences.steps - rows.begin[b]; t < end; ++t) {
      T *row = caller_row(array, rows, t, b);
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

// Elements of an array of rows, and of a vector beyond its end, as kernels may read whole vectors.
template <class T>
Index with_slack(Index rows, Index width) {
  Index elements = checked_product(rows, width);
  if (__builtin_add_overflow(elements, static_cast<Index>(kLine / sizeof(T)), &elements)) throw std::bad_alloc();
  return elements;
}

}  // namespace recurra
