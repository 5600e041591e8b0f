// Gradient of a layer's input: one large product over many time steps, after BPTT has computed the deltas.
#pragma once

#include "kernels/interrupt.h"
#include "kernels/product/panel_product.h"
#include "kernels/recurrent/deltas.h"
#include "kernels/recurrent/order.h"
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

// Where the chains of a cell that reads x itself begin, for columns [column, column + width) of `count` rows: the
// gradient of x by that way, of the first direction plus the other.
template <class T>
void begin_at_raw(const InputGradientTask<T> &task, const InputGradientWork<T> &work, Index raw_at, Index count,
                  Index column, Index width) {
  constexpr Index V = Vec<T>::size;
  const Index left = task.shape.input_size - column;
  for (Index i = 0; i < count; ++i) {
    for (Index c = 0; c < width; c += V) {
      Vec<T> sum = get(work.deltas[0][i] + raw_at + column + c, left - c);
      if (task.directions == 2) {
        sum = sum + get(work.deltas[1][i] + raw_at + column + c, left - c);
      }
      sum.store(work.accumulators + i * width + c);
    }
  }
}

// dx_t = Σ over both directions of δ_t · W_ih: one chain, the forward direction's first.
template <class T>
bool input_gradient(const InputGradientTask<T> *task) {
  constexpr Index V = Vec<T>::size;
  constexpr Index full = kPanelVectors * V;
  alignas(64) static const T zeros[full] = {};
  const Rows &rows = task->rows;
  const Cell &cell = *task->shape.cell;
  const Index I = task->shape.input_size, depth = cell.input_columns * task->shape.hidden_size;
  const int raw = delta_of(cell, kOfRaw, 0);
  const Index raw_at = raw < 0 ? 0 : delta_at(task->shape, raw);
  Arena arena{reinterpret_cast<char *>(task->work)};
  InputGradientWork<T> work(arena, kInputGradientRows);
  const T *packed[2];
  for (int d = 0; d < task->directions; ++d) {
    Arena packed_arena{reinterpret_cast<char *>(const_cast<T *>(task->packed[d]))};
    packed[d] = BackwardLayout<T>(task->shape, packed_arena).input;
  }
  for (Index begin = task->first; begin < task->last; begin += kInputGradientRows) {
    const Index count = smaller(kInputGradientRows, task->last - begin);
    const Index first_t = step_of(rows, begin);
    for (Index i = 0, at = first_t; i < count; ++i) {
      while (rows.offset[at + 1] <= begin + i) {
        ++at;
      }
      for (int d = 0; d < task->directions; ++d) {
        const bool reverse = d == 1 || task->reverse;
        work.deltas[d][i] = delta_row(task->deltas[d], visited_row(rows, reverse, at, begin + i - rows.offset[at]));
      }
    }
    for (Index column = 0; column < I; column += full) {
      const int vectors = static_cast<int>(smaller(kPanelVectors, ceil_div(I - column, V)));
      const Index width = vectors * V;
      const T *from = zeros;
      if (raw >= 0) {
        begin_at_raw(*task, work, raw_at, count, column, width);
        from = work.accumulators;
      }
      Term<T> terms[2];  // of no depth where the cell has no W_ih
      for (int d = 0; d < task->directions; ++d) {
        terms[d] = {work.deltas[d], 0, packed[d] + column * depth, depth};
      }
      Index at = first_t;
      panel_product(PanelProduct<T>{count, vectors, from, raw < 0 ? 0 : width, terms, task->directions,
                                    task->plan->depth_block, task->plan->tile_rows, work.accumulators, nullptr, false},
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
      if (interrupted(task->worker, count * width * task->directions * depth)) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
