// The time loop, over any cell: its states after step t from x_t and its states before.
//
// The input projection b + W_ih x_t of a chunk of steps is computed beforehand (projection.h). The products of a step's
// stages then continue the same chains, panel by panel, and the epilogue of a stage's last product applies the cell's
// mathematics to each tile while it is in L1. A team may share out the panels, `part` of `parts` to each member; there
// is then a barrier after every stage of a step.
#pragma once

#include "kernels/interrupt.h"
#include "kernels/recurrent/forward_products.h"
#include "kernels/recurrent/forward_program.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class T, class W = FullWeights<T>>
struct Forward : ForwardProducts<T, W> {
  using Units = ForwardUnits<T>;
  using Products = ForwardProducts<T, W>;
  using Products::column_width, Products::columns_of, Products::compiled, Products::copies, Products::copy_projected;
  using Products::hidden, Products::packed, Products::panels_of, Products::partial, Products::partial_stride;
  using Products::projected, Products::projection, Products::quantise_rows, Products::row_run_counts;
  using Products::run_vectors, Products::runs_of, Products::source_range, Products::source_rows, Products::stages;
  using Products::works, Products::zeros;
  using typename Products::ProductWork, typename Products::RowRun;
  using Units::cell, Units::now, Units::rows, Units::state, Units::state_width, Units::task, Units::V;

  ForwardProgram<T> program;  // of a cell whose mathematics isn't compiled
  T *accumulators;            // sums of panel_product, [row][panel]

  Forward(const ForwardTask<T> &of, Index count)
      : Products(of, count, Arena{reinterpret_cast<char *>(of.work)}, Arena{reinterpret_cast<char *>(of.shared)}),
        program(*this, packed.values, stages, this->work_arena),
        accumulators(this->work_arena.template take<T>(count * kPanelVectors * V)) {}

  Index alive(Index t) const { return alive_rows(task, t); }

  const PanelShare<T> &state_share(int j) const { return j == 0 && cell.projects ? projected : hidden; }

  // This part's units of a row of the caller's state, null for zeros, into a padded row and back.
  void load_state(int j, const T *from, T *to) const {
    const PanelShare<T> &share = state_share(j);
    const Index size = state_size(task.shape, j);
    for (Index i = share.first_unit; i < share.last_unit; i += V) {
      (from ? get(from + i, size - i) : Vec<T>::zero()).store(to + i);
    }
  }
  void store_state(int j, const T *from, T *to) const {
    const PanelShare<T> &share = state_share(j);
    const Index size = state_size(task.shape, j);
    for (Index i = share.first_unit; i < share.last_unit; i += V) {
      put(Vec<T>::load(from + i), to + i, size - i);
    }
  }

  void start() {
    for (int j = 0; j < cell.states; ++j) {
      const Index size = state_size(task.shape, j);
      for (Index b = 0; b < task.last - task.first; ++b) {
        const T *from = task.initial[j] ? task.initial[j] + rows.order[task.first + b] * size : nullptr;
        for (int i = 0; i < 2; ++i) {  // both, so that a row that joins later finds its initial state in either
          if (i == 0 || state[j][0] != state[j][1]) {
            load_state(j, from, state[j][i] + b * state_width[j]);
          }
          if (source_rows[j][i]) {
            source_rows[j][i][b] = state[j][i] + b * state_width[j];
          }
        }
      }
    }
    for (int k = 0; k < cell.staged; ++k) {
      for (Index b = 0; source_rows[cell.states + k][0] && b < task.last - task.first; ++b) {
        source_rows[cell.states + k][0][b] = source_rows[cell.states + k][1][b] = this->staged_row(k, b);
      }
    }
    projection.start();
    if (rows.steps > 0 && alive(rows.steps - 1) <= 1) {
      this->prepare_rows();
    }
  }

  // Hands out the states of rows [from, to) of the slice, which have come to their end.
  void end(Index from, Index to) {
    for (int j = 0; j < cell.states; ++j) {
      for (Index b = from; b < to; ++b) {
        store_state(j, state[j][now] + b * state_width[j],
                    task.final[j] + rows.order[task.first + b] * state_size(task.shape, j));
      }
    }
  }

  // Prefetches where the epilogue will store what the tape keeps: some 20 lines, few enough to request at once.
  RECURRA_INLINE void fetch_units(const UnitTile &tile) const {
    const Index slot = packed.padded();
    for (Index b = tile.first; b < tile.first + tile.count; ++b) {
      const Index row = this->compact_row(tile.t, b);
      const T *kept = task.kept + row * task.kept_stride, *out = row_at(task.out, rows, tile.t, task.first + b);
      for (Index unit = tile.unit; unit < tile.unit + tile.vectors * V; unit += V) {
        for (int k = 0; k < cell.kept; ++k) {
          fetch_to_write(kept + k * slot + unit);
        }
        for (int j = 1; j < cell.states; ++j) {
          fetch_to_write(task.states[j] + row * slot + unit);
        }
        fetch_to_write(out + unit);
      }
    }
  }

  // A product of step t with one panel and n rows, whose projection begins at chunk row `row`.
  void product_panel(Index t, int stage, const ProductWork &work, const PanelRun &run, Index row, Index n) {
    const bool last = work.number + 1 == stages[stage].products.first + stages[stage].products.count;
    const bool of_h = work.grid == &packed.projected;
    if (work.number == 0 && projection.lazy() && !copies) {
      projection.project_panel(run.first, n);
    }
    const TileColumns<T> at = columns_of(nullptr, &work, of_h ? 0 : run.first, row, 0);
    const Index skip = of_h ? 0 : work.column * column_width(run.first);
    const T *from = of_h ? zeros : (work.begun || copies ? at.partial : at.projected) + skip;
    const Range source = source_range(work, run);
    const Panels<T, W> panels = panels_of(work, run, source);
    const Term<T, W> term{work.rows[now], source.first, panels.weights, panels.depth};
    const PanelProduct<T, W> product{n,
                                     panels.vectors,
                                     from,
                                     of_h ? 0 : at.row,
                                     &term,
                                     1,
                                     task.plan->depth_block,
                                     task.plan->tile_rows,
                                     accumulators,
                                     panels.ahead,
                                     task.plan->alternate != 0};
    if (!last) {
      T *to = partial + run.first * partial_stride() + skip;
      panel_product(
          product, [](Index, Index, T *) {}, Unprepared(),
          [&](Index first, const Destination<T> &) { return Destination<T>{to + first * at.row, at.row}; });
      return;
    }
    UnitTile tile{t, run.first * work.grid->units, 0, 0, run_vectors(*work.grid, run)};
    const bool fetches = task.taped && stage + 1 == cell.stage_count && !of_h;
    panel_product(
        product,
        [&](Index first, Index count, T *sums) {
          tile.first = first;
          tile.count = count;
          apply(stage, tile, columns_of(sums, &work, of_h ? 0 : run.first, row, first));
        },
        [&](Index first, Index count) {
          if (fetches) {
            tile.first = first;
            tile.count = count;
            fetch_units(tile);
          }
        });
  }

  // The same for a single row.
  void product_row(Index t, int stage, const ProductWork &work, RowRun &run, Index row) {
    if (work.number == 0 && projection.lazy() && !copies) {
      for (Index p = 0; p < run.panels.all(); ++p) {
        projection.project_panel(run.first_panel + p, 1);
      }
    }
    const UnitTile tile{t, run.unit, 0, 1, run.vectors};
    if (run.fetches) {
      fetch_units(tile);
    }
    alignas(64) T sums[(kRowGroup + 1) * kPanelVectors * V];
    row_product(work.rows[now][0], run.from_row, run.panels, run.from + row * run.row_width, run.panel_stride,
                run.last_from + row * run.last_width, sums);
    if (run.last) {
      run.columns.sums = sums;
      run.columns.projected = run.projected + row * run.columns.row;
      apply(stage, tile, run.columns);
      return;
    }
    const Index panel_width = run.panels.vectors * V;
    for (Index p = 0; p < run.panels.all(); ++p) {
      for (Index i = 0; i < panel_width; i += V) {
        Vec<T>::load(sums + p * panel_width + i).store(run.to + p * partial_stride() + i);
      }
    }
  }

  void apply(int stage, const UnitTile &tile, const TileColumns<T> &columns) {
    if (compiled) {
      compiled[stage](*this, tile, columns);
    } else {
      program.run(stage, tile, columns);
    }
  }

  bool run_product(Index t, int stage, const ProductWork &work, Index row, Index n, bool backwards) {
    quantise_rows(work, n);
    if (n == 1) {
      RowRun *runs = runs_of(work.number, backwards);
      for (RowRun *run = runs; run < runs + row_run_counts[work.number]; ++run) {
        product_row(t, stage, work, *run, row);
        if (interrupted(task.worker, run->cost)) {
          return false;
        }
      }
      return true;
    }
    const Index cost = work.grid->units * work.count * work.depth;
    return panel_runs(work.share->last - work.share->first, n, false, backwards, [&](PanelRun run) {
      run.first += work.share->first;
      run.next += run.next < 0 ? 0 : work.share->first;
      product_panel(t, stage, work, run, row, n);
      return !interrupted(task.worker, n * cost);
    });
  }

  // A stage without products: tiles of some rows and vectors of units.
  bool run_plain(Index t, int stage, Index row, Index n) {
    const Index most = n == 1 ? kMostStrip : kPanelVectors;
    const Index begin = hidden.first_unit, end = hidden.last_unit;
    const Index vectors = packed.hidden.unit_vectors == 1 ? most : packed.hidden.unit_vectors;
    for (Index unit = begin; unit < end; unit += vectors * V) {
      const int count = static_cast<int>(smaller(vectors, ceil_div(end - unit, V)));
      for (Index first = 0; first < n; first += kScratchRows) {
        const UnitTile tile{t, unit, first, smaller(kScratchRows, n - first), count};
        apply(stage, tile, columns_of(nullptr, nullptr, unit / packed.hidden.units, row, first));
      }
      if (interrupted(task.worker, n * vectors * V * 16)) {
        return false;
      }
    }
    return true;
  }

  // A step of a single row by a cell with one stage and one product: nothing but that, since at 32 units half of a step
  // was spent between its product and its mathematics.
  bool row_step(Index t, Index row, bool backwards) {
    RowRun *const runs = runs_of(0, backwards), *const end = runs + row_run_counts[0];
    if (!compiled) {
      program.begin_step(t);
      program.begin_stage(0, 1);
    }
    quantise_rows(works[0], 1);
    for (RowRun *run = runs; run < end; ++run) {
      product_row(t, 0, works[0], *run, row);
      if (interrupted(task.worker, run->cost)) {
        return false;
      }
    }
    now = 1 - now;
    return all_here();
  }

  bool step(Index s, Index row) {
    const Index t = time_of(task, s), n = alive(t);
    if (n == 1 && cell.stage_count == 1 && cell.product_count == 1) {
      return row_step(t, row, s % 2 == 1);
    }
    const bool backwards = s % 2 == 1 && (task.plan->alternate || n == 1);
    for (Index panel = hidden.first; copies && panel < hidden.last; ++panel) {
      if (projection.lazy()) {
        projection.project_panel(panel, n);
      }
      copy_projected(panel, row, n);
    }
    if (!compiled) {
      program.begin_step(t);
    }
    for (int stage = 0; stage < cell.stage_count; ++stage) {
      const Range &products = stages[stage].products;
      if (!compiled) {
        program.begin_stage(stage, n);
      }
      bool done = products.count > 0 || run_plain(t, stage, row, n);
      for (int p = products.first; done && p < products.first + products.count; ++p) {
        done = run_product(t, stage, works[p], row, n, backwards);
      }
      if (!done || !all_here()) {
        return false;
      }
    }
    now = 1 - now;
    return true;
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

template <class T, class W = FullWeights<T>>
bool forward(const ForwardTask<T> *task) {
  return Forward<T, W>(*task, task->last - task->first).run();
}

template <class T, class W = FullWeights<T>>
WorkSizes forward_sizes(const CellShape *shape, Index row_count, Index alphabet, bool taped, const Plan *plan) {
  ForwardTask<T> task{};
  task.shape = *shape;
  task.alphabet = alphabet;
  task.taped = taped;
  task.plan = plan;
  task.parts = 1;
  const Forward<T, W> measured(task, row_count);
  constexpr auto size = static_cast<Index>(sizeof(T));
  return {measured.work_arena.used / size, measured.shared_arena.used / size};
}

template <class T, class W = FullWeights<T>>
Index projected_size(const CellShape *shape) {
  Arena arena{nullptr};
  const ForwardLayout<T, W> layout(*shape, arena);
  return layout.padded() * layout.columns;
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
