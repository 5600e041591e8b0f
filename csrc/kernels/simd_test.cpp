#include "kernels/simd.h"

#include <limits>

#include "testing/kernel_test.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {
namespace {

template <class T>
GuardedArray<T> lanes_of(Vec<T> v) {
  GuardedArray<T> lanes(Vec<T>::size);
  v.store(lanes.data());
  return lanes;
}

TEST_CASE_TEMPLATE("simd: a tail touches its lanes alone", T, float, double) {
  Random random(1);
  for (int count = 0; count < Vec<T>::size; ++count) {
    for (const Guard guard : kGuards) {
      CAPTURE(count);
      const auto from = random.array<T>(count, guard);
      const auto loaded = lanes_of(Vec<T>::load(from.data(), count));
      for (int lane = 0; lane < Vec<T>::size; ++lane) {
        CHECK(same_bits(loaded[lane], lane < count ? from[lane] : T(0)));
      }
      const auto all = random.array<T>(Vec<T>::size);
      const GuardedArray<T> to(count, guard);
      Vec<T>::load(all.data()).store(to.data(), count);
      CHECK(same_bits(to.data(), all.data(), count));
      const GuardedArray<T> longer(Vec<T>::size);
      Vec<T>::load(all.data()).store(longer.data(), count);
      CHECK(same_bits(longer.data(), all.data(), count));
      for (Index i = count; i < longer.size(); ++i) CHECK(longer.untouched(i));
    }
  }
}

TEST_CASE_TEMPLATE("simd: whole vectors need no alignment", T, float, double) {
  Random random(2);
  const auto from = random.array<T>(Vec<T>::size + 1);
  const GuardedArray<T> to(Vec<T>::size + 1);
  for (Index offset : {0, 1}) {
    Vec<T>::load(from.data() + offset).store(to.data() + offset);
    CHECK(same_bits(to.data() + offset, from.data() + offset, Vec<T>::size));
  }
}

TEST_CASE_TEMPLATE("simd: arithmetic is the scalar one", T, float, double) {
  Random random(3);
  for (int i = 0; i < 100; ++i) {
    const auto a = random.array<T>(Vec<T>::size), b = random.array<T>(Vec<T>::size), c = random.array<T>(Vec<T>::size);
    const auto va = Vec<T>::load(a.data()), vb = Vec<T>::load(b.data()), vc = Vec<T>::load(c.data());
    const auto sum = lanes_of(va + vb), difference = lanes_of(va - vb), product = lanes_of(va * vb);
    const auto quotient = lanes_of(va / vb), fused = lanes_of(fma(va, vb, vc)), negated = lanes_of(fnma(va, vb, vc));
    for (int lane = 0; lane < Vec<T>::size; ++lane) {
      CHECK(same_bits(sum[lane], a[lane] + b[lane]));
      CHECK(same_bits(difference[lane], a[lane] - b[lane]));
      CHECK(same_bits(product[lane], a[lane] * b[lane]));
      CHECK(same_bits(quotient[lane], a[lane] / b[lane]));
      CHECK(same_bits(fused[lane], scalar_fma(a[lane], b[lane], c[lane])));
      CHECK(same_bits(negated[lane], scalar_fma(-a[lane], b[lane], c[lane])));
    }
  }
}

TEST_CASE_TEMPLATE("simd: a broadcast keeps the sign of zero", T, float, double) {
  CHECK(same_bits(lanes_of(Vec<T>::broadcast(T(-0.0)))[0], T(-0.0)));
  CHECK(same_bits(lanes_of(Vec<T>::broadcast(T(3.5)))[Vec<T>::size - 1], T(3.5)));
}

TEST_CASE_TEMPLATE("simd: limits let NaN through", T, float, double) {
  const T infinity = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  const struct {
    T x, least, most;  // x, and at_least(-2, x), at_most(3, x)
  } cases[] = {{T(-5), T(-2), T(-5)},       {T(1), T(1), T(1)},         {T(7), T(7), T(3)},
               {T(-0.0), T(-0.0), T(-0.0)}, {infinity, infinity, T(3)}, {-infinity, T(-2), -infinity}};
  for (const auto &c : cases) {
    CAPTURE(c.x);
    CHECK(same_bits(lanes_of(at_least(T(-2), Vec<T>::broadcast(c.x)))[0], c.least));
    CHECK(same_bits(lanes_of(at_most(T(3), Vec<T>::broadcast(c.x)))[0], c.most));
  }
  CHECK(std::isnan(lanes_of(at_least(T(-2), Vec<T>::broadcast(nan)))[0]));
  CHECK(std::isnan(lanes_of(at_most(T(3), Vec<T>::broadcast(nan)))[0]));
}

}  // namespace
}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
