// The time loop, over any cell: h_t, c_t = cell(x_t, h_{t-1}, c_{t-1}).
//
// The input projection b + W_ih x_t of a chunk of steps is done as one product whose result stays in L2; a step then
// goes on with the same chains over h_{t-1}, panel by panel, and applies the cell to each tile while it is in L1.
#pragma once

#include "packing.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class Cell, class T>
struct Forward {
  using Layout = ForwardLayout<Cell, T>;
  static constexpr Index V = Vec<T>::size;
  static constexpr int G = Cell::kGates;

  const ForwardTask<T> &task;
  const Rows &rows;
  const Index H;
  const Index width;       // of a row of hidden state: one odd number of lines, or rows 4 KB apart fight for one L1 set
  const Index chunk_rows;  // rows of the projection buffer
  Arena packed_arena, work_arena;
  const Layout packed;

  T *projected;        // [panel][chunk row][projected gate][unit]
  T *state[2];         // h_{t-1} and h_t, [row][width]
  T *cell;             // c_{t-1}, then c_t
  T *reset;            // reset before: r ∘ h_{t-1}
  T *update;           // reset before: z
  T *stash;            // sums of panel_product, [row][panel]
  const T **inputs;    // x rows of the chunk
  Index *tokens;       // or their tokens
  T *table_projected;  // the same of a table's rows, [panel][token][projected gate][unit]
  const T **table_rows;
  const T **hidden[2];   // rows of state
  const T **reset_rows;  // rows of reset
  int now = 0;           // state[now] is h_{t-1}

  Forward(const ForwardTask<T> &of, Index row_count)
      : task(of),
        rows(of.rows),
        H(of.hidden_size),
        width(Layout::padded(H) % 32 == 0 ? Layout::padded(H) + V : Layout::padded(H)),
        chunk_rows(row_count * (of.plan->fused ? 1 : of.plan->chunk)),
        packed_arena{reinterpret_cast<char *>(const_cast<T *>(of.packed))},
        work_arena{reinterpret_cast<char *>(of.work)},
        packed(packed_arena, of.input_size, H) {
    const Index units = Layout::padded(H);
    projected = work_arena.take<T>(units * Layout::kProjectedGates * chunk_rows);
    for (int i = 0; i < 2; ++i) {
      state[i] = work_arena.take<T>(row_count * width);
      hidden[i] = work_arena.take<const T *>(row_count);
    }
    cell = work_arena.take<T>(Cell::kCellState ? row_count * width : 0);
    reset = work_arena.take<T>(Cell::kResetBefore ? row_count * width : 0);
    update = work_arena.take<T>(Cell::kResetBefore ? row_count * width : 0);
    reset_rows = work_arena.take<const T *>(Cell::kResetBefore ? row_count : 0);
    stash = work_arena.take<T>(row_count * kPanelVectors * V);
    inputs = work_arena.take<const T *>(chunk_rows);
    tokens = work_arena.take<Index>(chunk_rows);
    table_projected = work_arena.take<T>(units * Layout::kProjectedGates * of.alphabet);
    table_rows = work_arena.take<const T *>(of.alphabet);
  }

  Index alive(Index t) const { return larger(smaller(rows.alive[t], task.last) - task.first, 0); }
  Index time(Index s) const { return task.reverse ? rows.steps - 1 - s : s; }

  T *projected_panel(Index panel) const {
    return projected + panel * Layout::kUnits * Layout::kProjectedGates * chunk_rows;
  }

  // A row of caller's state (batch, H), null for zeros, into a padded row and back.
  void load_state(const T *from, T *to) const {
    for (Index i = 0; i < width; i += V) {
      (from && i < H ? get(from + i, H - i) : Vec<T>::zero()).store(to + i);
    }
  }
  void store_state(const T *from, T *to) const {
    for (Index i = 0; i < H; i += V) {
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
    if constexpr (Cell::kSplitCandidate) {  // n_h starts as b_hn; nothing writes over it
      for (Index panel = 0; panel < Layout::panels(H); ++panel) {
        T *at = projected_panel(panel) + G * V;
        for (Index row = 0; row < chunk_rows; ++row) {
          Vec<T>::load(packed.candidate_bias + panel * V).store(at + row * Layout::kProjectedGates * V);
        }
      }
    }
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

  static Index projected_width(Index hidden_size, Index panel) {
    return Layout::unit_vectors(hidden_size, panel) * Layout::kProjectedGates * V;
  }

  // b + W_ih x of the units of one panel, for `count` rows of inputs.
  void project(Index panel, const T *const *from, Index count, T *to) {
    const int vectors = Layout::unit_vectors(H, panel) * G;
    const Index stride = projected_width(H, panel);
    const T *bias = packed.bias + panel * Layout::kUnits * G;
    const T *weights = packed.input + panel * Layout::kUnits * G * task.input_size;
    balanced_tiles(count, smaller(task.plan->tile_rows, tile_rows(vectors)), [&](Index first, Index n) {
      tile_for<T>(n, vectors)(bias, 0, from + first, 0, weights, task.input_size, to + first * stride, stride);
    });
  }

  // The rows of a table are projected once, however often their tokens come, unless this slice is smaller than the
  // table.
  bool by_table() const { return task.table && (task.last - task.first) * rows.steps >= task.alphabet; }
  bool project_table() {
    if (!by_table()) {
      return true;
    }
    for (Index token = 0; token < task.alphabet; ++token) {
      table_rows[token] = task.table + token * task.input_size;
    }
    for (Index panel = 0; task.alphabet && panel < Layout::panels(H); ++panel) {
      project(panel, table_rows, task.alphabet, table_panel(panel));
      if (interrupted(task.pulse, task.alphabet * task.input_size * Layout::kUnits * G)) {
        return false;
      }
    }
    return true;
  }
  T *table_panel(Index panel) const {
    return table_projected + panel * Layout::kUnits * Layout::kProjectedGates * task.alphabet;
  }

  // The same by token: from the table, or for one-hot rows, where every 0 in the chain leaves the sum as it is, the
  // bias and the column of the 1.
  void look_up(Index panel, Index count, T *to) {
    const Index width_used = Layout::unit_vectors(H, panel) * G * V, stride = projected_width(H, panel);
    const T *bias = packed.bias + panel * Layout::kUnits * G;
    const T *weights = packed.input + panel * Layout::kUnits * G * task.input_size;
    for (Index row = 0; row < count; ++row, to += stride) {
      const T *known = task.table ? table_panel(panel) + tokens[row] * stride : weights + tokens[row] * width_used;
      for (Index i = 0; i < width_used; i += V) {
        const Vec<T> value = Vec<T>::load(known + i);
        (task.table ? value : Vec<T>::load(bias + i) + value).store(to + i);
      }
    }
  }

  void project_panel(Index panel, Index count) {
    if (task.tokens && (!task.table || by_table())) {
      look_up(panel, count, projected_panel(panel));
    } else {
      project(panel, inputs, count, projected_panel(panel));
    }
  }

  // Notes the input rows of steps [from, to), and projects them unless each step is to do that itself.
  bool begin_chunk(Index from, Index to) {
    Index count = 0;
    for (Index s = from; s < to; ++s) {
      for (Index b = 0, t = time(s), n = alive(t); b < n; ++b, ++count) {
        if (task.table && !by_table()) {
          inputs[count] = task.table + task.tokens[rows.offset[t] + task.first + b] * task.input_size;
        } else if (task.tokens) {
          tokens[count] = task.tokens[rows.offset[t] + task.first + b];
        } else {
          inputs[count] = row_at(task.x, rows, t, task.first + b);
        }
      }
    }
    for (Index panel = 0; !task.plan->fused && panel < Layout::panels(H); ++panel) {
      project_panel(panel, count);
      if (interrupted(task.pulse, count * (task.tokens ? 1 : task.input_size) * Layout::kUnits * G)) {
        return false;
      }
    }
    return true;
  }

  // Fetches where apply will store what a tape keeps.
  void fetch_units(Index t, Index panel, int vectors, Index first, Index n) const {
    for (Index b = first; task.kept && b < first + n; ++b) {
      const Index row = rows.offset[t] + task.first + b;
      for (int v = 0; v < vectors; ++v) {
        const Index unit = panel * Layout::kUnits + v * V;
        for (int k = 0; k < Cell::kKept; ++k) {
          fetch_to_write(task.kept + row * task.kept_stride + k * H + unit);
        }
        if constexpr (Cell::kCellState) {
          fetch_to_write(task.cells + row * H + unit);
        }
        fetch_to_write(row_at(task.out, rows, t, task.first + b) + unit);
      }
    }
  }

  // The cell on one tile's sums: rows [first, first + n) of the slice, the units of one panel.
  void apply(Index t, Index panel, int vectors, Index first, Index n, const T *sums, Index sum_width,
             const T *candidate_x, Index candidate_stride) {
    for (Index r = 0; r < n; ++r) {
      const Index b = first + r;
      T *out = row_at(task.out, rows, t, task.first + b);
      T *copy = task.copy.base ? row_at(task.copy, rows, t, task.first + b) : nullptr;
      T *kept = task.kept ? task.kept + (rows.offset[t] + task.first + b) * task.kept_stride : nullptr;
      T *cells = task.cells ? task.cells + (rows.offset[t] + task.first + b) * H : nullptr;
      for (int v = 0; v < vectors; ++v) {
        const Index unit = panel * Layout::kUnits + v * V;
        const Index lanes = H - unit;
        StepVectors<T> s;
        s.h_prev = Vec<T>::load(state[now] + b * width + unit);
        if constexpr (Cell::kResetBefore) {
          s.pre[G - 1] = Vec<T>::load(sums + r * sum_width);
          s.kept[0] = Vec<T>::zero();  // r was kept by the first half
          s.kept[1] = Vec<T>::load(update + b * width + unit);
        } else {
          for (int g = 0; g < G; ++g) {
            s.pre[g] = Vec<T>::load(sums + r * sum_width + (v * G + g) * V);
          }
        }
        if constexpr (Cell::kSplitCandidate) {
          s.candidate_x = Vec<T>::load(candidate_x + r * candidate_stride);
        }
        if constexpr (Cell::kCellState) {
          s.c = Vec<T>::load(cell + b * width + unit);
        }
        Cell::step(s);
        s.h.store(state[1 - now] + b * width + unit);
        put(s.h, out + unit, lanes);
        if (copy) {
          put(s.h, copy + unit, lanes);
        }
        if constexpr (Cell::kCellState) {
          s.c.store(cell + b * width + unit);
          if (cells) {
            put(s.c, cells + unit, lanes);
          }
        }
        if (kept) {
          for (int k = Cell::kResetBefore ? 1 : 0; k < Cell::kKept; ++k) {
            put(s.kept[k], kept + k * H + unit, lanes);
          }
        }
      }
    }
  }

  // Reset before, the first half of a step: r and z of one tile, and r ∘ h_{t-1} for the second half's product.
  void apply_gates(Index t, Index panel, Index first, Index n, const T *sums) {
    const Index unit = panel * V;
    for (Index r = 0; r < n; ++r) {
      const Index at = (first + r) * width + unit;
      StepVectors<T> s;
      s.pre[0] = Vec<T>::load(sums + r * 2 * V);
      s.pre[1] = Vec<T>::load(sums + r * 2 * V + V);
      Cell::gates(s);
      (s.kept[0] * Vec<T>::load(state[now] + at)).store(reset + at);
      s.kept[1].store(update + at);
      if (task.kept) {
        put(s.kept[0], task.kept + (rows.offset[t] + task.first + first + r) * task.kept_stride + unit, H - unit);
      }
    }
  }

  // One panel of step t for n rows, whose projection begins at chunk row `row`.
  void step_panel(Index t, Index panel, Index row, Index n) {
    const Plan &plan = *task.plan;
    const int unit_vectors = Layout::unit_vectors(H, panel);
    const Index stride = unit_vectors * Layout::kProjectedGates * V;
    const T *from = projected_panel(panel) + row * stride;
    if (plan.fused) {
      project_panel(panel, n);
    }
    if constexpr (Cell::kResetBefore) {
      const Segment<T> segment{hidden[now], 0, packed.hidden + panel * 2 * V * H, H};
      panel_product(n, 2, from, stride, &segment, 1, plan.depth_block, plan.tile_rows, stash,
                    [&](Index first, Index count, const T *sums) { apply_gates(t, panel, first, count, sums); });
    } else {
      const Segment<T> segment{hidden[now], 0, packed.hidden + panel * Layout::kUnits * G * H, H};
      const int vectors = unit_vectors * G;
      panel_product(
          n, vectors, from + (Cell::kSplitCandidate ? V : 0), stride, &segment, 1, plan.depth_block, plan.tile_rows,
          stash,
          [&](Index first, Index count, const T *sums) {
            apply(t, panel, unit_vectors, first, count, sums, vectors * V, from + first * stride, stride);
          },
          [&](Index first, Index count) { fetch_units(t, panel, unit_vectors, first, count); });
    }
  }

  // Reset before, the second half: n_x goes on over r ∘ h_{t-1}.
  void step_candidate(Index t, Index panel, Index row, Index n) {
    const Segment<T> segment{reset_rows, 0, packed.candidate + panel * V * H, H};
    panel_product(n, 1, projected_panel(panel) + (row * G + 2) * V, G * V, &segment, 1, task.plan->depth_block,
                  task.plan->tile_rows, stash, [&](Index first, Index count, const T *sums) {
                    apply(t, panel, 1, first, count, sums, V, nullptr, 0);
                  });
  }

  bool step(Index s, Index row) {
    const Index t = time(s), n = alive(t), panels = Layout::panels(H);
    const bool backwards = task.plan->alternate && s % 2 == 1;
    for (int half = 0; half < (Cell::kResetBefore ? 2 : 1); ++half) {
      for (Index i = 0; i < panels; ++i) {
        const Index panel = backwards ? panels - 1 - i : i;
        if (half == 0) {
          step_panel(t, panel, row, n);
        } else {
          step_candidate(t, panel, row, n);
        }
        if (interrupted(task.pulse, n * Layout::kUnits * G * H)) {
          return false;
        }
      }
    }
    now = 1 - now;
    return true;
  }

  bool run() {
    const Index steps = rows.steps, count = task.last - task.first;
    start();
    if (!project_table()) {
      return false;
    }
    if (!task.reverse) {
      end(steps ? alive(0) : 0, count);  // sequences of length 0
    }
    for (Index from = 0; from < steps; from += task.plan->chunk) {
      const Index to = smaller(from + task.plan->chunk, steps);
      if (!task.plan->fused && !begin_chunk(from, to)) {
        return false;
      }
      for (Index s = from, row = 0; s < to; ++s) {
        const Index t = time(s), n = alive(t);
        if (n == 0) {
          continue;
        }
        if ((task.plan->fused && !begin_chunk(s, s + 1)) || !step(s, row)) {
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
  return Forward<Cell, T>(task, row_count).work_arena.used / static_cast<Index>(sizeof(T));
}

template <class Cell, class T>
Index projected(Index hidden_size) {
  return ForwardLayout<Cell, T>::padded(hidden_size) * ForwardLayout<Cell, T>::kProjectedGates;
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
