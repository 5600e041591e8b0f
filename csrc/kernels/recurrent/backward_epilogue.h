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
  const Index H = u.H, lanes = H - unit, slot = u.width;
  ReverseVectors<T> s;
  s.dh = from_next;
  for (const T *dy : row.dy) {
    if (dy) {
      s.dh = s.dh + get(dy + unit, lanes);
    }
  }
  for (int k = 0; k < Cell::kSaved; ++k) {
    s.saved[k] = Vec<T>::load(row.kept + k * slot + unit);
  }
  if constexpr (Cell::kStates > 1) {
    s.dc = Vec<T>::load(row.dc + unit);
    if (row.dcell) {
      s.dc = s.dc + get(row.dcell + unit, lanes);
    }
    s.c = Vec<T>::load(row.c + unit);
    s.c_prev = get_or_zero(row.c_prev, unit, lanes);
  }
  if constexpr (Cell::kDirect) {
    s.h_prev = get_or_zero(row.h_prev, unit, lanes);
  } else {
    s.h = get(row.h + unit, lanes);
  }
  Cell::reverse(s);
  if constexpr (Cell::kStates > 1) {
    s.dc.store(row.dc + unit);
  }
  if constexpr (Cell::kDirect) {
    s.direct.store(row.direct + unit);
  }
  // With two stages, the first one's deltas come once the second's have been multiplied by weight_hh.
  for (int k = Cell::kStages > 1 ? 1 : 0; k < Cell::kDeltas; ++k) {
    put(s.delta[k], row.delta + k * H + unit, lanes);
  }
}

// The step before: the sums, plus the direct path around weight_hh, are the gradient of h_t. A row's last step, which
// has no sums, starts from the gradient of its final state.
template <class Cell, class T>
void reverse_tile(const BackwardUnits<T> &u, const BackwardTile<T> &tile) {
  const T *sums = tile.sums;
  for (Index r = 0; r < tile.count; ++r) {
    const BackwardRow<T> &row = tile.rows[r];
    const T *left = u.outgoing_row(0, tile.first + r);
    for (Index unit = tile.unit; unit < tile.unit + tile.vectors * Vec<T>::size; unit += Vec<T>::size) {
      Vec<T> sum = Vec<T>::load(sums ? sums : left + unit);
      if (sums) {
        sums += Vec<T>::size;
        if constexpr (Cell::kDirect) {
          sum = sum + Vec<T>::load(left + unit);
        }
      }
      reverse_units<Cell>(u, row, unit, sum);
    }
  }
}

// The second stage's products of a step: the tile's sums are the gradient of what that stage read, r ∘ h_{t-1}.
template <class Cell, class T>
void reverse_stage(const BackwardUnits<T> &u, const BackwardTile<T> &tile) {
  const T *sums = tile.sums;
  for (const BackwardRow<T> *row = tile.rows; row < tile.rows + tile.count; ++row) {
    for (int v = 0; v < tile.vectors; ++v, sums += Vec<T>::size) {
      const Index unit = tile.unit + v * Vec<T>::size, lanes = u.H - unit;
      Vec<T> direct = Vec<T>::load(row->direct + unit);
      put(Cell::reverse_stage(Vec<T>::load(sums), get_or_zero(row->h_prev, unit, lanes), Vec<T>::load(row->kept + unit),
                              direct),
          row->delta + unit, lanes);
      direct.store(row->direct + unit);
    }
  }
}

// What the time loop calls of a cell after the last product of each stage.
template <class T>
using BackwardEpilogue = void (*)(const BackwardUnits<T> &, const BackwardTile<T> &);

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
