#include "kernels/functions/functions.h"

#include <algorithm>
#include <limits>
#include <string>

#include "system/float_mode.h"
#include "testing/kernel_test.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {
namespace {

template <class T>
T value_of(Vec<T> (*function)(Vec<T>), T x) {
  T lanes[Vec<T>::size];
  function(Vec<T>::broadcast(x)).store(lanes);
  return lanes[0];
}

template <class T>
struct Function {
  const char *name;
  Vec<T> (*of)(Vec<T>);
  long double (*truth)(long double);
  T least, most;  // of arguments that are looked at
};

template <class T>
std::vector<Function<T>> functions() {
  constexpr bool kFloat = sizeof(T) == 4;
  constexpr T kHuge = std::numeric_limits<T>::max(), kTop = T(kFloat ? 88.7 : 709.7);
  constexpr T kTurns = SineConstants<T>::kMostReduced;
  return {{"exp", exp<T>, std::exp, -kTop, kTop},     {"expm1", expm1<T>, std::expm1, -kTop, kTop},
          {"log", log<T>, std::log, T(0), kHuge},     {"log1p", log1p<T>, std::log1p, T(-1), kHuge},
          {"sin", sin<T>, std::sin, -kTurns, kTurns}, {"cos", cos<T>, std::cos, -kTurns, kTurns},
          {"erf", erf<T>, std::erf, -kHuge, kHuge},   {"square_root", square_root<T>, std::sqrt, T(0), kHuge}};
}

// Distance in spacings of T at the correctly rounded result, which is normal.
template <class T>
long double ulps(T got, long double truth) {
  const T rounded = std::abs(static_cast<T>(truth)),
          above = std::nextafter(rounded, std::numeric_limits<T>::infinity());
  return std::abs(static_cast<long double>(got) - truth) / static_cast<long double>(above - rounded);
}

// The least result that has to be right. Where a multiply-add rounds twice, its product fades before its sum does.
template <class T>
const T kNormal = std::numeric_limits<T>::min() * (scalar_fma(T(1) / 3, T(3), T(-1)) == 0 ? T(16) : T(1));

// Arguments of every size, and more of them where the functions bend and change from one formula to another.
template <class T>
std::vector<T> arguments(const Function<T> &function, Index count) {
  using Limits = std::numeric_limits<T>;
  Random random(3);
  std::vector<T> points;
  while (static_cast<Index>(points.size()) < count) {
    const T unit = random.number<T>();
    T candidates[] = {unit * T(4), unit * T(1000), unit * SineConstants<T>::kMostReduced,
                      std::ldexp(unit, static_cast<int>(random.integer(Limits::min_exponent, Limits::max_exponent))),
                      T(random.integer(-1000, 1000)) * T(0.78539816339744830962)};
    for (const T x : candidates) {
      if (x >= function.least && x <= function.most && std::abs(x) >= Limits::min()) points.push_back(x);
    }
  }
  return points;
}

TEST_CASE_TEMPLATE("functions: within 2 ULP where normal, zero below", T, float, double) {
  using Limits = std::numeric_limits<T>;
  // Where long double is no wider than double, the truth is off as well.
  const long double most = std::numeric_limits<long double>::digits > Limits::digits ? 2 : 3;
  for (const auto &function : functions<T>()) {
    INFO(std::string(function.name));
    for (const T x : {T(0.3), T(1), function.most}) {
      CHECK(ulps(value_of(function.of, x), function.truth(static_cast<long double>(x))) <= most);
    }
    long double worst = 0;
    bool faded = true;
    for (const T x : arguments(function, 20000)) {
      const FloatMode mode;  // as in a call
      const T got = value_of(function.of, x);
      const CallersFloatMode plain;
      const long double truth = function.truth(static_cast<long double>(x));
      if (std::abs(truth) >= static_cast<long double>(kNormal<T>)) {
        worst = std::max(worst, ulps(got, truth));
      } else {
        faded = faded && std::abs(got) <= kNormal<T>;
      }
    }
    CHECK(faded);
    CHECK(worst <= most);
    CHECK(worst > 0.4L);  // else nothing was measured
  }
}

template <class T>
struct Special {
  Vec<T> (*of)(Vec<T>);
  T x, y;
};

TEST_CASE_TEMPLATE("functions: special values", T, float, double) {
  using Limits = std::numeric_limits<T>;
  const T infinity = Limits::infinity(), nan = Limits::quiet_NaN(), least = Limits::min(), huge = Limits::max();
  const T zero = 0, none = T(-0.0), one = 1;
  const T overflow = ExponentialConstants<T>::kTooLarge, underflow = ExponentialConstants<T>::kLeast;
  const Special<T> specials[] = {
      {exp, zero, one},
      {exp, none, one},
      {exp, infinity, infinity},
      {exp, -infinity, zero},
      {exp, nan, nan},
      {exp, huge, infinity},
      {exp, -huge, zero},
      {exp, least, one},
      {exp, overflow, infinity},
      {exp, underflow - one, zero},
      {expm1, zero, zero},
      {expm1, none, none},
      {expm1, infinity, infinity},
      {expm1, -infinity, -one},
      {expm1, nan, nan},
      {expm1, huge, infinity},
      {expm1, -huge, -one},
      {expm1, least, least},
      {expm1, -least, -least},
      {expm1, overflow, infinity},
      {log, zero, -infinity},
      {log, none, -infinity},
      {log, infinity, infinity},
      {log, -infinity, nan},
      {log, nan, nan},
      {log, -one, nan},
      {log, -huge, nan},
      {log, one, zero},
      {log, -least, nan},
      {log1p, zero, zero},
      {log1p, none, none},
      {log1p, infinity, infinity},
      {log1p, -infinity, nan},
      {log1p, nan, nan},
      {log1p, -one, -infinity},
      {log1p, -huge, nan},
      {log1p, least, least},
      {log1p, -least, -least},
      {log1p, T(-2), nan},
      {sin, zero, zero},
      {sin, none, none},
      {sin, infinity, nan},
      {sin, -infinity, nan},
      {sin, nan, nan},
      {sin, least, least},
      {sin, -least, -least},
      {cos, zero, one},
      {cos, none, one},
      {cos, infinity, nan},
      {cos, -infinity, nan},
      {cos, nan, nan},
      {cos, least, one},
      {cos, -least, one},
      {erf, zero, zero},
      {erf, none, none},
      {erf, infinity, one},
      {erf, -infinity, -one},
      {erf, nan, nan},
      {erf, huge, one},
      {erf, -huge, -one},
      {square_root, zero, zero},
      {square_root, none, none},
      {square_root, infinity, infinity},
      {square_root, -one, nan},
      {square_root, nan, nan},
      {square_root, T(2), std::sqrt(T(2))},
      {absolute, none, zero},
      {absolute, -infinity, infinity},
      {absolute, T(-2), T(2)},
      {absolute, nan, nan},
      {negative, zero, none},
      {negative, none, zero},
      {negative, infinity, -infinity},
      {negative, nan, nan},
  };
  for (const bool flushed : {false, true}) {
    CAPTURE(flushed);
    for (const auto &special : specials) {
      CAPTURE(&special - specials);
      CAPTURE(special.x);
      T y;
      if (flushed) {
        const FloatMode mode;
        y = value_of(special.of, special.x);
      } else {
        y = value_of(special.of, special.x);
      }
      CAPTURE(y);
      CHECK((std::isnan(special.y) ? std::isnan(y) : same_bits(y, special.y)));
    }
  }
}

TEST_CASE_TEMPLATE("functions: the ends of e^x", T, float, double) {
  const T overflow = ExponentialConstants<T>::kTooLarge, underflow = ExponentialConstants<T>::kLeast;
  CHECK(std::isinf(static_cast<T>(std::exp(static_cast<long double>(overflow)))));
  const T last = value_of(exp<T>, std::nextafter(overflow, T(0)));
  CHECK(ulps(last, std::exp(static_cast<long double>(std::nextafter(overflow, T(0))))) <= 2);
  CHECK(ulps(value_of(exp<T>, underflow), std::exp(static_cast<long double>(underflow))) <= 2);
  CHECK(std::exp(static_cast<long double>(std::nextafter(underflow, -overflow))) <
        static_cast<long double>(std::numeric_limits<T>::min()));
  CHECK(value_of(exp<T>, std::nextafter(underflow, -overflow)) == 0);
}

TEST_CASE_TEMPLATE("functions: sine and cosine of any size are within [-1, 1]", T, float, double) {
  Random random(4);
  bool within = true;
  for (int i = 0; i < 5000; ++i) {
    const T x =
        std::ldexp(random.number<T>(), static_cast<int>(random.integer(10, std::numeric_limits<T>::max_exponent)));
    const T s = value_of(sin<T>, x), c = value_of(cos<T>, x);
    within = within && std::abs(s) <= 1 && std::abs(c) <= 1 && std::abs(s * s + c * c - 1) < T(1e-6);
  }
  CHECK(within);
}

// (function, a, b) for all pairs of some numbers, beside what C++ says.
TEST_CASE_TEMPLATE("functions: choices", T, float, double) {
  using Limits = std::numeric_limits<T>;
  const T numbers[] = {
      T(0), T(-0.0), T(1), T(-1), T(0.5), Limits::infinity(), -Limits::infinity(), Limits::quiet_NaN(), Limits::max()};
  const auto first = [](Vec<T> v) {
    T lanes[Vec<T>::size];
    v.store(lanes);
    return lanes[0];
  };
  const auto same = [](T got, T expected) { return std::isnan(expected) ? std::isnan(got) : same_bits(got, expected); };
  for (const T a : numbers) {
    for (const T b : numbers) {
      CAPTURE(a);
      CAPTURE(b);
      const Vec<T> va = Vec<T>::broadcast(a), vb = Vec<T>::broadcast(b);
      const bool nan = std::isnan(a) || std::isnan(b);
      CHECK(same(first(minimum(va, vb)), nan ? Limits::quiet_NaN() : a <= b ? a : b));
      CHECK(same(first(maximum(va, vb)), nan ? Limits::quiet_NaN() : a >= b ? a : b));
      CHECK(same_bits(first(less(va, vb)), T(a < b)));
      CHECK(same_bits(first(less_equal(va, vb)), T(a <= b)));
      CHECK(same_bits(first(equals(va, vb)), T(a == b)));
      CHECK(same_bits(first(differs(va, vb)), T(a != b)));
      CHECK(same_bits(first(choose(va, Vec<T>::broadcast(T(2)), Vec<T>::broadcast(T(3)))), a != 0 ? T(2) : T(3)));
    }
  }
}

}  // namespace
}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
