#include "kernels/product/tile.h"

#include "testing/kernel_test.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {
namespace {

// What a tile may be asked to fetch on the way: nothing, the next panel, lines, both.
template <class T>
std::vector<TilePrefetch<T>> families(const T *panel, const void *const *lines) {
  return {{nullptr, nullptr, 0, 0}, {panel, nullptr, 0, 1}, {panel, nullptr, 0, 5},
          {nullptr, lines, 3, 2},   {panel, lines, 1, 1},   {panel, lines, 3, 7}};
}

TEST_CASE_TEMPLATE("tile: each element is one chain of multiply-adds in k", T, float, double) {
  constexpr Index V = Vec<T>::size;
  Random random(1);
  for (int vectors = 1; vectors <= kPanelVectors; ++vectors) {
    const Index width = vectors * V;
    for (int count = 1; count == one_pass_or_two(count, vectors); ++count) {
      for (const Index depth : {0, 1, 2, 3, 7, 16, 37}) {
        const Index offset = random.integer(0, 3);
        std::vector<GuardedArray<T>> rows;
        std::vector<const T *> pointers;
        for (int r = 0; r < count; ++r) {
          rows.push_back(random.array<T>(offset + depth, random.guard()));
          pointers.push_back(rows.back().data());
        }
        const auto panel = random.array<T>(depth * width), next = random.array<T>(64);
        const void *const lines[] = {next.data(), next.data() + 16, next.data() + 32};
        for (const TilePrefetch<T> &ahead : families(next.data(), lines)) {
          for (const Index from_stride : {Index(0), width, width + 3}) {
            for (const bool in_place : {false, true}) {
              if (in_place && from_stride == 0) continue;
              CAPTURE(vectors);
              CAPTURE(count);
              CAPTURE(depth);
              CAPTURE(from_stride);
              const auto from = random.array<T>((count - 1) * from_stride + width);
              std::vector<T> begun(from.begin(), from.end());
              const Index to_stride = in_place ? from_stride : width + random.integer(0, 5);
              const GuardedArray<T> other((count - 1) * to_stride + width, random.guard());
              T *to = in_place ? from.data() : other.data();
              tile_for<T>(count, vectors, ahead)(from.data(), from_stride, pointers.data(), offset, panel.data(), depth,
                                                 to, to_stride, ahead);
              bool same = true, beside = true;
              for (int r = 0; r < count; ++r) {
                for (Index c = 0; c < width; ++c) {
                  T sum = begun[r * from_stride + c];
                  for (Index k = 0; k < depth; ++k) sum = scalar_fma(rows[r][offset + k], panel[k * width + c], sum);
                  same = same && same_bits(to[r * to_stride + c], sum);
                }
                for (Index c = width; !in_place && r + 1 < count && c < to_stride; ++c) {
                  beside = beside && other.untouched(r * to_stride + c);
                }
              }
              CHECK(same);
              CHECK(beside);
            }
          }
        }
      }
    }
  }
}

TEST_CASE("tile: shapes use the accumulators, and no more") {
  for (int vectors = 1; vectors <= kPanelVectors; ++vectors) {
    CHECK(tile_rows(vectors) >= 1);
    CHECK(tile_rows(vectors) <= kMaxTileRows);
    CHECK(tile_rows(vectors) * vectors <= kAccumulators);
    for (int rows = 1; rows <= tile_rows(vectors); ++rows) CHECK(one_pass_or_two(rows, vectors) == rows);
  }
}

}  // namespace
}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
