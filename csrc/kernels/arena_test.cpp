#include "kernels/arena.h"

#include <cstdint>

#include "testing/kernel_test.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {
namespace {

TEST_CASE("arena: measuring and cutting agree, and arrays don't overlap") {
  const auto cut = [](Arena &arena) {
    std::vector<std::pair<char *, Index>> arrays;
    for (const Index count : {1, 0, 7, 64, 65, 131}) {
      arrays.emplace_back(reinterpret_cast<char *>(arena.take<double>(count)), count * 8);
      arrays.emplace_back(arena.take<char>(count), count);
    }
    return arrays;
  };
  Arena measured{nullptr};
  cut(measured);
  const GuardedArray<char> memory(measured.used);
  Arena arena{memory.data()};
  const auto arrays = cut(arena);
  CHECK(arena.used == measured.used);
  const char *end = memory.begin();
  for (const auto &[at, bytes] : arrays) {
    CHECK(at >= end);
    CHECK((at - memory.begin()) % 64 == 0);
    end = at + bytes;
  }
  CHECK(end <= memory.end());
}

}  // namespace
}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
