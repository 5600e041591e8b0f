// The state of a backward pass through time while it runs, for the units that one thread computes.
#pragma once

#include "kernels/arena.h"
#include "kernels/integers.h"
#include "kernels/product/prefetch.h"
#include "kernels/recurrent/order.h"
#include "kernels/rows.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// Where the numbers of one row at one step are. The pointers are computed once per row: for all the compiler knows, the
// store of a vector may change any of the strides, and computing them again for every vector took as long as the
// arithmetic. Members that the cell has no use for stay uninitialised.
template <class T>
struct BackwardRow {
  const T *dy[2], *dcell, *saved, *c, *c_prev, *h, *h_prev;
  T *delta, *dc, *direct;
};

template <class T>
struct BackwardUnits {
  static constexpr Index V = Vec<T>::size;

  const BackwardTask<T> &task;
  const CellDescription &cell;
  const Rows &rows;
  const Index H;
  const Index width;  // of a row of state gradients

  T *dc;      // what reaches c_{t-1} through c_t, [row][width]
  T *direct;  // gradients of h_{t-1} by the direct path around weight_hh, [row][width]

  BackwardUnits(const BackwardTask<T> &of, Index row_count, Arena &arena)
      : task(of), cell(kCells[of.cell]), rows(of.rows), H(of.hidden_size), width(ceil_div(H, V) * V) {
    dc = arena.take<T>(cell.states > 1 ? row_count * width : 0);
    direct = arena.take<T>(cell.direct ? row_count * width : 0);
  }

  Index alive(Index t) const { return larger(smaller(rows.alive[t], task.last) - task.first, 0); }
  T *delta(Index t, Index b) const {
    return delta_row(task.deltas, visited_row(rows, task.reverse, t, task.first + b));
  }
  Index caller_row(Index b) const { return rows.order[task.first + b] * H; }

  RECURRA_INLINE BackwardRow<T> row_of(Index t, Index b) const {
    BackwardRow<T> row;
    const Index sorted = task.first + b;
    for (int i = 0; i < 2; ++i) {
      row.dy[i] = task.dy[i].base ? row_at(task.dy[i], rows, t, sorted) : nullptr;
    }
    row.saved = task.saved + (rows.offset[t] + sorted) * task.saved_stride;
    if (cell.states > 1) {
      row.dcell = task.dcell.base ? row_at(task.dcell, rows, t, sorted) : nullptr;
      row.c = task.cells + (rows.offset[t] + sorted) * H;
      row.c_prev = entering(rows, task.reverse, t, sorted, task.cells, H, task.c0, H);
      row.dc = dc + b * width;
    }
    if (cell.direct) {
      row.h_prev = entering(rows, task.reverse, t, sorted, task.out.base, task.out.row_stride, task.h0, H);
      row.direct = direct + b * width;
    } else {
      row.h = row_at(task.out, rows, t, sorted);
    }
    row.delta = delta(t, b);
    return row;
  }

  // Adds the lines that the epilogue will touch of a row, for the panel that begins at `unit`.
  RECURRA_INLINE void add_lines(const BackwardRow<T> &row, Index unit, PrefetchList &lines) const {
    constexpr int most = kMaxGates + kMaxDeltas + 2 + 2;
    static_assert(kMaxTileRows * most * PrefetchList::kPanelLines <= PrefetchList::kMost, "a tile's lines");
    const auto add = [&](const T *at) {
      if (at) {
        lines.add(at + unit);
      }
    };
    for (int k = 0; k < cell.saved; ++k) {
      lines.add(row.saved + k * H + unit);
    }
    for (int k = 0; k < cell.deltas; ++k) {
      lines.add(row.delta + k * H + unit);
    }
    for (const T *dy : row.dy) {
      add(dy);
    }
    if (cell.states > 1) {
      add(row.c);
      add(row.c_prev);
    } else {
      add(cell.direct ? row.h_prev : row.h);
    }
  }
};

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
