#include "kernels/softmax.h"

#include <algorithm>
#include <limits>

#include "testing/kernel_test.h"
#include "testing/workers.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {
namespace {

// e^(x - maximum) of one element: that of a row which has nothing else but the maximum.
template <class T>
T exponential_of(T x, T maximum) {
  const T row[] = {x};
  T y[1] = {};
  double sum = 0;
  Worker worker = endless_worker();
  CHECK(exponentials(row, 1, maximum, y, sum, &worker));
  return y[0];
}

// The sum's order: 16 chains that take turns, 64 elements each, and the chains' sums in turn in double precision.
template <class T>
double ordered_sum(const std::vector<T> &values) {
  constexpr std::size_t chains = 16, length = 64;
  double sum = 0;
  for (std::size_t begin = 0; begin < values.size(); begin += chains * length) {
    T partial[chains] = {};
    const std::size_t end = std::min(values.size(), begin + chains * length);
    for (std::size_t i = begin; i < end; ++i) partial[(i - begin) % chains] += values[i];
    for (const T value : partial) sum += static_cast<double>(value);
  }
  return sum;
}

TEST_CASE_TEMPLATE("softmax: each row in its documented order", T, float, double) {
  Random random(1);
  std::vector<Index> sizes = odd_sizes<T>();
  sizes.insert(sizes.end(), {15, 16, 17, 1023, 1024, 1025, 2100});
  for (const Index columns : sizes) {
    if (columns == 0) continue;
    for (const bool weighted : {false, true}) {
      CAPTURE(columns);
      CAPTURE(weighted);
      constexpr Index rows = 3;
      const auto x = random.array<T>(rows * columns, random.guard());
      for (T &value : x) value *= T(5);
      const GuardedArray<double> weights{1.0, 0.0, 0.3};
      const GuardedArray<T> y(rows * columns, random.guard());
      const GuardedArray<double> maxima(rows), log_sums(rows);
      SoftmaxTask<T> task{};
      task.rows = rows;
      task.columns = columns;
      task.x = x.data();
      task.weights = weighted ? weights.data() : nullptr;
      task.y = y.data();
      task.maxima = maxima.data();
      task.log_sums = log_sums.data();
      Worker worker = endless_worker();
      task.worker = &worker;
      CHECK(softmax(&task));
      bool same = true, close = true;
      for (Index row = 0; row < rows; ++row) {
        const double weight = weighted ? weights[row] : 1;
        const T *from = x.data() + row * columns, *to = y.data() + row * columns;
        const T maximum = *std::max_element(from, from + columns);
        std::vector<T> exponentials;
        long double truth = 0;
        for (Index i = 0; i < columns; ++i) {
          exponentials.push_back(exponential_of(from[i], maximum));
          truth += std::exp(static_cast<long double>(from[i]) - static_cast<long double>(maximum));
        }
        const double sum = ordered_sum(exponentials);
        for (Index i = 0; i < columns; ++i) {
          same = same && same_bits(to[i], weight != 0 ? exponentials[i] * static_cast<T>(weight / sum) : T(0));
        }
        if (weight == 0) continue;
        same = same && maxima[row] == static_cast<double>(maximum) && log_sums[row] == std::log(sum);
        close = close && std::abs(sum - static_cast<double>(truth)) <=
                             20 * static_cast<double>(std::numeric_limits<T>::epsilon() * static_cast<T>(truth));
      }
      CHECK(same);
      CHECK(close);
    }
  }
}

TEST_CASE_TEMPLATE("softmax: far apart, equal, infinite and NaN", T, float, double) {
  const T infinity = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  const T huge = std::numeric_limits<T>::max();
  const auto of = [](std::initializer_list<T> values) {
    const GuardedArray<T> x(values), y(x.size());
    SoftmaxTask<T> task{};
    task.rows = 1;
    task.columns = x.size();
    task.x = x.data();
    task.y = y.data();
    Worker worker = endless_worker();
    task.worker = &worker;
    CHECK(softmax(&task));
    return std::vector<T>(y.begin(), y.end());
  };
  CHECK(of({huge, -huge, T(0)}) == std::vector<T>{T(1), T(0), T(0)});
  CHECK(of({-huge, -huge}) == std::vector<T>{T(0.5), T(0.5)});
  CHECK(of({-infinity, T(3)}) == std::vector<T>{T(0), T(1)});
  for (const T value : of({T(1), nan, T(2)})) CHECK(std::isnan(value));
}

TEST_CASE_TEMPLATE("softmax: stops when it is told to", T, float, double) {
  const GuardedArray<T> x{T(1), T(2), T(3)}, y(3);
  Worker worker = stopping_worker();
  SoftmaxTask<T> task{};
  task.rows = 1;
  task.columns = 3;
  task.x = x.data();
  task.y = y.data();
  task.worker = &worker;
  CHECK_FALSE(softmax(&task));
}

}  // namespace
}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
