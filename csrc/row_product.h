// Batch 1: one row against several panels at once. A tile of one row by one panel has four chains or fewer, half of
// what two FMA units with a latency of four cycles need: GRU at H=128 1.3, LSTM at H=32 1.4 times as fast with more.
#pragma once

#include "gemm.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

constexpr int kRowPanels = 8;
constexpr Index kRowGroup = 8;  // panels whose sums wait for each other, so that their activations overlap

// Panels of `vectors` vectors that a row meets at once: 8 to 12 chains.
constexpr int row_panels(int vectors) { return vectors == 1 ? kRowPanels : vectors == 4 ? 2 : 4; }

// to[p][:] = from[p][:] + Σ_k row[k] * panel[p][k][:], p < P, C vectors wide, one fma chain per element; panels stand
// panel_stride apart, their beginnings from_stride, the results C vectors.
template <class T>
using RowTile = void (*)(const T *from, Index from_stride, const T *row, const T *panel, Index panel_stride,
                         Index depth, T *to);

template <int P, int C, class T>
__attribute__((noinline)) void row_tile(const T *from, Index from_stride, const T *row, const T *panel,
                                        Index panel_stride, Index depth, T *to) {
  constexpr int V = Vec<T>::size;
  Vec<T> sum[P][C];
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      sum[p][c] = Vec<T>::load(from + p * from_stride + c * V);
    }
  }
  for (Index k = 0; k < depth; ++k, panel += C * V) {
    const Vec<T> a = Vec<T>::broadcast(row[k]);
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) {
        sum[p][c] = fma(a, Vec<T>::load(panel + p * panel_stride + c * V), sum[p][c]);
      }
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      sum[p][c].store(to + (p * C + c) * V);
    }
  }
}

// tiles[vectors - 1][panels - 1]
template <class T>
inline RowTile<T> row_tile_for(Index panels, int vectors) {
  static constexpr RowTile<T> tiles[kPanelVectors][kRowPanels] = {
      {row_tile<1, 1, T>, row_tile<2, 1, T>, row_tile<3, 1, T>, row_tile<4, 1, T>, row_tile<5, 1, T>, row_tile<6, 1, T>,
       row_tile<7, 1, T>, row_tile<8, 1, T>},
      {row_tile<1, 2, T>, row_tile<2, 2, T>, row_tile<3, 2, T>, row_tile<4, 2, T>},
      {row_tile<1, 3, T>, row_tile<2, 3, T>, row_tile<3, 3, T>, row_tile<4, 3, T>},
      {row_tile<1, 4, T>, row_tile<2, 4, T>},
  };
  return tiles[vectors - 1][panels - 1];
}

// `count` panels, alike and `stride` apart; more than one only for a single row.
template <class T>
struct Panels {
  Index count;
  int vectors;
  const T *weights;
  Index stride;
  Index depth;
  const T *ahead;  // the weights that come next, or null
};

// The products of n rows with these panels. Row r of panel p begins at from + p * from_panel_stride + r * from_stride.
// start(count, sums) gets each tile of `count` rows, or all panels of one row as if they were rows; then come
// finish(p, first, count, sums) and before them prepare(p, first, count), as in panel_product.
template <class T, class Start, class Finish, class Prepare>
RECURRA_INLINE void panels_product(const Plan &plan, Index n, const T *const *rows, const Panels<T> &panels,
                                   const T *from, Index from_stride, Index from_panel_stride, T *stash, Start start,
                                   Finish finish, Prepare prepare) {
  if (panels.count == 1) {
    const Segment<T> segment{rows, 0, panels.weights, panels.depth};
    panel_product(
        n, panels.vectors, from, from_stride, &segment, 1, plan.depth_block, plan.tile_rows, stash, panels.ahead,
        [&](Index first, Index count, T *sums) {
          start(count, sums);
          finish(Index(0), first, count, sums);
        },
        [&](Index first, Index count) { prepare(Index(0), first, count); });
    return;
  }
  alignas(64) T sums[kRowGroup * kPanelVectors * Vec<T>::size];
  const Index width = panels.vectors * Vec<T>::size, most = row_panels(panels.vectors);
  for (Index p = 0; p < panels.count; ++p) {
    prepare(p, Index(0), Index(1));
  }
  for (Index p = 0; p < panels.count; p += most) {
    row_tile_for<T>(smaller(most, panels.count - p), panels.vectors)(from + p * from_panel_stride, from_panel_stride,
                                                                     rows[0], panels.weights + p * panels.stride,
                                                                     panels.stride, panels.depth, sums + p * width);
  }
  start(panels.count, sums);
  for (Index p = 0; p < panels.count; ++p) {
    finish(p, Index(0), Index(1), sums + p * width);
  }
}

// visit(panel, count, next) for balanced runs of at most `most` of `panels` panels, all alike but for the last if it is
// `narrow`, which then goes alone; `next` is the panel with which the next run begins, or -1. Stops when visit says so.
template <class Visit>
RECURRA_INLINE bool panel_runs(Index panels, Index most, bool narrow, bool backwards, Visit visit) {
  const Index alike = panels - (narrow ? 1 : 0), runs = ceil_div(alike, most), all = runs + (narrow ? 1 : 0);
  for (Index i = 0; i < all; ++i) {
    const Index run = backwards ? all - 1 - i : i;
    const auto start = [=](Index of) { return of < runs ? alike * of / runs : alike; };
    const Index next = i + 1 == all ? -1 : start(backwards ? run - 1 : run + 1);
    if (!visit(start(run), run < runs ? start(run + 1) - start(run) : 1, next)) {
      return false;
    }
  }
  return true;
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
