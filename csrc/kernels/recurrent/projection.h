// The input projection b + W_ih x of a chunk of steps, panel by panel: one product whose result stays in L2, or rows
// looked up where the input is tokens.
#pragma once

#include "kernels/interrupt.h"
#include "kernels/product/row_product.h"
#include "kernels/recurrent/packing.h"
#include "kernels/rows.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class T>
RECURRA_INLINE Index alive_rows(const ForwardTask<T> &task, Index t) {
  return larger(smaller(task.rows.alive[t], task.last) - task.first, 0);
}
template <class T>
RECURRA_INLINE Index time_of(const ForwardTask<T> &task, Index s) {
  return task.reverse ? task.rows.steps - 1 - s : s;
}

template <class Cell, class T>
struct Projection {
  using Layout = ForwardLayout<Cell, T>;
  static constexpr Index V = Vec<T>::size;
  static constexpr int G = Cell::kGates;

  const ForwardTask<T> &task;
  const Rows &rows;
  const Index H;
  const Layout &packed;
  const Index first_panel, last_panel;
  const Index chunk_rows;

  T *projected;        // [panel][chunk row][projected gate][unit]
  const T **inputs;    // x rows of the chunk
  Index *tokens;       // or their tokens
  T *table_projected;  // the same of a table's rows, [panel][token][projected gate][unit]
  const T **table_rows;

  Projection(const ForwardTask<T> &of, const Layout &weights, Index row_count, Index first, Index last, Arena &arena)
      : task(of),
        rows(of.rows),
        H(of.hidden_size),
        packed(weights),
        first_panel(first),
        last_panel(last),
        chunk_rows(row_count * (of.plan->fused ? 1 : of.plan->chunk)) {
    const Index width = Layout::padded(H) * Layout::kProjectedGates;
    projected = arena.take<T>(width * chunk_rows);
    inputs = arena.take<const T *>(chunk_rows);
    tokens = arena.take<Index>(chunk_rows);
    table_projected = arena.take<T>(width * of.alphabet);
    table_rows = arena.take<const T *>(of.alphabet);
  }

  static Index width(Index hidden_size, Index panel) {
    return Layout::unit_vectors(hidden_size, panel) * Layout::kProjectedGates * V;
  }
  Index panel_stride() const { return Layout::kUnits * Layout::kProjectedGates * chunk_rows; }
  T *panel_at(Index panel) const { return projected + panel * panel_stride(); }

  // n_h starts as b_hn; nothing writes over it.
  void start() {
    for (Index panel = first_panel; Cell::kSplitCandidate && panel < last_panel; ++panel) {
      T *at = panel_at(panel) + G * V;
      for (Index row = 0; row < chunk_rows; ++row) {
        Vec<T>::load(packed.candidate_bias + panel * V).store(at + row * Layout::kProjectedGates * V);
      }
    }
  }

  // b + W_ih x of the units of one panel, for `count` rows of inputs.
  void project(Index panel, const T *const *from, Index count, T *to) {
    const int vectors = Layout::unit_vectors(H, panel) * G;
    const Index stride = width(H, panel);
    const T *bias = packed.bias + panel * Layout::kUnits * G;
    const T *weights = packed.input + panel * Layout::kUnits * G * task.input_size;
    const Index panel_size = Layout::kUnits * G * task.input_size;
    const Index most = smaller(task.plan->tile_rows, tile_rows(vectors));
    NextPanel<T> next(task.plan->alternate && panel + 1 < last_panel ? weights + panel_size : nullptr, task.input_size,
                      vectors * V, count, most);
    balanced_tiles(count, most, vectors, [&](Index first, Index n) {
      const Ahead<T> fetched = next.take();
      tile_for<T>(n, vectors, fetched)(bias, 0, from + first, 0, weights, task.input_size, to + first * stride, stride,
                                       fetched);
    });
  }

  // The same for a single row, several panels at once: a step by itself, as when streaming.
  void project_row(const T *x) {
    alignas(64) T sums[kRowPanels * kPanelVectors * V];
    for (Index panel = first_panel, n; panel < last_panel; panel += n) {
      const int vectors = Layout::unit_vectors(H, panel) * G;
      const Index units = Layout::kUnits * G;
      n = smaller(row_panels(vectors), last_panel - panel);
      while (Layout::unit_vectors(H, panel + n - 1) * G < vectors) {  // the last may be uneven, and goes by itself
        --n;
      }
      row_tile_for<T>(n, vectors, 0)(packed.bias + panel * units, units, x,
                                     packed.input + panel * units * task.input_size, units * task.input_size,
                                     task.input_size, sums, nullptr, nullptr);
      for (Index p = 0; p < n; ++p) {
        for (Index i = 0; i < vectors * V; i += V) {
          Vec<T>::load(sums + p * vectors * V + i).store(panel_at(panel + p) + i);
        }
      }
    }
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
    for (Index panel = first_panel; task.alphabet && panel < last_panel; ++panel) {
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
    const Index width_used = Layout::unit_vectors(H, panel) * G * V, stride = width(H, panel);
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

  bool looks_up() const { return task.tokens && (!task.table || by_table()); }
  void project_panel(Index panel, Index count) {
    if (looks_up()) {
      look_up(panel, count, panel_at(panel));
    } else {
      project(panel, inputs, count, panel_at(panel));
    }
  }

  // Notes the input rows of steps [from, to), and projects them unless each step is to do that itself.
  bool begin_chunk(Index from, Index to) {
    Index count = 0;
    for (Index s = from; s < to; ++s) {
      for (Index b = 0, t = time_of(task, s), n = alive_rows(task, t); b < n; ++b, ++count) {
        if (task.table && !by_table()) {
          inputs[count] = task.table + task.tokens[rows.offset[t] + task.first + b] * task.input_size;
        } else if (task.tokens) {
          tokens[count] = task.tokens[rows.offset[t] + task.first + b];
        } else {
          inputs[count] = row_at(task.x, rows, t, task.first + b);
        }
      }
    }
    if (count == 1 && !task.plan->fused && !looks_up()) {
      project_row(inputs[0]);
      return !interrupted(task.pulse, task.input_size * (last_panel - first_panel) * Layout::kUnits * G);
    }
    for (Index panel = first_panel; !task.plan->fused && panel < last_panel; ++panel) {
      project_panel(panel, count);
      if (interrupted(task.pulse, count * (task.tokens ? 1 : task.input_size) * Layout::kUnits * G)) {
        return false;
      }
    }
    return true;
  }
};

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
