// Writes a layer's parameters in the order in which the kernels read them.
#pragma once

#include "kernels/interrupt.h"
#include "kernels/narrow/integer_panels.h"
#include "kernels/product/panels.h"
#include "kernels/recurrent/layout.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class S, class T>
const S *parameter(const PackTask<T> &task, int number) {
  return static_cast<const S *>(task.parameters[number]);
}
// The number of the parameter of a role that there is one of at most, or -1.
inline int number_of(const Cell &cell, Role role) {
  for (int i = 0; i < cell.parameter_count; ++i) {
    if (cell.parameters[i].role == role) {
      return i;
    }
  }
  return -1;
}
template <class S, class T>
const S *parameter_of(const PackTask<T> &task, Role role) {
  const int number = number_of(*task.shape.cell, role);
  return number < 0 ? nullptr : parameter<S>(task, number);
}

template <class T>
void pack_values(const PackTask<T> &task, const PackedValues<T> &to) {
  const Cell &cell = *task.shape.cell;
  T *unit = to.units, *number = to.numbers;
  const auto fill = [&number](T value) {
    for (int lane = 0; lane < Vec<T>::size; ++lane) {
      *number++ = value;
    }
  };
  for (int i = 0; i < cell.parameter_count; ++i) {
    if (cell.parameters[i].role == kUnitVector) {
      for (Index k = 0; k < to.width; ++k) {
        *unit++ = k < task.shape.hidden_size ? parameter<T>(task, i)[k] : T(0);
      }
    } else if (cell.parameters[i].role == kScalar) {
      fill(*parameter<T>(task, i));
    }
  }
  for (int i = 0; i < cell.constant_count; ++i) {
    fill(static_cast<T>(cell.constants[i]));
  }
}

// The bias with which the chains of one vector of units begin.
template <class T>
void pack_bias(const T *ih, const T *hh, const Column &column, Index H, Index unit, Index lanes, T *to) {
  for (Index lane = 0; lane < Vec<T>::size; ++lane) {
    const bool real = lane < lanes;
    const T from_ih = real && ih && column.input_bias >= 0 ? ih[column.input_bias * H + unit + lane] : T(0);
    const T from_hh = real && hh && column.recurrent_bias >= 0 ? hh[column.recurrent_bias * H + unit + lane] : T(0);
    to[lane] = from_ih + from_hh + T(0);  // no -0, which a token's chain would keep and a row's zeros would not
  }
}

// Some rows of a matrix of weights, which become columns of a panel.
template <class W>
struct MatrixRows {
  const typename W::Storage *values;
  const float *scales;  // of int8
  Index row, depth;

  const typename W::Storage *at(Index i) const { return values + (row + i) * depth; }
  float scale(Index i) const { return scales[row + i]; }
};

template <class W, class T>
MatrixRows<W> matrix_rows(const PackTask<T> &task, int number, Index row, Index depth) {
  return {parameter<typename W::Storage>(task, number), task.scales[number], row, depth};
}

// Where in a panel of some width, or of integers of some vectors, a vector of columns is.
template <class W>
struct PanelPlace {
  typename W::Storage *panel;
  int vectors, vector;  // in all; this one
};

// Rows [0, lanes) as one vector of columns. With heads a row has only the columns of its own head, and zeros stand for
// the others: there are `units` units, of which the first is `unit`.
template <class W>
__attribute__((noinline)) void pack_units(const MatrixRows<W> &from, Index unit, Index lanes, Index units, Index depth,
                                          Index heads, const PanelPlace<W> &to) {
  const Index part = depth / heads, head_units = units / heads;
  if constexpr (W::kIntegers) {
    for (Index lane = 0; lane < kOutputs; ++lane) {
      const bool real = lane < lanes;
      const Index first = real && heads > 1 ? (unit + lane) / head_units * part : 0;
      pack_output(real ? from.at(lane) : from.values, real ? part : 0, real ? from.scale(lane) : 0.0f, first,
                  to.vector * kOutputs + lane, to.vectors, depth, to.panel);
    }
  } else {
    constexpr Index V = W::kLanes;
    const Index width = to.vectors * V;
    if constexpr (!W::kNarrow) {
      if (heads == 1) {
        return pack_transposed(from.at(0), lanes, depth, depth, width, to.panel + to.vector * V);
      }
    }
    for (Index k = 0; k < depth; ++k) {
      for (Index lane = 0; lane < V; ++lane) {
        const bool own = lane < lanes && (unit + lane) / head_units == k / part;
        to.panel[W::weight_at(k, to.vector * V + lane, width)] = own ? from.at(lane)[k % part] : typename W::Storage(0);
      }
    }
  }
}

template <class T, class W = FullWeights<T>>
bool pack_forward(const PackTask<T> *task) {
  constexpr Index V = Vec<T>::size;
  const Index I = task->shape.input_size, H = task->shape.hidden_size;
  Arena arena{reinterpret_cast<char *>(task->to)};
  const ForwardLayout<T, W> at(task->shape, arena);
  const Cell &cell = at.cell;
  const int weight_ih = number_of(cell, kInputWeight);
  const T *bias_ih = parameter_of<T>(*task, kInputBias), *bias_hh = parameter_of<T>(*task, kRecurrentBias);
  pack_values(*task, at.values);
  for (Index panel = 0; panel < at.hidden.panels; ++panel) {
    const int vectors = at.hidden.vectors_of(panel);
    typename W::Storage *input = at.input + panel * at.input_stride;
    T *bias = at.bias + panel * at.hidden.units * at.columns;
    for (int v = 0; v < vectors; ++v) {
      const Index unit = panel * at.hidden.units + v * V, lanes = smaller(V, H - unit);
      for (int c = 0; c < at.columns; ++c) {
        pack_bias(bias_ih, bias_hh, cell.columns[c], H, unit, lanes, bias + (c * vectors + v) * V);
      }
      for (int g = 0; g < at.groups; ++g) {
        const int first = at.group_at(g), count = at.group_at(g + 1) - first;
        for (int i = 0; i < count; ++i) {
          pack_units(matrix_rows<W>(*task, weight_ih, cell.columns[first + i].input_block * H + unit, I), unit, lanes,
                     H, I, 1, PanelPlace<W>{input + at.input_size(g, vectors), count * vectors, i * vectors + v});
        }
      }
    }
    if (interrupted(task->worker, kPackingWork * vectors * V * cell.input_columns * I)) {
      return false;
    }
  }
  for (int p = 0; p < cell.product_count; ++p) {
    const Product &product = cell.products[p];
    const PanelGrid<T> &grid = at.grid_of(product);
    const Index depth = at.depth_of(product);
    for (Index panel = 0; panel < grid.panels; ++panel) {
      const int vectors = grid.vectors_of(panel);
      typename W::Storage *to = at.products + at.product_at(p) + panel * at.panel_stride(product);
      for (int v = 0; v < vectors; ++v) {
        const Index unit = panel * grid.units + v * V;
        for (int i = 0; i < product.count; ++i) {
          const Index heads = cell.parameters[product.parameter].heads;
          pack_units(
              matrix_rows<W>(*task, product.parameter, cell.blocks[product.first_block + i] * H + unit, depth / heads),
              unit, smaller(V, grid.size - unit), grid.size, depth, heads,
              PanelPlace<W>{to, product.count * vectors, i * vectors + v});
        }
      }
      if (interrupted(task->worker, kPackingWork * vectors * V * product.count * depth)) {
        return false;
      }
    }
  }
  return true;
}

// Rows of a matrix as rows [first, first + rows) of panels that are `depth` rows deep.
template <class T>
bool pack_among(const T *from, Index rows, Index columns, Index stride, Index first, Index depth, T *to,
                Worker *worker) {
  constexpr Index V = Vec<T>::size, full = kPanelVectors * V;
  for (Index column = 0; column < columns; column += full) {
    const Index count = smaller(full, columns - column);
    if (!pack_rows(from + column, rows, count, stride, kPanelVectors,
                   to + column * depth + first * padded_units<T>(count), worker)) {
      return false;
    }
  }
  return true;
}

// The same of a block whose rows have the columns of their own head alone: zeros stand for the others.
template <class T>
void pack_heads(const T *from, Index rows, Index columns, Index heads, Index first, Index depth, T *to) {
  constexpr Index V = Vec<T>::size, full = kPanelVectors * V;
  const Index part = columns / heads, head_rows = rows / heads;
  for (Index column = 0; column < columns; column += full) {
    const Index width = padded_units<T>(smaller(full, columns - column));
    for (Index row = 0; row < rows; ++row) {
      T *at = to + column * depth + (first + row) * width;
      for (Index i = 0; i < width; ++i) {
        const Index k = column + i;
        const bool own = k < columns && k / part == row / head_rows;
        at[i] = own ? from[row * part + k % part] : T(0);
      }
    }
  }
}

template <class T>
bool pack_backward(const PackTask<T> *task) {
  const CellShape &shape = task->shape;
  const Cell &cell = *shape.cell;
  const Index I = shape.input_size, H = shape.hidden_size;
  Arena arena{reinterpret_cast<char *>(task->to)};
  const BackwardLayout<T> at(shape, arena);
  pack_values(*task, at.values);
  const T *weight_ih = parameter_of<T>(*task, kInputWeight);
  for (int c = 0; c < cell.input_columns; ++c) {
    if (!pack_among(weight_ih + cell.columns[c].input_block * H * I, H, I, I, c * H, cell.input_columns * H, at.input,
                    task->worker)) {
      return false;
    }
  }
  for (int s = 0; s < cell.states + cell.staged; ++s) {
    const SourceRuns runs(shape, s);
    const Index columns = source_size(shape, s);
    Index first = 0;
    for (int c = 0; c < cell.column_count; ++c) {
      const Product *product = SourceRuns::product_of(cell, c, s);
      if (!product) {
        continue;
      }
      const Index rows = size_of(shape, cell.columns[c].size), heads = cell.parameters[product->parameter].heads;
      const Index row = cell.blocks[product->first_block + c - product->column] * H;
      const T *from = parameter<T>(*task, product->parameter) + row * (columns / heads);
      if (heads > 1) {
        pack_heads(from, rows, columns, heads, first, runs.depth, at.source[s]);
        if (interrupted(task->worker, kPackingWork * rows * columns)) {
          return false;
        }
      } else if (!pack_among(from, rows, columns, columns, first, runs.depth, at.source[s], task->worker)) {
        return false;
      }
      first += rows;
    }
  }
  return true;
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
