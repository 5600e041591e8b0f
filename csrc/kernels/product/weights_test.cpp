#include "kernels/product/weights.h"

#include "kernels/product/row_product.h"
#include "testing/kernel_test.h"
#include "testing/narrow_weights.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {
namespace {

template <class W>
float scalar(std::uint16_t half);
template <>
float scalar<Bfloat16Weights>(std::uint16_t half) {
  return widened_bfloat16(half);
}
template <>
float scalar<Float16Weights>(std::uint16_t half) {
  return widened_float16(half);
}

TEST_CASE_TEMPLATE("weights: all numbers of 16 bits are widened exactly", W, Bfloat16Weights, Float16Weights) {
  constexpr Index V = Vec<float>::size;
  bool same = true;
  for (Index first = 0; first < 65536; first += V) {
    const GuardedArray<std::uint16_t> halves(V);
    for (Index i = 0; i < V; ++i) halves[i] = static_cast<std::uint16_t>(first + i);
    float values[V];
    W::widened(halves.data()).store(values);
    for (Index i = 0; i < V; ++i) {
      const float expected = scalar<W>(halves[i]);
      same = same && (expected == expected ? same_bits(values[i], expected) : values[i] != values[i]);
    }
  }
  CHECK(same);
}

TEST_CASE_TEMPLATE("weights: products with narrow panels are those with the widened ones", W, Bfloat16Weights,
                   Float16Weights) {
  constexpr Index V = Vec<float>::size;
  Random random(1);
  for (int vectors = 1; vectors <= kPanelVectors; ++vectors) {
    for (const Index depth : {0, 1, 2, 13, 64}) {
      CAPTURE(vectors);
      CAPTURE(depth);
      const Index width = vectors * V, panels = 2;
      const Index stride = W::panel_size(depth, vectors);
      const GuardedArray<std::uint16_t> narrow(panels * stride), next(64);
      const GuardedArray<float> wide(panels * depth * width);
      for (Index i = 0; i < wide.size(); ++i) {
        const Index row = i / width, at = W::weight_at(row % depth, i % width, width);
        std::uint16_t &half = narrow[row / depth * stride + at];
        half = static_cast<std::uint16_t>(random.integer(0, 0x3fff) | random.integer(0, 1) << 15);
        wide[i] = scalar<W>(half);
      }
      const Index rows = random.integer(1, W::Shapes::rows(vectors));
      const auto values = random.array<float>(rows * depth), from = random.array<float>(panels * width);
      std::vector<const float *> row;
      for (Index r = 0; r < rows; ++r) row.push_back(values.data() + r * depth);
      const GuardedArray<float> to(rows * width), expected(rows * width);
      for (const Index every : {0, 2}) {
        const PrefetchOf<W> ahead{every ? next.data() : nullptr, nullptr, 0, every};
        tile_for<float, W>(rows, vectors, ahead)(from.data(), 0, row.data(), 0, narrow.data(), depth, to.data(), width,
                                                 ahead);
        const TilePrefetch<float> none{nullptr, nullptr, 0, 0};
        for (Index r = 0; r < rows; ++r) {
          tile_for<float>(1, vectors, none)(from.data(), 0, row.data() + r, 0, wide.data(), depth,
                                            expected.data() + r * width, width, none);
        }
        CHECK(same_bits(to.data(), expected.data(), rows * width));
      }
      const GuardedArray<float> sums(panels * width), expected_sums(panels * width);
      row_product(row[0], Panels<float, W>{panels, vectors, 0, narrow.data(), nullptr, stride, depth, nullptr, false},
                  from.data(), width, from.data(), sums.data());
      row_product(row[0], Panels<float>{panels, vectors, 0, wide.data(), nullptr, depth * width, depth, nullptr, false},
                  from.data(), width, from.data(), expected_sums.data());
      CHECK(same_bits(sums.data(), expected_sums.data(), panels * width));
    }
  }
}

}  // namespace
}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
