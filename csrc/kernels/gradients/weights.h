// Gradients of weights: large products over many time steps at once, after BPTT has left their deltas.
#pragma once

#include "kernels/cells/cell.h"
#include "kernels/gradients/block.h"
#include "kernels/gradients/tokens.h"
#include "kernels/recurrent/order.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

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

  // Rows of the sides' weights, times H, whose gradients delta columns from gate * H on are; -1: they don't meet.
  struct Meeting {
    int row[kSides];

    explicit Meeting(int gate) : row{-1, -1, -1} {
      find(Cell::kInputSpans, gate, row[0]);
      find(Cell::kHiddenSpans, gate, row[1]);
      if constexpr (Cell::kResetBefore) {
        find(Cell::kCandidateSpans, gate, row[2]);
      }
    }
    template <std::size_t N>
    static void find(const Span (&spans)[N], int gate, int &row) {
      for (const Span &span : spans) {
        if (gate >= span.delta && gate < span.delta + span.count) {
          row = span.row + gate - span.delta;
        }
      }
    }
    bool goes_on(const Meeting &next, int gates) const {
      bool same = true;
      for (int side = 0; side < kSides; ++side) {
        same = same && next.row[side] == (row[side] < 0 ? -1 : row[side] + gates);
      }
      return same;
    }
  };

  // This part's share of all delta columns, as few strips as may be; returns their number.
  int cut(Strip<T> *strips) const {
    const Index I = task.input_size;
    int count = 0;
    for (int gate = 0, gates; gate < Cell::kDeltas; gate += gates) {
      const Meeting meeting(gate);
      for (gates = 1; gate + gates < Cell::kDeltas && meeting.goes_on(Meeting(gate + gates), gates);) {
        ++gates;
      }
      const Index first = share(gates * H, task.part, task.parts), last = share(gates * H, task.part + 1, task.parts);
      const auto begin = [&](int side, T *weight, Index columns) {
        return weight && meeting.row[side] >= 0 ? weight + (meeting.row[side] * H + first) * columns : nullptr;
      };
      T *bias_hh = begin(1, task.bias_hh, 1);
      strips[count++] = {gate * H + first,
                         gate * H + last,
                         {begin(0, task.weight_ih, I), begin(1, task.weight_hh, H), begin(2, task.weight_hh, H)},
                         {begin(0, task.bias_ih, 1), bias_hh ? bias_hh : begin(2, task.bias_hh, 1)}};
    }
    return count;
  }

  // Instead of W_ih's gradient: a block's deltas are summed in token_sums, where this part's columns are its own.
  bool add_token_block(GradientWork<T> &work, TokenWork<T> &token_work, const Span &span, Index from,
                       Index count) const {
    const T *deltas = delta_row(task.deltas, from) + span.delta * H;
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
      const Side<T> side{task.input_size, work.rows[0], nullptr};
      const Strip<T> strip{0, rows, {task.weight_ih + row * task.input_size}, {}};
      for (Index from = 0; from < task.alphabet; from += kBlockRows) {
        const Index count = smaller(kBlockRows, task.alphabet - from);
        for (Index i = 0; i < count; ++i) {
          work.rows[0][i] = task.table + (from + i) * task.input_size;
        }
        if (!block_gradient(work, &side, 1, &strip, 1, count, sums + from * kSumsWidth * H, kSumsWidth * H, from > 0,
                            task.pulse)) {
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
    const Side<T> sides[kSides] = {{task.tokens ? 0 : task.input_size, work.rows[0], nullptr},
                                   {H, work.rows[1], nullptr},
                                   {H, work.rows[1], work.rows[2]}};
    Strip<T> strips[Cell::kDeltas];
    const int strip_count = cut(strips);
    Visit visit(rows, task.reverse, task.from);
    for (Index from = task.from; from < task.to; from += kBlockRows) {
      const Index count = smaller(kBlockRows, task.to - from);
      for (Index i = 0; i < count; ++i, visit.next()) {
        const Index row = rows.offset[visit.t] + visit.b;
        if (task.tokens) {
          work.tokens[i] = task.tokens[row];
        } else {
          work.rows[0][i] = row_at(task.x, rows, visit.t, visit.b);
        }
        work.rows[1][i] =
            entering(rows, task.reverse, visit.t, visit.b, task.out.base, task.out.row_stride, task.h0, H);
        work.rows[2][i] = task.kept + row * task.kept_stride;
      }
      for (const Span &span : Cell::kInputSpans) {
        if (task.tokens && !add_token_block(work, token_work, span, from, count)) {
          return false;
        }
      }
      if (!block_gradient(work, sides, Cell::kResetBefore ? 3 : 2, strips, strip_count, count,
                          delta_row(task.deltas, from), task.deltas.stride, from > 0, task.pulse)) {
        return false;
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
