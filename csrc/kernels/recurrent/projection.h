// The input projection b + W_ih x of a chunk of steps, panel by panel: one product whose result stays in L2, or a
// look-up of rows where the input is tokens.
#pragma once

#include "kernels/interrupt.h"
#include "kernels/narrow/integer_product.h"
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

constexpr Index kTableRows = 256;  // that become integers at once

template <class T, class W = FullWeights<T>>
struct Projection {
  static constexpr Index V = Vec<T>::size;
  using Storage = typename W::Storage;

  const ForwardTask<T> &task;
  const Rows &rows;
  const ForwardLayout<T, W> &packed;
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
  Sources<T, W> sources;           // of as many rows as are projected at once
  const typename W::Row *present;  // of the chunk

  Projection(const ForwardTask<T> &of, const ForwardLayout<T, W> &weights, Index row_count, Index first, Index last,
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
    sources = Sources<T, W>(larger(chunk_rows, smaller(of.alphabet, kTableRows)), I, arena);
  }

  // Of a projected row in a panel, and from panel to panel.
  Index width(Index panel) const { return grid.vectors_of(panel) * packed.columns * V; }
  Index panel_stride() const { return grid.units * packed.columns * chunk_rows; }
  T *panel_at(Index panel) const { return projected + panel * panel_stride(); }
  const T *bias_of(Index panel) const { return packed.bias + panel * grid.units * packed.columns; }
  const Storage *weights_of(Index panel) const { return packed.input + panel * packed.input_stride; }

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
  void project(Index panel, const typename W::Row *from, Index count, T *to) {
    const Index stride = width(panel);
    for (int g = 0; g < packed.groups; ++g) {
      const int column = packed.group_at(g), after = packed.group_at(g + 1), unit_vectors = grid.vectors_of(panel);
      const int vectors = unit_vectors * (after - column);
      const Index skip = column * unit_vectors * V;
      const T *bias = bias_of(panel) + skip;
      const Storage *weights = weights_of(panel) + packed.input_size(g, unit_vectors);
      const bool goes_on = task.plan->alternate && (after < G || panel + 1 < last_panel);
      const Storage *ahead = !goes_on    ? nullptr
                             : after < G ? weights + W::panel_size(I, vectors)
                                         : weights_of(panel + 1);
      if constexpr (W::kIntegers) {
        const Term<T, W> term{from, 0, weights, I};
        panel_product(
            PanelProduct<T, W>{count, vectors, bias, 0, &term, 1, I, task.plan->tile_rows, nullptr, ahead, true},
            [](Index, Index, T *) {}, Unprepared(),
            [&](Index first_row, const Destination<T> &) {
              return Destination<T>{to + first_row * stride + skip, stride};
            });
      } else {
        const Index most = smaller(task.plan->tile_rows, W::Shapes::rows(vectors));
        PanelPrefetch<Storage> next(ahead, I, vectors * V, count, most);
        balanced_tiles(count, most, vectors, [&](Index first, Index n) {
          const PrefetchOf<W> fetched = next.take();
          tile_for<T, W>(n, vectors, fetched)(bias, 0, from + first, 0, weights, I, to + first * stride + skip, stride,
                                              fetched);
        });
      }
    }
  }

  // The same for a single row, several panels at once: a step by itself, as when streaming.
  void project_row(const typename W::Row *x) {
    if (packed.groups != 1) {
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
      if constexpr (W::kIntegers) {
        integer_row_tile_for(n, vectors, 0)(bias_of(panel), grid.units * packed.columns, x[0], weights_of(panel),
                                            packed.input_stride, 0, I, sums, nullptr, nullptr);
      } else {
        row_tile_for<T, W>(n, vectors, 0)(bias_of(panel), grid.units * packed.columns, x[0], weights_of(panel),
                                          packed.input_stride, I, sums, nullptr, nullptr);
      }
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
    // As integers, rows are made block by block, which spares memory; else all rows pass one panel before the next.
    const Index block = W::kIntegers ? larger(chunk_rows, smaller(task.alphabet, kTableRows)) : task.alphabet;
    for (Index first = 0; first < task.alphabet; first += block) {
      const Index count = smaller(block, task.alphabet - first);
      const typename W::Row *from = sources.of(table_rows + first, count, T(0));
      for (Index panel = first_panel; panel < last_panel; ++panel) {
        project(panel, from, count, table_panel(panel) + first * width(panel));
        if (interrupted(task.worker, count * I * grid.units * G)) {
          return false;
        }
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
    for (int g = 0; g < packed.groups; ++g) {
      const Index skip = packed.group_at(g) * unit_vectors * V;
      const int vectors = (packed.group_at(g + 1) - packed.group_at(g)) * unit_vectors;
      const T *bias = bias_of(panel) + skip;
      const Storage *weights = weights_of(panel) + packed.input_size(g, unit_vectors);
      for (Index row = 0; row < count; ++row) {
        T *at = to + row * stride + skip;
        if (!task.table) {
          W::one_hot(bias, weights, vectors, tokens[row], at);
          continue;
        }
        const T *known = table_panel(panel) + tokens[row] * stride + skip;
        for (Index i = 0; i < vectors * V; i += V) {
          Vec<T>::load(known + i).store(at + i);
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
      project(panel, present, count, panel_at(panel));
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
    present = looks_up() ? nullptr : sources.of(inputs, count, T(0));
    if (count == 1 && !lazy() && !looks_up()) {
      project_row(present);
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
