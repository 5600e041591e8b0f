#include "kernels/activations.h"

#include <algorithm>
#include <limits>

#include "kernels/elementwise.h"
#include "testing/kernel_test.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {
namespace {

template <class T>
struct Function {
  const char *name;
  void (*of)(Index, const T *, T *);
  long double (*truth)(long double);
};

long double true_sigmoid(long double x) { return 1 / (1 + std::exp(-x)); }
long double true_tanh(long double x) { return std::tanh(x); }

template <class T>
constexpr Function<T> kFunctions[] = {{"sigmoid", sigmoid_of<T>, true_sigmoid}, {"tanh", tanh_of<T>, true_tanh}};

// Distance in spacings of T at the correctly rounded result.
template <class T>
long double ulps(T got, long double truth) {
  const T rounded = static_cast<T>(truth);
  const T above = std::nextafter(std::abs(rounded), std::numeric_limits<T>::infinity());
  return std::abs(static_cast<long double>(got) - truth) / static_cast<long double>(above - std::abs(rounded));
}

// The limits of tests/test_activations.py, which looks at many more points; with two roundings a little more.
template <class T>
constexpr long double kMostUlps = sizeof(T) == 4 ? 3 : 2;

TEST_CASE_TEMPLATE("activations: close to the truth at all sizes", T, float, double) {
  Random random(1);
  std::vector<T> points;
  for (int i = 0; i < 3000; ++i) {
    points.push_back(random.number<T>() * T(8));
    points.push_back(std::ldexp(random.number<T>(), static_cast<int>(random.integer(-30, 7))));
  }
  for (const auto &function : kFunctions<T>) {
    CAPTURE(function.name);
    std::vector<T> y(points.size());
    function.of(static_cast<Index>(points.size()), points.data(), y.data());
    long double worst = 0;
    for (std::size_t i = 0; i < points.size(); ++i)
      worst = std::max(worst, ulps(y[i], function.truth(static_cast<long double>(points[i]))));
    CHECK(worst <= kMostUlps<T>);
    CHECK(worst > 0.4L);  // else nothing was measured
  }
}

TEST_CASE_TEMPLATE("activations: special values", T, float, double) {
  const T infinity = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  const T tiny = std::numeric_limits<T>::denorm_min(), huge = std::numeric_limits<T>::max();
  const GuardedArray<T> x{T(0), T(-0.0), infinity, -infinity, nan, huge, -huge, tiny, -tiny};
  const GuardedArray<T> s(x.size()), t(x.size());
  sigmoid_of(x.size(), x.data(), s.data());
  tanh_of(x.size(), x.data(), t.data());
  const T sigmoids[] = {T(0.5), T(0.5), T(1), T(0), nan, T(1), T(0), T(0.5), T(0.5)};
  const T tanhs[] = {T(0), T(-0.0), T(1), T(-1), nan, T(1), T(-1), tiny, -tiny};
  for (Index i = 0; i < x.size(); ++i) {
    CAPTURE(x[i]);
    if (std::isnan(x[i])) {
      CHECK(std::isnan(s[i]));
      CHECK(std::isnan(t[i]));
    } else {
      CHECK(same_bits(s[i], sigmoids[i]));
      CHECK(same_bits(t[i], tanhs[i]));
    }
  }
}

TEST_CASE_TEMPLATE("activations: an element's value doesn't depend on its place", T, float, double) {
  Random random(2);
  for (const Index size : odd_sizes<T>()) {
    for (const Guard guard : kGuards) {
      for (const auto &function : kFunctions<T>) {
        CAPTURE(size);
        CAPTURE(function.name);
        const auto x = random.array<T>(size, guard);
        const GuardedArray<T> y(size, guard);
        function.of(size, x.data(), y.data());
        bool same = true;
        for (Index i = 0; i < size; ++i) {
          T alone;
          function.of(1, x.data() + i, &alone);
          same = same && same_bits(alone, y[i]);
        }
        CHECK(same);
      }
    }
  }
}

TEST_CASE_TEMPLATE("activations: relu and the slopes", T, float, double) {
  const T x[] = {T(-2), T(-0.0), T(0), T(0.25), T(3), std::numeric_limits<T>::quiet_NaN()};
  for (const T value : x) {
    CAPTURE(value);
    T lanes[Vec<T>::size];
    const auto first = [&](Vec<T> v) {
      v.store(lanes);
      return lanes[0];
    };
    const Vec<T> v = Vec<T>::broadcast(value);
    if (std::isnan(value)) {
      CHECK(std::isnan(first(relu(v))));
      continue;
    }
    CHECK(same_bits(first(relu(v)), value == T(-2) ? T(0) : value));  // -0 stays -0
    CHECK(same_bits(first(sigmoid_slope(v)), scalar_fma(-value, value, value)));
    CHECK(same_bits(first(tanh_slope(v)), scalar_fma(-value, value, T(1))));
  }
}

}  // namespace
}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
