// Panels of int8 weights, in the order in which the integer products read them.
//
// A panel of up to kPanelVectors vectors of outputs begins with the scale of each output and, where activations are
// stored with 2048 added, the negated sum of its weights; then come the weights, [group of depths][vector][output]
// [depth of the group], or [depth of the group][output].
#pragma once

#include "kernels/narrow/integer_simd.h"
#include "kernels/product/tile_shapes.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// Bytes before the weights of a panel, and of a whole one, which is a number of cache lines.
constexpr Index panel_head(int vectors) { return vectors * kVectorBytes * (kRowBiased ? 2 : 1); }
constexpr Index integer_panel_bytes(Index depth, int vectors) {
  const Index weights = ceil_div(depth, kDepthStep) * kDepthStep * vectors * kOutputs;
  return ceil_div(panel_head(vectors) + weights, 64) * 64;
}

// Where a weight is among those of a panel.
RECURRA_INLINE Index weight_at(Index k, Index output, int vectors) {
  const Index group = k / kDepthGroup * vectors + output / kOutputs, i = k % kDepthGroup, lane = output % kOutputs;
  return group * kOutputs * kDepthGroup + weight_place(lane, i);
}

RECURRA_INLINE const std::int8_t *panel_weights(const std::int8_t *panel, int vectors, Index first) {
  return panel + panel_head(vectors) + first * vectors * kOutputs;
}

// The scales of one vector of a panel's outputs, and its negated sums.
RECURRA_INLINE Vec<float> output_scales(const std::int8_t *panel, int vector) {
  return Vec<float>::from_bits(load_integers(panel + vector * kVectorBytes));
}
RECURRA_INLINE Integers negated_sums(const std::int8_t *panel, int vectors, int vector) {
  return load_integers(panel + (vectors + vector) * kVectorBytes);
}

// Writes one output of a panel: `count` weights and their scale, at the depths from `first` on; all others are zero.
// An output that there isn't has none.
inline void pack_output(const std::int8_t *weights, Index count, float scale, Index first, Index output, int vectors,
                        Index depth, std::int8_t *panel) {
  std::int8_t *const to = panel + panel_head(vectors);
  std::int32_t sum = 0;
  for (Index k = 0; k < ceil_div(depth, kDepthStep) * kDepthStep; ++k) {
    const std::int8_t weight = k >= first && k < first + count ? weights[k - first] : std::int8_t(0);
    sum -= weight;
    to[weight_at(k, output, vectors)] = weight;
  }
  std::memcpy(panel + output * 4, &scale, sizeof scale);
  if (kRowBiased) {
    std::memcpy(panel + (vectors * kOutputs + output) * 4, &sum, sizeof sum);
  }
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
