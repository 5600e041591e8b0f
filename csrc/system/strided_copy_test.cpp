#include "system/strided_copy.h"

#include <cstdint>
#include <vector>

#include "testing/core_test.h"

namespace recurra {
namespace {

TEST_CASE("strided copy: axes in any order, backwards, repeated, at odd addresses") {
  Random random(1);
  for (int n = 0; n < 300; ++n) {
    CAPTURE(n);
    const int rank = static_cast<int>(random.integer(0, 4));
    std::vector<Index> shape, from_strides(static_cast<std::size_t>(rank)), to_strides(from_strides);
    Index size = 1;
    for (int i = 0; i < rank; ++i)
      shape.push_back(random.integer(0, 5) == 0 ? random.integer(0, 1) : random.integer(2, 70));
    for (const Index length : shape) size *= length;
    if (size > 3'000'000) continue;
    // Both sides are dense, each with its axes in an order of its own; an axis of the source may be of stride 0.
    const auto strides = [&](std::vector<Index> &to, Index element) {
      std::vector<int> order;
      for (int i = 0; i < rank; ++i) order.insert(order.begin() + random.integer(0, i), i);
      Index stride = element;
      for (const int axis : order) {
        to[static_cast<std::size_t>(axis)] = stride;
        stride *= shape[static_cast<std::size_t>(axis)];
      }
    };
    strides(from_strides, 4);
    strides(to_strides, 4);
    std::vector<char> from(static_cast<std::size_t>(4 * size + 1)), to(from.size());
    for (char &byte : from) byte = static_cast<char>(random.integer(0, 255));
    const char *source = from.data() + 1;
    for (int i = 0; i < rank; ++i) {
      Index &stride = from_strides[static_cast<std::size_t>(i)];
      const Index length = shape[static_cast<std::size_t>(i)];
      const Index how = random.integer(0, 3);
      if (how == 0 && length > 0) {
        source += (length - 1) * stride;
        stride = -stride;
      }
      if (how == 1) stride = 0;
    }
    REQUIRE(copy_strided<std::uint32_t>(rank, shape.data(), source, from_strides.data(), to.data() + 1,
                                        to_strides.data(), nullptr));
    bool same = true;
    for (Index at = 0; at < size; ++at) {
      Index rest = at, read = 0, write = 0;
      for (int i = 0; i < rank; ++i) {
        const auto axis = static_cast<std::size_t>(i);
        read += rest % shape[axis] * from_strides[axis];
        write += rest % shape[axis] * to_strides[axis];
        rest /= shape[axis];
      }
      same = same && std::memcmp(source + read, to.data() + 1 + write, 4) == 0;
    }
    CHECK(same);
  }
}

}  // namespace
}  // namespace recurra
