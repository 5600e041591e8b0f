// How a row of deltas is divided: one delta after another, in their order, each as wide as what it is the gradient of.
#pragma once

#include "kernels/recurrent/layout.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

RECURRA_INLINE Index delta_size(const CellShape &shape, int delta) {
  const DeltaDescription &gradient = shape.cell->deltas[delta];
  return size_of(shape, gradient.of == kOfColumn ? shape.cell->columns[gradient.index].size : kHidden);
}

// Where a delta begins. Those of the columns come first, and the first of those are the ones with W_ih x.
RECURRA_INLINE Index delta_at(const CellShape &shape, int delta) {
  Index at = 0;
  for (int d = 0; d < delta; ++d) {
    at += delta_size(shape, d);
  }
  return at;
}

// The delta that is the gradient of one of a kind, or -1 where the cell has none.
RECURRA_INLINE int delta_of(const Cell &cell, DeltaOf kind, int index) {
  for (int d = 0; d < cell.delta_count; ++d) {
    if (cell.deltas[d].of == kind && cell.deltas[d].index == index) {
      return d;
    }
  }
  return -1;
}

inline Index deltas_size(const CellShape *shape) { return delta_at(*shape, shape->cell->delta_count); }

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
