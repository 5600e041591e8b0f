// Where the operands of an instruction are, and the loops over them.
#pragma once

#include "kernels.h"
#include "kernels/simd.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// The vector of row r and vector v is at base + r * row + v * vector; a stride is 0 where all share one.
template <class T>
struct Place {
  T *base;
  Index row, vector;
};

// The places of an instruction, `to` before those that are read, as a loop of `inner` vectors within one of `outer`.
template <class T>
struct Walk {
  static constexpr int kMostPlaces = 4;

  Index outer, inner;
  T *at[kMostPlaces];
  Index step[kMostPlaces], turn[kMostPlaces];  // the strides of the inner loop, of the outer one
};

// One vector at a time: functions of many operations, which the processor overlaps with those of the next vectors.
template <class T, Vec<T> (*function)(Vec<T>)>
RECURRA_INLINE void one_by_one(const Walk<T> &walk) {
  const Index to_step = walk.step[0], a_step = walk.step[1];
  for (Index turn = 0; turn < walk.outer; ++turn) {
    T *to = walk.at[0] + turn * walk.turn[0];
    const T *a = walk.at[1] + turn * walk.turn[1];
    for (Index left = walk.inner; left > 0; --left, to += to_step, a += a_step) {
      function(Vec<T>::load(a)).store(to);
    }
  }
}

// Two vectors at a time, both loaded before one is stored: operations that cost no more than the loop around them. The
// compiler can't do that, since for all it knows what is stored is what is loaded next.
template <class T, Vec<T> (*function)(Vec<T>)>
RECURRA_INLINE void two_by_two(const Walk<T> &walk) {
  const Index to_step = walk.step[0], a_step = walk.step[1];
  for (Index turn = 0; turn < walk.outer; ++turn) {
    T *to = walk.at[0] + turn * walk.turn[0];
    const T *a = walk.at[1] + turn * walk.turn[1];
    Index left = walk.inner;
    for (; left > 1; left -= 2, to += 2 * to_step, a += 2 * a_step) {
      const Vec<T> first = function(Vec<T>::load(a)), second = function(Vec<T>::load(a + a_step));
      first.store(to);
      second.store(to + to_step);
    }
    if (left) {
      function(Vec<T>::load(a)).store(to);
    }
  }
}
template <class T, Vec<T> (*function)(Vec<T>, Vec<T>)>
RECURRA_INLINE void two_by_two(const Walk<T> &walk) {
  const Index to_step = walk.step[0], a_step = walk.step[1], b_step = walk.step[2];
  for (Index turn = 0; turn < walk.outer; ++turn) {
    T *to = walk.at[0] + turn * walk.turn[0];
    const T *a = walk.at[1] + turn * walk.turn[1], *b = walk.at[2] + turn * walk.turn[2];
    Index left = walk.inner;
    for (; left > 1; left -= 2, to += 2 * to_step, a += 2 * a_step, b += 2 * b_step) {
      const Vec<T> first = function(Vec<T>::load(a), Vec<T>::load(b));
      const Vec<T> second = function(Vec<T>::load(a + a_step), Vec<T>::load(b + b_step));
      first.store(to);
      second.store(to + to_step);
    }
    if (left) {
      function(Vec<T>::load(a), Vec<T>::load(b)).store(to);
    }
  }
}
template <class T, Vec<T> (*function)(Vec<T>, Vec<T>, Vec<T>)>
RECURRA_INLINE void two_by_two(const Walk<T> &walk) {
  const Index to_step = walk.step[0], a_step = walk.step[1], b_step = walk.step[2], c_step = walk.step[3];
  for (Index turn = 0; turn < walk.outer; ++turn) {
    T *to = walk.at[0] + turn * walk.turn[0];
    const T *a = walk.at[1] + turn * walk.turn[1], *b = walk.at[2] + turn * walk.turn[2];
    const T *c = walk.at[3] + turn * walk.turn[3];
    Index left = walk.inner;
    for (; left > 1; left -= 2, to += 2 * to_step, a += 2 * a_step, b += 2 * b_step, c += 2 * c_step) {
      const Vec<T> first = function(Vec<T>::load(a), Vec<T>::load(b), Vec<T>::load(c));
      const Vec<T> second = function(Vec<T>::load(a + a_step), Vec<T>::load(b + b_step), Vec<T>::load(c + c_step));
      first.store(to);
      second.store(to + to_step);
    }
    if (left) {
      function(Vec<T>::load(a), Vec<T>::load(b), Vec<T>::load(c)).store(to);
    }
  }
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
