// One block's contribution to gradients of weights: the products of its rows' deltas with what the weights multiplied.
#pragma once

#include "kernels/arena.h"
#include "kernels/integers.h"
#include "kernels/interrupt.h"
#include "kernels/product/outer_tile.h"
#include "kernels/product/prefetch.h"
#include "kernels/rows.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

constexpr Index kGroupPanels = 512 / kVectorBytes;  // panels packed at once: a quarter of a megabyte
constexpr Index kBandColumns = 96;  // delta columns that pass all panels of a group; whole tiles of 3 rows and of 6
constexpr Index kPackedRows = kBlockRows + 1;  // of a packed panel; 16 KB apart, all would fight for a few lines of L1
constexpr int kMaxSides = 1 + kMaxSources;     // x and the sources of products

// By what a block's deltas are multiplied: columns [first, first + columns) of rows, of which a null one is zeros.
template <class T>
struct Side {
  Index columns;
  const T *const *rows;
  Index first;
};

// Delta columns [first, last), and for each side where the gradient of the first column's weights begins, in rows of
// side.columns; null: they aren't multiplied by that side. The columns' sums go to each bias that isn't null.
template <class T>
struct DeltaColumns {
  Index first, last;
  T *weight[kMaxSides];
  T *bias[2];
};

template <class T>
struct GradientWork {
  T *inputs;  // packed sides of a block, [panel][row][column]
  T *band;    // columns of its deltas, [row][kBandColumns]
  const T **rows[kMaxSides];
  Index *tokens;  // of a block

  GradientWork(Arena &arena, int sides) {
    inputs = arena.take<T>(kGroupPanels * kPackedRows * kPanelVectors * Vec<T>::size);
    band = arena.take<T>(kBlockRows * kBandColumns);
    for (int side = 0; side < sides; ++side) {
      rows[side] = arena.take<const T *>(kBlockRows);
    }
    tokens = arena.take<Index>(kBlockRows);
  }
};

// Packs the columns [begin, end) of a side as panels, row by row, and prefetches some rows ahead. Panel by panel, each
// row's 128 bytes had come from memory at 1.7 bytes per cycle.
template <class T>
void pack_side(const Side<T> &side, Index count, Index begin, Index end, T *to) {
  constexpr Index V = Vec<T>::size, full = kPanelVectors * V;
  constexpr Index line = kLineBytes / static_cast<Index>(sizeof(T));
  const Index ahead = end - begin > full ? 4 : count;  // short rows lie close together
  for (Index n = 0; n < count; ++n) {
    const T *row = side.rows[n], *next = n + ahead < count ? side.rows[n + ahead] : nullptr;
    for (Index i = begin; next && i < end; i += line) {
      fetch(next + side.first + i);
    }
    for (Index column = begin; column < end; column += full) {
      const Index width = smaller(full, ceil_div(end - column, V) * V);
      T *at = to + (column - begin) * kPackedRows + n * width;
      for (Index i = column; i < column + width; i += V, at += V) {
        (row ? get(row + side.first + i, side.columns - i) : Vec<T>::zero()).store(at);
      }
    }
  }
}

// Sums of `count` rows of deltas, column by column.
template <class T>
void block_sums(const T *deltas, Index delta_stride, Index count, Index columns, T *to, bool add) {
  constexpr Index V = Vec<T>::size;
  Index column = 0;
  for (; column + 4 * V <= columns; column += 4 * V) {  // four chains at once, or each add waits for the last
    Vec<T> sums[4] = {};
    for (Index n = 0; n < count; ++n) {
#pragma GCC unroll 4
      for (int c = 0; c < 4; ++c) {
        sums[c] = sums[c] + Vec<T>::load(deltas + n * delta_stride + column + c * V);
      }
    }
    for (int c = 0; c < 4; ++c) {
      T *at = to + column + c * V;
      (add ? Vec<T>::load(at) + sums[c] : sums[c]).store(at);
    }
  }
  for (; column < columns; column += V) {
    const Index lanes = columns - column;
    Vec<T> sum = Vec<T>::zero();
    for (Index n = 0; n < count; ++n) {
      sum = sum + get(deltas + n * delta_stride + column, lanes);
    }
    put(add ? get(to + column, lanes) + sum : sum, to + column, lanes);
  }
}

// Copies columns of a block's deltas into contiguous memory: in place, each row is on a page of its own, and 128 pages
// are more than the first-level TLB holds.
template <class T>
void copy_band(const T *deltas, Index delta_stride, Index count, Index columns, T *to) {
  constexpr Index V = Vec<T>::size;
  for (Index n = 0; n < count; ++n) {
    for (Index i = 0; i < columns; i += V) {
      put(get(deltas + n * delta_stride + i, columns - i), to + n * kBandColumns + i, columns - i);
    }
  }
}

// One block's contribution to dW[row][column] = Σ_n deltas[n][row] * side[n][column], for all strips and the sides that
// they are multiplied by, and to their biases. The first block overwrites, later ones add.
template <class T>
bool block_gradient(GradientWork<T> &work, const Side<T> *sides, int side_count, const DeltaColumns<T> *strips,
                    int strip_count, Index count, const T *deltas, Index delta_stride, bool add, Worker *worker) {
  constexpr Index V = Vec<T>::size;
  constexpr Index full = kPanelVectors * V;
  struct Panel {
    int side, vectors;
    Index column;
    const T *packed;
  } panels[kGroupPanels];
  int side = 0;
  Index column = 0;
  bool first_group = true;
  do {  // a group: the next panels of all sides, one side after the other
    Index size = 0;
    while (side < side_count && size < kGroupPanels) {
      const Index end = smaller(sides[side].columns, column + (kGroupPanels - size) * full);
      T *packed = work.inputs + size * kPackedRows * full;
      pack_side(sides[side], count, column, end, packed);
      for (; column < end; column += full, packed += kPackedRows * full) {
        const int vectors = static_cast<int>(smaller(kPanelVectors, ceil_div(end - column, V)));
        panels[size++] = {side, vectors, column, packed};
      }
      if (column >= sides[side].columns) {
        ++side;
        column = 0;
      }
    }
    for (const DeltaColumns<T> *strip = strips; strip < strips + strip_count; ++strip) {
      Index met = 0;
      for (Index p = 0; p < size; ++p) {
        met += strip->weight[panels[p].side] ? 1 : 0;
      }
      const bool copied = met * full >= 256 && count >= kBlockRows / 2;  // below, the copy costs more than it saves
      for (Index begin = strip->first; begin < strip->last && (met > 0 || first_group); begin += kBandColumns) {
        const Index columns = smaller(kBandColumns, strip->last - begin), at = begin - strip->first;
        const Index stride = copied ? kBandColumns : delta_stride;
        const T *band = deltas + begin;
        if (copied) {
          copy_band(band, delta_stride, count, columns, work.band);
          band = work.band;
        }
        const T *summed = nullptr;
        for (T *bias : strip->bias) {
          if (!first_group || !bias) {
            continue;
          }
          if (!summed) {
            block_sums(band, stride, count, columns, bias + at, add);
            summed = bias;
          } else {  // both biases have had the same sums from the first block on
            for (Index i = at; i < at + columns; ++i) {
              bias[i] = summed[i];
            }
          }
        }
        for (Index p = 0; p < size; ++p) {
          const Panel &panel = panels[p];
          T *weight = strip->weight[panel.side];
          const Index width = sides[panel.side].columns;
          for (Index row = 0; weight && row < columns; row += tile_rows(kPanelVectors)) {
            const Index n = smaller(tile_rows(kPanelVectors), columns - row);
            outer_tile_for<T>(n, panel.vectors)(band + row, stride, panel.packed, count,
                                                weight + (at + row) * width + panel.column, width, width - panel.column,
                                                add);
          }
        }
        if (interrupted(worker, count * columns * met * full)) {
          return false;
        }
      }
    }
    first_group = false;
  } while (side < side_count);
  return true;
}

// This part's share of [0, size), in whole register tiles.
RECURRA_INLINE Index share(Index size, Index part, Index parts) {
  const Index tiles = ceil_div(size, tile_rows(kPanelVectors));
  return smaller(size, tiles * part / parts * tile_rows(kPanelVectors));
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
