// The time loop, over any cell: h_t, c_t = cell(x_t, h_{t-1}, c_{t-1}).
//
// The input projection b + W_ih x_t of a chunk of steps is computed beforehand (projection.h). A step then continues
// the same chains over h_{t-1}, panel by panel, and applies the cell to each tile while it is in L1. A team may share
// out the panels, `part` of `parts` to each member; there is then a barrier after every phase of a step.
#pragma once

#include "kernels/interrupt.h"
#include "kernels/product/panel_product.h"
#include "kernels/product/row_product.h"
#include "kernels/recurrent/cell_code.h"
#include "kernels/recurrent/forward_units.h"
#include "kernels/recurrent/projection.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class T>
struct Forward : ForwardUnits<T> {
  using Units = ForwardUnits<T>;
  using Units::carry, Units::cell, Units::H, Units::now, Units::rows, Units::staged, Units::state, Units::task;
  using Units::V, Units::width;

  const ForwardEpilogue<T> &epilogue;
  Arena packed_arena, work_arena, shared_arena;
  const ForwardLayout<T> packed;
  const Index first_panel, last_panel;  // this part's
  Projection<T> projection;

  // What a phase of every step needs.
  struct PhaseWork {
    int gates;
    Index column;      // where its sums begin in a projected row
    const T *weights;  // its panels, `stride` apart
    Index stride;
    const T *const *rows;  // what its products read; null: h_{t-1}
  } phases[kMaxPhases];
  const Index vectors;  // of hidden units

  // A run of panels of a phase by which a single row is multiplied at once, prepared once for all steps.
  struct RowRun {
    Panels<T> panels;
    const T *from, *last_from;    // of chunk row 0
    Index row_width, last_width;  // from chunk row to chunk row
    Index first_panel, unit;
    int vectors;
  };

  RowRun *row_runs;  // [phase][forwards, backwards][run]
  Index most_row_runs, row_run_count = 0;
  RowRun *runs_of(int phase, bool backwards) const { return row_runs + (2 * phase + backwards) * most_row_runs; }

  T *accumulators;        // sums of panel_product, [row][panel]
  const T **hidden[2];    // rows of state
  const T **staged_rows;  // rows of staged

  Forward(const ForwardTask<T> &of, Index row_count)
      : Forward(of, row_count, Arena{reinterpret_cast<char *>(of.work)}, Arena{reinterpret_cast<char *>(of.shared)}) {}
  Forward(const ForwardTask<T> &of, Index row_count, Arena work, Arena shared)
      : Units(of, row_count, work, shared),
        epilogue(cell_code<T>(of.cell).forward),
        packed_arena{reinterpret_cast<char *>(const_cast<T *>(of.packed))},
        work_arena(work),
        shared_arena(shared),
        packed(of.cell, packed_arena, of.input_size, H),
        first_panel(packed.panels * of.part / of.parts),
        last_panel(packed.panels * (of.part + 1) / of.parts),
        projection(of, packed, row_count, first_panel, last_panel, work_arena),
        vectors(ceil_div(H, V)) {
    for (const T **&pointers : hidden) {
      pointers = work_arena.take<const T *>(row_count);
    }
    staged_rows = work_arena.take<const T *>(cell.phase_count > 1 ? row_count : 0);
    accumulators = work_arena.take<T>(row_count * kPanelVectors * V);
    for (int p = 0; p < cell.phase_count; ++p) {
      const int gates = cell.phases[p].gates.count;
      phases[p] = {gates, packed.first_column(p) * V, packed.hidden[p], packed.units * gates * H,
                   cell.phases[p].factor < 0 ? nullptr : staged_rows};
    }
    most_row_runs = ceil_div(packed.panels, kRowGroup) + 1;
    row_runs = work_arena.take<RowRun>(most_row_runs * 2 * cell.phase_count);
  }

  Index alive(Index t) const { return alive_rows(task, t); }

  // This part's units of a row of the caller's state (batch, H), null for zeros, into a padded row and back.
  Index first_unit() const { return first_panel * packed.units; }
  Index last_unit() const { return smaller(last_panel * packed.units, H); }
  void load_state(const T *from, T *to) const {
    for (Index i = first_unit(); i < last_unit(); i += V) {
      (from ? get(from + i, H - i) : Vec<T>::zero()).store(to + i);
    }
  }
  void store_state(const T *from, T *to) const {
    for (Index i = first_unit(); i < last_unit(); i += V) {
      put(Vec<T>::load(from + i), to + i, H - i);
    }
  }

  void start() {
    for (Index b = 0; b < task.last - task.first; ++b) {
      const Index at = rows.order[task.first + b] * H;
      for (int i = 0; i < 2; ++i) {  // both, so that a row that joins later finds its h_0 in either
        hidden[i][b] = state[i] + b * width;
        load_state(task.h0 ? task.h0 + at : nullptr, state[i] + b * width);
      }
      if (cell.states > 1) {
        load_state(task.c0 ? task.c0 + at : nullptr, carry + b * width);
      }
      if (cell.phase_count > 1) {
        staged_rows[b] = staged + b * width;
      }
    }
    projection.start();
    if (rows.steps > 0 && alive(rows.steps - 1) <= 1) {
      prepare_rows();
    }
  }

  // Hands out the state of rows [from, to) of the slice, which have come to their end.
  void end(Index from, Index to) {
    for (Index b = from; b < to; ++b) {
      const Index at = rows.order[task.first + b] * H;
      store_state(state[now] + b * width, task.h_n + at);
      if (cell.states > 1) {
        store_state(carry + b * width, task.c_n + at);
      }
    }
  }

  int run_vectors(const PanelRun &run) const {
    return static_cast<int>(smaller(run.count * cell.unit_vectors, vectors - run.first * cell.unit_vectors));
  }
  Panels<T> panels_of(const PhaseWork &phase, const PanelRun &run) const {
    const Index end = run.first + run.count - 1;
    const int last = run.uneven ? packed.unit_vectors(end) * phase.gates : 0;
    return {run.count - (last ? 1 : 0),
            packed.unit_vectors(run.first) * phase.gates,
            last,
            phase.weights + run.first * phase.stride,
            phase.weights + end * phase.stride,
            phase.stride,
            H,
            run.next < 0 || !task.plan->alternate ? nullptr : phase.weights + run.next * phase.stride,
            run.backwards};
  }

  // Prefetches where the epilogue will store the saved activations: some 20 lines, few enough to request at once.
  RECURRA_INLINE void fetch_units(const UnitTile &tile) const {
    for (Index b = tile.first; b < tile.first + tile.count; ++b) {
      const Index row = this->compact_row(tile.t, b);
      const T *saved = task.saved + row * task.saved_stride, *out = row_at(task.out, rows, tile.t, task.first + b);
      for (Index unit = tile.unit; unit < tile.unit + tile.vectors * V; unit += V) {
        for (int k = 0; k < cell.saved; ++k) {
          fetch_to_write(saved + k * H + unit);
        }
        if (cell.states > 1) {
          fetch_to_write(task.cells + row * H + unit);
        }
        fetch_to_write(out + unit);
      }
    }
  }

  // A phase of step t for one panel and n rows, whose projection begins at chunk row `row`.
  void phase_panel(Index t, int number, const PanelRun &run, Index row, Index n) {
    const PhaseWork &phase = phases[number];
    const bool last = number + 1 == cell.phase_count;
    const Index stride = projection.width(run.first);
    if (number == 0 && task.plan->fused) {
      projection.project_panel(run.first, n);
    }
    const T *from = projection.panel_at(run.first) + row * stride;
    const Panels<T> panels = panels_of(phase, run);
    const Term<T> term{phase.rows ? phase.rows : hidden[now], 0, panels.weights, H};
    UnitTile tile{t, run.first * packed.units, 0, 0, run_vectors(run)};
    panel_product(
        PanelProduct<T>{n, panels.vectors, from + phase.column, stride, &term, 1, task.plan->depth_block,
                        task.plan->tile_rows, accumulators, panels.ahead, task.plan->alternate != 0},
        [&](Index first, Index count, T *sums) {
          tile.first = first;
          tile.count = count;
          (last ? epilogue.apply : epilogue.stage)(*this, tile, {sums, from + first * stride, stride, 0});
        },
        [&](Index first, Index count) {
          if (last && task.saved) {
            tile.first = first;
            tile.count = count;
            fetch_units(tile);
          }
        });
  }

  // The same for a single row.
  void phase_row(Index t, int number, const RowRun &run, Index row) {
    const bool last = number + 1 == cell.phase_count;
    if (number == 0 && task.plan->fused) {
      for (Index p = 0; p < run.panels.all(); ++p) {
        projection.project_panel(run.first_panel + p, 1);
      }
    }
    const UnitTile tile{t, run.unit, 0, 1, run.vectors};
    if (last && task.saved) {
      fetch_units(tile);
    }
    const T *const *source = phases[number].rows ? phases[number].rows : hidden[now];
    const T *from = run.from + row * run.row_width;
    const Index column = phases[number].column, panel_stride = projection.panel_stride();
    alignas(64) T sums[(kRowGroup + 1) * kPanelVectors * V];
    row_product(source[0], run.panels, from + column, panel_stride, run.last_from + row * run.last_width + column,
                sums);
    (last ? epilogue.apply : epilogue.stage)(*this, tile, {sums, from, run.row_width, panel_stride});
  }

  bool step(Index s, Index row) {
    const Index t = time_of(task, s), n = alive(t), count = last_panel - first_panel;
    const bool backwards = s % 2 == 1 && (task.plan->alternate || n == 1);
    for (int phase = 0; phase < cell.phase_count; ++phase) {
      bool done = true;
      if (n == 1) {
        const RowRun *runs = runs_of(phase, backwards);
        for (Index i = 0; done && i < row_run_count; ++i) {
          phase_row(t, phase, runs[i], row);
          done = !interrupted(task.worker, runs[i].panels.all() * packed.units * cell.gates * H);
        }
      } else {
        done = panel_runs(count, n, false, backwards, [&](PanelRun run) {
          run.first += first_panel;
          run.next += run.next < 0 ? 0 : first_panel;
          phase_panel(t, phase, run, row, n);
          return !interrupted(task.worker, n * packed.units * cell.gates * H);
        });
      }
      if (!done || !all_here()) {
        return false;
      }
    }
    now = 1 - now;
    return true;
  }

  // Fills row_runs, once there may be steps with a single row.
  void prepare_rows() {
    const Index count = last_panel - first_panel;
    const bool uneven = count > 0 && packed.unit_vectors(last_panel - 1) < cell.unit_vectors;
    for (int phase = 0; phase < cell.phase_count; ++phase) {
      for (int backwards = 0; backwards < (rows.steps > 1 ? 2 : 1); ++backwards) {  // the first step goes forwards
        row_run_count = 0;
        panel_runs(count, 1, uneven, backwards != 0, [&](PanelRun run) {
          run.first += first_panel;
          run.next = -1;
          const Index end = run.first + run.count - 1;
          runs_of(phase, backwards != 0)[row_run_count++] = {
              panels_of(phases[phase], run), projection.panel_at(run.first),
              projection.panel_at(end),      projection.width(run.first),
              projection.width(end),         run.first,
              run.first * packed.units,      run_vectors(run)};
          return true;
        });
      }
    }
  }

  // Every part has done its panels; false: the call is to end.
  bool all_here() const { return task.parts == 1 || task.worker->barrier(task.worker); }

  bool run() {
    const Index steps = rows.steps, count = task.last - task.first;
    start();
    if (!projection.project_table() || !all_here()) {
      return false;
    }
    if (!task.reverse) {
      end(steps ? alive(0) : 0, count);  // sequences of length 0
    }
    for (Index from = 0; from < steps; from += task.plan->chunk) {
      const Index to = smaller(from + task.plan->chunk, steps);
      if (!task.plan->fused && !projection.begin_chunk(from, to)) {
        return false;
      }
      for (Index s = from, row = 0; s < to; ++s) {
        const Index t = time_of(task, s), n = alive(t);
        if (n == 0) {
          continue;
        }
        if ((task.plan->fused && !projection.begin_chunk(s, s + 1)) || !step(s, row)) {
          return false;
        }
        if (!task.reverse) {
          end(alive(t + 1), n);
        }
        row += task.plan->fused ? 0 : n;
      }
    }
    if (task.reverse) {
      end(0, count);
    }
    return true;
  }
};

template <class T>
bool forward(const ForwardTask<T> *task) {
  return Forward<T>(*task, task->last - task->first).run();
}

template <class T>
ForwardSizes forward_sizes(CellId cell, Index row_count, Index input_size, Index hidden_size, Index alphabet,
                           const Plan *plan) {
  ForwardTask<T> task{};
  task.cell = cell;
  task.input_size = input_size;
  task.hidden_size = hidden_size;
  task.alphabet = alphabet;
  task.plan = plan;
  task.parts = 1;
  const Forward<T> measured(task, row_count);
  constexpr auto size = static_cast<Index>(sizeof(T));
  return {measured.work_arena.used / size, measured.shared_arena.used / size};
}

template <class T>
Index projected_size(CellId cell, Index hidden_size) {
  Arena arena{nullptr};
  const ForwardLayout<T> layout(cell, arena, 0, hidden_size);
  return layout.padded() * layout.projected_gates;
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
