// The time loop, over any cell: h_t, c_t = cell(x_t, h_{t-1}, c_{t-1}).
//
// The input projection b + W_ih x_t of a chunk of steps is done beforehand (projection.h); a step then goes on with the
// same chains over h_{t-1}, panel by panel, and applies the cell to each tile while it is in L1. A team may share out
// the panels, `part` of `parts` each, and meet after every step.
#pragma once

#include "kernels/interrupt.h"
#include "kernels/product/row_product.h"
#include "kernels/recurrent/projection.h"
#include "kernels/recurrent/units_forward.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class Cell, class T>
struct Forward : UnitsForward<Cell, T> {
  using Units = UnitsForward<Cell, T>;
  using typename Units::Layout;
  using Units::activate, Units::apply, Units::apply_gates, Units::cell, Units::fetch_units, Units::G, Units::H;
  using Units::now, Units::reset, Units::rows, Units::state, Units::task, Units::V, Units::width;

  Arena packed_arena, work_arena, shared_arena;
  const Layout packed;
  const Index first_panel, last_panel;  // this part's
  Projection<Cell, T> projection;

  T *stash;              // sums of panel_product, [row][panel]
  const T **hidden[2];   // rows of state
  const T **reset_rows;  // rows of reset

  Forward(const ForwardTask<T> &of, Index row_count)
      : Forward(of, row_count, Arena{reinterpret_cast<char *>(of.work)}, Arena{reinterpret_cast<char *>(of.shared)}) {}
  Forward(const ForwardTask<T> &of, Index row_count, Arena work, Arena shared)
      : Units(of, row_count, work, shared),
        packed_arena{reinterpret_cast<char *>(const_cast<T *>(of.packed))},
        work_arena(work),
        shared_arena(shared),
        packed(packed_arena, of.input_size, H),
        first_panel(Layout::panels(H) * of.part / of.parts),
        last_panel(Layout::panels(H) * (of.part + 1) / of.parts),
        projection(of, packed, row_count, first_panel, last_panel, work_arena) {
    for (const T **&pointers : hidden) {
      pointers = work_arena.take<const T *>(row_count);
    }
    reset_rows = work_arena.take<const T *>(Cell::kResetBefore ? row_count : 0);
    stash = work_arena.take<T>(row_count * kPanelVectors * V);
  }

  Index alive(Index t) const { return alive_rows(task, t); }

  // This part's units of a row of the caller's state (batch, H), null for zeros, into a padded row and back.
  Index first_unit() const { return first_panel * Layout::kUnits; }
  Index last_unit() const { return smaller(last_panel * Layout::kUnits, H); }
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
      if constexpr (Cell::kCellState) {
        load_state(task.c0 ? task.c0 + at : nullptr, cell + b * width);
      }
      if constexpr (Cell::kResetBefore) {
        reset_rows[b] = reset + b * width;
      }
    }
    projection.start();
  }

  // Hands out the state of rows [from, to) of the slice, which have come to their end.
  void end(Index from, Index to) {
    for (Index b = from; b < to; ++b) {
      const Index at = rows.order[task.first + b] * H;
      store_state(state[now] + b * width, task.h_n + at);
      if constexpr (Cell::kCellState) {
        store_state(cell + b * width, task.c_n + at);
      }
    }
  }

  Panels<T> panels_of(const T *weights, Index stride, int vectors, const PanelRun &run) const {
    const T *ahead = run.next < 0 || !task.plan->alternate ? nullptr : weights + run.next * stride;
    const int last = run.uneven ? Layout::unit_vectors(H, run.first + run.count - 1) * G : 0;
    weights += run.first * stride;
    return {run.count - (last ? 1 : 0),
            vectors,
            last,
            weights,
            weights + (run.count - 1) * stride,
            stride,
            H,
            ahead,
            run.backwards};
  }
  // Where the projection of chunk row `row` is.
  const T *projected_at(Index panel, Index row) const {
    return projection.panel_at(panel) + row * Projection<Cell, T>::width(H, panel);
  }

  // A run of panels of step t for n rows, whose projection begins at chunk row `row`.
  void step_panels(Index t, const PanelRun &run, Index row, Index n) {
    const Index stride = Projection<Cell, T>::width(H, run.first);
    for (Index p = run.first; task.plan->fused && p < run.first + run.count; ++p) {
      projection.project_panel(p, n);
    }
    const T *from = projected_at(run.first, row), *last_from = projected_at(run.first + run.count - 1, row);
    if constexpr (Cell::kResetBefore) {
      panels_product(
          *task.plan, n, hidden[now], panels_of(packed.hidden, 2 * V * H, 2, run), from, stride,
          projection.panel_stride(), last_from, stash, [](Index, T *) {},
          [&](Index p, Index first, Index count, const T *sums) { apply_gates(t, run.first + p, first, count, sums); },
          [](Index, Index, Index) {});
    } else {
      const int unit_vectors = Layout::unit_vectors(H, run.first);
      const Panels<T> panels = panels_of(packed.hidden, Layout::kUnits * G * H, unit_vectors * G, run);
      panels_product(
          *task.plan, n, hidden[now], panels, from + (Cell::kSplitCandidate ? V : 0), stride, projection.panel_stride(),
          last_from, stash, [&](Index count, T *sums) { activate(unit_vectors, count, sums); },
          [&](Index p, Index first, Index count, const T *sums) {
            const int vectors = Layout::unit_vectors(H, run.first + p);
            const T *candidate_x = from + p * projection.panel_stride() + first * stride;
            if (vectors == Cell::kUnitVectors) {  // a constant, which unrolls the loop over vectors
              apply(t, run.first + p, Cell::kUnitVectors, first, count, sums, Cell::kUnitVectors * G * V, candidate_x,
                    stride);
            } else {
              apply(t, run.first + p, vectors, first, count, sums, vectors * G * V, candidate_x, stride);
            }
          },
          [&](Index p, Index first, Index count) {
            fetch_units(t, run.first + p, Layout::unit_vectors(H, run.first + p), first, count);
          });
    }
  }

  // Reset before, the second half: n_x goes on over r ∘ h_{t-1}.
  void step_candidates(Index t, const PanelRun &run, Index row, Index n) {
    panels_product(
        *task.plan, n, reset_rows, panels_of(packed.candidate, V * H, 1, run), projected_at(run.first, row) + 2 * V,
        G * V, projection.panel_stride(), static_cast<const T *>(nullptr), stash, [](Index, T *) {},
        [&](Index p, Index first, Index count, const T *sums) {
          apply(t, run.first + p, 1, first, count, sums, V, nullptr, 0);
        },
        [](Index, Index, Index) {});
  }

  bool step(Index s, Index row) {
    const Index t = time_of(task, s), n = alive(t), count = last_panel - first_panel;
    const bool backwards = s % 2 == 1 && (task.plan->alternate || n == 1);
    const bool uneven = count > 0 && Layout::unit_vectors(H, last_panel - 1) < Cell::kUnitVectors;
    for (int half = 0; half < (Cell::kResetBefore ? 2 : 1); ++half) {
      const bool done = panel_runs(count, n, uneven, backwards, [&](PanelRun run) {
        run.first += first_panel;
        run.next += run.next < 0 ? 0 : first_panel;
        if (half == 0) {
          step_panels(t, run, row, n);
        } else {
          step_candidates(t, run, row, n);
        }
        return !interrupted(task.pulse, run.count * n * Layout::kUnits * G * H);
      });
      if (!done || !all_here()) {
        return false;
      }
    }
    now = 1 - now;
    return true;
  }

  // Every part has done its panels; false: the call is to end.
  bool all_here() const { return task.parts == 1 || task.pulse->meet(task.pulse); }

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

template <class Cell, class T>
bool forward(const ForwardTask<T> *task) {
  return Forward<Cell, T>(*task, task->last - task->first).run();
}

template <class Cell, class T>
Index forward_work(Index row_count, Index input_size, Index hidden_size, Index alphabet, const Plan *plan) {
  ForwardTask<T> task{};
  task.input_size = input_size;
  task.hidden_size = hidden_size;
  task.alphabet = alphabet;
  task.plan = plan;
  task.parts = 1;
  return Forward<Cell, T>(task, row_count).work_arena.used / static_cast<Index>(sizeof(T));
}

template <class Cell, class T>
Index forward_shared(Index row_count, Index hidden_size) {
  Plan plan;
  ForwardTask<T> task{};
  task.hidden_size = hidden_size;
  task.plan = &plan;
  task.parts = 1;
  return Forward<Cell, T>(task, row_count).shared_arena.used / static_cast<Index>(sizeof(T));
}

template <class Cell, class T>
Index projected(Index hidden_size) {
  return ForwardLayout<Cell, T>::padded(hidden_size) * ForwardLayout<Cell, T>::kProjectedGates;
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
