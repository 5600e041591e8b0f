// int8 weights as the loops see them: panels of integers, and sources that are quantised before products read them.
#pragma once

#include "kernels/narrow/integer_tile.h"
#include "kernels/product/weights.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

struct Int8Weights {
  using Storage = std::int8_t;
  using Row = QuantisedRow;
  static constexpr int kLanes = static_cast<int>(kOutputs);
  static constexpr bool kNarrow = true, kIntegers = true;
  static constexpr Index kGroup = kDepthStep;

  static constexpr Index panel_size(Index depth, int vectors) { return integer_panel_bytes(depth, vectors); }
  // A product is told where in its panels to begin, since their scales come first.
  static RECURRA_INLINE const Storage *panel_at(const Storage *panel, Index, int) { return panel; }

  static RECURRA_INLINE Vec<float> widened(const Storage *from) {
    Vec<float> values;
    for (Index lane = 0; lane < kOutputs; ++lane) {
      values.raw[lane] = from[lane];
    }
    return values;
  }
  static RECURRA_INLINE void one_hot(const float *from, const Storage *panel, int vectors, Index k, float *to) {
    integer_look_up(from, panel, vectors, k, to);
  }
};

// Rows of a source, quantised.
template <>
struct Sources<float, Int8Weights> {
  Quantised *values = nullptr;
  QuantisedRow *rows = nullptr;
  Index depth = 0;

  Sources() = default;
  Sources(Index count, Index width, Arena &arena)
      : values(arena.take<Quantised>(count * quantised_size(width))),
        rows(arena.take<QuantisedRow>(count)),
        depth(width) {}

  const QuantisedRow *of(const float *const *from, Index count, float floor) const {
    for (Index row = 0; row < count; ++row) {
      Quantised *to = values + row * quantised_size(depth);
      rows[row] = {to, quantise(from[row], depth, floor, to)};
    }
    return rows;
  }
};

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
