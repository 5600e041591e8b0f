// The epilogue of the forward pass: applies the cell to the sums of a tile, on vectors of hidden units. A template over
// the cell, so that the compiler unrolls its gates; called once per tile.
#pragma once

#include "kernels/cells/cell.h"
#include "kernels/recurrent/forward_units.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// Activates the gates that depend on their sums alone, in place, for `count` vectors of units. It comes before `apply`
// of any row: one row's chain of activations is longer than the processor looks ahead, so rows would wait for each
// other unless their activations are interleaved; an LSTM at 8x100x64x64 had spent 30 % of a call on its cells.
template <class Cell, class T>
RECURRA_INLINE void activate(Index count, T *sums) {
  constexpr int G = Cell::kCell.gates;
  for (T *at = sums; at < sums + count * G * Vec<T>::size; at += G * Vec<T>::size) {
    StepVectors<T> s;
    for (int g = 0; g < Cell::kActivated; ++g) {
      s.pre[g] = Vec<T>::load(at + g * Vec<T>::size);
    }
    Cell::gates(s);
    for (int g = 0; g < Cell::kActivated; ++g) {
      s.saved[g].store(at + g * Vec<T>::size);
    }
  }
}

// The sums of a tile, [row][vector][gate], and where the input's half of a split gate is for them.
template <class T>
struct TileSums {
  T *sums;
  const T *split;
  Index split_row, split_vector;  // strides
};

// The last phase of a step: the new states, to where the next step, the caller and the tape want them.
template <class Cell, int kVectors, class T>
RECURRA_INLINE void apply_vectors(const ForwardUnits<T> &u, const UnitTile &tile, int vectors, const TileSums<T> &in) {
  constexpr const CellDescription &cell = Cell::kCell;
  constexpr bool kTwoPhases = cell.phase_count > 1;
  constexpr int V = Vec<T>::size, G = cell.phases[cell.phase_count - 1].gates.count;
  const ForwardTask<T> &task = u.task;
  const Index H = u.H, width = u.width, first_unit = tile.unit;
  [[maybe_unused]] const Index split_vector = in.split_vector;
  for (Index r = 0; r < tile.count; ++r) {
    const Index b = tile.first + r;
    T *out = row_at(task.out, u.rows, tile.t, task.first + b);
    T *copy = task.copy.base ? row_at(task.copy, u.rows, tile.t, task.first + b) : nullptr;
    T *saved = task.saved ? task.saved + u.compact_row(tile.t, b) * task.saved_stride : nullptr;
    T *cells = task.cells ? task.cells + u.compact_row(tile.t, b) * H : nullptr;
    // Copied into local variables, as for all the compiler knows, a vector's store may change what `u` and `in` hold.
    const T *h_prev = u.state[u.now] + b * width, *held = u.held + b * width, *split = in.split + r * in.split_row;
    T *h = u.state[1 - u.now] + b * width, *carry = u.carry + b * width;
    const T *sums = in.sums + r * (kVectors ? kVectors : vectors) * G * V;
    for (int v = 0; v < (kVectors ? kVectors : vectors); ++v, sums += G * V) {
      const Index unit = first_unit + v * V;
      const Index lanes = H - unit;
      StepVectors<T> s;
      s.h_prev = Vec<T>::load(h_prev + unit);
      if constexpr (kTwoPhases) {
        s.pre[cell.gates - 1] = Vec<T>::load(sums);
        s.saved[0] = Vec<T>::zero();  // the first phase has saved it
        s.saved[1] = Vec<T>::load(held + unit);
      } else {
        for (int g = 0; g < G; ++g) {
          (g < Cell::kActivated ? s.saved : s.pre)[g] = Vec<T>::load(sums + g * V);
        }
      }
      if constexpr (cell.split_gate) {
        s.split = Vec<T>::load(split + v * split_vector);
      }
      if constexpr (cell.states > 1) {
        s.c = Vec<T>::load(carry + unit);
      }
      Cell::step(s);
      s.h.store(h + unit);
      put(s.h, out + unit, lanes);
      if (copy) {
        put(s.h, copy + unit, lanes);
      }
      if constexpr (cell.states > 1) {
        s.c.store(carry + unit);
        if (cells) {
          put(s.c, cells + unit, lanes);
        }
      }
      if (saved) {
        for (int k = kTwoPhases ? 1 : 0; k < cell.saved; ++k) {
          put(s.saved[k], saved + k * H + unit, lanes);
        }
      }
    }
  }
}

template <class Cell, class T>
void apply(const ForwardUnits<T> &u, const UnitTile &tile, const TileSums<T> &in) {
  constexpr int kWhole = Cell::kCell.unit_vectors;
  if constexpr (Cell::kActivated > 0 && Cell::kCell.phase_count == 1) {
    activate<Cell>(tile.count * tile.vectors, in.sums);
  }
  if (tile.vectors == kWhole) {  // a constant, which unrolls the loop over vectors: GRU 5 to 10 %, LSTM 2 to 5 %
    apply_vectors<Cell, kWhole>(u, tile, kWhole, in);
  } else {
    apply_vectors<Cell, 0>(u, tile, tile.vectors, in);
  }
}

// The first of two phases: its gates, and from them what the second phase's products read, r ∘ h_{t-1}.
template <class Cell, class T>
void stage(const ForwardUnits<T> &u, const UnitTile &tile, const TileSums<T> &in) {
  constexpr int G = Cell::kCell.phases[0].gates.count, V = Vec<T>::size;
  const T *sums = in.sums;
  for (Index b = tile.first; b < tile.first + tile.count; ++b) {
    T *saved = u.task.saved ? u.task.saved + u.compact_row(tile.t, b) * u.task.saved_stride : nullptr;
    for (Index unit = tile.unit; unit < tile.unit + tile.vectors * V; unit += V, sums += G * V) {
      const Index at = b * u.width + unit;
      StepVectors<T> s;
      for (int g = 0; g < G; ++g) {
        s.pre[g] = Vec<T>::load(sums + g * V);
      }
      Cell::gates(s);
      (s.saved[0] * Vec<T>::load(u.state[u.now] + at)).store(u.staged + at);
      s.saved[1].store(u.held + at);
      if (saved) {
        put(s.saved[0], saved + unit, u.H - unit);
      }
    }
  }
}

// What the time loop calls of a cell.
template <class T>
struct ForwardEpilogue {
  void (*apply)(const ForwardUnits<T> &, const UnitTile &, const TileSums<T> &);
  void (*stage)(const ForwardUnits<T> &, const UnitTile &, const TileSums<T> &);  // null with one phase
};

template <class Cell, class T>
constexpr ForwardEpilogue<T> forward_epilogue() {
  ForwardEpilogue<T> epilogue{apply<Cell, T>, nullptr};
  if constexpr (Cell::kCell.phase_count > 1) {
    epilogue.stage = stage<Cell, T>;
  }
  return epilogue;
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
