// The state of a forward pass while it runs, for the units that one thread computes.
#pragma once

#include "kernels/recurrent/layout.h"
#include "kernels/rows.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// Of a row of state: not a multiple of 128 bytes, or rows 4 KB apart fight for one L1 set.
template <class T>
constexpr Index row_width(Index units) {
  return padded_units<T>(units) % 32 == 0 ? padded_units<T>(units) + Vec<T>::size : padded_units<T>(units);
}

template <class T>
struct ForwardUnits {
  static constexpr Index V = Vec<T>::size;

  const ForwardTask<T> &task;
  const Cell &cell;
  const Rows &rows;
  const Index H;
  const Index row_count;
  const Index width;  // of a row of anything but h

  T *state[kMaxStates][2];  // before and after a step, [row][width of the state]; the same twice unless swapped
  Index state_width[kMaxStates];
  T *staged, *held;  // [number][row][width]
  int now = 0;       // state[j][now] is before the step

  ForwardUnits(const ForwardTask<T> &of, Index count, Arena &work, Arena &shared)
      : task(of),
        cell(*of.shape.cell),
        rows(of.rows),
        H(of.shape.hidden_size),
        row_count(count),
        width(row_width<T>(of.shape.hidden_size)) {
    for (int j = 0; j < cell.states; ++j) {
      const bool swapped = cell.swapped >> j & 1;
      Arena &arena = swapped ? shared : work;
      state_width[j] = row_width<T>(state_size(of.shape, j));
      state[j][0] = arena.take<T>(count * state_width[j]);
      state[j][1] = swapped ? arena.take<T>(count * state_width[j]) : state[j][0];
    }
    staged = shared.take<T>(cell.staged * count * width);
    held = work.take<T>((of.taped ? cell.held : cell.untaped_held) * count * width);
  }

  T *staged_row(Index number, Index b) const { return staged + (number * row_count + b) * width; }
  T *held_row(Index number, Index b) const { return held + (number * row_count + b) * width; }
  // Whether products go on with a column. Once complete, its sums aren't where its input was projected to.
  bool begun(int column) const {
    bool any = false;
    for (const Product *p = cell.products; p < cell.products + cell.product_count; ++p) {
      any = any || (column >= p->column && column < p->column + p->count);
    }
    return any;
  }
  Index compact_row(Index t, Index b) const { return rows.offset[t] + task.first + b; }
};

// A tile's part of step t: rows [first, first + count) of the slice, `vectors` vectors of units from `unit` on.
struct UnitTile {
  Index t, unit, first, count;
  int vectors;
};

// Where the columns of a tile's rows and units are.
template <class T>
struct TileColumns {
  T *sums;                    // those that the stage's last product has just completed: [row][vector][column], or, of a
  int first, count;           // single column, [row][vector]
  const T *projected;         // column 0 of those that no product goes on with
  Index row, vector, column;  // strides of both
  const T *partial;           // column 0 of those that an earlier product of the stage has completed
  Index partial_row, partial_vector;
};

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
