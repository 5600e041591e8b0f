// Gradients of weights and inputs: large products over all time steps at once, after BPTT has left the deltas.
#pragma once

#include "backward.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// Rows summed from zero before they are added to the total. It fixes the order of every weight gradient's sum, so it
// is the same on all machines. 256: long sums stay accurate, and a 64-column panel of a block is 64 KB, read from L2.
constexpr Index kBlockRows = 256;
constexpr Index kGroupPanels = 8;  // panels packed at once: half a megabyte

template <class T>
struct GradientWork {
  T *inputs;         // packed rows of a block, [panel][row][column]
  const T **rows;    // inputs of a block
  const T **resets;  // reset before: r of the same rows

  explicit GradientWork(Arena &arena) {
    inputs = arena.take<T>(kGroupPanels * kBlockRows * kPanelVectors * Vec<T>::size);
    rows = arena.take<const T *>(kBlockRows);
    resets = arena.take<const T *>(kBlockRows);
  }
};

template <class T>
Index gradient_work() {
  Arena arena{nullptr};
  GradientWork<T>{arena};
  return arena.used / static_cast<Index>(sizeof(T));
}

// The columns [column, column + width) of a block's rows as a panel; a null row is zeros. With factors, row ∘ factor.
template <class T>
void pack_block(const T *const *rows, const T *const *factors, Index count, Index column, Index columns, Index width,
                T *to) {
  constexpr Index V = Vec<T>::size;
  for (Index n = 0; n < count; ++n) {
    for (Index i = 0; i < width; i += V, to += V) {
      const Index lanes = columns - column - i;
      Vec<T> v = rows[n] ? get(rows[n] + column + i, lanes) : Vec<T>::zero();
      if (factors) {
        v = v * get(factors[n] + column + i, lanes);
      }
      v.store(to);
    }
  }
}

// Sums of `count` rows of deltas, column by column, in columns [first, last).
template <class T>
void block_sums(const T *deltas, Index delta_stride, Index count, Index first, Index last, T *to, bool add) {
  constexpr Index V = Vec<T>::size;
  Index column = first;
  for (; column + 4 * V <= last; column += 4 * V, to += 4 * V) {  // four chains at once, or each add waits for the last
    Vec<T> sums[4] = {};
    for (Index n = 0; n < count; ++n) {
#pragma GCC unroll 4
      for (int c = 0; c < 4; ++c) {
        sums[c] = sums[c] + Vec<T>::load(deltas + n * delta_stride + column + c * V);
      }
    }
    for (int c = 0; c < 4; ++c) {
      (add ? Vec<T>::load(to + c * V) + sums[c] : sums[c]).store(to + c * V);
    }
  }
  for (; column < last; column += V, to += V) {
    const Index lanes = last - column;
    Vec<T> sum = Vec<T>::zero();
    for (Index n = 0; n < count; ++n) {
      sum = sum + get(deltas + n * delta_stride + column, lanes);
    }
    put(add ? get(to, lanes) + sum : sum, to, lanes);
  }
}

// One block's share of dW[row][column] = Σ_n deltas[n][row] * inputs[n][column], and of its bias, for delta columns
// [first, last), whose gradient begins at `weight`. The first block overwrites, later ones add.
template <class T>
bool block_gradient(GradientWork<T> &work, const T *const *factors, Index count, Index columns, const T *deltas,
                    Index delta_stride, Index first, Index last, T *weight, T *bias, bool add, Pulse *pulse) {
  constexpr Index V = Vec<T>::size;
  constexpr Index full = kPanelVectors * V;
  if (bias) {
    block_sums(deltas, delta_stride, count, first, last, bias, add);
  }
  for (Index group = 0; group < columns; group += kGroupPanels * full) {
    const Index group_end = smaller(columns, group + kGroupPanels * full);
    for (Index column = group; column < group_end; column += full) {
      const Index width = smaller(full, ceil_div(columns - column, V) * V);
      pack_block(work.rows, factors, count, column, columns, width, work.inputs + (column - group) * kBlockRows);
    }
    for (Index row = first; row < last; row += tile_rows(kPanelVectors)) {
      const Index n = smaller(tile_rows(kPanelVectors), last - row);
      for (Index column = group; column < group_end; column += full) {
        const int vectors = static_cast<int>(smaller(kPanelVectors, ceil_div(columns - column, V)));
        outer_tile_for<T>(n, vectors)(deltas + row, delta_stride, work.inputs + (column - group) * kBlockRows, count,
                                      weight + (row - first) * columns + column, columns, columns - column, add);
      }
      if (interrupted(pulse, count * n * (group_end - group))) {
        return false;
      }
    }
  }
  return true;
}

// Walks the rows in the order BPTT visited them.
struct Visit {
  const Rows &rows;
  bool reverse;
  Index t, b = 0;

  Visit(const Rows &of, bool backwards) : rows(of), reverse(backwards), t(backwards ? 0 : of.steps - 1) { settle(); }
  void settle() {
    while (t >= 0 && t < rows.steps && b >= rows.alive[t]) {
      t += reverse ? 1 : -1;
      b = 0;
    }
  }
  void next() {
    ++b;
    settle();
  }
};

// This part's share of [0, size), in whole register tiles.
RECURRA_INLINE Index share(Index size, Index part, Index parts) {
  const Index tiles = ceil_div(size, tile_rows(kPanelVectors));
  return smaller(size, tiles * part / parts * tile_rows(kPanelVectors));
}

template <class Cell, class T>
struct Gradient {
  const GradientTask<T> &task;
  const Index H;

  void clear(const Span &span, Index columns, T *weight, T *bias) const {
    const Index first = share(span.count * H, task.part, task.parts),
                last = share(span.count * H, task.part + 1, task.parts);
    for (Index i = (span.row * H + first) * columns; i < (span.row * H + last) * columns; ++i) {
      weight[i] = 0;
    }
    for (Index i = span.row * H + first; bias && i < span.row * H + last; ++i) {
      bias[i] = 0;
    }
  }

  bool add_block(GradientWork<T> &work, const Span &span, const T *const *factors, Index from, Index count,
                 Index columns, T *weight, T *bias) const {
    const Index first = share(span.count * H, task.part, task.parts),
                last = share(span.count * H, task.part + 1, task.parts);
    const Index row = span.row * H + first;
    return block_gradient(work, factors, count, columns, task.deltas + from * task.delta_stride + span.delta * H,
                          task.delta_stride, first, last, weight + row * columns, bias ? bias + row : nullptr, from > 0,
                          task.pulse);
  }

  bool run() const {
    const Rows &rows = task.rows;
    const Index total = rows.offset[rows.steps];
    Arena arena{reinterpret_cast<char *>(task.work)};
    GradientWork<T> work(arena);
    if (total == 0) {
      clear({0, 0, Cell::kGates}, task.input_size, task.weight_ih, task.bias_ih);
      clear({0, 0, Cell::kGates}, H, task.weight_hh, task.bias_hh);
    }
    Visit input(rows, task.reverse), hidden(rows, task.reverse);
    for (Index from = 0; from < total; from += kBlockRows) {
      const Index count = smaller(kBlockRows, total - from);
      for (Index i = 0; i < count; ++i, input.next()) {
        work.rows[i] = row_at(task.x, rows, input.t, input.b);
      }
      for (const Span &span : Cell::kInputSpans) {
        if (!add_block(work, span, nullptr, from, count, task.input_size, task.weight_ih, task.bias_ih)) {
          return false;
        }
      }
      for (Index i = 0; i < count; ++i, hidden.next()) {
        work.rows[i] = entering(rows, task.reverse, hidden.t, hidden.b, task.out.base, task.out.row_stride, task.h0, H);
        work.resets[i] = task.kept + (rows.offset[hidden.t] + hidden.b) * Cell::kKept * H;
      }
      for (const Span &span : Cell::kHiddenSpans) {
        if (!add_block(work, span, nullptr, from, count, H, task.weight_hh, task.bias_hh)) {
          return false;
        }
      }
      if constexpr (Cell::kResetBefore) {
        for (const Span &span : Cell::kCandidateSpans) {
          if (!add_block(work, span, work.resets, from, count, H, task.weight_hh, task.bias_hh)) {
            return false;
          }
        }
      }
    }
    return true;
  }
};

template <class Cell, class T>
bool gradient(const GradientTask<T> *task) {
  return Gradient<Cell, T>{*task, task->hidden_size}.run();
}

template <class T>
struct InputGradientWork {
  T *stash;
  const T **deltas[2];

  InputGradientWork(Arena &arena, Index rows) {
    stash = arena.take<T>(rows * kPanelVectors * Vec<T>::size);
    deltas[0] = arena.take<const T *>(rows);
    deltas[1] = arena.take<const T *>(rows);
  }
};

constexpr Index kInputGradientRows = 256;  // rows that pass a panel before the next one

template <class T>
Index input_gradient_work() {
  Arena arena{nullptr};
  InputGradientWork<T>(arena, kInputGradientRows);
  return arena.used / static_cast<Index>(sizeof(T));
}

// dx_t = Σ over both directions of δ_t · W_ih: one chain, the forward direction's first.
template <class Cell, class T>
bool input_gradient(const InputGradientTask<T> *task) {
  constexpr Index V = Vec<T>::size;
  constexpr Index full = kPanelVectors * V;
  alignas(64) static const T zeros[full] = {};
  const Rows &rows = task->rows;
  const Index I = task->input_size, H = task->hidden_size;
  Arena arena{reinterpret_cast<char *>(task->work)};
  InputGradientWork<T> work(arena, kInputGradientRows);
  Index t = 0;
  for (Index begin = task->first; begin < task->last; begin += kInputGradientRows) {
    const Index count = smaller(kInputGradientRows, task->last - begin);
    while (rows.offset[t + 1] <= begin) {
      ++t;
    }
    const Index first_t = t;
    for (Index i = 0, at = t; i < count; ++i) {
      while (rows.offset[at + 1] <= begin + i) {
        ++at;
      }
      for (int d = 0; d < task->directions; ++d) {
        work.deltas[d][i] =
            task->deltas[d] + visited_row(rows, d == 1, at, begin + i - rows.offset[at]) * task->delta_stride;
      }
    }
    for (Index column = 0; column < I; column += full) {
      const int vectors = static_cast<int>(smaller(kPanelVectors, ceil_div(I - column, V)));
      const Index width = vectors * V;
      Segment<T> segments[4];
      int segment_count = 0;
      for (int d = 0; d < task->directions; ++d) {
        Arena packed_arena{reinterpret_cast<char *>(const_cast<T *>(task->packed[d]))};
        const BackwardLayout<Cell, T> packed(packed_arena, I, H);
        for (const Span &span : Cell::kInputSpans) {
          segments[segment_count++] = {work.deltas[d], span.delta * H,
                                       packed.input + column * Cell::kGates * H + span.row * H * width, span.count * H};
        }
      }
      Index at = first_t;
      panel_product(count, vectors, zeros, 0, segments, segment_count, task->plan->depth_block, task->plan->tile_rows,
                    work.stash, [&](Index first, Index n, const T *sums) {
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
      if (interrupted(task->pulse, count * width * task->directions * Cell::kGates * H)) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
