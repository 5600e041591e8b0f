// The micro-kernel of products on packed panels: A·Wᵀ of the forward pass and A·W of the backward pass.
//
// A panel holds up to kPanelVectors vectors of output columns for all depths: panel[k][column]. The micro-kernel is a
// register tile of R rows (MR) by C vectors (NR) that runs down the panel with one multiply-add per element and depth.
// So each output is one chain in k, whatever R, C and the vector width are.
#pragma once

#include <type_traits>

#include "kernels/product/prefetch.h"
#include "kernels/product/tile_shapes.h"
#include "kernels/product/weights.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// to[r][:] = from[r][:] + Σ_k rows[r][k] * panel[k][:] for R rows, C vectors wide, one fma chain per element. Arguments
// rather than a struct of them: six come in registers, and a tile of 8 deep took 10 to 40 % longer by way of memory.
template <class T, class W = FullWeights<T>>
using Tile = void (*)(const T *from,                     // (R, C vectors): where the chains begin
                      Index from_stride,                 // 0: every row begins with the same values, as with a bias
                      const typename W::Row *rows,       // (R) rows of values,
                      Index row_offset,                  // of which the first `row_offset` are passed over
                      const typename W::Storage *panel,  // (depth, C vectors)
                      Index depth,                       // of the product
                      T *to,                             // (R, C vectors); may be `from`
                      Index to_stride,                   // from one row to the next
                      const PrefetchOf<W> &ahead         // what to prefetch meanwhile
);

// sum[r][:] += Σ_k row[r][k] * panel[k][:] of narrow weights, which lie in a panel C vectors wide.
template <bool kAhead, int C, class W, int R, int N>
RECURRA_INLINE void multiply_narrow(const float *const (&row)[R], const typename W::Storage *panel, Index depth,
                                    PrefetchOf<W> ahead, Vec<float> (&sum)[R][N]) {
  constexpr Index V = W::kLanes, G = W::kGroup;
  Index next = ahead.every ? 0 : -1;
  const auto add = [&](Index k, auto depth_of_group) __attribute__((always_inline)) {
    if (kAhead && k == next) {
      __builtin_prefetch(ahead.panel, 0, 2);
      ahead.panel += kLineBytes / static_cast<Index>(sizeof(typename W::Storage));
      next += ahead.every;
    }
    const auto column = [&](int c) __attribute__((always_inline)) {
      return W::template load<decltype(depth_of_group)::value>(panel + c * V * G);
    };
    // Of values or of weights, only the fewer wait in registers: AVX2 has four beside the sums.
    if constexpr (R <= N) {
      Vec<float> values[R];
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        values[r] = Vec<float>::broadcast(row[r][k]);
      }
#pragma GCC unroll 4
      for (int c = 0; c < N; ++c) {
        const Vec<float> weights = column(c);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          sum[r][c] = fma(values[r], weights, sum[r][c]);
        }
      }
    } else {
      Vec<float> weights[N];
#pragma GCC unroll 4
      for (int c = 0; c < N; ++c) {
        weights[c] = column(c);
      }
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const Vec<float> value = Vec<float>::broadcast(row[r][k]);
#pragma GCC unroll 4
        for (int c = 0; c < N; ++c) {
          sum[r][c] = fma(value, weights[c], sum[r][c]);
        }
      }
    }
  };
  Index group = 0;
  for (; group + G <= depth; group += G, panel += C * V * G) {
    add(group, std::integral_constant<int, 0>());
    if constexpr (G == 2) {
      add(group + 1, std::integral_constant<int, 1>());
    }
  }
  if (group < depth) {
    add(group, std::integral_constant<int, 0>());
  }
}

template <bool kAhead, bool kLines, int R, int C, class T, class W>
RECURRA_INLINE void tile_body(const T *from, Index from_stride, const typename W::Row *rows, Index row_offset,
                              const typename W::Storage *panel, Index depth, T *to, Index to_stride,
                              const PrefetchOf<W> &asked) {
  constexpr int V = Vec<T>::size;
  constexpr int kPass = W::Shapes::pass(R, C);
  PrefetchOf<W> ahead = kAhead ? asked : PrefetchOf<W>{};
  const T *row[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    row[r] = rows[r] + row_offset;
  }
  for (int pass = 0; pass < C; pass += kPass, from += kPass * V, to += kPass * V, panel += kPass * V * W::kGroup) {
    Vec<T> sum[R][kPass];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int c = 0; c < kPass; ++c) {
        sum[r][c] = Vec<T>::load(from + r * from_stride + c * V);
      }
    }
    if constexpr (!W::kNarrow) {
      for (Index k = 0, next = 0; k < depth; ++k) {
        if (kAhead && pass == 0 && k == next) {  // one more instruction per k is 3 % of a tile that fetches nothing
          if (!kLines || ahead.panel) {
            __builtin_prefetch(ahead.panel, 0, 2);
            ahead.panel += kLineBytes / static_cast<Index>(sizeof(typename W::Storage));
          }
          if (kLines && ahead.line_count > 0) {
            __builtin_prefetch(*ahead.lines++);
            --ahead.line_count;
          }
          next += ahead.every;
        }
        Vec<T> column[kPass];
#pragma GCC unroll 4
        for (int c = 0; c < kPass; ++c) {
          column[c] = W::load(panel + (k * C + c) * V);
        }
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          const Vec<T> a = Vec<T>::broadcast(row[r][k]);
#pragma GCC unroll 4
          for (int c = 0; c < kPass; ++c) {
            sum[r][c] = fma(a, column[c], sum[r][c]);
          }
        }
      }
    } else {
      multiply_narrow<kAhead, C, W>(row, panel, depth, kAhead && pass == 0 ? ahead : PrefetchOf<W>{}, sum);
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int c = 0; c < kPass; ++c) {
        sum[r][c].store(to + r * to_stride + c * V);
      }
    }
  }
}

template <int R, int C, class T, class W>
__attribute__((noinline)) void tile(const T *from, Index from_stride, const typename W::Row *rows, Index row_offset,
                                    const typename W::Storage *panel, Index depth, T *to, Index to_stride,
                                    const PrefetchOf<W> &ahead) {
  tile_body<false, false, R, C, T, W>(from, from_stride, rows, row_offset, panel, depth, to, to_stride, ahead);
}
template <int R, int C, class T, class W>
__attribute__((noinline)) void fetching_tile(const T *from, Index from_stride, const typename W::Row *rows,
                                             Index row_offset, const typename W::Storage *panel, Index depth, T *to,
                                             Index to_stride, const PrefetchOf<W> &ahead) {
  tile_body<true, false, R, C, T, W>(from, from_stride, rows, row_offset, panel, depth, to, to_stride, ahead);
}
template <int R, int C, class T, class W>
__attribute__((noinline)) void naming_tile(const T *from, Index from_stride, const typename W::Row *rows,
                                           Index row_offset, const typename W::Storage *panel, Index depth, T *to,
                                           Index to_stride, const PrefetchOf<W> &ahead) {
  tile_body<true, true, R, C, T, W>(from, from_stride, rows, row_offset, panel, depth, to, to_stride, ahead);
}

template <class T, class W = FullWeights<T>>
inline Tile<T, W> tile_for(Index rows, int vectors, const PrefetchOf<W> &ahead) {
  using Function = Tile<T, W>;
  if constexpr (W::kNarrow) {  // one for all, as three have 60 KB more for each ISA, and their epilogues name no lines
    RECURRA_TILES(Function, narrow, fetching_tile, W::Shapes::at_most, T, W)
    return narrow[vectors - 1][rows - 1];
  } else {
    RECURRA_TILES(Function, tiles, tile, W::Shapes::at_most, T, W)
    // These prefetch the next panel alone: with tiles that also take a list of lines, GRU inference at H=256 is 8 %
    // slower.
    RECURRA_TILES(Function, fetching, fetching_tile, W::Shapes::at_most, T, W)
    RECURRA_TILES(Function, naming, naming_tile, W::Shapes::at_most, T, W)
    return (ahead.line_count ? naming : ahead.every ? fetching : tiles)[vectors - 1][rows - 1];
  }
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
