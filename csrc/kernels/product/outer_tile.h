// The micro-kernel of Aᵀ·B, the product that gives gradients of weights.
#pragma once

#include "kernels/product/tile_shapes.h"
#include "kernels/rows.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// The outer products of a block of rows, summed from zero: Σ_k a[k][r] * panel[k][:] for r < R, stored to or added to
// `to`. `a` is read in place: transposing it first took 13 % of a training call.
template <class T>
using OuterTile = void (*)(const T *a,       // (depth, R)
                           Index a_stride,   // from one depth to the next
                           const T *panel,   // (depth, C vectors)
                           Index depth,      // of the product
                           T *to,            // (R, C vectors), or as much of it as there is
                           Index to_stride,  // from one row to the next
                           Index columns,    // that the rows of `to` have left
                           bool add);        // false: over what is there

template <int R, int C, class T>
__attribute__((noinline)) void outer_tile(const T *a, Index a_stride, const T *panel, Index depth, T *to,
                                          Index to_stride, Index columns, bool add) {
  constexpr int V = Vec<T>::size;
  for (int r = 0; add && r < R; ++r) {  // needed at the end, where nothing would hide the latency
    for (int c = 0; c < C; ++c) {
      fetch_to_write(to + r * to_stride + c * V);
    }
  }
  Vec<T> sum[R][C] = {};
  for (Index k = 0; k < depth; ++k, a += a_stride) {
    Vec<T> column[C];
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      column[c] = Vec<T>::load(panel + (k * C + c) * V);
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const Vec<T> factor = Vec<T>::broadcast(a[r]);
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) {
        sum[r][c] = fma(factor, column[c], sum[r][c]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      T *at = to + r * to_stride + c * V;
      const Index lanes = columns - c * V;
      put(add ? get(at, lanes) + sum[r][c] : sum[r][c], at, lanes);
    }
  }
}

template <class T>
inline OuterTile<T> outer_tile_for(Index rows, int vectors) {
  RECURRA_TILE_TABLE(OuterTile<T>, tiles, outer_tile, one_pass)
  return tiles[vectors - 1][rows - 1];
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
