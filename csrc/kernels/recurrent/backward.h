// Back-propagation through time, over any cell: the forward loop's steps in reverse (Werbos 1990).
//
// Only what reaches the states of the step before is sequential: δ_t times the weights that read them. The epilogue of
// each tile of that product runs the reverse of the cell for the same units, one step earlier; a cell with stages has
// as many such products and epilogues in every step. A team may share out the units; there is then a barrier after
// every stage. The gradients of the weights are large products over many steps, afterwards or between ranges of steps
// (gradients/weights.h).
#pragma once

#include "kernels/interrupt.h"
#include "kernels/recurrent/backward_products.h"
#include "kernels/recurrent/backward_program.h"
#include "kernels/recurrent/cell_code.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class T>
struct Backward : BackwardProducts<T> {
  using Units = BackwardUnits<T>;
  using Products = BackwardProducts<T>;
  using Products::delta_starts, Products::first_unit, Products::grid_of, Products::hidden, Products::kWidth;
  using Products::last_unit, Products::packed, Products::panels_of, Products::row_run_count, Products::row_runs;
  using Products::source_runs, Products::state_grid, Products::through_panels;
  using typename Products::RowRun;
  using Units::add_lines, Units::alive, Units::caller_row, Units::cell, Units::delta, Units::direct, Units::H;
  using Units::outgoing_row, Units::row_of, Units::rows, Units::shape, Units::task, Units::V;

  const BackwardEpilogue<T> *const compiled;  // by stage; null where the cell is a program
  BackwardProgram<T> program;                 // of a cell whose mathematics isn't compiled
  T *accumulators;
  const T **delta_rows;
  BackwardRow<T> *step_rows;  // of the step that is being visited
  alignas(64) T zeros[kWidth] = {};

  Backward(const BackwardTask<T> &of, Index count)
      : Products(of, count, Arena{reinterpret_cast<char *>(of.work)}, Arena{reinterpret_cast<char *>(of.shared)}),
        compiled(cell.compiled == kInterpreted ? nullptr : backward_code<T>(cell.compiled).stages),
        program(*this, packed.values, this->work_arena, this->shared_arena),
        accumulators(this->work_arena.template take<T>(count * kWidth)),
        delta_rows(this->work_arena.template take<const T *>(count)),
        step_rows(this->work_arena.template take<BackwardRow<T>>(count)) {}

  // What the gradient of a source is for: see the members in turn.
  struct Target {
    int stage;     // whose reverse it is the last product of; or
    int kept;      // -1, or the source whose gradient other products' epilogues will read
    bool initial;  // or the gradient of an initial state
  };

  // The deltas of step t of the columns that read a source times their weights, for rows [begin, end) of step `to`.
  bool multiply_back(Index t, Index to, int source, const Target &target, Index begin, Index end, bool backwards) {
    if (begin == end) {
      return true;
    }
    for (Index b = begin; b < end; ++b) {
      delta_rows[b] = delta(t, b);
    }
    const SourceRuns &runs = source_runs[source];
    const PanelGrid<T> &grid = source < cell.states ? state_grid(source) : hidden;
    const auto finish = [&](const PanelRun &run, Index first, Index n, const T *sums) {
      const int vectors =
          static_cast<int>(smaller(run.count * kPanelVectors, grid.vectors - run.first * kPanelVectors));
      const BackwardTile<T> tile{to, begin + first, n, run.first * kWidth, vectors, sums, step_rows + begin + first};
      if (target.initial) {
        store_initial(source, tile);
      } else if (target.kept >= 0) {
        keep(source, tile);
      } else {
        apply(target.stage, tile);
      }
    };
    const bool names = !target.initial && target.kept < 0 && target.stage == 0;
    const auto name_lines = [&](Index panel, Index first, Index n, PrefetchList &lines) {
      const bool named = names && grid.vectors_of(panel) == kPanelVectors;
      for (Index b = begin + first; named && b < begin + first + n; ++b) {
        if (compiled) {
          add_lines(step_rows[b], panel * kWidth, lines);
        } else {
          program.add_lines(to, b, panel * kWidth, lines);
        }
      }
    };
    const T *weights = packed.source[source];
    return through_panels(grid, end - begin, backwards, [&](const PanelRun &run) {
      if (end - begin == 1) {
        for (Index p = 0; p < run.count; ++p) {
          PrefetchList lines;
          name_lines(run.first + p, 0, 1, lines);
          for (const void *line : lines) {
            fetch(line);
          }
        }
        alignas(64) T sums[(kRowGroup + 1) * kWidth];
        for (int r = 0; r < runs.count; ++r) {
          const Panels<T> panels = panels_of(grid, runs, runs.runs[r], weights, run);
          const Index panel_width = panels.vectors * V;
          row_product(delta_rows[begin] + delta_starts[runs.runs[r].column], panels, r ? sums : zeros,
                      r ? panel_width : 0, r ? sums + panels.count * panel_width : zeros, sums);
        }
        finish(run, 0, 1, sums);
      } else {
        Term<T> terms[kMaxColumns];
        const T *ahead = nullptr;
        int vectors = 0;
        for (int r = 0; r < runs.count; ++r) {
          const Panels<T> panels = panels_of(grid, runs, runs.runs[r], weights, run);
          terms[r] = {delta_rows + begin, delta_starts[runs.runs[r].column], panels.weights, panels.depth};
          ahead = panels.ahead;
          vectors = panels.vectors;
        }
        panel_product(
            PanelProduct<T>{end - begin, vectors, zeros, 0, terms, runs.count, task.plan->depth_block,
                            task.plan->tile_rows, accumulators, ahead, task.plan->alternate != 0},
            [&](Index first, Index n, const T *sums) { finish(run, first, n, sums); },
            [&](Index first, Index n, PrefetchList &lines) { name_lines(run.first, first, n, lines); });
      }
      return !interrupted(task.worker, run.count * (end - begin) * runs.depth * kWidth);
    });
  }

  void apply(int stage, const BackwardTile<T> &tile) {
    if (compiled) {
      compiled[stage](*this, tile);
    } else {
      program.run(stage, tile);
    }
  }

  // Stores a tile's sums, plus the direct paths around the products, as gradients of the initial states of its rows.
  void store_initial(int state, const BackwardTile<T> &tile) const {
    const T *sums = tile.sums;
    const Index size = state_size(shape, state);
    for (Index b = tile.first; b < tile.first + tile.count; ++b) {
      for (int v = 0; v < tile.vectors; ++v, sums += V) {
        const Index unit = tile.unit + v * V;
        Vec<T> sum = Vec<T>::load(sums);
        if (direct[state]) {
          sum = sum + Vec<T>::load(outgoing_row(state, b) + unit);
        }
        put(sum, task.dinitial[state] + caller_row(b, state) + unit, size - unit);
      }
    }
  }

  // Notes the gradient of a source for an epilogue to come.
  void keep(int source, const BackwardTile<T> &tile) const {
    const T *sums = tile.sums;
    for (Index b = tile.first; b < tile.first + tile.count; ++b) {
      const bool state = source < cell.states;
      T *to = state ? outgoing_row(source, b) : program.gradient_row(source, b);
      for (int v = 0; v < tile.vectors; ++v, sums += V) {
        const Index unit = tile.unit + v * V;
        Vec<T> sum = Vec<T>::load(sums);
        if (state && direct[source]) {
          sum = sum + Vec<T>::load(to + unit);
        }
        sum.store(to + unit);
      }
    }
  }

  // Every part has done its units; false: the call is to end.
  bool all_here() const { return task.parts == 1 || task.worker->barrier(task.worker); }

  // A stage's program where no product comes before it, for rows [begin, end).
  bool run_plain(Index t, int stage, Index begin, Index end) {
    const PanelGrid<T> &grid = grid_of(cell.back_stages[stage].size);
    for (Index unit = first_unit(grid); unit < last_unit(grid); unit += kWidth) {
      const int vectors = static_cast<int>(smaller(kPanelVectors, ceil_div(last_unit(grid) - unit, V)));
      for (Index b = begin; b < end; b += kScratchRows) {
        const Index count = smaller(kScratchRows, end - b);
        apply(stage, {t, b, count, unit, vectors, nullptr, step_rows + b});
      }
      if (interrupted(task.worker, (end - begin) * kWidth * 16)) {
        return false;
      }
    }
    return true;
  }

  // A step of a single row of such a cell.
  bool row_step(Index t, Index after, bool backwards) {
    if (compiled) {
      step_rows[0] = row_of(t, 0);
    } else {
      program.begin_step(t);
    }
    const T *deltas = delta(after, 0) + delta_starts[source_runs[0].runs[0].column];
    alignas(64) T sums[(kRowGroup + 1) * kWidth];
    for (const RowRun *run = row_runs[backwards]; run < row_runs[backwards] + row_run_count; ++run) {
      for (Index unit = run->unit; unit + kWidth <= H && unit < run->unit + run->vectors * V; unit += kWidth) {
        PrefetchList lines;
        if (compiled) {
          add_lines(step_rows[0], unit, lines);
        } else {
          program.add_lines(t, 0, unit, lines);
        }
        for (const void *line : lines) {
          fetch(line);
        }
      }
      row_product(deltas, run->panels, zeros, 0, zeros, sums);
      apply(0, {t, 0, 1, run->unit, run->vectors, sums, step_rows});
      if (interrupted(task.worker, run->cost)) {
        return false;
      }
    }
    return all_here();
  }

  // Step t: rows [0, going) were visited at step `after`; rows [going, n) come to their last step here.
  bool step(Index t, Index after, Index going, Index n, bool backwards) {
    if (n == 1 && going == 1 && row_run_count > 0) {
      return row_step(t, after, backwards);
    }
    if (!compiled) {
      program.begin_step(t);
    } else {
      for (Index b = 0; b < n; ++b) {
        step_rows[b] = row_of(t, b);
      }
    }
    for (int stage = 0; stage < cell.back_stage_count; ++stage) {
      const Range &sources = cell.back_stages[stage].products;
      if (!compiled) {
        program.begin_stage(stage, n);
      }
      const Index rows_done = stage == 0 ? going : n;
      bool done = true, ran = false;
      for (int i = 0; done && i < sources.count; ++i) {
        const int source = cell.sources[sources.first + i];
        // The program is the epilogue of the last product, but in the first stage only of that with what reads h.
        ran = i + 1 == sources.count && (stage > 0 || source == 0);
        done = multiply_back(stage == 0 ? after : t, t, source, {stage, ran ? -1 : source, false}, 0, rows_done,
                             backwards);
      }
      done = done && (ran || run_plain(t, stage, 0, rows_done));
      // What reaches the states of a row's last step is only what the caller gives.
      done = done && (rows_done == n || run_plain(t, stage, rows_done, n));
      if (!done || !all_here()) {
        return false;
      }
    }
    return true;
  }

  // Rows [begin, end) have had their first step, t: what is left over are the gradients of their initial states.
  bool end(Index t, Index begin, Index end) {
    for (int j = 0; j < cell.states; ++j) {
      if (source_runs[j].count > 0) {
        if (!multiply_back(t, t, j, {0, -1, true}, begin, end, false)) {
          return false;
        }
        continue;
      }
      const PanelGrid<T> &grid = state_grid(j);
      for (Index b = begin; b < end; ++b) {
        for (Index unit = first_unit(grid); unit < last_unit(grid); unit += V) {
          const Vec<T> left = direct[j] ? Vec<T>::load(outgoing_row(j, b) + unit) : Vec<T>::zero();
          put(left, task.dinitial[j] + caller_row(b, j) + unit, grid.size - unit);
        }
      }
    }
    return true;
  }

  void start() {
    const Index count = task.last - task.first;
    for (int j = 0; j < cell.states; ++j) {
      const PanelGrid<T> &grid = state_grid(j);
      for (Index b = 0; b < count; ++b) {
        const bool empty = rows.steps == 0 || b >= alive(0);
        for (Index unit = first_unit(grid); unit < last_unit(grid); unit += V) {
          const Index lanes = grid.size - unit, at = caller_row(b, j) + unit;
          const Vec<T> gradient = task.dfinal[j] ? get(task.dfinal[j] + at, lanes) : Vec<T>::zero();
          gradient.store(outgoing_row(j, b) + unit);
          if (empty) {
            put(gradient, task.dinitial[j] + at, lanes);
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
WorkSizes backward_sizes(const CellShape *shape, Index row_count) {
  BackwardTask<T> task{};
  task.shape = *shape;
  task.parts = 1;
  const Backward<T> measured(task, row_count);
  constexpr auto size = static_cast<Index>(sizeof(T));
  return {measured.work_arena.used / size, measured.shared_arena.used / size};
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
