// The softmax of rows, as a prediction and as a loss need it.
#pragma once

#include <cmath>
#include <limits>

#include "kernels/activations.h"
#include "kernels/integers.h"
#include "kernels/interrupt.h"
#include "kernels/rows.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// The largest of a row; a NaN may be passed over, and shows in what is taken from the result.
template <class T>
T row_maximum(const T *x, Index columns) {
  constexpr Index V = Vec<T>::size;
  T maximum = -std::numeric_limits<T>::infinity(), lanes[V];
  Vec<T> most = constant(maximum);
  Index i = 0;
  for (; i + V <= columns; i += V) {
    const Vec<T> next = Vec<T>::load(x + i);
    most = Vec<T>::select(most < next, next, most);
  }
  most.store(lanes);
  for (const T lane : lanes) {
    maximum = maximum < lane ? lane : maximum;
  }
  for (; i < columns; ++i) {
    maximum = maximum < x[i] ? x[i] : maximum;
  }
  return maximum;
}

constexpr Index kSoftmaxWork = 64;  // multiply-adds in whose time an element is done

// y = e^(x - maximum) of a row, and its sum: of kLanes interleaved chains on every ISA, short enough to be exact. False
// if interrupted.
template <class T>
bool exponentials(const T *x, Index columns, T maximum, T *y, double &sum, Worker *worker) {
  using C = ActivationConstants<T>;
  constexpr Index V = Vec<T>::size, kLanes = 16, kChain = 64;
  sum = 0;
  for (Index begin = 0; begin < columns; begin += kChain * kLanes) {
    Vec<T> sums[kLanes / V] = {};
    const Index end = smaller(columns, begin + kChain * kLanes);
    for (Index at = begin, part = 0; at < end; at += V) {
      const Vec<T> below = at_most(-C::kLowest, constant(maximum) - get(x + at, columns - at));
      const auto [scale, fall] = exponential(below, C::kHeadroom);  // else the least would leave T's exponents
      put(fnma(scale, fall, scale) * constant(C::kScale), y + at, columns - at);
      sums[part] = sums[part] + get(y + at, columns - at);
      part = (part + 1) % (kLanes / V);
    }
    T lanes[kLanes];
    for (Index part = 0; part < kLanes / V; ++part) {
      sums[part].store(lanes + part * V);
    }
    for (const T lane : lanes) {
      sum += static_cast<double>(lane);
    }
    if (interrupted(worker, kSoftmaxWork * (end - begin))) {
      return false;
    }
  }
  return true;
}

// y = w e^x / Σ e^x of each row; a row of weight 0 isn't looked at, and gets zeros. False if interrupted.
template <class T>
bool softmax(const SoftmaxTask<T> *task) {
  constexpr Index V = Vec<T>::size;
  const Index columns = task->columns;
  for (Index row = 0; row < task->rows; ++row) {
    const T *x = task->x + row * columns;
    T *y = task->y + row * columns;
    const double weight = task->weights ? task->weights[row] : 1;
    const T maximum = weight != 0 ? row_maximum(x, columns) : T(0);
    double sum = 1;
    if (weight != 0 && !exponentials(x, columns, maximum, y, sum, task->worker)) {
      return false;
    }
    if (task->log_sums) {
      task->maxima[row] = static_cast<double>(maximum);
      task->log_sums[row] = std::log(sum);
    }
    const Vec<T> factor = constant(static_cast<T>(weight / sum));
    for (Index i = 0; i < columns; i += V) {
      put(weight != 0 ? get(y + i, columns - i) * factor : Vec<T>::zero(), y + i, columns - i);
    }
  }
  return true;
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
