// Gradients of weights: large products over many time steps at once, after BPTT has computed the deltas.
#pragma once

#include "kernels/cells/cell.h"
#include "kernels/gradients/block.h"
#include "kernels/gradients/tokens.h"
#include "kernels/recurrent/order.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// Iterates over the rows in the order in which BPTT visited them.
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

template <class T>
struct WeightGradients {
  const GradientTask<T> &task;
  const CellDescription &cell;
  const Index H;

  explicit WeightGradients(const GradientTask<T> &of) : task(of), cell(kCells[of.cell]), H(of.hidden_size) {}

  // This part's share of a range's columns.
  Index first(const GateRange &range) const { return share(range.count * H, task.part, task.parts); }
  Index last(const GateRange &range) const { return share(range.count * H, task.part + 1, task.parts); }

  void clear(Index columns, T *weight, T *bias) const {
    const GateRange all{0, 0, cell.gates};
    for (Index row = first(all); row < last(all); ++row) {
      for (Index i = 0; i < columns; ++i) {
        weight[row * columns + i] = 0;
      }
      if (bias) {
        bias[row] = 0;
      }
    }
  }

  // The gates whose weights, side by side, delta columns from delta * H on belong to; -1: none.
  struct Gates {
    int of[kOperands] = {-1, -1, -1};

    Gates(const CellDescription &cell, int delta) {
      for (int i = 0; i < cell.input_range_count; ++i) {
        find(cell.input_ranges[i], delta, of[0]);
      }
      for (int p = 0; p < cell.phase_count; ++p) {
        find(cell.phases[p].gates, delta, of[1 + p]);
      }
    }
    static void find(const GateRange &range, int delta, int &gate) {
      if (delta >= range.delta && delta < range.delta + range.count) {
        gate = range.gate + delta - range.delta;
      }
    }
    // Whether `next`, `count` deltas further on, are the next gates of the same weights.
    bool goes_on(const Gates &next, int count) const {
      bool same = true;
      for (int side = 0; side < kOperands; ++side) {
        same = same && next.of[side] == (of[side] < 0 ? -1 : of[side] + count);
      }
      return same;
    }
  };

  // This part's share of all delta columns, as few strips as may be; returns their number.
  int cut(DeltaColumns<T> *strips) const {
    const Index I = task.input_size;
    int count = 0;
    for (int delta = 0, width; delta < cell.deltas; delta += width) {
      const Gates gates(cell, delta);
      for (width = 1; delta + width < cell.deltas && gates.goes_on(Gates(cell, delta + width), width);) {
        ++width;
      }
      const Index first = share(width * H, task.part, task.parts), last = share(width * H, task.part + 1, task.parts);
      const auto begin = [&](int side, Role role, Index columns) {
        T *gradient = task.gradients[role];
        return gradient && gates.of[side] >= 0 ? gradient + (gates.of[side] * H + first) * columns : nullptr;
      };
      T *bias_hh = begin(1, kRecurrentBias, 1);
      strips[count++] = {delta * H + first,
                         delta * H + last,
                         {begin(0, kInputWeight, I), begin(1, kRecurrentWeight, H), begin(2, kRecurrentWeight, H)},
                         {begin(0, kInputBias, 1), bias_hh ? bias_hh : begin(2, kRecurrentBias, 1)}};
    }
    return count;
  }

  // Instead of W_ih's gradient: a block's deltas are summed in token_sums, where this part's columns are its own.
  bool add_token_block(GradientWork<T> &work, TokenWork<T> &token_work, const GateRange &range, Index from,
                       Index count) const {
    const T *deltas = delta_row(task.deltas, from) + range.delta * H;
    block_token_gradient(token_work, work.tokens, count, deltas, task.deltas.stride, first(range), last(range),
                         task.token_sums + range.delta * H + first(range), sums_width());
    return !interrupted(task.worker, count * (last(range) - first(range)));
  }

  Index sums_width() const { return cell.deltas * H; }

  void start_tokens(TokenWork<T> &token_work) const {
    for (Index token = 0; token < task.alphabet; ++token) {
      token_work.slot[token] = -1;
    }
    for (Index token = 0; task.from == 0 && token < task.alphabet; ++token) {
      for (int r = 0; r < cell.input_range_count; ++r) {
        const GateRange &range = cell.input_ranges[r];
        T *sums = task.token_sums + token * sums_width() + range.delta * H;
        for (Index i = first(range); i < last(range); ++i) {
          sums[i] = 0;
        }
      }
    }
  }

  // W_ih's gradient from the sums: for one-hot rows their transpose, else their product with the table.
  bool finish_tokens(GradientWork<T> &work) const {
    for (int r = 0; r < cell.input_range_count; ++r) {
      const GateRange &range = cell.input_ranges[r];
      const Index rows = last(range) - first(range);
      const T *sums = task.token_sums + range.delta * H + first(range);
      T *weight = task.gradients[kInputWeight] + (range.gate * H + first(range)) * task.input_size;
      if (!task.table) {
        turn_token_sums(sums, sums_width(), rows, task.input_size, weight);
        continue;
      }
      const Operand<T> side{task.input_size, work.rows[0], nullptr};
      const DeltaColumns<T> strip{0, rows, {weight}, {}};
      for (Index from = 0; from < task.alphabet; from += kBlockRows) {
        const Index count = smaller(kBlockRows, task.alphabet - from);
        for (Index i = 0; i < count; ++i) {
          work.rows[0][i] = task.table + (from + i) * task.input_size;
        }
        if (!block_gradient(work, &side, 1, &strip, 1, count, sums + from * sums_width(), sums_width(), from > 0,
                            task.worker)) {
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
      clear(task.input_size, task.gradients[kInputWeight], task.gradients[kInputBias]);
      clear(H, task.gradients[kRecurrentWeight], task.gradients[kRecurrentBias]);
      return true;
    }
    if (task.tokens) {
      start_tokens(token_work);
    }
    const Operand<T> sides[kOperands] = {{task.tokens ? 0 : task.input_size, work.rows[0], nullptr},
                                         {H, work.rows[1], nullptr},
                                         {H, work.rows[1], work.rows[2]}};
    const Index factor = cell.phase_count > 1 ? cell.phases[1].factor * H : 0;
    DeltaColumns<T> strips[kMaxDeltas];
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
        work.rows[2][i] = task.saved + row * task.saved_stride + factor;
      }
      for (int r = 0; task.tokens && r < cell.input_range_count; ++r) {
        if (!add_token_block(work, token_work, cell.input_ranges[r], from, count)) {
          return false;
        }
      }
      if (!block_gradient(work, sides, 1 + cell.phase_count, strips, strip_count, count, delta_row(task.deltas, from),
                          task.deltas.stride, from > 0, task.worker)) {
        return false;
      }
    }
    return !task.tokens || task.to < total || finish_tokens(work);
  }
};

template <class T>
bool gradient(const GradientTask<T> *task) {
  return WeightGradients<T>(*task).run();
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
