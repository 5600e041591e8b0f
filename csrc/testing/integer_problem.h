// Quantised rows and panels for tests, and what their products should be, from the definitions and in scalars.
#pragma once

#include <cmath>
#include <vector>

#include "kernels/narrow/integer_panels.h"
#include "kernels/narrow/quantise.h"
#include "testing/kernel_test.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// A row in 12 bits and its scale.
struct Quantisation {
  std::vector<int> values;
  float scale;

  template <class Row>
  Quantisation(const Row &row, float floor) {
    float most = floor;
    for (const float value : row) most = std::fabs(value) <= most ? most : std::fabs(value);  // NaN stays
    for (const float value : row) most = value == value ? most : value;
    const bool finite = std::isfinite(most), zero = finite && most < 1e-30f;
    const volatile float inverse = 2047.0f / most, step = most / 2047.0f;
    scale = finite ? zero ? 0.0f : step : std::nanf("");
    for (const float value : row) {
      const volatile float product = value * inverse;
      values.push_back(finite && !zero ? static_cast<int>(std::nearbyint(product)) : 0);
    }
  }
};

// Activation k of a quantised row, however the ISA has it.
inline int activation_at(const Quantised *row, Index k) {
  [[maybe_unused]] const auto *bytes = reinterpret_cast<const unsigned char *>(row + k / 4 * 4);
  [[maybe_unused]] const Index i = k % 4;
#if defined(__AVX512VNNI__)
  return 128 * bytes[i] + bytes[4 + i] - 2048;
#elif defined(__AVX2__) && !defined(__AVX512BW__)
  std::int16_t value;
  std::memcpy(&value, bytes + 8 + 4 * (i % 2) + 2 * (i / 2), sizeof value);
  return 64 * bytes[i] + bytes[4 + i] - 2048 == value ? value : 9999;  // which it has twice
#else
  return row[k];
#endif
}

// A matrix of int8 weights as one panel.
struct WeightPanel {
  Index depth, width;
  int vectors;
  std::vector<std::int8_t> weights;  // [output][depth]
  std::vector<float> scales;
  GuardedArray<std::int8_t> packed;

  // With outputs that there aren't at the end; of extreme weights only, if asked for.
  WeightPanel(Random &random, Index panel_depth, int panel_vectors, bool extreme = false, Index missing = 0)
      : depth(panel_depth),
        width(panel_vectors * kOutputs),
        vectors(panel_vectors),
        weights(static_cast<std::size_t>(depth * width)),
        packed(integer_panel_bytes(depth, vectors)) {
    for (std::int8_t &weight : weights) {
      weight = static_cast<std::int8_t>(extreme ? 254 * random.integer(0, 1) - 127 : random.integer(-127, 127));
    }
    for (Index output = 0; output < width; ++output) {
      scales.push_back(random.number<float>() * 0.01f);
      const bool real = output < width - missing;
      for (Index k = 0; !real && k < depth; ++k) weights[static_cast<std::size_t>(output * depth + k)] = 0;
      if (!real) scales.back() = 0;
      pack_output(real ? row(output) : nullptr, real ? depth : 0, scales.back(), 0, output, vectors, depth,
                  packed.data());
    }
  }
  const std::int8_t *row(Index output) const { return weights.data() + output * depth; }
};

// from + Σ_k values[k] weight[k] · (weight scale · scale) of one output, over depths [first, first + depth).
inline float product_of(const Quantisation &row, const std::int8_t *weights, float weight_scale, float from,
                        Index first, Index depth) {
  std::int64_t sum = 0;
  for (Index k = first; k < first + depth; ++k) sum += row.values[static_cast<std::size_t>(k)] * weights[k];
  const volatile float scale = weight_scale * row.scale;
  return scalar_fma(static_cast<float>(sum), static_cast<float>(scale), from);
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
