// One step of one row on the way back, as far as it isn't a product: where its numbers are, and the cell's reverse on a
// vector of its units.
#pragma once

#include "kernels/cells/cell.h"
#include "kernels/recurrent/packing.h"

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

template <class T>
RECURRA_INLINE T *delta_row(const Deltas<T> &deltas, Index visited) {
  return deltas.base + (visited & deltas.wrap) * deltas.stride;
}

// Where the state that entered step t of sequence b stands: an earlier step's row in `compact` (row stride `stride`),
// or the caller's initial state, or null for zeros.
template <class T>
RECURRA_INLINE const T *entering(const Rows &rows, bool reverse, Index t, Index b, const T *compact, Index stride,
                                 const T *initial, Index hidden_size) {
  if (reverse ? b < rows.alive[t + 1] : t > 0) {
    return compact + (rows.offset[reverse ? t + 1 : t - 1] + b) * stride;
  }
  return initial ? initial + rows.order[b] * hidden_size : nullptr;
}

template <class Cell, class T>
struct UnitsBack {
  static constexpr Index V = Vec<T>::size;
  static constexpr bool kBeside = Cell::kSplitCandidate || Cell::kResetBefore;  // h_{t-1} reaches h_t beside W_hh too

  const BackwardTask<T> &task;
  const Rows &rows;
  const Index H;
  const Index width;  // of a row of state gradients

  T *dc;     // what reaches c_{t-1} through c_t, [row][width]
  T *aside;  // what reaches h_{t-1} beside W_hh

  UnitsBack(const BackwardTask<T> &of, Index row_count, Arena &arena)
      : task(of), rows(of.rows), H(of.hidden_size), width(ceil_div(H, V) * V) {
    dc = arena.take<T>(Cell::kCellState ? row_count * width : 0);
    aside = arena.take<T>(kBeside ? row_count * width : 0);
  }

  Index alive(Index t) const { return larger(smaller(rows.alive[t], task.last) - task.first, 0); }
  T *delta(Index t, Index b) const {
    return delta_row(task.deltas, visited_row(rows, task.reverse, t, task.first + b));
  }
  const T *kept(Index t, Index b) const { return task.kept + (rows.offset[t] + task.first + b) * task.kept_stride; }
  Index caller_row(Index b) const { return rows.order[task.first + b] * H; }

  const T *entering_h(Index t, Index b) const {
    return entering(rows, task.reverse, t, task.first + b, task.out.base, task.out.row_stride, task.h0, H);
  }
  static Vec<T> get_or_zero(const T *row, Index unit, Index lanes) {
    return row ? get(row + unit, lanes) : Vec<T>::zero();
  }

  // Where the numbers of row b at step t are. Found once a row: a store of a vector may, for all the compiler knows,
  // change any of the strides, and finding them anew for every vector took as long as the arithmetic.
  struct Row {
    const T *dy[2], *dcell, *kept, *c, *c_prev, *h, *h_prev;
    T *delta, *dc, *aside;
  };
  RECURRA_INLINE Row row_of(Index t, Index b) const {
    Row row;  // fields that the cell has no use for stay as they are
    const Index sorted = task.first + b;
    for (int i = 0; i < 2; ++i) {
      row.dy[i] = task.dy[i].base ? row_at(task.dy[i], rows, t, sorted) : nullptr;
    }
    row.kept = kept(t, b);
    if constexpr (Cell::kCellState) {
      row.dcell = task.dcell.base ? row_at(task.dcell, rows, t, sorted) : nullptr;
      row.c = task.cells + (rows.offset[t] + sorted) * H;
      row.c_prev = entering(rows, task.reverse, t, sorted, task.cells, H, task.c0, H);
      row.dc = dc + b * width;
    }
    if constexpr (kBeside) {
      row.h_prev = entering_h(t, b);
      row.aside = aside + b * width;
    } else {
      row.h = row_at(task.out, rows, t, sorted);
    }
    row.delta = delta(t, b);
    return row;
  }

  // One vector of a row's units, given what reaches h_t from the step after it.
  RECURRA_INLINE void unit_back(const Row &row, Index unit, Vec<T> from_next) const {
    const Index lanes = H - unit;
    ReverseVectors<T> s;
    s.dh = from_next;
    for (const T *dy : row.dy) {
      if (dy) {
        s.dh = s.dh + get(dy + unit, lanes);
      }
    }
    for (int k = 0; k < Cell::kKept; ++k) {
      s.kept[k] = get(row.kept + k * H + unit, lanes);
    }
    if constexpr (Cell::kCellState) {
      s.dc = Vec<T>::load(row.dc + unit);
      if (row.dcell) {
        s.dc = s.dc + get(row.dcell + unit, lanes);
      }
      s.c = get(row.c + unit, lanes);
      s.c_prev = get_or_zero(row.c_prev, unit, lanes);
    }
    if constexpr (kBeside) {
      s.h_prev = get_or_zero(row.h_prev, unit, lanes);
    } else {
      s.h = get(row.h + unit, lanes);
    }
    Cell::reverse(s);
    if constexpr (Cell::kCellState) {
      s.dc.store(row.dc + unit);
    }
    if constexpr (kBeside) {
      s.beside.store(row.aside + unit);
    }
    for (int k = Cell::kResetBefore ? 1 : 0; k < Cell::kDeltas; ++k) {
      put(s.delta[k], row.delta + k * H + unit, lanes);
    }
  }

  // The lines that unit_back will touch of a row's panel that begins at `unit`.
  RECURRA_INLINE void add_lines(const Row &row, Index unit, Lines &lines) const {
    constexpr int most = Cell::kKept + Cell::kDeltas + 2 + (Cell::kCellState ? 2 : 1);
    static_assert(kMaxTileRows * most * Lines::kPanelLines <= Lines::kMost, "a tile's lines");
    const auto add = [&](const T *at) {
      if (at) {
        lines.add(at + unit);
      }
    };
    for (int k = 0; k < Cell::kKept; ++k) {
      lines.add(row.kept + k * H + unit);
    }
    for (int k = 0; k < Cell::kDeltas; ++k) {
      lines.add(row.delta + k * H + unit);
    }
    for (const T *dy : row.dy) {
      add(dy);
    }
    if constexpr (Cell::kCellState) {
      add(row.c);
      add(row.c_prev);
    } else if constexpr (kBeside) {
      add(row.h_prev);
    } else {
      add(row.h);
    }
  }
};

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
