#include "kernels/product/outer_tile.h"

#include "testing/kernel_test.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {
namespace {

TEST_CASE_TEMPLATE("outer tile: chains from zero, then added or written over, within the row's columns", T, float,
                   double) {
  constexpr Index V = Vec<T>::size;
  Random random(1);
  for (int vectors = 1; vectors <= kPanelVectors; ++vectors) {
    const Index width = vectors * V;
    for (int count = 1; count <= tile_rows(vectors); ++count) {
      for (Index columns = (vectors - 1) * V + 1; columns <= width + 1; ++columns) {
        for (const Index depth : {0, 1, 2, 17, 128}) {
          for (const bool add : {false, true}) {
            CAPTURE(vectors);
            CAPTURE(count);
            CAPTURE(columns);
            CAPTURE(depth);
            CAPTURE(add);
            const Index a_stride = count + random.integer(0, 2), real = columns < width ? columns : width;
            const auto a = random.array<T>(depth > 0 ? (depth - 1) * a_stride + count : 0);
            const auto panel = random.array<T>(depth * width);
            const Index to_stride = real + random.integer(0, 3);
            const auto to = random.array<T>((count - 1) * to_stride + real, random.guard());
            const std::vector<T> before(to.begin(), to.end());
            outer_tile_for<T>(count, vectors)(a.data(), a_stride, panel.data(), depth, to.data(), to_stride, columns,
                                              add);
            bool same = true;
            for (Index i = 0; i < to.size(); ++i) {
              const Index r = i / to_stride, c = i % to_stride;
              T sum = 0;
              for (Index k = 0; c < real && k < depth; ++k) {
                sum = scalar_fma(a[k * a_stride + r], panel[k * width + c], sum);
              }
              const T expected = c >= real ? before[i] : add ? before[i] + sum : sum;
              same = same && same_bits(to[i], expected);
            }
            CHECK(same);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
