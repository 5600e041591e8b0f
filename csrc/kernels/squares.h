// Sums of squares in float64: the mean squared error, and the norm of gradients.
//
// A sum is kSquareChains chains, which are added up in order. The compiler makes vectors of them, and every ISA gets
// the same bits.
#pragma once

#include "kernels.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// Elements [begin, end) of one weight, of which `counted` others come before in the sum.
template <class T>
void add_squared_errors(const MseTask<T> &task, Index begin, Index end, double weight, Index counted, double *chains) {
  const T *__restrict prediction = task.prediction, *__restrict target = task.target;
  T *__restrict gradient = task.gradient;
  const T factor = static_cast<T>(2 * weight / task.total);
  const auto add = [&](Index i, double &chain) {
    const T error = prediction[i] - target[i];
    gradient[i] = error * factor;
    chain += weight * (static_cast<double>(error) * static_cast<double>(error));
  };
  Index i = begin;
  for (; i < end && counted % kSquareChains != 0; ++i, ++counted) {
    add(i, chains[counted % kSquareChains]);
  }
  for (; i + kSquareChains <= end; i += kSquareChains) {
    for (Index chain = 0; chain < kSquareChains; ++chain) {
      add(i + chain, chains[chain]);
    }
  }
  for (Index chain = 0; i < end; ++i, ++chain) {
    add(i, chains[chain]);
  }
}

// Adds w (prediction - target)² to the chains, which the caller sets to 0 and adds up, and sets the gradient. A row of
// weight 0 isn't looked at and has no place in the chains: the result is the one without that row. Of a sum that is
// done piece by piece, `counted` elements came before; returns how many come before the next.
template <class T>
Index mse(const MseTask<T> *task, double *chains, Index counted) {
  const auto weight_of = [task](Index row) { return task->weights ? task->weights[row] : 1; };
  for (Index row = 0, next = 0; row < task->rows; row = next) {
    const double weight = weight_of(row);
    next = row + 1;
    while (next < task->rows && weight_of(next) == weight) {
      ++next;
    }
    const Index begin = row * task->columns, end = next * task->columns;
    if (weight == 0) {
      for (Index i = begin; i < end; ++i) {
        task->gradient[i] = 0;
      }
    } else {
      add_squared_errors(*task, begin, end, weight, counted, chains);
      counted += end - begin;
    }
  }
  return counted;
}

// Adds the squares of x to the chains. Several arrays share them, and each begins at the first.
template <class T>
void add_squares(Index size, const T *x, double *chains) {
  const auto square = [x](Index i) { return static_cast<double>(x[i]) * static_cast<double>(x[i]); };
  Index i = 0;
  for (; i + kSquareChains <= size; i += kSquareChains) {
    for (Index chain = 0; chain < kSquareChains; ++chain) {
      chains[chain] += square(i + chain);
    }
  }
  for (Index chain = 0; i < size; ++i, ++chain) {
    chains[chain] += square(i);
  }
}

template <class T>
void scale(Index size, double factor, T *x) {
  const T by = static_cast<T>(factor);
  for (Index i = 0; i < size; ++i) {
    x[i] *= by;
  }
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
