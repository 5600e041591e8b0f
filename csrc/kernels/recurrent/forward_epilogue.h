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
  constexpr int G = Cell::kGates;
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

// The last stage of a step: the new states, to where the next step, the caller and the tape want them.
template <class Cell, int kVectors, class T>
RECURRA_INLINE void apply_vectors(const ForwardUnits<T> &u, const UnitTile &tile, int vectors,
                                  const TileColumns<T> &in) {
  constexpr bool kTwoStages = Cell::kStages > 1;
  constexpr int V = Vec<T>::size, G = kTwoStages ? 1 : Cell::kGates;
  const ForwardTask<T> &task = u.task;
  const Index H = u.H, width = u.width, slot = padded_units<T>(H), first_unit = tile.unit;
  [[maybe_unused]] const Index split_vector = in.vector;
  for (Index r = 0; r < tile.count; ++r) {
    const Index b = tile.first + r;
    T *out = row_at(task.out, u.rows, tile.t, task.first + b);
    T *copy = task.copy.base ? row_at(task.copy, u.rows, tile.t, task.first + b) : nullptr;
    T *kept = task.taped ? task.kept + u.compact_row(tile.t, b) * task.kept_stride : nullptr;
    [[maybe_unused]] T *cells = nullptr, *carry = nullptr;
    if constexpr (Cell::kStates > 1) {
      cells = task.taped ? task.states[1] + u.compact_row(tile.t, b) * slot : nullptr;
      carry = u.state[1][0] + b * width;
    }
    // Copied into local variables, as for all the compiler knows, a vector's store may change what `u` and `in` hold.
    const T *h_prev = u.state[0][u.now] + b * width, *split = in.projected + r * in.row;
    [[maybe_unused]] const T *held = kTwoStages ? u.held_row(0, b) : nullptr;
    T *h = u.state[0][1 - u.now] + b * width;
    const T *sums = in.sums + r * (kVectors ? kVectors : vectors) * G * V;
    for (int v = 0; v < (kVectors ? kVectors : vectors); ++v, sums += G * V) {
      const Index unit = first_unit + v * V;
      const Index lanes = H - unit;
      StepVectors<T> s;
      s.h_prev = Vec<T>::load(h_prev + unit);
      if constexpr (kTwoStages) {
        s.pre[Cell::kGates - 1] = Vec<T>::load(sums);
        s.saved[1] = Vec<T>::load(held + unit);
      } else {
        for (int g = 0; g < G; ++g) {
          (g < Cell::kActivated ? s.saved : s.pre)[g] = Vec<T>::load(sums + g * V);
        }
      }
      if constexpr (Cell::kSplit) {
        s.split = Vec<T>::load(split + v * split_vector);
      }
      if constexpr (Cell::kStates > 1) {
        s.c = Vec<T>::load(carry + unit);
      }
      Cell::step(s);
      s.h.store(h + unit);
      put(s.h, out + unit, lanes);
      if (copy) {
        put(s.h, copy + unit, lanes);
      }
      if constexpr (Cell::kStates > 1) {
        s.c.store(carry + unit);
        if (cells) {
          s.c.store(cells + unit);
        }
      }
      if (kept) {
        for (int k = kTwoStages ? Cell::kSaved - 1 : 0; k < Cell::kSaved; ++k) {
          s.saved[k].store(kept + k * slot + unit);
        }
      }
    }
  }
}

template <class Cell, class T>
void apply(const ForwardUnits<T> &u, const UnitTile &tile, const TileColumns<T> &in) {
  constexpr int kWhole = Cell::kUnitVectors;
  if constexpr (Cell::kActivated > 0 && Cell::kStages == 1) {
    activate<Cell>(tile.count * tile.vectors, in.sums);
  }
  if (tile.vectors == kWhole) {  // a constant, which unrolls the loop over vectors: GRU 5 to 10 %, LSTM 2 to 5 %
    apply_vectors<Cell, kWhole>(u, tile, kWhole, in);
  } else {
    apply_vectors<Cell, 0>(u, tile, tile.vectors, in);
  }
}

// The first of two stages: its gates, and from them what the second stage's products read, r ∘ h_{t-1}.
template <class Cell, class T>
void stage(const ForwardUnits<T> &u, const UnitTile &tile, const TileColumns<T> &in) {
  constexpr int G = Cell::kGates - 1, V = Vec<T>::size;
  const Index slot = padded_units<T>(u.H);
  const T *sums = in.sums;
  for (Index b = tile.first; b < tile.first + tile.count; ++b) {
    T *kept = u.task.taped ? u.task.kept + u.compact_row(tile.t, b) * u.task.kept_stride : nullptr;
    for (Index unit = tile.unit; unit < tile.unit + tile.vectors * V; unit += V, sums += G * V) {
      StepVectors<T> s;
      for (int g = 0; g < G; ++g) {
        s.pre[g] = Vec<T>::load(sums + g * V);
      }
      Cell::gates(s);
      s.saved[G] = s.saved[0] * Vec<T>::load(u.state[0][u.now] + b * u.width + unit);
      s.saved[G].store(u.staged_row(0, b) + unit);
      s.saved[1].store(u.held_row(0, b) + unit);
      for (int k = 0; kept && k < Cell::kSaved - 1; ++k) {
        s.saved[k].store(kept + k * slot + unit);
      }
    }
  }
}

// What the time loop calls of a cell after the last product of each stage.
template <class T>
using ForwardEpilogue = void (*)(const ForwardUnits<T> &, const UnitTile &, const TileColumns<T> &);

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
