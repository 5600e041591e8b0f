// The state of a forward pass while it runs, for the units that one thread computes.
#pragma once

#include "kernels/recurrent/packing.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class T>
struct ForwardUnits {
  static constexpr Index V = Vec<T>::size;

  const ForwardTask<T> &task;
  const CellDescription &cell;
  const Rows &rows;
  const Index H;
  const Index width;  // of a row of hidden state: not a multiple of 128 bytes, or rows 4 KB apart fight for one L1 set

  T *state[2];  // h_{t-1} and h_t, [row][width]
  T *carry;     // c_{t-1}, then c_t
  T *staged;    // what the products of a second phase read
  T *held;      // an activation of the first phase for the second
  int now = 0;  // state[now] is h_{t-1}

  ForwardUnits(const ForwardTask<T> &of, Index row_count, Arena &work, Arena &shared)
      : task(of),
        cell(kCells[of.cell]),
        rows(of.rows),
        H(of.hidden_size),
        width(ceil_div(H, V) * V % 32 == 0 ? ceil_div(H, V) * V + V : ceil_div(H, V) * V) {
    for (T *&buffer : state) {
      buffer = shared.take<T>(row_count * width);
    }
    carry = work.take<T>(cell.states > 1 ? row_count * width : 0);
    staged = shared.take<T>(cell.phase_count > 1 ? row_count * width : 0);
    held = work.take<T>(cell.phase_count > 1 ? row_count * width : 0);
  }

  Index compact_row(Index t, Index b) const { return rows.offset[t] + task.first + b; }
};

// A tile's part of step t: rows [first, first + count) of the slice, `vectors` vectors of hidden units from `unit` on.
struct UnitTile {
  Index t, unit, first, count;
  int vectors;
};

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
