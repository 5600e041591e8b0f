// One step of one row on the way forward, as far as it isn't a product: the states, and the cell on vectors of units.
#pragma once

#include "kernels/cells/cell.h"
#include "kernels/recurrent/packing.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class Cell, class T>
struct UnitsForward {
  using Layout = ForwardLayout<Cell, T>;
  static constexpr Index V = Vec<T>::size;
  static constexpr int G = Cell::kGates;
  static_assert(Cell::kUnitVectors == 1 || Cell::kActivated == 0, "an uneven panel's sums aren't activated");

  const ForwardTask<T> &task;
  const Rows &rows;
  const Index H;
  const Index width;  // of a row of hidden state: not a multiple of 128 bytes, or rows 4 KB apart fight for one L1 set

  T *state[2];  // h_{t-1} and h_t, [row][width]
  T *cell;      // c_{t-1}, then c_t
  T *reset;     // reset before: r ∘ h_{t-1}
  T *update;    // reset before: z
  int now = 0;  // state[now] is h_{t-1}

  UnitsForward(const ForwardTask<T> &of, Index row_count, Arena &work, Arena &shared)
      : task(of),
        rows(of.rows),
        H(of.hidden_size),
        width(Layout::padded(H) % 32 == 0 ? Layout::padded(H) + V : Layout::padded(H)) {
    for (T *&buffer : state) {
      buffer = shared.take<T>(row_count * width);
    }
    cell = work.take<T>(Cell::kCellState ? row_count * width : 0);
    reset = shared.take<T>(Cell::kResetBefore ? row_count * width : 0);
    update = work.take<T>(Cell::kResetBefore ? row_count * width : 0);
  }

  // Fetches where apply will store what a tape keeps: some 20 lines, which may be asked for at once.
  void fetch_units(Index t, Index panel, int vectors, Index first, Index n) const {
    for (Index b = first; task.kept && b < first + n; ++b) {
      const Index row = rows.offset[t] + task.first + b;
      for (int v = 0; v < vectors; ++v) {
        const Index unit = panel * Layout::kUnits + v * V;
        for (int k = 0; k < Cell::kKept; ++k) {
          fetch_to_write(task.kept + row * task.kept_stride + k * H + unit);
        }
        if constexpr (Cell::kCellState) {
          fetch_to_write(task.cells + row * H + unit);
        }
        fetch_to_write(row_at(task.out, rows, t, task.first + b) + unit);
      }
    }
  }

  // The gates that depend on a tile's sums alone, in place. They come before any row's apply: one row's chain of
  // activations is longer than what the processor looks ahead, so rows wait for each other unless theirs are side by
  // side; LSTM at 8x100x64x64 spent 30 % of a call on its cells before.
  void activate(int vectors, Index n, T *sums) const {
    for (T *at = sums; Cell::kActivated > 0 && at < sums + n * vectors * G * V; at += G * V) {
      StepVectors<T> s;
      for (int g = 0; g < Cell::kActivated; ++g) {
        s.pre[g] = Vec<T>::load(at + g * V);
      }
      Cell::gates(s);
      for (int g = 0; g < Cell::kActivated; ++g) {
        s.kept[g].store(at + g * V);
      }
    }
  }

  // The cell on one tile's sums: rows [first, first + n) of the slice, the units of one panel.
  RECURRA_INLINE void apply(Index t, Index panel, int vectors, Index first, Index n, const T *sums, Index sum_width,
                            const T *candidate_x, Index candidate_stride) {
    for (Index r = 0; r < n; ++r) {
      const Index b = first + r;
      T *out = row_at(task.out, rows, t, task.first + b);
      T *copy = task.copy.base ? row_at(task.copy, rows, t, task.first + b) : nullptr;
      T *kept = task.kept ? task.kept + (rows.offset[t] + task.first + b) * task.kept_stride : nullptr;
      T *cells = task.cells ? task.cells + (rows.offset[t] + task.first + b) * H : nullptr;
      for (int v = 0; v < vectors; ++v) {
        const Index unit = panel * Layout::kUnits + v * V;
        const Index lanes = H - unit;
        StepVectors<T> s;
        s.h_prev = Vec<T>::load(state[now] + b * width + unit);
        if constexpr (Cell::kResetBefore) {
          s.pre[G - 1] = Vec<T>::load(sums + r * sum_width);
          s.kept[0] = Vec<T>::zero();  // r was kept by the first half
          s.kept[1] = Vec<T>::load(update + b * width + unit);
        } else {
          for (int g = 0; g < G; ++g) {
            (g < Cell::kActivated ? s.kept : s.pre)[g] = Vec<T>::load(sums + r * sum_width + (v * G + g) * V);
          }
        }
        if constexpr (Cell::kSplitCandidate) {
          s.candidate_x = Vec<T>::load(candidate_x + r * candidate_stride);
        }
        if constexpr (Cell::kCellState) {
          s.c = Vec<T>::load(cell + b * width + unit);
        }
        Cell::step(s);
        s.h.store(state[1 - now] + b * width + unit);
        put(s.h, out + unit, lanes);
        if (copy) {
          put(s.h, copy + unit, lanes);
        }
        if constexpr (Cell::kCellState) {
          s.c.store(cell + b * width + unit);
          if (cells) {
            put(s.c, cells + unit, lanes);
          }
        }
        if (kept) {
          for (int k = Cell::kResetBefore ? 1 : 0; k < Cell::kKept; ++k) {
            put(s.kept[k], kept + k * H + unit, lanes);
          }
        }
      }
    }
  }

  // Reset before, the first half of a step: r and z of one tile, and r ∘ h_{t-1} for the second half's product.
  void apply_gates(Index t, Index panel, Index first, Index n, const T *sums) {
    const Index unit = panel * V;
    for (Index r = 0; r < n; ++r) {
      const Index at = (first + r) * width + unit;
      StepVectors<T> s;
      s.pre[0] = Vec<T>::load(sums + r * 2 * V);
      s.pre[1] = Vec<T>::load(sums + r * 2 * V + V);
      Cell::gates(s);
      (s.kept[0] * Vec<T>::load(state[now] + at)).store(reset + at);
      s.kept[1].store(update + at);
      if (task.kept) {
        put(s.kept[0], task.kept + (rows.offset[t] + task.first + first + r) * task.kept_stride + unit, H - unit);
      }
    }
  }
};

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
