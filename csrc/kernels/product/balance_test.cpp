#include "kernels/product/balance.h"

#include "testing/kernel_test.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {
namespace {

std::vector<Index> tiles_of(Index rows, Index most, int vectors) {
  std::vector<Index> counts;
  Index reached = 0;
  balanced_tiles(rows, most, vectors, [&](Index first, Index count) {
    CHECK(first == reached);
    reached += count;
    counts.push_back(count);
  });
  CHECK(reached == rows);
  return counts;
}

TEST_CASE("balance: all rows once and in order, in tiles that exist") {
  for (int vectors = 1; vectors <= kPanelVectors; ++vectors) {
    for (Index most = 1; most <= tile_rows(vectors); ++most) {
      for (Index rows = 0; rows < 140; ++rows) {
        CAPTURE(vectors);
        CAPTURE(most);
        CAPTURE(rows);
        for (const Index count : tiles_of(rows, most, vectors)) {
          CHECK(count >= 1);
          CHECK((count <= most || count == one_pass_or_two(static_cast<int>(count), vectors)));
        }
      }
    }
  }
}

TEST_CASE("balance: tiles differ by a row, but for those that take two passes") {
  CHECK(tiles_of(5, 8, 1) == std::vector<Index>{5});
  CHECK(tiles_of(9, 8, 1) == std::vector<Index>{4, 5});
  CHECK(tiles_of(32, 6, 1) == std::vector<Index>{5, 5, 5, 5, 6, 6});
  if (kTwoPasses) {
    CHECK(tiles_of(32, 3, kPanelVectors) == std::vector<Index>{5, 3, 3, 3, 3, 3, 3, 3, 3, 3});
    CHECK(tiles_of(10, 3, kPanelVectors) == std::vector<Index>{5, 5});
    CHECK(tiles_of(4, 3, kPanelVectors) == std::vector<Index>{2, 2});
  }
}

}  // namespace
}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
