// Back-propagation through time, over any cell: the forward loop's steps in reverse (Werbos 1990).
//
// Only dh_{t-1} = δ_t · W_hh is sequential. Each tile of that product is handed to the reverse of the cell for the same
// units, one step earlier. A team may share out the units, and meet after every step. The weights' gradients are large
// products over all steps afterwards: gradient.h.
#pragma once

#include "packing.h"
#include "row_product.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// The row of `deltas` that belongs to (t, b): BPTT visits steps from a sequence's last to its first.
RECURRA_INLINE Index visited_row(const Rows &rows, bool reverse, Index t, Index b) {
  return reverse ? rows.offset[t] + b : rows.offset[rows.steps] - rows.offset[t + 1] + b;
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
struct Backward {
  static constexpr Index V = Vec<T>::size;
  static constexpr int G = Cell::kGates;
  static constexpr Index kWidth = kPanelVectors * V;
  static constexpr bool kCarriesDh =
      Cell::kSplitCandidate || Cell::kResetBefore;  // h_t reaches h_{t+1} beside W_hh too

  const BackwardTask<T> &task;
  const Rows &rows;
  const Index H;
  const Index width;  // of a row of state gradients
  Arena packed_arena, work_arena;
  const BackwardLayout<Cell, T> packed;
  const Index first_panel, last_panel;  // this part's, of kWidth units each

  T *dc;  // what reaches c_{t-1} through c_t, [row][width]
  T *dh;  // dh_{t+1}, for the direct way through z
  T *q;   // reset before: the gradient of r ∘ h_{t-1}
  T *stash;
  const T **delta_rows;
  alignas(64) T zeros[kWidth] = {};

  Backward(const BackwardTask<T> &of, Index row_count)
      : task(of),
        rows(of.rows),
        H(of.hidden_size),
        width(ceil_div(H, V) * V),
        packed_arena{reinterpret_cast<char *>(const_cast<T *>(of.packed))},
        work_arena{reinterpret_cast<char *>(of.work)},
        packed(packed_arena, of.input_size, H),
        first_panel(ceil_div(H, kWidth) * of.part / of.parts),
        last_panel(ceil_div(H, kWidth) * (of.part + 1) / of.parts) {
    dc = work_arena.take<T>(Cell::kCellState ? row_count * width : 0);
    dh = work_arena.take<T>(kCarriesDh ? row_count * width : 0);
    q = work_arena.take<T>(Cell::kResetBefore ? row_count * width : 0);
    stash = work_arena.take<T>(row_count * kWidth);
    delta_rows = work_arena.take<const T *>(row_count);
  }

  Index first_unit() const { return first_panel * kWidth; }
  Index last_unit() const { return smaller(last_panel * kWidth, H); }
  Index alive(Index t) const { return larger(smaller(rows.alive[t], task.last) - task.first, 0); }
  T *delta(Index t, Index b) const {
    return task.deltas + visited_row(rows, task.reverse, t, task.first + b) * task.delta_stride;
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
    T *delta, *dc, *dh;
  };
  RECURRA_INLINE Row row_of(Index t, Index b) const {
    Row row{};
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
    if constexpr (kCarriesDh) {
      row.h_prev = entering_h(t, b);
      row.dh = dh + b * width;
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
    if constexpr (kCarriesDh) {
      s.dh.store(row.dh + unit);
      s.h_prev = get_or_zero(row.h_prev, unit, lanes);
    } else {
      s.h = get(row.h + unit, lanes);
    }
    Cell::reverse(s);
    if constexpr (Cell::kCellState) {
      s.dc.store(row.dc + unit);
    }
    for (int k = Cell::kResetBefore ? 1 : 0; k < Cell::kDeltas; ++k) {
      put(s.delta[k], row.delta + k * H + unit, lanes);
    }
  }

  // Fetches what unit_back will touch of a row's units [from, to).
  RECURRA_INLINE void fetch_units(const Row &row, Index from, Index to) const {
    for (Index unit = from; unit < to; unit += V) {
      for (int k = 0; k < Cell::kKept; ++k) {
        fetch(row.kept + k * H + unit);
      }
      if constexpr (Cell::kCellState) {
        fetch(row.c + unit);
      }
      if constexpr (kCarriesDh) {
        fetch(row.h_prev + unit);
      }
      fetch(row.dy[0] + unit);  // a prefetch of nowhere is harmless
      for (int k = 0; k < Cell::kDeltas; ++k) {
        fetch_to_write(row.delta + k * H + unit);
      }
    }
  }

  // use(b)(unit, gradient) for what step t of rows [begin, end) sends to the state that entered it; ahead(b, from, to)
  // comes some time before, for units [from, to).
  template <class Use, class Ahead>
  bool send_back(Index t, Index begin, Index end, bool backwards, Use use, Ahead ahead) {
    const Index depth = Cell::kHiddenSpans[0].count * H;
    for (Index b = begin; b < end; ++b) {
      delta_rows[b] = delta(t, b);
    }
    return begin == end || through_panels(end - begin, backwards, [&](const PanelRun &run) {
             panels_product(
                 *task.plan, end - begin, delta_rows + begin, panels_of(0, depth, run), zeros, 0, 0, zeros, stash,
                 [](Index, T *) {},
                 [&](Index p, Index first, Index n, const T *sums) {
                   send_tile(t, run.first + p, begin + first, n, sums, use);
                 },
                 [&](Index p, Index first, Index n) {
                   const Index unit = (run.first + p) * kWidth;
                   for (Index b = begin + first; b < begin + first + n; ++b) {
                     ahead(b, unit, unit + vectors_of(run.first + p) * V);
                   }
                 });
             return !interrupted(task.pulse, run.count * (end - begin) * depth * kWidth);
           });
  }

  // A tile's sums for rows [begin, begin + n), with what goes round W_hh added.
  template <class Use>
  RECURRA_INLINE void send_tile(Index t, Index panel, Index begin, Index n, const T *sums, Use use) {
    const int vectors = vectors_of(panel);
    for (Index b = begin; b < begin + n; ++b) {
      const auto use_unit = use(b);
      const T *gates = kCarriesDh ? kept(t, b) : nullptr, *dh_row = dh + b * width, *q_row = q + b * width;
      for (int v = 0; v < vectors; ++v, sums += V) {
        const Index unit = panel * kWidth + v * V;
        use_unit(unit, beside(gates, dh_row, q_row, unit, Vec<T>::load(sums)));
      }
    }
  }

  int vectors_of(Index panel) const {
    return static_cast<int>(smaller(kPanelVectors, ceil_div(H - panel * kWidth, V)));
  }
  // The weights of `depth` gate units from `row` on.
  Panels<T> panels_of(Index row, Index depth, const PanelRun &run) const {
    const auto weights = [=](Index panel) {
      return packed.hidden + panel * kWidth * G * H + row * vectors_of(panel) * V;
    };
    const Index end = run.first + run.count - 1;
    const int last = run.uneven ? vectors_of(end) : 0;
    const T *ahead = run.next < 0 || !task.plan->alternate ? nullptr : weights(run.next);
    return {run.count - (last ? 1 : 0),
            vectors_of(run.first),
            last,
            weights(run.first),
            weights(end),
            kWidth * G * H,
            depth,
            ahead};
  }

  // visit(run) for runs of this part's panels.
  template <class Visit>
  bool through_panels(Index n, bool backwards, Visit visit) const {
    const Index count = last_panel - first_panel;
    const bool uneven = count > 0 && vectors_of(last_panel - 1) < kPanelVectors;
    return panel_runs(count, n, uneven, backwards, [&](PanelRun run) {
      run.first += first_panel;
      run.next += run.next < 0 ? 0 : first_panel;
      return visit(run);
    });
  }

  // Every part has done its units; false: the call is to end.
  bool all_here() const { return task.parts == 1 || task.pulse->meet(task.pulse); }

  // Adds to C_t what goes round W_hh: through z, and with reset before through r ∘ h too.
  RECURRA_INLINE Vec<T> beside(const T *gates, const T *dh_row, const T *q_row, Index unit, Vec<T> sum) const {
    if constexpr (kCarriesDh) {
      if constexpr (Cell::kResetBefore) {
        sum = fma(get(gates + unit, H - unit), Vec<T>::load(q_row + unit), sum);
      }
      return fma(get(gates + H + unit, H - unit), Vec<T>::load(dh_row + unit), sum);
    }
    return sum;
  }

  // Reset before, the second half: q = δ_n · W_hn, and δ_r from it.
  bool reset_back(Index t, Index n, bool backwards) {
    for (Index b = 0; b < n; ++b) {
      delta_rows[b] = delta(t, b) + 2 * H;
    }
    return through_panels(n, backwards, [&](const PanelRun &run) {
      panels_product(
          *task.plan, n, delta_rows, panels_of(2 * H, H, run), zeros, 0, 0, zeros, stash, [](Index, T *) {},
          [&](Index p, Index first, Index count, const T *sums) {
            const int vectors = vectors_of(run.first + p);
            for (Index r = 0; r < count; ++r) {
              const Index b = first + r;
              const T *h_prev = entering_h(t, b), *reset = kept(t, b);
              T *q_row = q + b * width, *delta_row = delta(t, b);
              for (int v = 0; v < vectors; ++v) {
                const Index unit = (run.first + p) * kWidth + v * V, lanes = H - unit;
                const Vec<T> sum = Vec<T>::load(sums + (r * vectors + v) * V);
                sum.store(q_row + unit);
                put(Cell::reverse_reset(sum, get_or_zero(h_prev, unit, lanes), get(reset + unit, lanes)),
                    delta_row + unit, lanes);
              }
            }
          },
          [](Index, Index, Index) {});
      return !interrupted(task.pulse, run.count * n * H * kWidth);
    });
  }

  // Step t: rows [0, going) were visited at step `after`; rows [going, n) come to their last step here.
  bool step(Index t, Index after, Index going, Index n, bool backwards) {
    const auto back = [this, t](Index b) {
      return [this, row = row_of(t, b)](Index unit, Vec<T> from_next) { unit_back(row, unit, from_next); };
    };
    const auto ahead = [this, t](Index b, Index from, Index to) { fetch_units(row_of(t, b), from, to); };
    if (going > 0 && !send_back(after, 0, going, backwards, back, ahead)) {
      return false;
    }
    for (Index b = going; b < n; ++b) {
      const Row row = row_of(t, b);
      const T *dh_n = task.dh_n ? task.dh_n + caller_row(b) : nullptr;
      for (Index unit = first_unit(); unit < last_unit(); unit += V) {
        unit_back(row, unit, get_or_zero(dh_n, unit, H - unit));
      }
    }
    if constexpr (Cell::kResetBefore) {
      return all_here() && reset_back(t, n, backwards) && all_here();
    }
    return all_here();
  }

  // Rows [begin, end) have had their first step, t: what is left over is the gradient of their initial state.
  bool end(Index t, Index begin, Index end) {
    if (!send_back(
            t, begin, end, false,
            [this](Index b) {
              return [this, row = task.dh0 + caller_row(b)](Index unit, Vec<T> gradient) {
                put(gradient, row + unit, H - unit);
              };
            },
            [](Index, Index, Index) {})) {
      return false;
    }
    for (Index b = begin; Cell::kCellState && b < end; ++b) {
      for (Index unit = first_unit(); unit < last_unit(); unit += V) {
        put(Vec<T>::load(dc + b * width + unit), task.dc0 + caller_row(b) + unit, H - unit);
      }
    }
    return true;
  }

  void start() {
    const Index count = task.last - task.first;
    for (Index b = 0; b < count; ++b) {
      const bool empty = rows.steps == 0 || b >= alive(0);
      for (Index unit = first_unit(); unit < last_unit(); unit += V) {
        const Index lanes = H - unit, at = caller_row(b) + unit;
        if (empty) {
          put(task.dh_n ? get(task.dh_n + at, lanes) : Vec<T>::zero(), task.dh0 + at, lanes);
        }
        if constexpr (Cell::kCellState) {
          const Vec<T> gradient = task.dc_n ? get(task.dc_n + at, lanes) : Vec<T>::zero();
          gradient.store(dc + b * width + unit);
          if (empty) {
            put(gradient, task.dc0 + at, lanes);
          }
        }
      }
    }
  }

  bool run() {
    const Index steps = rows.steps;
    start();
    for (Index s = 0; s < steps; ++s) {
      const Index t = task.reverse ? s : steps - 1 - s;
      const Index after = task.reverse ? t - 1 : t + 1;
      const Index n = alive(t), going = s == 0 ? 0 : smaller(alive(after), n);
      if (!step(t, after, going, n, task.plan->alternate && s % 2 == 1)) {
        return false;
      }
      if (task.reverse ? !end(t, alive(t + 1), n) : t == 0 && !end(t, 0, n)) {
        return false;
      }
    }
    return true;
  }
};

template <class Cell, class T>
bool backward(const BackwardTask<T> *task) {
  return Backward<Cell, T>(*task, task->last - task->first).run();
}

template <class Cell, class T>
Index backward_work(Index row_count, Index hidden_size) {
  BackwardTask<T> task{};
  task.hidden_size = hidden_size;
  task.parts = 1;
  return Backward<Cell, T>(task, row_count).work_arena.used / static_cast<Index>(sizeof(T));
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
