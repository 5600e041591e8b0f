// Writes a layer's parameters in the order in which the kernels read them.
#pragma once

#include "kernels/interrupt.h"
#include "kernels/product/panels.h"
#include "kernels/recurrent/layout.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// The parameter of a role that there is one of at most, or null.
template <class T>
const T *parameter_of(const PackTask<T> &task, Role role) {
  for (int i = 0; i < task.shape.cell->parameter_count; ++i) {
    if (task.shape.cell->parameters[i].role == role) {
      return task.parameters[i];
    }
  }
  return nullptr;
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
        *unit++ = k < task.shape.hidden_size ? task.parameters[i][k] : T(0);
      }
    } else if (cell.parameters[i].role == kScalar) {
      fill(*task.parameters[i]);
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

// Rows [unit, unit + lanes) of a block of a weight, `depth` wide, as one vector column of a panel. With heads a row
// has only the columns of its own head, and zeros stand for the others.
template <class T>
void pack_units(const T *weight, Index block_row, Index unit, Index lanes, Index units, Index depth, Index heads,
                Index width, T *to) {
  if (heads == 1) {
    return pack_transposed(weight + (block_row + unit) * depth, lanes, depth, depth, width, to);
  }
  const Index part = depth / heads, head_units = units / heads;
  for (Index k = 0; k < depth; ++k) {
    for (Index lane = 0; lane < Vec<T>::size; ++lane) {
      const bool own = lane < lanes && (unit + lane) / head_units == k / part;
      to[k * width + lane] = own ? weight[(block_row + unit + lane) * part + k % part] : T(0);
    }
  }
}

template <class T>
bool pack_forward(const PackTask<T> *task) {
  constexpr Index V = Vec<T>::size;
  const Index I = task->shape.input_size, H = task->shape.hidden_size;
  Arena arena{reinterpret_cast<char *>(task->to)};
  const ForwardLayout<T> at(task->shape, arena);
  const Cell &cell = at.cell;
  const T *weight_ih = parameter_of(*task, kInputWeight);
  const T *bias_ih = parameter_of(*task, kInputBias), *bias_hh = parameter_of(*task, kRecurrentBias);
  pack_values(*task, at.values);
  for (Index panel = 0; panel < at.hidden.panels; ++panel) {
    const int vectors = at.hidden.vectors_of(panel);
    T *input = at.input + panel * at.hidden.units * cell.input_columns * I;
    T *bias = at.bias + panel * at.hidden.units * at.columns;
    for (int v = 0; v < vectors; ++v) {
      const Index unit = panel * at.hidden.units + v * V, lanes = smaller(V, H - unit);
      for (int c = 0; c < at.columns; ++c) {
        pack_bias(bias_ih, bias_hh, cell.columns[c], H, unit, lanes, bias + (c * vectors + v) * V);
      }
      for (int g = 0; g < at.groups(); ++g) {
        const int first = at.group_at(g), count = at.group_at(g + 1) - first;
        for (int i = 0; i < count; ++i) {
          pack_transposed(weight_ih + (cell.columns[first + i].input_block * H + unit) * I, lanes, I, I,
                          count * vectors * V, input + first * vectors * V * I + (i * vectors + v) * V);
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
      T *to = at.products + at.product_at(p) + panel * at.panel_stride(product);
      for (int v = 0; v < vectors; ++v) {
        const Index unit = panel * grid.units + v * V;
        for (int i = 0; i < product.count; ++i) {
          pack_units(task->parameters[product.parameter], cell.blocks[product.first_block + i] * H, unit,
                     smaller(V, grid.size - unit), grid.size, depth, cell.parameters[product.parameter].heads,
                     product.count * vectors * V, to + (i * vectors + v) * V);
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
  const T *weight_ih = parameter_of(*task, kInputWeight);
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
      const T *from = task->parameters[product->parameter] + row * (columns / heads);
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
