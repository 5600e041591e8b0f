#include "kernels/rows.h"

#include "testing/kernel_test.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {
namespace {

TEST_CASE_TEMPLATE("rows: get and put stay within their lanes", T, float, double) {
  constexpr Index V = Vec<T>::size;
  Random random(1);
  for (Index lanes = 1; lanes <= 2 * V; ++lanes) {
    for (const Guard guard : kGuards) {
      CAPTURE(lanes);
      const Index real = smaller(lanes, V);
      const auto from = random.array<T>(real, guard);
      const GuardedArray<T> to(real, guard);
      put(get(from.data(), lanes), to.data(), lanes);
      CHECK(same_bits(to.data(), from.data(), real));
    }
  }
}

TEST_CASE("rows: a compact row is at its offset, another at the caller's place") {
  const Index order[] = {2, 0, 1}, begin[] = {0, 3, 0}, alive[] = {3, 1, 0}, offset[] = {0, 3, 4};
  const Rows rows{2, 3, order, order, begin, alive, offset};
  float base[64];
  CHECK(row_at(RowView<float>{base, 0, 5, true}, rows, 0, 2) - base == 2 * 5);
  CHECK(row_at(RowView<float>{base, 0, 5, true}, rows, 1, 0) - base == 3 * 5);
  CHECK(row_at(RowView<float>{base, 20, 6, false}, rows, 1, 0) - base == 20 + 2 * 6);
  CHECK(row_at(RowView<float>{base, 4, 8, false}, rows, 0, 1) - base == 3 * 4);
}

}  // namespace
}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
