// Batch 1: one quantised row is multiplied by several panels of int8 weights at once, as product/row_product.h.
#pragma once

#include "kernels/narrow/integer_tile.h"
#include "kernels/product/row_product.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// What IntegerTile computes, for P panels of C vectors and after them one more panel of N vectors, if N isn't 0.
using IntegerRowTile = void (*)(const float *from,               // (P, C vectors)
                                Index from_stride,               // from one panel's to the next
                                const QuantisedRow &row,         // of the source
                                const std::int8_t *panel,        // (P) of C vectors
                                Index panel_stride,              // from one to the next, in bytes
                                Index first,                     // depth at which to begin,
                                Index depth,                     // and how many, as with IntegerTile
                                float *to,                       // (P, C vectors), then (N vectors)
                                const float *last_from,          // (N vectors)
                                const std::int8_t *last_panel);  // of N vectors

template <int P, int C, int N>
__attribute__((noinline)) void integer_row_tile(const float *from, Index from_stride, const QuantisedRow &row,
                                                const std::int8_t *panel, Index panel_stride, Index first, Index depth,
                                                float *to, const float *last_from, const std::int8_t *last_panel) {
  constexpr Index V = kOutputs, G = kDepthGroup, kStep = V * kDepthStep;
  if (__builtin_expect(depth > kExactDepth, 0)) {
    for (int p = 0; p < P; ++p) {
      deep_row<C>(from + p * from_stride, row, panel + p * panel_stride, first, depth, to + p * C * V);
    }
    if constexpr (N > 0) {
      deep_row<N>(last_from, row, last_panel, first, depth, to + P * C * V);
    }
    return;
  }
  Sums sums[P][C], last[N ? N : 1];
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      sums[p][c] = first_sums<kRowBiased>(panel + p * panel_stride, C, c);
    }
  }
#pragma GCC unroll 4
  for (int c = 0; c < N; ++c) {
    last[c] = first_sums<kRowBiased>(last_panel, N, c);
  }
  const std::int8_t *weights = panel_weights(panel, C, first);
  const std::int8_t *last_weights = N ? panel_weights(last_panel, N, first) : nullptr;
  const Quantised *values = row.values + first, *const end = values + depth;
  for (; values < end; values += kDepthStep, weights += C * kStep, last_weights += N * kStep) {
    const auto activations = load_row_activations(values);
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) {
        accumulate_row(sums[p][c], load_row_weights(weights + p * panel_stride + c * V * G, C * V * G), activations);
      }
    }
#pragma GCC unroll 4
    for (int c = 0; c < N; ++c) {
      accumulate_row(last[c], load_row_weights(last_weights + c * V * G, N * V * G), activations);
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      joined(to_floats(total(sums[p][c])), output_scales(panel + p * panel_stride, c), row.scale,
             Vec<float>::load(from + p * from_stride + c * V))
          .store(to + (p * C + c) * V);
    }
  }
#pragma GCC unroll 4
  for (int c = 0; c < N; ++c) {
    joined(to_floats(total(last[c])), output_scales(last_panel, c), row.scale, Vec<float>::load(last_from + c * V))
        .store(to + (P * C + c) * V);
  }
}

// Of `panels` panels of `vectors` vectors, row_panels(vectors) at most, and one of last_vectors, or 0; only full panels
// have one after them.
inline IntegerRowTile integer_row_tile_for(Index panels, int vectors, int last_vectors) {
  static constexpr IntegerRowTile even[kPanelVectors][kRowPanels] = {
      {integer_row_tile<1, 1, 0>, integer_row_tile<2, 1, 0>, integer_row_tile<3, 1, 0>, integer_row_tile<4, 1, 0>,
       integer_row_tile<5, 1, 0>, integer_row_tile<6, 1, 0>, integer_row_tile<7, 1, 0>, integer_row_tile<8, 1, 0>},
      {integer_row_tile<1, 2, 0>, integer_row_tile<2, 2, 0>, integer_row_tile<3, 2, 0>, integer_row_tile<4, 2, 0>},
      {integer_row_tile<1, 3, 0>, integer_row_tile<2, 3, 0>, integer_row_tile<3, 3, 0>, integer_row_tile<4, 3, 0>},
      {integer_row_tile<1, 4, 0>, integer_row_tile<2, 4, 0>},
  };
  static constexpr IntegerRowTile uneven[2][kPanelVectors - 1] = {
      {integer_row_tile<1, kPanelVectors, 1>, integer_row_tile<1, kPanelVectors, 2>,
       integer_row_tile<1, kPanelVectors, 3>},
      {integer_row_tile<2, kPanelVectors, 1>, integer_row_tile<2, kPanelVectors, 2>,
       integer_row_tile<2, kPanelVectors, 3>},
  };
  return last_vectors ? uneven[panels - 1][last_vectors - 1] : even[vectors - 1][panels - 1];
}

// `count` panels, alike and `stride` bytes apart, and after them perhaps one of last_vectors vectors.
struct IntegerPanels {
  Index count;
  int vectors;
  int last_vectors;  // 0: none
  const std::int8_t *panels, *last_panel;
  Index stride;
  Index first, depth;
  bool backwards;

  Index all() const { return count + (last_vectors ? 1 : 0); }
};

// A row's sums with a run of panels, one panel's after another, into to[(kRowGroup + 1) * kPanelVectors vectors]. Those
// of panel p begin as from + p * from_stride, those of an uneven last panel as last_from.
RECURRA_INLINE void integer_row_product(const QuantisedRow &row, const IntegerPanels &panels, const float *from,
                                        Index from_stride, const float *last_from, float *to) {
  const Index width = panels.vectors * kOutputs, most = row_panels(panels.vectors);
  const Index stride = panels.backwards ? -most : most;  // `most` is a power of two
  for (Index p = panels.backwards ? (panels.count - 1) & -most : 0; p >= 0 && p < panels.count; p += stride) {
    const Index count = smaller(most, panels.count - p);
    const int last_vectors = p + count == panels.count ? panels.last_vectors : 0;
    integer_row_tile_for(count, panels.vectors, last_vectors)(
        from + p * from_stride, from_stride, row, panels.panels + p * panels.stride, panels.stride, panels.first,
        panels.depth, to + p * width, last_from, panels.last_panel);
  }
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
