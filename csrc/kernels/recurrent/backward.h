// Back-propagation through time, over any cell: the forward loop's steps in reverse (Werbos 1990).
//
// Only dh_{t-1} = δ_t · W_hh is sequential. Each tile of that product is handed to the reverse of the cell for the same
// units, one step earlier. A team may share out the units, and meet after every step. The weights' gradients are large
// products over many steps, afterwards or between stretches of the walk: gradient.h.
#pragma once

#include "kernels/interrupt.h"
#include "kernels/product/row_product.h"
#include "kernels/recurrent/packing.h"
#include "kernels/recurrent/units_backward.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class Cell, class T>
struct Backward : UnitsBack<Cell, T> {
  using Units = UnitsBack<Cell, T>;
  using typename Units::Row;
  using Units::add_lines, Units::alive, Units::aside, Units::caller_row, Units::dc, Units::delta, Units::entering_h;
  using Units::get_or_zero, Units::H, Units::kBeside, Units::kept, Units::row_of, Units::rows, Units::task;
  using Units::unit_back, Units::V, Units::width;
  static constexpr int G = Cell::kGates;
  static constexpr Index kWidth = kPanelVectors * V;

  Arena packed_arena, work_arena;
  const BackwardLayout<Cell, T> packed;
  const Index first_panel, last_panel;  // this part's, of kWidth units each

  T *stash;
  const T **delta_rows;
  Row *step_rows;  // of the step that is being visited
  alignas(64) T zeros[kWidth] = {};

  Backward(const BackwardTask<T> &of, Index row_count)
      : Backward(of, row_count, Arena{reinterpret_cast<char *>(of.work)}) {}
  Backward(const BackwardTask<T> &of, Index row_count, Arena work)
      : Units(of, row_count, work),
        packed_arena{reinterpret_cast<char *>(const_cast<T *>(of.packed))},
        work_arena(work),
        packed(packed_arena, of.input_size, H),
        first_panel(ceil_div(H, kWidth) * of.part / of.parts),
        last_panel(ceil_div(H, kWidth) * (of.part + 1) / of.parts) {
    stash = work_arena.take<T>(row_count * kWidth);
    delta_rows = work_arena.take<const T *>(row_count);
    step_rows = work_arena.take<Row>(row_count);
  }

  Index first_unit() const { return first_panel * kWidth; }
  Index last_unit() const { return smaller(last_panel * kWidth, H); }
  // use(b)(unit, gradient) for what step t of rows [begin, end) sends to the state that entered it;
  // name(b, unit, lines) comes some time before, once a whole panel, and names the lines that use will touch.
  template <class Use, class Name>
  bool send_back(Index t, Index begin, Index end, bool backwards, Use use, Name name) {
    const Index depth = Cell::kHiddenSpans[0].count * H;
    for (Index b = begin; b < end; ++b) {
      delta_rows[b] = delta(t, b);
    }
    return begin == end || through_panels(end - begin, backwards, [&](const PanelRun &run) {
             panels_product(
                 *task.plan, end - begin, delta_rows + begin, panels_of(0, depth, run), zeros, 0, 0, zeros, stash,
                 [](Index, T *) {},
                 [&](Index p, Index first, Index n, const T *sums) {
                   send_tile(run.first + p, begin + first, n, sums, use);
                 },
                 [&](Index p, Index first, Index n, Lines &lines) {
                   const bool whole = vectors_of(run.first + p) == kPanelVectors;
                   for (Index b = begin + first; whole && b < begin + first + n; ++b) {
                     name(b, (run.first + p) * kWidth, lines);
                   }
                 });
             return !interrupted(task.pulse, run.count * (end - begin) * depth * kWidth);
           });
  }

  // A tile's sums for rows [begin, begin + n), with what goes round W_hh added.
  template <class Use>
  RECURRA_INLINE void send_tile(Index panel, Index begin, Index n, const T *sums, Use use) {
    const int vectors = vectors_of(panel);
    for (Index b = begin; b < begin + n; ++b) {
      const auto use_unit = use(b);
      for (int v = 0; v < vectors; ++v, sums += V) {
        const Index unit = panel * kWidth + v * V;
        const Vec<T> sum = Vec<T>::load(sums);
        use_unit(unit, kBeside ? sum + Vec<T>::load(aside + b * width + unit) : sum);
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
            ahead,
            run.backwards};
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

  // Reset before, the second half: q = δ_n · W_hn, δ_r from it, and its share of what goes beside W_h{r,z}.
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
              T *aside_row = aside + b * width, *delta_row = delta(t, b);
              for (int v = 0; v < vectors; ++v) {
                const Index unit = (run.first + p) * kWidth + v * V, lanes = H - unit;
                const Vec<T> sum = Vec<T>::load(sums + (r * vectors + v) * V);
                Vec<T> beside = Vec<T>::load(aside_row + unit);
                put(Cell::reverse_reset(sum, get_or_zero(h_prev, unit, lanes), get(reset + unit, lanes), beside),
                    delta_row + unit, lanes);
                beside.store(aside_row + unit);
              }
            }
          },
          [](Index, Index, Index) {});
      return !interrupted(task.pulse, run.count * n * H * kWidth);
    });
  }

  // Step t: rows [0, going) were visited at step `after`; rows [going, n) come to their last step here.
  bool step(Index t, Index after, Index going, Index n, bool backwards) {
    for (Index b = 0; b < n; ++b) {
      step_rows[b] = row_of(t, b);
    }
    const auto back = [this](Index b) {
      return [this, &row = step_rows[b]](Index unit, Vec<T> from_next) { unit_back(row, unit, from_next); };
    };
    const auto name = [this](Index b, Index unit, Lines &lines) { add_lines(step_rows[b], unit, lines); };
    if (going > 0 && !send_back(after, 0, going, backwards, back, name)) {
      return false;
    }
    for (Index b = going; b < n; ++b) {
      const T *dh_n = task.dh_n ? task.dh_n + caller_row(b) : nullptr;
      for (Index unit = first_unit(); unit < last_unit(); unit += V) {
        unit_back(step_rows[b], unit, get_or_zero(dh_n, unit, H - unit));
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
            [](Index, Index, Lines &) {})) {
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
    if (task.first_step == 0) {
      start();
    }
    for (Index s = task.first_step; s < task.last_step; ++s) {
      const Index t = task.reverse ? s : steps - 1 - s;
      const Index after = task.reverse ? t - 1 : t + 1;
      const Index n = alive(t), going = s == 0 ? 0 : smaller(alive(after), n);
      if (!step(t, after, going, n, s % 2 == 1 && (task.plan->alternate || n == 1))) {
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
