#include "kernels/narrow/integer_row_tile.h"

#include "testing/integer_problem.h"
#include "testing/kernel_test.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {
namespace {

TEST_CASE("integer row tile: several panels at once, and an uneven last one") {
  Random random(1);
  for (int vectors = 1; vectors <= kPanelVectors; ++vectors) {
    for (Index count = 1; count <= kRowGroup; ++count) {
      for (int last_vectors = 0; last_vectors < (vectors == kPanelVectors ? kPanelVectors : 1); ++last_vectors) {
        for (const Index depth : {Index(0), Index(1), Index(2), Index(13), Index(64), kExactDepth + 3}) {
          if (depth > kExactDepth && (count != 2 || last_vectors == 2)) continue;
          const bool backwards = random.integer(0, 1);
          CAPTURE(count);
          CAPTURE(vectors);
          CAPTURE(last_vectors);
          CAPTURE(depth);
          CAPTURE(backwards);
          const auto values = random.array<float>(depth);
          const Quantisation expected(values, 1.0f);
          const GuardedArray<Quantised> quantised(quantised_size(depth));
          const QuantisedRow row{quantised.data(), quantise(values.data(), depth, 1.0f, quantised.data())};
          const Index width = vectors * kOutputs;
          const Index stride = integer_panel_bytes(depth, vectors) + 64 * random.integer(0, 1);
          std::vector<WeightPanel> all;
          const GuardedArray<std::int8_t> packed((count - 1) * stride + integer_panel_bytes(depth, vectors));
          for (Index p = 0; p < count; ++p) {
            all.emplace_back(random, depth, vectors);
            std::memcpy(packed.data() + p * stride, all.back().packed.data(),
                        static_cast<std::size_t>(all.back().packed.size()));
          }
          all.emplace_back(random, depth, last_vectors ? last_vectors : 1);
          const Index from_stride = count % 2 ? width : 0;  // 0: every panel begins alike
          const auto from = random.array<float>((count - 1) * from_stride + width);
          const auto last_from = random.array<float>(last_vectors * kOutputs);
          const GuardedArray<float> to(count * width + last_vectors * kOutputs, random.guard());
          const IntegerPanels panels{count,  vectors, last_vectors, packed.data(), all.back().packed.data(),
                                     stride, 0,       depth,        backwards};
          CHECK(panels.all() == count + (last_vectors > 0));
          integer_row_product(row, panels, from.data(), from_stride, last_from.data(), to.data());
          bool same = true;
          for (Index i = 0; i < to.size(); ++i) {
            const Index p = smaller(i / width, count), c = i - p * width;
            const WeightPanel &panel = all[static_cast<std::size_t>(p)];
            const float begun = p == count ? last_from[c] : from[p * from_stride + c];
            same = same && same_bits(to[i], product_of(expected, panel.row(c),
                                                       panel.scales[static_cast<std::size_t>(c)], begun, 0, depth));
          }
          CHECK(same);
        }
      }
    }
  }
}

TEST_CASE("integer row tile: sums beyond int32") {
  const Index depth = kExactDepth + 301;
  std::vector<float> values(static_cast<std::size_t>(depth), 1.0f);
  const Quantisation expected(values, 1.0f);
  const GuardedArray<Quantised> quantised(quantised_size(depth));
  const QuantisedRow row{quantised.data(), quantise(values.data(), depth, 1.0f, quantised.data())};
  Random random(3);
  WeightPanel panel(random, depth, kPanelVectors), last(random, depth, 1);
  for (WeightPanel *each : {&panel, &last}) {
    for (Index output = 0; output < each->width; ++output) {
      std::int8_t *weights = each->weights.data() + output * depth;
      for (Index k = 0; k < depth; ++k) weights[k] = output % 2 ? std::int8_t(127) : std::int8_t(-127);
      pack_output(weights, depth, each->scales[static_cast<std::size_t>(output)], 0, output, each->vectors, depth,
                  each->packed.data());
    }
  }
  const auto from = random.array<float>(panel.width), last_from = random.array<float>(last.width);
  const GuardedArray<float> to(panel.width + last.width);
  integer_row_product(row, {1, kPanelVectors, 1, panel.packed.data(), last.packed.data(), 0, 0, depth, false},
                      from.data(), 0, last_from.data(), to.data());
  bool same = true;
  for (Index i = 0; i < to.size(); ++i) {
    const WeightPanel &each = i < panel.width ? panel : last;
    const Index c = i < panel.width ? i : i - panel.width;
    same = same && same_bits(to[i], product_of(expected, each.row(c), each.scales[static_cast<std::size_t>(c)],
                                               (i < panel.width ? from : last_from)[c], 0, depth));
  }
  CHECK(same);
}

TEST_CASE("integer row tile: a range of depths, outside of which weights are zeros") {
  Random random(2);
  const Index depth = 50, first = 21, count = 17;
  const auto values = random.array<float>(depth);
  const Quantisation expected(values, 0.0f);
  const GuardedArray<Quantised> quantised(quantised_size(depth));
  const QuantisedRow row{quantised.data(), quantise(values.data(), depth, 0.0f, quantised.data())};
  WeightPanel panel(random, depth, 1);
  for (Index output = 0; output < panel.width; ++output) {
    std::int8_t *weights = panel.weights.data() + output * depth;
    for (Index k = 0; k < depth; ++k) weights[k] = k < first || k >= first + count ? std::int8_t(0) : weights[k];
    pack_output(weights + first, count, panel.scales[static_cast<std::size_t>(output)], first, output, 1, depth,
                panel.packed.data());
  }
  const auto from = random.array<float>(panel.width);
  const GuardedArray<float> to(panel.width);
  const Index begin = first / kDepthStep * kDepthStep;
  integer_row_product(row, {1, 1, 0, panel.packed.data(), nullptr, 0, begin, first + count - begin, false}, from.data(),
                      0, nullptr, to.data());
  bool same = true;
  for (Index c = 0; c < panel.width; ++c) {
    same = same && same_bits(to[c], product_of(expected, panel.row(c), panel.scales[static_cast<std::size_t>(c)],
                                               from[c], 0, depth));
  }
  CHECK(same);
}

}  // namespace
}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
