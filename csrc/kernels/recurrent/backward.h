// Back-propagation through time, over any cell: the forward loop's steps in reverse (Werbos 1990).
//
// Only dh_{t-1} = δ_t · W_hh is sequential. The epilogue of each tile of that product runs the reverse of the cell for
// the same units, one step earlier. A team may share out the units; there is then a barrier after every phase. The
// gradients of the weights are large products over many steps, afterwards or between ranges of steps
// (gradients/weights.h).
#pragma once

#include "kernels/interrupt.h"
#include "kernels/product/panel_product.h"
#include "kernels/product/row_product.h"
#include "kernels/recurrent/cell_code.h"
#include "kernels/recurrent/packing.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class T>
struct Backward : BackwardUnits<T> {
  using Units = BackwardUnits<T>;
  using Units::add_lines, Units::alive, Units::caller_row, Units::cell, Units::dc, Units::delta, Units::direct;
  using Units::H, Units::row_of, Units::rows, Units::task, Units::V, Units::width;
  static constexpr Index kWidth = kPanelVectors * V;

  const BackwardEpilogue<T> &epilogue;
  Arena packed_arena, work_arena;
  const BackwardLayout<T> packed;
  const Index first_panel, last_panel;  // this part's, of kWidth units each

  T *accumulators;
  const T **delta_rows;
  BackwardRow<T> *step_rows;  // of the step that is being visited
  alignas(64) T zeros[kWidth] = {};

  Backward(const BackwardTask<T> &of, Index row_count)
      : Backward(of, row_count, Arena{reinterpret_cast<char *>(of.work)}) {}
  Backward(const BackwardTask<T> &of, Index row_count, Arena work)
      : Units(of, row_count, work),
        epilogue(cell_code<T>(of.cell).backward),
        packed_arena{reinterpret_cast<char *>(const_cast<T *>(of.packed))},
        work_arena(work),
        packed(of.cell, packed_arena, of.input_size, H),
        first_panel(ceil_div(H, kWidth) * of.part / of.parts),
        last_panel(ceil_div(H, kWidth) * (of.part + 1) / of.parts) {
    accumulators = work_arena.take<T>(row_count * kWidth);
    delta_rows = work_arena.take<const T *>(row_count);
    step_rows = work_arena.take<BackwardRow<T>>(row_count);
  }

  Index first_unit() const { return first_panel * kWidth; }
  Index last_unit() const { return smaller(last_panel * kWidth, H); }

  // What a product of deltas leads to: the reverse of the cell at the step before, that of the first phase of this
  // step, or the gradient of the initial state.
  enum Target { kStepBefore, kFirstPhase, kInitialState };

  // The deltas of one phase of step t times weight_hh, for rows [begin, end).
  bool multiply_back(Index t, Target target, Index begin, Index end, bool backwards) {
    const GateRange &gates = cell.phases[target == kFirstPhase ? 1 : 0].gates;
    for (Index b = begin; b < end; ++b) {
      delta_rows[b] = delta(t, b) + gates.delta * H;
    }
    if (begin == end) {
      return true;
    }
    const auto finish = [&](const PanelRun &run, Index first, Index n, const T *sums) {
      const Index left = ceil_div(H, V) - run.first * kPanelVectors;
      const int vectors = static_cast<int>(smaller(run.count * kPanelVectors, left));
      const BackwardTile<T> tile{step_rows + begin + first, n, run.first * kWidth, vectors, sums};
      if (target == kInitialState) {
        store_initial(begin + first, tile);
      } else {
        (target == kFirstPhase ? epilogue.stage : epilogue.reverse)(*this, tile);
      }
    };
    const auto name_lines = [&](Index panel, Index first, Index n, PrefetchList &lines) {
      const bool named = target == kStepBefore && vectors_of(panel) == kPanelVectors;
      for (Index b = begin + first; named && b < begin + first + n; ++b) {
        add_lines(step_rows[b], panel * kWidth, lines);
      }
    };
    return through_panels(end - begin, backwards, [&](const PanelRun &run) {
      const Panels<T> panels = panels_of(gates, run);
      if (end - begin == 1) {
        for (Index p = 0; p < run.count; ++p) {
          PrefetchList lines;
          name_lines(run.first + p, 0, 1, lines);
          for (const void *line : lines) {
            fetch(line);
          }
        }
        alignas(64) T sums[(kRowGroup + 1) * kWidth];
        row_product(delta_rows[begin], panels, zeros, 0, zeros, sums);
        finish(run, 0, 1, sums);
      } else {
        const Term<T> term{delta_rows + begin, 0, panels.weights, panels.depth};
        panel_product(
            PanelProduct<T>{end - begin, panels.vectors, zeros, 0, &term, 1, task.plan->depth_block,
                            task.plan->tile_rows, accumulators, panels.ahead, task.plan->alternate != 0},
            [&](Index first, Index n, const T *sums) { finish(run, first, n, sums); },
            [&](Index first, Index n, PrefetchList &lines) { name_lines(run.first, first, n, lines); });
      }
      return !interrupted(task.worker, run.count * (end - begin) * gates.count * H * kWidth);
    });
  }

  // Stores a tile's sums, plus the direct path around weight_hh, as gradients of the initial states of rows from `b`
  // on.
  void store_initial(Index b, const BackwardTile<T> &tile) const {
    const T *sums = tile.sums;
    for (Index end = b + tile.count; b < end; ++b) {
      for (int v = 0; v < tile.vectors; ++v, sums += V) {
        const Index unit = tile.unit + v * V;
        Vec<T> sum = Vec<T>::load(sums);
        if (cell.direct) {
          sum = sum + Vec<T>::load(direct + b * width + unit);
        }
        put(sum, task.dh0 + caller_row(b) + unit, H - unit);
      }
    }
  }

  int vectors_of(Index panel) const {
    return static_cast<int>(smaller(kPanelVectors, ceil_div(H - panel * kWidth, V)));
  }
  Panels<T> panels_of(const GateRange &gates, const PanelRun &run) const {
    const Index panel_size = kWidth * cell.gates * H;
    const auto weights = [&](Index panel) {
      return packed.hidden + panel * panel_size + gates.gate * H * vectors_of(panel) * V;
    };
    const Index end = run.first + run.count - 1;
    const int last = run.uneven ? vectors_of(end) : 0;
    const T *ahead = run.next < 0 || !task.plan->alternate ? nullptr : weights(run.next);
    return {run.count - (last ? 1 : 0),
            vectors_of(run.first),
            last,
            weights(run.first),
            weights(end),
            panel_size,
            gates.count * H,
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
  bool all_here() const { return task.parts == 1 || task.worker->barrier(task.worker); }

  // Step t: rows [0, going) were visited at step `after`; rows [going, n) come to their last step here.
  bool step(Index t, Index after, Index going, Index n, bool backwards) {
    for (Index b = 0; b < n; ++b) {
      step_rows[b] = row_of(t, b);
    }
    if (going > 0 && !multiply_back(after, kStepBefore, 0, going, backwards)) {
      return false;
    }
    for (Index b = going; b < n; ++b) {
      epilogue.last(*this, step_rows[b], task.dh_n ? task.dh_n + caller_row(b) : nullptr, first_unit(), last_unit());
    }
    if (!all_here()) {
      return false;
    }
    return cell.phase_count == 1 || (multiply_back(t, kFirstPhase, 0, n, backwards) && all_here());
  }

  // Rows [begin, end) have had their first step, t: what is left over is the gradient of their initial state.
  bool end(Index t, Index begin, Index end) {
    if (!multiply_back(t, kInitialState, begin, end, false)) {
      return false;
    }
    for (Index b = begin; cell.states > 1 && b < end; ++b) {
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
        if (cell.states > 1) {
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

template <class T>
bool backward(const BackwardTask<T> *task) {
  return Backward<T>(*task, task->last - task->first).run();
}

template <class T>
Index backward_work(CellId cell, Index row_count, Index hidden_size) {
  BackwardTask<T> task{};
  task.cell = cell;
  task.hidden_size = hidden_size;
  task.parts = 1;
  return Backward<T>(task, row_count).work_arena.used / static_cast<Index>(sizeof(T));
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
