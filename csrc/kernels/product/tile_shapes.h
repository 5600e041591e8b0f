// How many rows and vectors a register tile may have.
#pragma once

#include "kernels.h"
#include "kernels/simd.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

constexpr int kPanelVectors = 4;
constexpr int kMaxTileRows = 8;  // row pointers live in general registers: 8 + panel + k + depth of 15

// 6 x 4 and 8 x 3 on AVX-512, 3 x 4 and 4 x 3 on AVX2: all accumulators used, and panel loads well below one per FMA.
constexpr int tile_rows(int vectors) {
  return kAccumulators / vectors < kMaxTileRows ? kAccumulators / vectors : kMaxTileRows;
}

// With 12 accumulators a remainder of one or two rows of a full panel would leave 4 or 8 chains, which reach 71 % of
// the peak at best; five rows in two passes of half the panel have 10 and reach 95 %.
constexpr bool kTwoPasses = kAccumulators == 3 * kPanelVectors;
constexpr Index kPassRows = 5;

// tiles[vectors - 1][rows - 1] of a family of templates, whose further arguments come last, for 1 … kMaxTileRows rows
// by 1 … kPanelVectors vectors; rows beyond the family's limit are never asked for.
#define RECURRA_TILE_ROW(family, limit, C, ...)                                                                   \
  {family<1, C, __VA_ARGS__>,           family<2, C, __VA_ARGS__>,           family<3, C, __VA_ARGS__>,           \
   family<limit(4, C), C, __VA_ARGS__>, family<limit(5, C), C, __VA_ARGS__>, family<limit(6, C), C, __VA_ARGS__>, \
   family<limit(7, C), C, __VA_ARGS__>, family<limit(8, C), C, __VA_ARGS__>}
#define RECURRA_TILES(type, name, family, limit, ...)                                                   \
  static constexpr type name[kPanelVectors][kMaxTileRows] = {                                           \
      RECURRA_TILE_ROW(family, limit, 1, __VA_ARGS__), RECURRA_TILE_ROW(family, limit, 2, __VA_ARGS__), \
      RECURRA_TILE_ROW(family, limit, 3, __VA_ARGS__), RECURRA_TILE_ROW(family, limit, 4, __VA_ARGS__)};
#define RECURRA_TILE_TABLE(type, name, family, limit) RECURRA_TILES(type, name, family, limit, T)

constexpr int one_pass(int rows, int vectors) { return rows < tile_rows(vectors) ? rows : tile_rows(vectors); }
constexpr int one_pass_or_two(int rows, int vectors) {
  return kTwoPasses && rows == kPassRows && vectors == kPanelVectors ? rows : one_pass(rows, vectors);
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
