// The epilogue of the backward pass: applies the cell's reverse to the sums of a tile, on vectors of hidden units. A
// template over the cell, so that the compiler unrolls its gates; called once per tile.
#pragma once

#include "kernels/cells/cell.h"
#include "kernels/recurrent/backward_units.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class T>
RECURRA_INLINE Vec<T> get_or_zero(const T *row, Index unit, Index lanes) {
  return row ? get(row + unit, lanes) : Vec<T>::zero();
}

// One vector of a row's units, given what reaches h_t from the step after it.
template <class Cell, class T>
RECURRA_INLINE void reverse_units(const BackwardUnits<T> &u, const BackwardRow<T> &row, Index unit, Vec<T> from_next) {
  constexpr const CellDescription &cell = Cell::kCell;
  const Index H = u.H, lanes = H - unit;
  ReverseVectors<T> s;
  s.dh = from_next;
  for (const T *dy : row.dy) {
    if (dy) {
      s.dh = s.dh + get(dy + unit, lanes);
    }
  }
  for (int k = 0; k < cell.saved; ++k) {
    s.saved[k] = get(row.saved + k * H + unit, lanes);
  }
  if constexpr (cell.states > 1) {
    s.dc = Vec<T>::load(row.dc + unit);
    if (row.dcell) {
      s.dc = s.dc + get(row.dcell + unit, lanes);
    }
    s.c = get(row.c + unit, lanes);
    s.c_prev = get_or_zero(row.c_prev, unit, lanes);
  }
  if constexpr (cell.direct) {
    s.h_prev = get_or_zero(row.h_prev, unit, lanes);
  } else {
    s.h = get(row.h + unit, lanes);
  }
  Cell::reverse(s);
  if constexpr (cell.states > 1) {
    s.dc.store(row.dc + unit);
  }
  if constexpr (cell.direct) {
    s.direct.store(row.direct + unit);
  }
  // With two phases, the first phase's deltas come once the second's have been multiplied by weight_hh.
  for (int k = cell.phase_count > 1 ? 1 : 0; k < cell.deltas; ++k) {
    put(s.delta[k], row.delta + k * H + unit, lanes);
  }
}

// Rows and units of a tile of `sums`, [row][vector].
template <class T>
struct BackwardTile {
  const BackwardRow<T> *rows;
  Index count, unit;
  int vectors;
  const T *sums;
};

// The step before: the sums, plus the direct path around weight_hh, are the gradient of h_t.
template <class Cell, class T>
void reverse_tile(const BackwardUnits<T> &u, const BackwardTile<T> &tile) {
  const T *sums = tile.sums;
  for (const BackwardRow<T> *row = tile.rows; row < tile.rows + tile.count; ++row) {
    for (Index unit = tile.unit; unit < tile.unit + tile.vectors * Vec<T>::size; unit += Vec<T>::size) {
      Vec<T> sum = Vec<T>::load(sums);
      sums += Vec<T>::size;
      if constexpr (Cell::kCell.direct) {
        sum = sum + Vec<T>::load(row->direct + unit);
      }
      reverse_units<Cell>(u, *row, unit, sum);
    }
  }
}

// The last step of a row, which starts from the gradient of its final state; null: zeros.
template <class Cell, class T>
void reverse_last(const BackwardUnits<T> &u, const BackwardRow<T> &row, const T *dh_n, Index begin, Index end) {
  for (Index unit = begin; unit < end; unit += Vec<T>::size) {
    reverse_units<Cell>(u, row, unit, get_or_zero(dh_n, unit, u.H - unit));
  }
}

// The second phase's products of a step: the tile's sums are the gradient of what that phase read, r ∘ h_{t-1}.
template <class Cell, class T>
void reverse_stage(const BackwardUnits<T> &u, const BackwardTile<T> &tile) {
  const T *sums = tile.sums;
  for (const BackwardRow<T> *row = tile.rows; row < tile.rows + tile.count; ++row) {
    for (int v = 0; v < tile.vectors; ++v, sums += Vec<T>::size) {
      const Index unit = tile.unit + v * Vec<T>::size, lanes = u.H - unit;
      Vec<T> direct = Vec<T>::load(row->direct + unit);
      put(Cell::reverse_stage(Vec<T>::load(sums), get_or_zero(row->h_prev, unit, lanes), get(row->saved + unit, lanes),
                              direct),
          row->delta + unit, lanes);
      direct.store(row->direct + unit);
    }
  }
}

// What the time loop calls of a cell; null: nothing to do.
template <class T>
struct BackwardEpilogue {
  void (*reverse)(const BackwardUnits<T> &, const BackwardTile<T> &);
  void (*last)(const BackwardUnits<T> &, const BackwardRow<T> &, const T *dh_n, Index begin, Index end);
  void (*stage)(const BackwardUnits<T> &, const BackwardTile<T> &);
};

template <class Cell, class T>
constexpr BackwardEpilogue<T> backward_epilogue() {
  BackwardEpilogue<T> epilogue{reverse_tile<Cell, T>, reverse_last<Cell, T>, nullptr};
  if constexpr (Cell::kCell.phase_count > 1) {
    epilogue.stage = reverse_stage<Cell, T>;
  }
  return epilogue;
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
