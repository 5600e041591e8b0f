// The gradient of W_ih for tokens, one-hot rows of which only the place of the 1 is known: a scatter instead of a
// product, in the same blocks and the same order, so with the same bits.
#pragma once

#include "kernels/arena.h"
#include "kernels/integers.h"
#include "kernels/rows.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

constexpr Index kTokenColumns = 256;  // delta columns at once, so that a block's sums stay in L2

template <class T>
struct TokenWork {
  T *sums;             // of a block, [slot][column]
  std::int32_t *slot;  // token -> its slot in this block, or -1
  Index *used;         // slot -> token

  TokenWork(Arena &arena, Index alphabet) {
    sums = arena.take<T>(alphabet ? kBlockRows * kTokenColumns : 0);
    slot = arena.take<std::int32_t>(alphabet);
    used = arena.take<Index>(alphabet ? kBlockRows : 0);
  }
};

// One block's share of the gradient: delta columns [first, last) of the block's rows are summed token by token, from
// zero and in the rows' order, and each sum is added to sums[token] (stride `width`), which begin at those columns.
template <class T>
void block_token_gradient(TokenWork<T> &work, const Index *tokens, Index count, const T *deltas, Index delta_stride,
                          Index first, Index last, T *sums, Index width) {
  constexpr Index V = Vec<T>::size;
  for (Index begin = first; begin < last; begin += kTokenColumns) {
    const Index columns = smaller(kTokenColumns, last - begin);
    Index slots = 0;
    for (Index n = 0; n < count; ++n) {
      std::int32_t &slot = work.slot[tokens[n]];
      const bool fresh = slot < 0;
      if (fresh) {
        work.used[slots] = tokens[n];
        slot = static_cast<std::int32_t>(slots++);
      }
      T *to = work.sums + slot * kTokenColumns;
      const T *from = deltas + n * delta_stride + begin;
      for (Index i = 0; i < columns; i += V) {
        (get(from + i, columns - i) + (fresh ? Vec<T>::zero() : Vec<T>::load(to + i))).store(to + i);
      }
    }
    for (Index i = 0; i < slots; ++i) {
      T *to = sums + work.used[i] * width + begin - first;
      const T *from = work.sums + i * kTokenColumns;
      for (Index c = 0; c < columns; c += V) {
        put(get(to + c, columns - c) + Vec<T>::load(from + c), to + c, columns - c);
      }
      work.slot[work.used[i]] = -1;
    }
  }
}

// Transposes: weight[row][token] = sums[token][row] for `rows` rows, the gradient as PyTorch lays it out.
template <class T>
void turn_token_sums(const T *sums, Index width, Index rows, Index alphabet, T *weight) {
  constexpr Index run = 16;  // a cache line of either side
  for (Index begin = 0; begin < alphabet; begin += run) {
    for (Index row = 0; row < rows; ++row) {
      for (Index token = begin, end = smaller(alphabet, begin + run); token < end; ++token) {
        weight[row * alphabet + token] = sums[token * width + row];
      }
    }
  }
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
