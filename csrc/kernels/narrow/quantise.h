// Rounds a row of floats to 12 bits and a scale, as the integer products read it.
#pragma once

#include <utility>

#include "kernels/narrow/integer_simd.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

constexpr float kUnitScale = 1.0f / 2047.0f;  // of a row within [-1, 1] that is quantised with a floor of 1
constexpr float kLeastMaximum = 1e-30f;       // of a row that isn't taken for zeros

// A row of activations: values[k] · scale is about what was quantised.
struct QuantisedRow {
  const Quantised *values;
  float scale;
};

// Elements that a row of `depth` takes: whole cache lines, so that rows begin at lines and are written by vectors.
constexpr Index quantised_size(Index depth) { return ceil_div(depth, 32) * 32; }

// The larger of `most` and |values|, lane by lane and as bits, among which NaN is above infinity, which is above all
// numbers.
RECURRA_INLINE Integers largest_magnitude(Integers most, Vec<float> values) {
  const Integers magnitude = values.bits() & repeat(0x7fffffff);
  return magnitude > most ? magnitude : most;
}

// to[k] = rint(from[k] · inverse), and zeros from `depth` to quantised_size(depth); the largest magnitudes as bits.
RECURRA_INLINE Integers quantise_by(const float *from, Index depth, float inverse, Quantised *to) {
  const Vec<float> factor = Vec<float>::broadcast(inverse);
  Integers most{};
  Index k = 0;
  for (; k + kOutputs <= depth; k += kOutputs) {
    const Vec<float> values = Vec<float>::load(from + k);
    most = largest_magnitude(most, values);
    store_activations(to_integers(values * factor), to + k);
  }
  if (k < depth) {
    const Vec<float> values = Vec<float>::load(from + k, static_cast<int>(depth - k));
    most = largest_magnitude(most, values);
    store_activations(to_integers(values * factor), to + k);
    k += kOutputs;
  }
  for (const Index end = quantised_size(depth); k < end; k += kOutputs) {
    store_activations(Integers{}, to + k);
  }
  return most;
}

template <int step, int... lane>
RECURRA_INLINE Integers exchanged(Integers values, std::integer_sequence<int, lane...>) {
  const Vec<float> bits = Vec<float>::from_bits(values);
  return shuffle<(lane ^ step)...>(bits, bits).bits();
}
// The largest of non-negative floats, which are compared as bits.
template <int step = kOutputs / 2>
RECURRA_INLINE float largest_lane(Integers magnitudes) {
  if constexpr (step == 0) {
    return Vec<float>::from_bits(magnitudes).raw[0];
  } else {
    const Integers others = exchanged<step>(magnitudes, std::make_integer_sequence<int, kOutputs>());
    return largest_lane<step / 2>(others > magnitudes ? others : magnitudes);
  }
}

// The same with the scale that the row's largest magnitude asks for, which is returned.
inline float quantise_by_maximum(const float *from, Index depth, float floor, Quantised *to) {
  Integers magnitudes{};
  Index k = 0;
  for (; k + kOutputs <= depth; k += kOutputs) {
    magnitudes = largest_magnitude(magnitudes, Vec<float>::load(from + k));
  }
  if (k < depth) {
    magnitudes = largest_magnitude(magnitudes, Vec<float>::load(from + k, static_cast<int>(depth - k)));
  }
  const float largest = largest_lane(magnitudes), most = floor > largest ? floor : largest;
  const bool finite = most - most == 0.0f;
  if (!finite || most < kLeastMaximum) {
    for (k = 0; k < quantised_size(depth); k += kOutputs) {
      store_activations(Integers{}, to + k);
    }
    return finite ? 0.0f : __builtin_nanf("");
  }
  quantise_by(from, depth, 2047.0f / most, to);
  return most / 2047.0f;
}

// Quantises `depth` values into quantised_size(depth) elements and returns their scale: of the larger of `floor` and
// the row's largest magnitude, over 2047. A row with a NaN or an infinity becomes zeros and a scale of NaN; one below
// 1e-30, all zeros. With a floor of 1, rows within [-1, 1] need no maximum.
inline float quantise(const float *from, Index depth, float floor, Quantised *to) {
  if (floor == 1.0f) {
    const Integers magnitudes = quantise_by(from, depth, 2047.0f, to);
    if (largest_lane(magnitudes) <= 1.0f) {
      return kUnitScale;
    }
  }
  return quantise_by_maximum(from, depth, floor, to);
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
