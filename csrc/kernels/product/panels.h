// Writes matrices as panels, in the order in which the products read them.
#pragma once

#include <utility>

#include "kernels/integers.h"
#include "kernels/interrupt.h"
#include "kernels/simd.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

constexpr Index kPackingWork = 16;  // multiply-adds in whose time an element is packed, at the pace of memory

// Writes a (rows, columns) matrix, row stride `stride`, as panels of `vectors` vectors: to[panel][row][column], missing
// columns zero. Rows of the matrix are the depth of the product: W as it stands serves A·W. False if interrupted.
template <class T>
bool pack_rows(const T *from, Index rows, Index columns, Index stride, int vectors, T *to, Worker *worker) {
  constexpr Index V = Vec<T>::size;
  for (Index column = 0; column < columns; column += vectors * V) {
    const Index width = smaller(vectors * V, ceil_div(columns - column, V) * V);
    const Index valid = smaller(width, columns - column);
    for (Index row = 0; row < rows; ++row, to += width) {
      const T *source = from + row * stride + column;
      Index i = 0;
      for (; i + V <= valid; i += V) {
        Vec<T>::load(source + i).store(to + i);
      }
      if (i < valid) {
        Vec<T>::load(source + i, static_cast<int>(valid - i)).store(to + i);
        i += V;
      }
      for (; i < width; i += V) {
        Vec<T>::zero().store(to + i);
      }
    }
    if (interrupted(worker, kPackingWork * rows * width)) {
      return false;
    }
  }
  return true;
}

// Exchanges lane i + step of a with lane i of b, for every i without the bit `step`.
template <int step, class T, int... lane>
RECURRA_INLINE void exchange(Vec<T> &a, Vec<T> &b, std::integer_sequence<int, lane...>) {
  constexpr int V = Vec<T>::size;
  const Vec<T> left = shuffle<(lane & step ? V + lane - step : lane)...>(a, b);
  b = shuffle<(lane & step ? V + lane : lane + step)...>(a, b);
  a = left;
}

template <int step, class T>
RECURRA_INLINE void exchange_all(Vec<T> (&rows)[Vec<T>::size]) {
  if constexpr (step < Vec<T>::size) {
#pragma GCC unroll 16
    for (int i = 0; i < Vec<T>::size; ++i) {
      if (!(i & step)) {
        exchange<step>(rows[i], rows[i + step], std::make_integer_sequence<int, Vec<T>::size>());
      }
    }
    exchange_all<2 * step>(rows);
  }
}

// Transposes a square: to[k * width + lane] = from[lane * stride + k], V of both. It takes a sixth of the instructions
// of moving single elements.
template <class T>
void turn_square(const T *from, Index stride, Index width, T *to) {
  constexpr int V = Vec<T>::size;
  Vec<T> rows[V];
#pragma GCC unroll 16
  for (int i = 0; i < V; ++i) {
    rows[i] = Vec<T>::load(from + i * stride);
  }
  exchange_all<1>(rows);
#pragma GCC unroll 16
  for (int i = 0; i < V; ++i) {
    rows[i].store(to + i * width);
  }
}

// Transposes V (or fewer) rows of a (rows, depth) matrix into one vector column of a panel `width` wide: to[k * width +
// lane] = from[lane][k], missing lanes zero, which makes Wᵀ for A·Wᵀ. Short runs of k keep both sides in L1.
template <class T>
void pack_transposed(const T *from, Index lanes, Index depth, Index stride, Index width, T *to) {
  constexpr Index V = Vec<T>::size;
  constexpr Index run = 16;
  Index begin = 0;
  for (; lanes == V && begin + V <= depth; begin += V) {
    turn_square(from + begin, stride, width, to + begin * width);
  }
  for (; begin < depth; begin += run) {
    const Index end = smaller(depth, begin + run);
    for (Index lane = 0; lane < V; ++lane) {
      for (Index k = begin; k < end; ++k) {
        to[k * width + lane] = lane < lanes ? from[lane * stride + k] : T(0);
      }
    }
  }
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
