// The input projection b + W_ih x of a chunk of steps, panel by panel: one product whose result stays in L2, or a
// look-up of rows where the input is tokens.
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

template <class T>
struct Projection {
  static constexpr Index V = Vec<T>::size;

  const ForwardTask<T> &task;
  const Rows &rows;
  const ForwardLayout<T> &packed;
  const int G;
  const Index first_panel, last_panel;
  const Index chunk_rows;

  T *projected;        // [panel][chunk row][projected gate][unit]
  const T **inputs;    // x rows of the chunk
  Index *tokens;       // or their tokens
  T *table_projected;  // the same of a table's rows, [panel][token][projected gate][unit]
  const T **table_rows;

  Projection(const ForwardTask<T> &of, const ForwardLayout<T> &weights, Index row_count, Index first, Index last,
             Arena &arena)
      : task(of),
        rows(of.rows),
        packed(weights),
        G(weights.cell.gates),
        first_panel(first),
        last_panel(last),
        chunk_rows(row_count * (of.plan->fused ? 1 : of.plan->chunk)) {
    const Index width = packed.padded() * packed.projected_gates;
    projected = arena.take<T>(width * chunk_rows);
    inputs = arena.take<const T *>(chunk_rows);
    tokens = arena.take<Index>(chunk_rows);
    table_projected = arena.take<T>(width * of.alphabet);
    table_rows = arena.take<const T *>(of.alphabet);
  }

  Index width(Index panel) const { return packed.unit_vectors(panel) * packed.projected_gates * V; }
  Index panel_stride() const { return packed.units * packed.projected_gates * chunk_rows; }
  T *panel_at(Index panel) const { return projected + panel * panel_stride(); }

  // The recurrent half of a split gate starts as its bias; nothing writes over it.
  void start() {
    for (Index panel = first_panel; packed.cell.split_gate && panel < last_panel; ++panel) {
      T *at = panel_at(panel) + G * V;
      for (Index row = 0; row < chunk_rows; ++row) {
        Vec<T>::load(packed.split_bias + panel * V).store(at + row * packed.projected_gates * V);
      }
    }
  }

  // b + W_ih x of the units of one panel, for `count` rows of inputs.
  void project(Index panel, const T *const *from, Index count, T *to) {
    const int vectors = packed.unit_vectors(panel) * G;
    const Index stride = width(panel);
    const T *bias = packed.bias + panel * packed.units * G;
    const T *weights = packed.input + panel * packed.units * G * task.input_size;
    const Index panel_size = packed.units * G * task.input_size;
    const Index most = smaller(task.plan->tile_rows, tile_rows(vectors));
    PanelPrefetch<T> next(task.plan->alternate && panel + 1 < last_panel ? weights + panel_size : nullptr,
                          task.input_size, vectors * V, count, most);
    balanced_tiles(count, most, vectors, [&](Index first, Index n) {
      const TilePrefetch<T> fetched = next.take();
      tile_for<T>(n, vectors, fetched)(bias, 0, from + first, 0, weights, task.input_size, to + first * stride, stride,
                                       fetched);
    });
  }

  // The same for a single row, several panels at once: a step by itself, as when streaming.
  void project_row(const T *x) {
    alignas(64) T sums[kRowPanels * kPanelVectors * V];
    for (Index panel = first_panel, n; panel < last_panel; panel += n) {
      const int vectors = packed.unit_vectors(panel) * G;
      const Index units = packed.units * G;
      n = smaller(row_panels(vectors), last_panel - panel);
      while (packed.unit_vectors(panel + n - 1) * G < vectors) {  // the last may be uneven, and goes by itself
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
      if (interrupted(task.worker, task.alphabet * task.input_size * packed.units * G)) {
        return false;
      }
    }
    return true;
  }
  T *table_panel(Index panel) const {
    return table_projected + panel * packed.units * packed.projected_gates * task.alphabet;
  }

  // The same by token: from the table, or for one-hot rows, where every 0 in the chain leaves the sum as it is, the
  // bias and the column of the 1.
  void look_up(Index panel, Index count, T *to) {
    const Index width_used = packed.unit_vectors(panel) * G * V, stride = width(panel);
    const T *bias = packed.bias + panel * packed.units * G;
    const T *weights = packed.input + panel * packed.units * G * task.input_size;
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
      return !interrupted(task.worker, task.input_size * (last_panel - first_panel) * packed.units * G);
    }
    for (Index panel = first_panel; !task.plan->fused && panel < last_panel; ++panel) {
      project_panel(panel, count);
      if (interrupted(task.worker, count * (task.tokens ? 1 : task.input_size) * packed.units * G)) {
        return false;
      }
    }
    return true;
  }
};

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
