// Matrix products on packed panels: one micro-kernel serves every product here (A·Wᵀ, A·W and Aᵀ·B).
//
// A panel is a stretch of up to kPanelVectors vectors of output columns, for all depths: panel[k][column]. A register
// tile of R rows by C vectors runs down the panel with one multiply-add per element and step, so each output is one
// chain in k, whatever R, C and the vector width are.
#pragma once

#include <type_traits>

#include "kernels/product/prefetch.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

constexpr int kMaxTileRows = 8;  // row pointers live in general registers: 8 + panel + k + depth of 15

// 6 x 4 and 8 x 3 on AVX-512, 3 x 4 and 4 x 3 on AVX2: all accumulators used, and panel loads well below one per FMA.
constexpr int tile_rows(int vectors) {
  return kAccumulators / vectors < kMaxTileRows ? kAccumulators / vectors : kMaxTileRows;
}

// Loads and stores of `lanes` values where a row may end inside the vector.
template <class T>
RECURRA_INLINE Vec<T> get(const T *from, Index lanes) {
  return lanes >= Vec<T>::size ? Vec<T>::load(from) : Vec<T>::load(from, static_cast<int>(lanes));
}
template <class T>
RECURRA_INLINE void put(Vec<T> v, T *to, Index lanes) {
  if (lanes >= Vec<T>::size) {
    v.store(to);
  } else {
    v.store(to, static_cast<int>(lanes));
  }
}

// With 12 accumulators a remainder of one or two rows of a full panel would leave 4 or 8 chains, which reach 71 % of
// the peak at best; five rows in two passes of half the panel have 10 and reach 95 %.
constexpr bool kTwoPasses = kAccumulators == 3 * kPanelVectors;
constexpr Index kPassRows = 5;

// to[r][:] = from[r][:] + Σ_k rows[r][k] * panel[k][:], r < R, C vectors wide, one fma chain per element.
// from_stride 0 starts every row alike (a bias). `to` may be `from`.
template <class T>
using Tile = void (*)(const T *from, Index from_stride, const T *const *rows, Index row_offset, const T *panel,
                      Index depth, T *to, Index to_stride, const Ahead<T> &ahead);

template <bool kAhead, bool kLines, int R, int C, class T>
RECURRA_INLINE void tile_body(const T *from, Index from_stride, const T *const *rows, Index row_offset, const T *panel,
                              Index depth, T *to, Index to_stride, const Ahead<T> &asked) {
  constexpr int V = Vec<T>::size;
  constexpr int kPass = kTwoPasses && R == kPassRows && C == kPanelVectors ? C / 2 : C;
  Ahead<T> ahead = kAhead ? asked : Ahead<T>{};
  const T *row[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    row[r] = rows[r] + row_offset;
  }
  for (int pass = 0; pass < C; pass += kPass, from += kPass * V, to += kPass * V, panel += kPass * V) {
    Vec<T> sum[R][kPass];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int c = 0; c < kPass; ++c) {
        sum[r][c] = Vec<T>::load(from + r * from_stride + c * V);
      }
    }
    for (Index k = 0, next = 0; k < depth; ++k) {
      if (kAhead && pass == 0 && k == next) {  // one more instruction per k is 3 % of a tile that fetches nothing
        if (!kLines || ahead.panel) {
          __builtin_prefetch(ahead.panel, 0, 2);
          ahead.panel += kLineBytes / static_cast<Index>(sizeof(T));
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
        column[c] = Vec<T>::load(panel + (k * C + c) * V);
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
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int c = 0; c < kPass; ++c) {
        sum[r][c].store(to + r * to_stride + c * V);
      }
    }
  }
}

template <int R, int C, class T>
__attribute__((noinline)) void tile(const T *from, Index from_stride, const T *const *rows, Index row_offset,
                                    const T *panel, Index depth, T *to, Index to_stride, const Ahead<T> &ahead) {
  tile_body<false, false, R, C>(from, from_stride, rows, row_offset, panel, depth, to, to_stride, ahead);
}
template <int R, int C, class T>
__attribute__((noinline)) void fetching_tile(const T *from, Index from_stride, const T *const *rows, Index row_offset,
                                             const T *panel, Index depth, T *to, Index to_stride,
                                             const Ahead<T> &ahead) {
  tile_body<true, false, R, C>(from, from_stride, rows, row_offset, panel, depth, to, to_stride, ahead);
}
template <int R, int C, class T>
__attribute__((noinline)) void naming_tile(const T *from, Index from_stride, const T *const *rows, Index row_offset,
                                           const T *panel, Index depth, T *to, Index to_stride, const Ahead<T> &ahead) {
  tile_body<true, true, R, C>(from, from_stride, rows, row_offset, panel, depth, to, to_stride, ahead);
}

// tiles[vectors - 1][rows - 1] of a family, for 1 … kMaxTileRows rows by 1 … kPanelVectors vectors; rows beyond the
// family's limit are never asked for.
#define RECURRA_TILE_ROW(family, limit, C)                                                                     \
  {family<1, C, T>,           family<2, C, T>,           family<3, C, T>,           family<limit(4, C), C, T>, \
   family<limit(5, C), C, T>, family<limit(6, C), C, T>, family<limit(7, C), C, T>, family<limit(8, C), C, T>}
#define RECURRA_TILE_TABLE(type, name, family, limit)                                                             \
  static constexpr type name[kPanelVectors][kMaxTileRows] = {                                                     \
      RECURRA_TILE_ROW(family, limit, 1), RECURRA_TILE_ROW(family, limit, 2), RECURRA_TILE_ROW(family, limit, 3), \
      RECURRA_TILE_ROW(family, limit, 4)};

constexpr int one_pass(int rows, int vectors) { return rows < tile_rows(vectors) ? rows : tile_rows(vectors); }
constexpr int one_pass_or_two(int rows, int vectors) {
  return kTwoPasses && rows == kPassRows && vectors == kPanelVectors ? rows : one_pass(rows, vectors);
}

template <class T>
inline Tile<T> tile_for(Index rows, int vectors, const Ahead<T> &ahead) {
  RECURRA_TILE_TABLE(Tile<T>, tiles, tile, one_pass_or_two)
  RECURRA_TILE_TABLE(Tile<T>, fetching, fetching_tile, one_pass_or_two)  // of the next panel alone: GRU inference at
  RECURRA_TILE_TABLE(Tile<T>, naming, naming_tile, one_pass_or_two)      // H=256 is 8 % slower by the other
  return (ahead.line_count ? naming : ahead.every ? fetching : tiles)[vectors - 1][rows - 1];
}

// A block's outer products, summed from zero: Σ_k a[k][r] * panel[k][:], r < R, written over or added to `to`, whose
// rows have `columns` left. `a` is read as it stands, k rows apart: turning it first took 13 % of a training call.
template <class T>
using OuterTile = void (*)(const T *a, Index a_stride, const T *panel, Index depth, T *to, Index to_stride,
                           Index columns, bool add);

template <int R, int C, class T>
__attribute__((noinline)) void outer_tile(const T *a, Index a_stride, const T *panel, Index depth, T *to,
                                          Index to_stride, Index columns, bool add) {
  constexpr int V = Vec<T>::size;
  for (int r = 0; add && r < R; ++r) {  // needed at the end, when nothing would hide the wait
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

// Calls visit(first, count) for tiles of about `most` rows: 32 rows in sixes go 6,6,5,5,5,5, since a tile of two rows
// would load the panel as often as one of six; in threes with two passes they go 5,3,3,3,3,3,3,3,3,3.
template <class Visit>
RECURRA_INLINE void balanced_tiles(Index rows, Index most, int vectors, Visit visit) {
  if (rows <= most) {  // spares batch 1 two divisions a panel
    if (rows > 0) {
      visit(Index(0), rows);
    }
    return;
  }
  Index first = 0;
  if (kTwoPasses && most == 3 && vectors == kPanelVectors) {
    for (Index n = smaller((3 - rows % 3) % 3, rows / kPassRows); n > 0; --n, first += kPassRows) {
      visit(first, kPassRows);
    }
  }
  const Index tiles = ceil_div(rows - first, most);
  for (Index i = 0; i < tiles; ++i) {
    const Index count = (rows - first) / (tiles - i);
    visit(first, count);
    first += count;
  }
}

// A stretch of a chain: depth values from every row (after row_offset), against the panel's next depth rows.
template <class T>
struct Segment {
  const T *const *rows;
  Index row_offset;
  const T *panel;
  Index depth;
};

constexpr Index kScratchRows = 8;  // of a panel's width: where a tile hands its sums to the epilogue, in L1

// The product of all rows with one panel. Each row's chain starts at from[row] and runs through the segments; then
// finish(first, count, sums) gets tiles of kScratchRows rows or fewer, `vectors` vectors apart.
// A panel deeper than block goes in stretches over all rows, so that a stretch stays in L1/L2 while the rows pass;
// the sums wait in `stash` (rows x vectors), which keeps the chain as it is. prepare(first, count, lines) comes before
// a tile's last product and names the lines that finish will touch (one without the last argument names none), which
// are fetched then, or `spread` over the product: that takes an instruction more a k, but drops none. place(first,
// scratch) may have its sums somewhere else. `ahead` is the panel that comes next, or null.
struct Unprepared {
  RECURRA_INLINE void operator()(Index, Index) const {}
};
template <class T>
struct Place {
  T *at;
  Index stride;
};
struct InScratch {
  template <class T>
  RECURRA_INLINE Place<T> operator()(Index, const Place<T> &scratch) const {
    return scratch;
  }
};
template <class T, class Finish, class Prepare = Unprepared, class Placing = InScratch>
RECURRA_INLINE void panel_product(Index rows, int vectors, const T *from, Index from_stride, const Segment<T> *segments,
                                  int count, Index block, Index most_rows, T *stash, const T *ahead, bool spread,
                                  Finish finish, Prepare prepare = Unprepared(), Placing place = InScratch()) {
  const Index width = vectors * Vec<T>::size;
  const Index most = smaller(most_rows, tile_rows(vectors));
  alignas(64) T scratch[kScratchRows * kPanelVectors * Vec<T>::size];
  bool started = false;
  for (int s = 0; s < count; ++s) {
    const Segment<T> &segment = segments[s];
    Index k = 0;
    do {
      const Index depth = smaller(block, segment.depth - k);
      const bool last = s + 1 == count && k + depth == segment.depth;
      NextPanel<T> next(last ? ahead : nullptr, depth, width, rows, most);
      balanced_tiles(rows, most, vectors, [&](Index first, Index n) __attribute__((always_inline)) {
        const Place<T> to = last ? place(first, Place<T>{scratch, width}) : Place<T>{stash + first * width, width};
        const auto run = [&](const Ahead<T> &fetched) __attribute__((always_inline)) {
          tile_for<T>(n, vectors, fetched)(started ? stash + first * width : from + first * from_stride,
                                           started ? width : from_stride, segment.rows + first, segment.row_offset + k,
                                           segment.panel + k * width, depth, to.at, to.stride, fetched);
        };
        if constexpr (std::is_invocable_v<Prepare, Index, Index, Lines &>) {
          Lines lines;
          if (last) {
            prepare(first, n, lines);
          }
          if (!spread) {
            for (const void *line : lines) {
              fetch(line);
            }
          }
          run(next.take(lines.begin(), spread ? lines.count() : 0));
        } else {  // without 4 KB of stack for a list
          if (last) {
            prepare(first, n);
          }
          run(next.take());
        }
        if (last) {
          finish(first, n, to.at);
        }
      });
      started = true;
      k += depth;
    } while (k < segment.depth);
  }
}

RECURRA_INLINE bool interrupted(Pulse *pulse, Index multiply_adds) {
  pulse->credit -= multiply_adds;
  return pulse->credit < 0 && pulse->poll(pulse);
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
