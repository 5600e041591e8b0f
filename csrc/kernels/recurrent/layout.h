// How a cell's columns, sources and parameters lie in the kernels' packed memory.
#pragma once

#include "kernels.h"
#include "kernels/arena.h"
#include "kernels/integers.h"
#include "kernels/product/tile_shapes.h"
#include "kernels/product/weights.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class T>
constexpr Index padded_units(Index units) {
  return ceil_div(units, Vec<T>::size) * Vec<T>::size;
}

RECURRA_INLINE Index size_of(const CellShape &shape, std::int32_t size) {
  return size == kProjected ? shape.projected_size : shape.hidden_size;
}
RECURRA_INLINE Index state_size(const CellShape &shape, Index state) {
  return state == 0 ? shape.projected_size : shape.hidden_size;
}
RECURRA_INLINE Index source_size(const CellShape &shape, Index source) {
  return source == 0 ? shape.projected_size : shape.hidden_size;
}

// Units of one size in panels. A panel of a cell with a single column takes four vectors of units, others take one
// vector of each of a product's columns.
template <class T>
struct PanelGrid {
  static constexpr Index V = Vec<T>::size;

  Index size;        // of the units
  int unit_vectors;  // vectors of units in a whole panel: 1 or kPanelVectors, by which the compiler can divide
  Index units;       // the same in units
  Index vectors, panels;

  RECURRA_INLINE PanelGrid(Index count, bool whole)
      : size(count),
        unit_vectors(whole ? kPanelVectors : 1),
        units(unit_vectors * V),
        vectors(ceil_div(count, V)),
        panels(whole ? ceil_div(count, kPanelVectors * V) : vectors) {}

  // Vectors of units in a panel, of which the last may have fewer.
  RECURRA_INLINE int vectors_of(Index panel) const {
    return unit_vectors == 1 ? 1 : static_cast<int>(smaller(unit_vectors, vectors - panel * unit_vectors));
  }
};

// The share of one of `parts` in a grid, in panels and in units.
template <class T>
struct PanelShare {
  Index first, last, first_unit, last_unit;

  RECURRA_INLINE PanelShare(const PanelGrid<T> &grid, Index part, Index parts)
      : first(parts == 1 ? 0 : grid.panels * part / parts),
        last(parts == 1 ? grid.panels : grid.panels * (part + 1) / parts),
        first_unit(first * grid.units),
        last_unit(smaller(last * grid.units, grid.size)) {}
};

// Whether the one column that there is of hidden_size units has one product, so that nothing but the tile of that
// product ever reads it.
RECURRA_INLINE bool takes_whole_panels(const Cell &cell) {
  int products = 0;
  for (int p = 0; p < cell.product_count; ++p) {
    products += cell.columns[cell.products[p].column].size == kHidden ? 1 : 0;
  }
  return cell.column_count - cell.projects == 1 && cell.input_columns == 1 && products == 1;
}

// Vectors of parameters and numbers that programs read: [parameter][unit], and [number] filling a vector.
template <class T>
struct PackedValues {
  T *units, *numbers;
  Index width;

  PackedValues(const CellShape &shape, Arena &arena) : width(padded_units<T>(shape.hidden_size)) {
    units = arena.take<T>(shape.cell->unit_count * width);
    numbers = arena.take<T>((shape.cell->scalar_count + shape.cell->constant_count) * Vec<T>::size);
  }
};

template <class T, class W = FullWeights<T>>
struct ForwardLayout {
  static constexpr Index V = Vec<T>::size;
  using Storage = typename W::Storage;

  const CellShape &shape;
  const Cell &cell;
  const int columns;  // of hidden_size units: those of a projected row
  const PanelGrid<T> hidden, projected;
  const int groups;
  const Index input_stride;  // elements from one panel's input weights to the next one's

  Storage *input;     // [panel][group of input columns][input_size][column][unit]
  T *bias;            // [panel][column][unit], b_ih + b_hh, rounded once
  Storage *products;  // [product][panel][source's unit][column][unit]
  PackedValues<T> values;

  ForwardLayout(const CellShape &of, Arena &arena)
      : shape(of),
        cell(*of.cell),
        columns(cell.column_count - cell.projects),
        hidden(of.hidden_size, takes_whole_panels(cell)),
        projected(of.projected_size, true),
        groups(static_cast<int>(ceil_div(cell.input_columns * hidden.unit_vectors, kPanelVectors))),
        input_stride(input_size(groups, hidden.unit_vectors)),
        input(arena.take<Storage>((hidden.panels - 1) * input_stride +
                                  input_size(groups, hidden.vectors_of(hidden.panels - 1)))),
        bias(arena.take<T>(padded() * columns)),
        products(arena.take<Storage>(product_at(cell.product_count))),
        values(of, arena) {}

  Index padded() const { return padded_units<T>(shape.hidden_size); }
  const PanelGrid<T> &grid(std::int32_t size) const { return size == kProjected ? projected : hidden; }
  const PanelGrid<T> &grid_of(const Product &product) const { return grid(cell.columns[product.column].size); }
  Index depth_of(const Product &product) const { return source_size(shape, product.source); }

  // Elements from one panel of a product to the next, and where a product's panels begin.
  Index panel_stride(const Product &product) const {
    return W::panel_size(depth_of(product), grid_of(product).unit_vectors * product.count);
  }
  Index product_at(int number) const {
    Index at = 0;
    for (int p = 0; p < number; ++p) {
      const Product &product = cell.products[p];
      const PanelGrid<T> &of = grid_of(product);
      at += (of.panels - 1) * panel_stride(product) +
            W::panel_size(depth_of(product), of.vectors_of(of.panels - 1) * product.count);
    }
    return at;
  }

  // Input columns are multiplied in groups that a panel has room for, as even as can be. Most often there is one, and a
  // call of a small layer is 2 % longer if that costs divisions.
  int group_at(int group) const {
    return groups <= 1 ? cell.input_columns * group : cell.input_columns * group / groups;
  }

  // Elements of the first groups, each of which is a panel of its own.
  Index input_size(int group, int unit_vectors) const {
    Index size = 0;
    for (int g = 0; g < group; ++g) {
      size += W::panel_size(shape.input_size, unit_vectors * (group_at(g + 1) - group_at(g)));
    }
    return size;
  }
};

template <class T, class W = FullWeights<T>>
Index packed_forward_size(const CellShape *shape) {
  Arena arena{nullptr};
  ForwardLayout<T, W>(*shape, arena);
  return arena.used / static_cast<Index>(sizeof(T));  // whole, since arrays are cut at cache lines
}

// The columns that read a source, as runs that lie side by side among the deltas.
struct SourceRuns {
  struct Run {
    int column, count;
    Index before, depth;  // of the runs before it; its own
  } runs[kMaxColumns];
  int count = 0;
  Index depth = 0;

  RECURRA_INLINE SourceRuns(const CellShape &shape, int source) {
    const Cell &cell = *shape.cell;
    for (int column = 0; column < cell.column_count; ++column) {
      if (!product_of(cell, column, source)) {
        continue;
      }
      if (count && runs[count - 1].column + runs[count - 1].count == column) {
        ++runs[count - 1].count;
      } else {
        runs[count++] = {column, 1, depth, 0};
      }
      const Index size = size_of(shape, cell.columns[column].size);
      runs[count - 1].depth += size;
      depth += size;
    }
  }
  // The product by which a column reads a source, or null.
  static RECURRA_INLINE const Product *product_of(const Cell &cell, int column, int source) {
    for (const Product *p = cell.products; p < cell.products + cell.product_count; ++p) {
      if (p->source == source && column >= p->column && column < p->column + p->count) {
        return p;
      }
    }
    return nullptr;
  }
};

template <class T>
struct BackwardLayout {
  T *input;                // weight_ih: [panel of input columns][column * hidden_size + unit][x's feature]
  T *source[kMaxSources];  // [panel of the source's units][column that reads it, unit][source's unit]
  PackedValues<T> values;

  BackwardLayout(const CellShape &shape, Arena &arena)
      : input(arena.take<T>(padded_units<T>(shape.input_size) * shape.cell->input_columns * shape.hidden_size)),
        values(shape, arena) {
    for (int s = 0; s < kMaxSources; ++s) {
      const bool read = s < shape.cell->states + shape.cell->staged;
      const Index depth = read ? SourceRuns(shape, s).depth : 0;
      source[s] = arena.take<T>(depth ? padded_units<T>(source_size(shape, s)) * depth : 0);
    }
  }
};

template <class T>
Index packed_backward_size(const CellShape *shape) {
  Arena arena{nullptr};
  BackwardLayout<T>(*shape, arena);
  return arena.used / static_cast<Index>(sizeof(T));
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
