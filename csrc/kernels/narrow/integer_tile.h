// The micro-kernel of products on panels of int8 weights: R quantised rows by C vectors of outputs, as product/tile.h.
//
// Sums are integers and exact; each is rounded to float32 once and joins the row's chain by one multiply-add. So the
// depth of a product isn't divided into blocks: a panel is a quarter of float32's and stays in L2 while rows pass.
#pragma once

#include "kernels/narrow/integer_panels.h"
#include "kernels/narrow/quantise.h"
#include "kernels/product/prefetch.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// Vectors of a panel that a tile does in one pass, and its rows at most. With 16 registers, 12 accumulators beside the
// operands of two instructions a product spill: 3 rows by 4 vectors reach 17 products a cycle, 5 by 2 reach 22.
constexpr int integer_pass(int vectors) { return kTwoPasses ? 2 - vectors % 2 : vectors; }
constexpr int integer_tile_rows(int vectors) {
  const int accumulators = kTwoPasses ? 10 : kAccumulators / kSumParts, pass = integer_pass(vectors);
  return accumulators / pass < kMaxTileRows ? accumulators / pass : kMaxTileRows;
}
constexpr int integer_rows(int rows, int vectors) {
  return rows < integer_tile_rows(vectors) ? rows : integer_tile_rows(vectors);
}

// What a tile prefetches meanwhile: `lines` cache lines of the next panel with every `every`th group of depths.
struct IntegerPrefetch {
  const std::int8_t *panel;  // null: none
  Index lines, every;
};

// Shares out the next panel (or null) among the tiles of `rows` rows, `most` to each.
struct IntegerPanelPrefetch {
  const std::int8_t *panel, *end;
  Index groups, lines, every;

  IntegerPanelPrefetch(const std::int8_t *next, Index depth, int vectors, Index rows, Index most)
      : panel(next), end(next ? next + integer_panel_bytes(depth, vectors) : next) {
    const Index tiles = larger(ceil_div(rows, most), 1), group = kDepthGroup * kOutputs * vectors;
    groups = ceil_div(depth, kDepthGroup);
    lines = larger(ceil_div(group, kLineBytes * tiles), 1);
    every = larger(kLineBytes * tiles / group, 1);
  }
  RECURRA_INLINE IntegerPrefetch take() {
    if (!panel || panel >= end) {
      return {nullptr, 0, 0};
    }
    const IntegerPrefetch ahead{panel, lines, every};
    panel += ceil_div(groups, every) * lines * kLineBytes;
    return ahead;
  }
};

// to[r][:] = fma(Σ_k rows[r][k] · weight[k][:], scale[:] · rows[r].scale, from[r][:]), with the sum rounded once, for R
// rows and C vectors.
using IntegerTile = void (*)(const float *from,              // (R, C vectors)
                             Index from_stride,              // 0: every row begins with the same values
                             const QuantisedRow *rows,       // (R)
                             const std::int8_t *panel,       // of C vectors
                             Index first,                    // depth of rows and panel at which to begin,
                             Index depth,                    // and how many there are
                             float *to,                      // (R, C vectors); may be `from`
                             Index to_stride,                // from one row to the next
                             const IntegerPrefetch &ahead);  // what to prefetch meanwhile
// `first` is a multiple of kDepthStep. Weights beside the range are zeros, since whole steps are multiplied.

// The sum with which the products of one vector of a panel begin.
template <bool biased>
RECURRA_INLINE Sums first_sums(const std::int8_t *panel, int vectors, int vector) {
  return sums_from(biased ? negated_sums(panel, vectors, vector) << 11 : Integers{});
}

// from + sum · (scales · scale).
RECURRA_INLINE Vec<float> joined(Vec<float> sum, Vec<float> scales, float scale, Vec<float> from) {
  return fma(sum, scales * Vec<float>::broadcast(scale), from);
}

// Adds the products of some groups of depths to the sums of R rows and N vectors, of a panel that has C.
template <int R, int N, int C>
RECURRA_INLINE void add_products(const Quantised *const (&row)[R], const std::int8_t *weights, Index depth,
                                 IntegerPrefetch ahead, Sums (&sums)[R][N]) {
  // Tiles of their own for what prefetches nothing were no faster, and a fifth of all code here.
  for (Index k = 0, next = ahead.panel ? 0 : -1; k < depth; k += kDepthGroup, weights += C * kOutputs * kDepthGroup) {
    if (k == next) {
      for (Index i = 0; i < ahead.lines; ++i, ahead.panel += kLineBytes) {
        __builtin_prefetch(ahead.panel, 0, 2);
      }
      next += ahead.every * kDepthGroup;
    }
    decltype(load_weights(weights)) columns[N];
#pragma GCC unroll 4
    for (int c = 0; c < N; ++c) {
      columns[c] = load_weights(weights + c * kOutputs * kDepthGroup);
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const auto activations = load_activations(row[r] + k);
#pragma GCC unroll 4
      for (int c = 0; c < N; ++c) {
        accumulate(sums[r][c], columns[c], activations);
      }
    }
  }
}

// A row of a product that is deeper than int32 is exact: blocks of it are added in int64, which is rounded once.
template <int C>
__attribute__((noinline)) void deep_row(const float *from, const QuantisedRow &row, const std::int8_t *panel,
                                        Index first, Index depth, float *to) {
  constexpr Index block_depth = kBiased ? kExactDepth / 2 : kExactDepth;  // activations are up to 4095 then
  std::int64_t totals[C * kOutputs] = {};
  for (Index k = first, end = first + depth; k < end; k += block_depth) {
    Sums sums[1][C];
    for (int c = 0; c < C; ++c) {
      sums[0][c] = sums_from(Integers{});
    }
    add_products<1, C, C>({row.values + k}, panel_weights(panel, C, k), smaller(block_depth, end - k), {}, sums);
    for (int c = 0; c < C; ++c) {
      const Integers block = total(sums[0][c]);
      for (int lane = 0; lane < kOutputs; ++lane) {
        totals[c * kOutputs + lane] += block[lane];
      }
    }
  }
  for (int c = 0; c < C; ++c) {
    Vec<float> sum;
    for (int lane = 0; lane < kOutputs; ++lane) {
      const std::int64_t biased = kBiased ? negated_sums(panel, C, c)[lane] * std::int64_t(2048) : 0;
      sum.raw[lane] = static_cast<float>(totals[c * kOutputs + lane] + biased);
    }
    joined(sum, output_scales(panel, c), row.scale, Vec<float>::load(from + c * kOutputs)).store(to + c * kOutputs);
  }
}

template <int R, int C, class T>
__attribute__((noinline)) void integer_tile(const T *from, Index from_stride, const QuantisedRow *rows,
                                            const std::int8_t *panel, Index first, Index depth, T *to, Index to_stride,
                                            const IntegerPrefetch &ahead) {
  constexpr int kPass = integer_pass(C);
  if (__builtin_expect(depth > kExactDepth, 0)) {
    for (int r = 0; r < R; ++r) {
      deep_row<C>(from + r * from_stride, rows[r], panel, first, depth, to + r * to_stride);
    }
    return;
  }
  const Quantised *row[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    row[r] = rows[r].values + first;
  }
  for (int pass = 0; pass < C; pass += kPass) {
    Sums sums[R][kPass];
#pragma GCC unroll 4
    for (int c = 0; c < kPass; ++c) {
      const Sums begun = first_sums<kBiased>(panel, C, pass + c);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        sums[r][c] = begun;
      }
    }
    const std::int8_t *weights = panel_weights(panel, C, first) + pass * kOutputs * kDepthGroup;
    add_products<R, kPass, C>(row, weights, depth, pass == 0 ? ahead : IntegerPrefetch{}, sums);
#pragma GCC unroll 4
    for (int c = 0; c < kPass; ++c) {
      const Vec<float> scales = output_scales(panel, pass + c);
      const Index at = (pass + c) * kOutputs;
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        joined(to_floats(total(sums[r][c])), scales, rows[r].scale, Vec<float>::load(from + r * from_stride + at))
            .store(to + r * to_stride + at);
      }
    }
  }
}

inline IntegerTile integer_tile_for(Index rows, int vectors) {
  using T = float;
  RECURRA_TILE_TABLE(IntegerTile, tiles, integer_tile, integer_rows)
  return tiles[vectors - 1][rows - 1];
}

// to[:] = from[:] + the product of a one-hot row, whose 1 is at depth k, with a panel: the same number as a tile's.
inline void integer_look_up(const float *from, const std::int8_t *panel, int vectors, Index k, float *to) {
  const std::int8_t *const weights = panel_weights(panel, vectors, k / kDepthGroup * kDepthGroup);
  for (int c = 0; c < vectors; ++c) {
    const Integers column = weights_at(weights + c * kOutputs * kDepthGroup, static_cast<int>(k % kDepthGroup));
    joined(to_floats(column * repeat(2047)), output_scales(panel, c), kUnitScale, Vec<float>::load(from + c * kOutputs))
        .store(to + c * kOutputs);
  }
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
