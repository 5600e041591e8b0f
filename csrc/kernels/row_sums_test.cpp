#include "kernels/row_sums.h"

#include "testing/kernel_test.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {
namespace {

TEST_CASE_TEMPLATE("row sums: sixteen chains, added up in pairs", T, float, double) {
  Random random(1);
  for (Index count = 0; count < 150; ++count) {
    CAPTURE(count);
    const auto values = random.array<T>(count, random.guard());
    T chains[16] = {};
    for (Index i = 0; i < count; ++i) chains[i % 16] += values[i];
    const auto pair = [&](int c) { return chains[c] + chains[c + 8]; };
    const auto four = [&](int c) { return pair(c) + pair(c + 4); };
    CHECK(same_bits(sum_of(values.data(), count), (four(0) + four(2)) + (four(1) + four(3))));
  }
}

TEST_CASE_TEMPLATE("row sums: no sum of zeros is -0, and NaN stays", T, float, double) {
  const GuardedArray<T> zeros{-0.0, -0.0, -0.0};
  CHECK(same_bits(sum_of(zeros.data(), 3), T(0)));
  CHECK(same_bits(sum_of(zeros.data(), 0), T(0)));
  GuardedArray<T> values(37);
  for (T &value : values) value = 1;
  values[20] = std::numeric_limits<T>::quiet_NaN();
  CHECK(std::isnan(sum_of(values.data(), 37)));
  CHECK(sum_of(values.data(), 20) == 20);
}

}  // namespace
}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
