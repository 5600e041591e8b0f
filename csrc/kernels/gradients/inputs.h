// Gradient of a layer's input: one large product over many time steps, after BPTT has computed the deltas.
#pragma once

#include "kernels/interrupt.h"
#include "kernels/product/panel_product.h"
#include "kernels/recurrent/order.h"
#include "kernels/recurrent/packing.h"
#include "kernels/rows.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class T>
struct InputGradientWork {
  T *accumulators;
  const T **deltas[2];

  InputGradientWork(Arena &arena, Index rows) {
    accumulators = arena.take<T>(rows * kPanelVectors * Vec<T>::size);
    deltas[0] = arena.take<const T *>(rows);
    deltas[1] = arena.take<const T *>(rows);
  }
};

constexpr Index kInputGradientRows = 256;  // rows that pass one panel before the next

template <class T>
Index input_gradient_work() {
  Arena arena{nullptr};
  InputGradientWork<T>(arena, kInputGradientRows);
  return arena.used / static_cast<Index>(sizeof(T));
}

// dx_t = Σ over both directions of δ_t · W_ih: one chain, the forward direction's first.
template <class T>
bool input_gradient(const InputGradientTask<T> *task) {
  constexpr Index V = Vec<T>::size;
  constexpr Index full = kPanelVectors * V;
  alignas(64) static const T zeros[full] = {};
  const Rows &rows = task->rows;
  const CellDescription &cell = kCells[task->cell];
  const Index I = task->input_size, H = task->hidden_size;
  Arena arena{reinterpret_cast<char *>(task->work)};
  InputGradientWork<T> work(arena, kInputGradientRows);
  for (Index begin = task->first; begin < task->last; begin += kInputGradientRows) {
    const Index count = smaller(kInputGradientRows, task->last - begin);
    const Index first_t = step_of(rows, begin);
    for (Index i = 0, at = first_t; i < count; ++i) {
      while (rows.offset[at + 1] <= begin + i) {
        ++at;
      }
      for (int d = 0; d < task->directions; ++d) {
        work.deltas[d][i] = delta_row(task->deltas[d], visited_row(rows, d == 1, at, begin + i - rows.offset[at]));
      }
    }
    for (Index column = 0; column < I; column += full) {
      const int vectors = static_cast<int>(smaller(kPanelVectors, ceil_div(I - column, V)));
      const Index width = vectors * V;
      Term<T> terms[2 * kMaxInputRanges];
      int term_count = 0;
      for (int d = 0; d < task->directions; ++d) {
        Arena packed_arena{reinterpret_cast<char *>(const_cast<T *>(task->packed[d]))};
        const BackwardLayout<T> packed(task->cell, packed_arena, I, H);
        for (int r = 0; r < cell.input_range_count; ++r) {
          const GateRange &range = cell.input_ranges[r];
          terms[term_count++] = {work.deltas[d], range.delta * H,
                                 packed.input + column * cell.gates * H + range.gate * H * width, range.count * H};
        }
      }
      Index at = first_t;
      panel_product(PanelProduct<T>{count, vectors, zeros, 0, terms, term_count, task->plan->depth_block,
                                    task->plan->tile_rows, work.accumulators, nullptr, false},
                    [&](Index first, Index n, const T *sums) {
                      for (Index r = 0; r < n; ++r) {
                        const Index row = begin + first + r;
                        while (rows.offset[at + 1] <= row) {
                          ++at;
                        }
                        T *to = row_at(task->dx, rows, at, row - rows.offset[at]) + column;
                        for (Index i = 0; i < width; i += V) {
                          put(Vec<T>::load(sums + r * width + i), to + i, I - column - i);
                        }
                      }
                    });
      if (interrupted(task->worker, count * width * task->directions * cell.gates * H)) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
