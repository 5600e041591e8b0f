#include "kernels/narrow/integer_panels.h"

#include <algorithm>

#include "testing/integer_problem.h"
#include "testing/kernel_test.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {
namespace {

TEST_CASE("integer panels: every weight once, zeros beyond, scales and sums before") {
  Random random(1);
  for (int vectors = 1; vectors <= kPanelVectors; ++vectors) {
    for (const Index depth : odd_sizes<float>()) {
      const Index width = vectors * kOutputs, first = depth > 2 ? random.integer(0, depth - 1) : 0;
      const Index count = random.integer(0, depth - first);
      CAPTURE(vectors);
      CAPTURE(depth);
      CAPTURE(first);
      CAPTURE(count);
      const GuardedArray<std::int8_t> panel(integer_panel_bytes(depth, vectors), random.guard());
      std::vector<GuardedArray<std::int8_t>> weights;
      for (Index output = 0; output < width; ++output) {
        weights.emplace_back(count);
        for (std::int8_t &weight : weights.back()) weight = static_cast<std::int8_t>(random.integer(-127, 127));
        pack_output(weights.back().data(), count, static_cast<float>(output), first, output, vectors, depth,
                    panel.data());
      }
      bool same = true;
      std::vector<Index> places;
      for (Index output = 0; output < width; ++output) {
        std::int32_t sum = 0;
        for (Index k = 0; k < ceil_div(depth, kDepthStep) * kDepthStep; ++k) {
          places.push_back(weight_at(k, output, vectors));
          const std::int8_t weight = panel_weights(panel.data(), vectors, 0)[places.back()];
          same = same && weight == (k >= first && k < first + count ? weights[output][k - first] : 0);
          sum -= weight;
        }
        same =
            same && same_bits(output_scales(panel.data(), static_cast<int>(output / kOutputs)).raw[output % kOutputs],
                              static_cast<float>(output));
        const auto vector = static_cast<int>(output / kOutputs);
        same = same && (!kRowBiased || negated_sums(panel.data(), vectors, vector)[output % kOutputs] == sum);
      }
      CHECK(same);
      std::sort(places.begin(), places.end());
      CHECK(std::adjacent_find(places.begin(), places.end()) == places.end());
      CHECK((places.empty() || places.back() < panel.size() - panel_head(vectors)));
    }
  }
}

}  // namespace
}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
