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
  const PanelGrid<T> &grid;
  const Index I;
  const int G;  // columns with W_ih x
  const Index first_panel, last_panel;
  const Index chunk_rows;

  T *projected;        // [panel][chunk row][column][unit]
  const T **inputs;    // x rows of the chunk
  Index *tokens;       // or their tokens
  T *table_projected;  // the same of a table's rows, [panel][token][column][unit]
  const T **table_rows;

  Projection(const ForwardTask<T> &of, const ForwardLayout<T> &weights, Index row_count, Index first, Index last,
             Arena &arena)
      : task(of),
        rows(of.rows),
        packed(weights),
        grid(weights.hidden),
        I(of.shape.input_size),
        G(weights.cell.input_columns),
        first_panel(first),
        last_panel(last),
        chunk_rows(row_count * (of.plan->fused ? 1 : of.plan->chunk)) {
    const Index width = packed.padded() * packed.columns;
    projected = arena.take<T>(width * chunk_rows);
    inputs = arena.take<const T *>(chunk_rows);
    tokens = arena.take<Index>(chunk_rows);
    table_projected = arena.take<T>(width * of.alphabet);
    table_rows = arena.take<const T *>(of.alphabet);
  }

  // Of a projected row in a panel, and from panel to panel.
  Index width(Index panel) const { return grid.vectors_of(panel) * packed.columns * V; }
  Index panel_stride() const { return grid.units * packed.columns * chunk_rows; }
  T *panel_at(Index panel) const { return projected + panel * panel_stride(); }
  const T *bias_of(Index panel) const { return packed.bias + panel * grid.units * packed.columns; }
  const T *weights_of(Index panel) const { return packed.input + panel * grid.units * G * I; }

  // Columns without W_ih x begin as their bias, and nothing writes over them.
  void start() {
    for (Index panel = first_panel; G < packed.columns && panel < last_panel; ++panel) {
      const Index row_width = width(panel), skip = G * grid.vectors_of(panel) * V;
      for (Index row = 0; row < chunk_rows; ++row) {
        for (Index i = skip; i < row_width; i += V) {
          Vec<T>::load(bias_of(panel) + i).store(panel_at(panel) + row * row_width + i);
        }
      }
    }
  }

  // b + W_ih x of the units of one panel, for `count` rows of inputs.
  void project(Index panel, const T *const *from, Index count, T *to) {
    const Index stride = width(panel);
    for (int g = 0; g < packed.groups(); ++g) {
      const int column = packed.group_at(g), after = packed.group_at(g + 1), unit_vectors = grid.vectors_of(panel);
      const int vectors = unit_vectors * (after - column);
      const Index skip = column * unit_vectors * V;
      const T *bias = bias_of(panel) + skip, *weights = weights_of(panel) + skip * I;
      const Index most = smaller(task.plan->tile_rows, tile_rows(vectors));
      const bool goes_on = after < G || panel + 1 < last_panel;
      PanelPrefetch<T> next(task.plan->alternate && goes_on ? weights + vectors * V * I : nullptr, I, vectors * V,
                            count, most);
      balanced_tiles(count, most, vectors, [&](Index first, Index n) {
        const TilePrefetch<T> fetched = next.take();
        tile_for<T>(n, vectors, fetched)(bias, 0, from + first, 0, weights, I, to + first * stride + skip, stride,
                                         fetched);
      });
    }
  }

  // The same for a single row, several panels at once: a step by itself, as when streaming.
  void project_row(const T *const *x) {
    if (packed.groups() != 1) {
      for (Index panel = first_panel; panel < last_panel; ++panel) {
        project(panel, x, 1, panel_at(panel));
      }
      return;
    }
    alignas(64) T sums[kRowPanels * kPanelVectors * V];
    for (Index panel = first_panel, n; panel < last_panel; panel += n) {
      const int vectors = grid.vectors_of(panel) * G;
      n = smaller(row_panels(vectors), last_panel - panel);
      while (grid.vectors_of(panel + n - 1) * G < vectors) {  // the last may be uneven, and goes by itself
        --n;
      }
      row_tile_for<T>(n, vectors, 0)(bias_of(panel), grid.units * packed.columns, x[0], weights_of(panel),
                                     grid.units * G * I, I, sums, nullptr, nullptr);
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
      table_rows[token] = task.table + token * I;
    }
    for (Index panel = first_panel; task.alphabet && panel < last_panel; ++panel) {
      project(panel, table_rows, task.alphabet, table_panel(panel));
      if (interrupted(task.worker, task.alphabet * I * grid.units * G)) {
        return false;
      }
    }
    return true;
  }
  T *table_panel(Index panel) const { return table_projected + panel * grid.units * packed.columns * task.alphabet; }

  // The same by token: from the table, or for one-hot rows, where every 0 in the chain leaves the sum as it is, the
  // bias and the column of the 1.
  void look_up(Index panel, Index count, T *to) {
    const Index stride = width(panel);
    const int unit_vectors = grid.vectors_of(panel);
    for (int g = 0; g < packed.groups(); ++g) {
      const Index skip = packed.group_at(g) * unit_vectors * V;
      const Index used = (packed.group_at(g + 1) - packed.group_at(g)) * unit_vectors * V;
      const T *bias = bias_of(panel) + skip, *weights = weights_of(panel) + skip * I;
      for (Index row = 0; row < count; ++row) {
        const T *known = task.table ? table_panel(panel) + tokens[row] * stride + skip : weights + tokens[row] * used;
        for (Index i = 0; i < used; i += V) {
          const Vec<T> value = Vec<T>::load(known + i);
          (task.table ? value : Vec<T>::load(bias + i) + value).store(to + row * stride + skip + i);
        }
      }
    }
  }

  // Each step projects its own input, panel by panel, together with the first product that goes on with the sums.
  bool lazy() const { return task.plan->fused && packed.cell.stages[0].products.count > 0; }
  bool looks_up() const { return task.tokens && (!task.table || by_table()); }
  void project_panel(Index panel, Index count) {
    if (looks_up()) {
      look_up(panel, count, panel_at(panel));
    } else {
      project(panel, inputs, count, panel_at(panel));
    }
  }

  // Notes the input rows of steps [from, to), and projects them unless a step's first product is to do that.
  bool begin_chunk(Index from, Index to) {
    Index count = 0;
    for (Index s = from; s < to; ++s) {
      for (Index b = 0, t = time_of(task, s), n = alive_rows(task, t); b < n; ++b, ++count) {
        if (task.table && !by_table()) {
          inputs[count] = task.table + task.tokens[rows.offset[t] + task.first + b] * I;
        } else if (task.tokens) {
          tokens[count] = task.tokens[rows.offset[t] + task.first + b];
        } else {
          inputs[count] = row_at(task.x, rows, t, task.first + b);
        }
      }
    }
    if (count == 1 && !lazy() && !looks_up()) {
      project_row(inputs);
      return !interrupted(task.worker, I * (last_panel - first_panel) * grid.units * G);
    }
    for (Index panel = first_panel; !lazy() && panel < last_panel; ++panel) {
      project_panel(panel, count);
      if (interrupted(task.worker, count * (task.tokens ? 1 : I) * grid.units * G)) {
        return false;
      }
    }
    return true;
  }
};

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
