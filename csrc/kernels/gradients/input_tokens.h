// The gradient of W_ih where x is tokens: deltas summed token by token, block by block, and at the end laid out as the
// weight.
#pragma once

#include "kernels/gradients/strips.h"
#include "kernels/gradients/tokens.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class T>
struct InputTokens {
  const GradientTask<T> &task;
  GradientWork<T> &work;
  TokenWork<T> &token_work;
  const Index H, width;     // of a token's sums: the deltas of all columns with W_ih x, the first of a row
  const Index first, last;  // columns of the sums that are this part's own

  InputTokens(const GradientTask<T> &of, GradientWork<T> &memory, TokenWork<T> &token_memory)
      : task(of),
        work(memory),
        token_work(token_memory),
        H(of.shape.hidden_size),
        width(of.shape.cell->input_columns * H),
        first(share(width, of.part, of.parts)),
        last(share(width, of.part + 1, of.parts)) {}

  void start() const {
    for (Index token = 0; token < task.alphabet; ++token) {
      token_work.slot[token] = -1;
    }
    for (Index token = 0; task.from == 0 && token < task.alphabet; ++token) {
      for (Index i = first; i < last; ++i) {
        task.token_sums[token * width + i] = 0;
      }
    }
  }

  bool add_block(Index from, Index count) const {
    block_token_gradient(token_work, work.tokens, count, delta_row(task.deltas, from), task.deltas.stride, first, last,
                         task.token_sums + first, width);
    return !interrupted(task.worker, count * (last - first));
  }

  // W_ih's gradient from the sums: for one-hot rows their transpose, else their product with the table.
  bool finish() const {
    const Side<T> side{task.shape.input_size, work.rows[0], 0};
    Strips<T> strips(&side, 1);
    T *weight = gradient_of(task, kInputWeight);
    for (Index c = first / H; c * H < last; ++c) {
      strips.add({c * H, (c + 1) * H, {weight + task.shape.cell->columns[c].input_block * H * side.columns}, {}});
    }
    for (int s = 0; s < strips.count; ++s) {
      DeltaColumns<T> &strip = strips.all[s];
      strips.narrow(strip, first, last);
      if (!task.table) {
        turn_token_sums(task.token_sums + strip.first, width, strip.last - strip.first, side.columns, strip.weight[0]);
      }
    }
    for (Index from = 0; task.table && from < task.alphabet; from += kBlockRows) {
      const Index count = smaller(kBlockRows, task.alphabet - from);
      for (Index i = 0; i < count; ++i) {
        work.rows[0][i] = task.table + (from + i) * side.columns;
      }
      if (!block_gradient(work, &side, 1, strips.all, strips.count, count, task.token_sums + from * width, width,
                          from > 0, task.worker)) {
        return false;
      }
    }
    return true;
  }
};

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
