// The state of a backward pass through time while it runs, for the units that one thread computes.
#pragma once

#include "kernels/arena.h"
#include "kernels/integers.h"
#include "kernels/product/prefetch.h"
#include "kernels/recurrent/deltas.h"
#include "kernels/recurrent/order.h"
#include "kernels/rows.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// Where the numbers of one row at one step are, for a compiled cell. The pointers are computed once per row: for all
// the compiler knows, the store of a vector may change any of the strides, and computing them again for every vector
// took as long as the arithmetic. Members that the cell has no use for stay uninitialised.
template <class T>
struct BackwardRow {
  const T *dy[2], *dcell, *kept, *c, *c_prev, *h, *h_prev;
  T *delta, *dc, *direct;
};

template <class T>
struct BackwardUnits {
  static constexpr Index V = Vec<T>::size;

  const BackwardTask<T> &task;
  const CellShape &shape;
  const Cell &cell;
  const Rows &rows;
  const Index H;
  const Index row_count;
  const Index width;  // of a row of anything but h's gradient; from one kept value or state on the tape to the next
  Index state_width[kMaxStates];

  // Gradients of states before the step, [row][width of the state]: what reaches them by direct paths, around the
  // products; between two steps of a state that products read and that isn't h, all of it.
  T *outgoing[kMaxStates];
  bool direct[kMaxStates];  // whether there are such paths

  BackwardUnits(const BackwardTask<T> &of, Index count, Arena &arena)
      : task(of),
        shape(of.shape),
        cell(*of.shape.cell),
        rows(of.rows),
        H(of.shape.hidden_size),
        row_count(count),
        width(padded_units<T>(of.shape.hidden_size)) {
    for (int j = 0; j < cell.states; ++j) {
      state_width[j] = padded_units<T>(state_size(shape, j));
      outgoing[j] = arena.take<T>(count * state_width[j]);
      direct[j] = cell.compiled == kInterpreted ? writes_outgoing(j)
                                                : j > 0 || cell.compiled == kGru || cell.compiled == kGruResetBefore;
    }
  }

  bool writes_outgoing(int state) const {
    bool any = false;
    for (const Stage *s = cell.back_stages; s < cell.back_stages + cell.back_stage_count; ++s) {
      const Instruction *first = cell.instructions + s->instructions.first;
      for (const Instruction *i = first; i < first + s->instructions.count; ++i) {
        any = any || (cell.operands[i->to].kind == kOutgoing && cell.operands[i->to].index == state);
      }
    }
    return any;
  }

  bool is_source(int state) const {
    bool any = false;
    for (const Product *p = cell.products; p < cell.products + cell.product_count; ++p) {
      any = any || p->source == state;
    }
    return any;
  }

  Index alive(Index t) const { return larger(smaller(rows.alive[t], task.last) - task.first, 0); }
  T *delta(Index t, Index b) const {
    return delta_row(task.deltas, visited_row(rows, task.reverse, t, task.first + b));
  }
  Index caller_row(Index b, int state) const { return rows.order[task.first + b] * state_size(shape, state); }
  T *outgoing_row(int state, Index b) const { return outgoing[state] + b * state_width[state]; }

  RECURRA_INLINE BackwardRow<T> row_of(Index t, Index b) const {
    BackwardRow<T> row;
    const Index sorted = task.first + b;
    for (int i = 0; i < 2; ++i) {
      row.dy[i] = task.dy[i].base ? row_at(task.dy[i], rows, t, sorted) : nullptr;
    }
    row.kept = task.kept + (rows.offset[t] + sorted) * task.kept_stride;
    if (cell.states > 1) {
      row.dcell = task.dstates[1].base ? row_at(task.dstates[1], rows, t, sorted) : nullptr;
      row.c = task.states[1] + (rows.offset[t] + sorted) * width;
      row.c_prev = entering(rows, task.reverse, t, sorted, task.states[1], width, task.initial[1], H);
      row.dc = outgoing_row(1, b);
    }
    if (direct[0]) {
      row.h_prev = entering(rows, task.reverse, t, sorted, task.out.base, task.out.row_stride, task.initial[0], H);
      row.direct = outgoing_row(0, b);
    } else {
      row.h = row_at(task.out, rows, t, sorted);
    }
    row.delta = delta(t, b);
    return row;
  }

  // Adds the lines that a compiled cell's epilogue will touch of a row, for the panel that begins at `unit`.
  RECURRA_INLINE void add_lines(const BackwardRow<T> &row, Index unit, PrefetchList &lines) const {
    constexpr int most = 4 + 4 + 2 + 2;  // kept, deltas, dy, states
    static_assert(kMaxTileRows * most * PrefetchList::kPanelLines <= PrefetchList::kMost, "a tile's lines");
    const auto add = [&](const T *at) {
      if (at) {
        lines.add(at + unit);
      }
    };
    for (int k = 0; k < cell.kept; ++k) {
      lines.add(row.kept + k * width + unit);
    }
    for (int k = 0; k < cell.delta_count; ++k) {
      lines.add(row.delta + k * H + unit);
    }
    for (const T *dy : row.dy) {
      add(dy);
    }
    if (cell.states > 1) {
      add(row.c);
      add(row.c_prev);
    } else {
      add(direct[0] ? row.h_prev : row.h);
    }
  }
};

// Rows and units of a tile of `sums`, [row][vector].
template <class T>
struct BackwardTile {
  Index t, first, count, unit;
  int vectors;
  const T *sums;               // null: there are none
  const BackwardRow<T> *rows;  // of a compiled cell
};

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
