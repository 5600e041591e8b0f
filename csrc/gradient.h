// Gradients of weights: large products over many time steps at once, after BPTT has left their deltas.
#pragma once

#include "token_gradient.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

constexpr Index kGroupPanels = 512 / kVectorBytes;  // panels packed at once: a quarter of a megabyte
constexpr Index kBandColumns = 48;  // delta columns that meet all panels of a group; whole tiles of 3 rows and of 6

template <class T>
struct GradientWork {
  T *inputs;         // packed rows of a block, [panel][row][column]
  T *band;           // columns of its deltas, [row][kBandColumns]
  const T **rows;    // inputs of a block
  const T **resets;  // reset before: r of the same rows
  Index *tokens;     // of a block

  explicit GradientWork(Arena &arena) {
    inputs = arena.take<T>(kGroupPanels * kBlockRows * kPanelVectors * Vec<T>::size);
    band = arena.take<T>(kBlockRows * kBandColumns);
    rows = arena.take<const T *>(kBlockRows);
    resets = arena.take<const T *>(kBlockRows);
    tokens = arena.take<Index>(kBlockRows);
  }
};

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

// Columns of a block's deltas beside each other: where they stand, each row is on a page of its own, and 128 pages are
// more than the first TLB holds.
template <class T>
void copy_band(const T *deltas, Index delta_stride, Index count, Index columns, T *to) {
  constexpr Index V = Vec<T>::size;
  for (Index n = 0; n < count; ++n) {
    for (Index i = 0; i < columns; i += V) {
      put(get(deltas + n * delta_stride + i, columns - i), to + n * kBandColumns + i, columns - i);
    }
  }
}

// One block's share of dW[row][column] = Σ_n deltas[n][row] * inputs[n][column], and of its bias, for delta columns
// [first, last), whose gradient begins at `weight`. The first block overwrites, later ones add.
template <class T>
bool block_gradient(GradientWork<T> &work, const T *const *factors, Index count, Index columns, const T *deltas,
                    Index delta_stride, Index first, Index last, T *weight, T *bias, bool add, Pulse *pulse) {
  constexpr Index V = Vec<T>::size;
  constexpr Index full = kPanelVectors * V;
  const bool copied = columns >= 128 && count >= kBlockRows / 2;  // below, the copy costs more than it saves
  Index group = 0;
  do {
    const Index group_end = smaller(columns, group + kGroupPanels * full);
    for (Index column = group; column < group_end; column += full) {
      const Index width = smaller(full, ceil_div(columns - column, V) * V);
      pack_block(work.rows, factors, count, column, columns, width, work.inputs + (column - group) * kBlockRows);
    }
    for (Index begin = first; begin < last; begin += kBandColumns) {
      const Index size = smaller(kBandColumns, last - begin);
      const T *band = deltas + begin;
      if (copied) {
        copy_band(band, delta_stride, count, size, work.band);
        band = work.band;
      }
      const Index stride = copied ? kBandColumns : delta_stride;
      if (bias && group == 0) {
        block_sums(band, stride, count, Index(0), size, bias + begin - first, add);
      }
      for (Index column = group; column < group_end; column += full) {
        const int vectors = static_cast<int>(smaller(kPanelVectors, ceil_div(columns - column, V)));
        for (Index row = 0; row < size; row += tile_rows(kPanelVectors)) {
          const Index n = smaller(tile_rows(kPanelVectors), size - row);
          outer_tile_for<T>(n, vectors)(band + row, stride, work.inputs + (column - group) * kBlockRows, count,
                                        weight + (begin - first + row) * columns + column, columns, columns - column,
                                        add);
        }
      }
      if (interrupted(pulse, count * size * (group_end - group))) {
        return false;
      }
    }
    group = group_end;
  } while (group < columns);
  return true;
}

// Walks the rows in the order BPTT visited them.
struct Visit {
  const Rows &rows;
  bool reverse;
  Index t, b;

  Visit(const Rows &of, bool backwards, Index row) : rows(of), reverse(backwards) {
    t = step_of(rows, reverse ? row : rows.offset[rows.steps] - 1 - row);
    b = reverse ? row - rows.offset[t] : row - (rows.offset[rows.steps] - rows.offset[t + 1]);
  }
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

  static constexpr Span kAll{0, 0, Cell::kGates};

  // This part's share of a span's columns.
  Index first(const Span &span) const { return share(span.count * H, task.part, task.parts); }
  Index last(const Span &span) const { return share(span.count * H, task.part + 1, task.parts); }

  void clear(const Span &span, Index columns, T *weight, T *bias) const {
    for (Index row = span.row * H + first(span); row < span.row * H + last(span); ++row) {
      for (Index i = 0; i < columns; ++i) {
        weight[row * columns + i] = 0;
      }
      if (bias) {
        bias[row] = 0;
      }
    }
  }

  bool add_block(GradientWork<T> &work, const Span &span, const T *const *factors, Index from, Index count,
                 Index columns, T *weight, T *bias) const {
    const Index row = span.row * H + first(span);
    return block_gradient(work, factors, count, columns, delta_row(task.deltas, from) + span.delta * H,
                          task.deltas.stride, first(span), last(span), weight + row * columns,
                          bias ? bias + row : nullptr, from > 0, task.pulse);
  }

  // The same with tokens: deltas are summed in token_sums, where this part's columns are its own.
  bool add_token_block(GradientWork<T> &work, TokenWork<T> &token_work, const Span &span, Index from,
                       Index count) const {
    const Index row = span.row * H + first(span);
    const T *deltas = delta_row(task.deltas, from) + span.delta * H;
    if (task.bias_ih) {
      block_sums(deltas, task.deltas.stride, count, first(span), last(span), task.bias_ih + row, from > 0);
    }
    block_token_gradient(token_work, work.tokens, count, deltas, task.deltas.stride, first(span), last(span),
                         task.token_sums + span.delta * H + first(span), kSumsWidth * H);
    return !interrupted(task.pulse, count * (last(span) - first(span)));
  }

  static constexpr Index kSumsWidth = Cell::kDeltas;

  void start_tokens(TokenWork<T> &token_work) const {
    for (Index token = 0; token < task.alphabet; ++token) {
      token_work.slot[token] = -1;
    }
    for (Index token = 0; task.from == 0 && token < task.alphabet; ++token) {
      for (const Span &span : Cell::kInputSpans) {
        T *sums = task.token_sums + (token * kSumsWidth + span.delta) * H;
        for (Index i = first(span); i < last(span); ++i) {
          sums[i] = 0;
        }
      }
    }
  }

  // W_ih's gradient from the sums: they are it, turned, for one-hot rows; else their product with the table.
  bool finish_tokens(GradientWork<T> &work) const {
    for (const Span &span : Cell::kInputSpans) {
      const Index row = span.row * H + first(span), rows = last(span) - first(span);
      const T *sums = task.token_sums + span.delta * H + first(span);
      if (!task.table) {
        turn_token_sums(sums, kSumsWidth * H, rows, task.input_size, task.weight_ih + row * task.input_size);
        continue;
      }
      for (Index from = 0; from < task.alphabet; from += kBlockRows) {
        const Index count = smaller(kBlockRows, task.alphabet - from);
        for (Index i = 0; i < count; ++i) {
          work.rows[i] = task.table + (from + i) * task.input_size;
        }
        if (!block_gradient(work, static_cast<const T *const *>(nullptr), count, task.input_size,
                            sums + from * kSumsWidth * H, kSumsWidth * H, Index(0), rows,
                            task.weight_ih + row * task.input_size, static_cast<T *>(nullptr), from > 0, task.pulse)) {
          return false;
        }
      }
    }
    return true;
  }

  bool run() const {
    const Rows &rows = task.rows;
    const Index total = rows.offset[rows.steps];
    Arena arena{reinterpret_cast<char *>(task.work)};
    GradientWork<T> work(arena);
    TokenWork<T> token_work(arena, task.tokens ? task.alphabet : 0);
    if (total == 0) {
      clear(kAll, task.input_size, task.weight_ih, task.bias_ih);
      clear(kAll, H, task.weight_hh, task.bias_hh);
      return true;
    }
    if (task.tokens) {
      start_tokens(token_work);
    }
    Visit input(rows, task.reverse, task.from), hidden(rows, task.reverse, task.from);
    for (Index from = task.from; from < task.to; from += kBlockRows) {
      const Index count = smaller(kBlockRows, task.to - from);
      for (Index i = 0; i < count; ++i, input.next()) {
        if (task.tokens) {
          work.tokens[i] = task.tokens[rows.offset[input.t] + input.b];
        } else {
          work.rows[i] = row_at(task.x, rows, input.t, input.b);
        }
      }
      for (const Span &span : Cell::kInputSpans) {
        if (!(task.tokens
                  ? add_token_block(work, token_work, span, from, count)
                  : add_block(work, span, nullptr, from, count, task.input_size, task.weight_ih, task.bias_ih))) {
          return false;
        }
      }
      for (Index i = 0; i < count; ++i, hidden.next()) {
        work.rows[i] = entering(rows, task.reverse, hidden.t, hidden.b, task.out.base, task.out.row_stride, task.h0, H);
        work.resets[i] = task.kept + (rows.offset[hidden.t] + hidden.b) * task.kept_stride;
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
    return !task.tokens || task.to < total || finish_tokens(work);
  }
};

template <class Cell, class T>
bool gradient(const GradientTask<T> *task) {
  return Gradient<Cell, T>{*task, task->hidden_size}.run();
}

template <class T>
Index gradient_work(Index alphabet) {
  Arena arena{nullptr};
  GradientWork<T>{arena};
  TokenWork<T>(arena, alphabet);
  return arena.used / static_cast<Index>(sizeof(T));
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
