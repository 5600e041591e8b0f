// The weights that a step's deltas are multiplied by, panel by panel, and the units of which these are the gradients:
// found once, before the first step.
#pragma once

#include "kernels/product/panel_product.h"
#include "kernels/product/row_product.h"
#include "kernels/recurrent/backward_units.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class T>
struct BackwardProducts : BackwardUnits<T> {
  using Units = BackwardUnits<T>;
  using Units::cell, Units::H, Units::shape, Units::task, Units::V;
  static constexpr Index kWidth = kPanelVectors * V;

  Arena packed_arena, work_arena, shared_arena;
  const BackwardLayout<T> packed;
  const PanelGrid<T> hidden, projected;               // units in panels
  const PanelShare<T> hidden_share, projected_share;  // this part's
  const SourceRuns *source_runs;                      // by source

  // A run of panels by which a single row's deltas are multiplied at once, prepared once for all steps.
  struct RowRun {
    Panels<T> panels;
    Index unit, cost;
    int vectors;
  };
  RowRun *row_runs[2];  // forwards and backwards
  Index row_run_count;  // 0 but of a cell with one stage and one run of deltas
  Index delta_starts[kMaxColumns];

  BackwardProducts(const BackwardTask<T> &of, Index count, Arena work, Arena shared)
      : Units(of, count, work),
        packed_arena{reinterpret_cast<char *>(const_cast<T *>(of.packed))},
        work_arena(work),
        shared_arena(shared),
        packed(of.shape, packed_arena),
        hidden(H, true),
        projected(of.shape.projected_size, true),
        hidden_share(hidden, of.part, of.parts),
        projected_share(projected, of.part, of.parts),
        row_run_count(0) {
    SourceRuns *runs = work_arena.take<SourceRuns>(cell.states + cell.staged);
    source_runs = runs;
    for (int s = 0; of.work && s < cell.states + cell.staged; ++s) {
      runs[s] = SourceRuns(shape, s);
    }
    for (int c = 0; c < cell.column_count; ++c) {
      delta_starts[c] = delta_at(shape, c);
    }
    const Index most = ceil_div(projected.panels, kRowGroup) + 1;
    for (RowRun *&made : row_runs) {
      made = work_arena.take<RowRun>(most);
    }
    const Range &sources = cell.back_stages[0].products;
    const bool simple = cell.back_stage_count == 1 && sources.count == 1 && cell.sources[sources.first] == 0;
    if (of.work && simple && source_runs[0].count == 1) {
      prepare_rows();
    }
  }

  void prepare_rows() {
    for (int backwards = 0; backwards < 2; ++backwards) {
      row_run_count = 0;
      through_panels(projected, 1, backwards != 0, [&](const PanelRun &run) {
        const Index left = projected.vectors - run.first * kPanelVectors;
        row_runs[backwards][row_run_count++] = {
            panels_of(projected, source_runs[0], source_runs[0].runs[0], packed.source[0], run), run.first * kWidth,
            run.count * source_runs[0].depth * kWidth, static_cast<int>(smaller(run.count * kPanelVectors, left))};
        return true;
      });
    }
  }

  const PanelGrid<T> &grid_of(std::int32_t size) const { return size == kProjected ? projected : hidden; }
  const PanelGrid<T> &state_grid(int state) const { return state == 0 ? projected : hidden; }
  const PanelShare<T> &share_of(const PanelGrid<T> &grid) const {
    return &grid == &projected ? projected_share : hidden_share;
  }
  Index first_unit(const PanelGrid<T> &grid) const { return share_of(grid).first_unit; }
  Index last_unit(const PanelGrid<T> &grid) const { return share_of(grid).last_unit; }

  Panels<T> panels_of(const PanelGrid<T> &grid, const SourceRuns &runs, const SourceRuns::Run &columns,
                      const T *weights, const PanelRun &run) const {
    const Index panel_size = kWidth * runs.depth;
    const auto at = [&](Index panel) {
      return weights + panel * panel_size + columns.before * grid.vectors_of(panel) * V;
    };
    const Index end = run.first + run.count - 1;
    const int last = run.uneven ? grid.vectors_of(end) : 0;
    return {run.count - (last ? 1 : 0),
            grid.vectors_of(run.first),
            last,
            at(run.first),
            at(end),
            panel_size,
            columns.depth,
            run.next < 0 || !task.plan->alternate ? nullptr : at(run.next),
            run.backwards};
  }

  // visit(run) for runs of this part's panels.
  template <class Visit>
  bool through_panels(const PanelGrid<T> &grid, Index n, bool backwards, Visit visit) const {
    const Index first = share_of(grid).first, last = share_of(grid).last;
    const bool uneven = last > first && grid.vectors_of(last - 1) < kPanelVectors;
    return panel_runs(last - first, n, uneven, backwards, [&](PanelRun run) {
      run.first += first;
      run.next += run.next < 0 ? 0 : first;
      return visit(run);
    });
  }
};

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
