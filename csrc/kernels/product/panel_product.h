// The product of all rows with one panel: tile by tile, one block of depth after another.
#pragma once

#include <type_traits>

#include "kernels/product/balance.h"
#include "kernels/product/tile.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// A term of a chain: `depth` values of every row (after row_offset) times the panel's next `depth` rows.
template <class T, class W = FullWeights<T>>
struct Term {
  const typename W::Row *rows;
  Index row_offset;
  const typename W::Storage *panel;
  Index depth;
};

constexpr Index kScratchRows = 8;  // of a panel's width: where a tile hands its sums to the epilogue, in L1

// All rows of a product against one panel.
template <class T, class W = FullWeights<T>>
struct PanelProduct {
  Index rows;
  int vectors;              // of the panel
  const T *from;            // (rows, vectors): where each row's chain starts
  Index from_stride;        // 0: every row's alike
  const Term<T, W> *terms;  // (count): what it runs through
  int count;
  Index depth_block;                 // depth that all rows do before the next block of the panel is touched
  Index tile_rows;                   // at most
  T *accumulators;                   // (rows, vectors): the sums between two blocks
  const typename W::Storage *ahead;  // the next panel, or null
  bool spread;                       // lines are prefetched over a tile's product instead of all before it
};

// Each row's chain starts at from[row] and runs through the terms; then
// finish(first, count, sums) gets tiles of kScratchRows rows or fewer, `vectors` vectors apart.
// A panel deeper than `depth_block` is processed in blocks of depth, each over all rows, so that the block stays in
// L1/L2 while the rows pass. Between two blocks the sums are stored in `accumulators` (rows x vectors), which keeps the
// chain as it is. prepare(first, count, lines) is called before a tile's last product and names the lines that finish
// will touch (a prepare without the last argument names none). They are prefetched at once, or `spread` over the
// product, which takes one instruction more per depth but loses none. place(first, scratch) may choose another place
// for the sums. `ahead` is the next panel, or null.
struct Unprepared {
  RECURRA_INLINE void operator()(Index, Index) const {}
};
template <class T>
struct Destination {
  T *at;
  Index stride;
};
struct ToScratch {
  template <class T>
  RECURRA_INLINE Destination<T> operator()(Index, const Destination<T> &scratch) const {
    return scratch;
  }
};
template <class T, class W, class Finish, class Prepare = Unprepared, class Placing = ToScratch>
RECURRA_INLINE void panel_product(const PanelProduct<T, W> &product, Finish finish, Prepare prepare = Unprepared(),
                                  Placing place = ToScratch()) {
  const Index rows = product.rows, from_stride = product.from_stride;
  const int vectors = product.vectors;
  const T *from = product.from;
  T *accumulators = product.accumulators;
  const bool spread = product.spread;
  const Index width = vectors * Vec<T>::size;
  const Index most = smaller(product.tile_rows, W::Shapes::rows(vectors));
  alignas(64) T scratch[kScratchRows * kPanelVectors * Vec<T>::size];
  bool started = false;
  for (int s = 0; s < product.count; ++s) {
    const Term<T, W> &term = product.terms[s];
    Index k = 0;
    do {
      const Index block = ceil_div(product.depth_block, W::kGroup) * W::kGroup;
      const Index depth = smaller(block, term.depth - k);
      const bool last = s + 1 == product.count && k + depth == term.depth;
      PanelPrefetch<typename W::Storage> next(last ? product.ahead : nullptr, depth, width, rows, most);
      balanced_tiles(rows, most, vectors, [&](Index first, Index n) __attribute__((always_inline)) {
        const Destination<T> to =
            last ? place(first, Destination<T>{scratch, width}) : Destination<T>{accumulators + first * width, width};
        const auto run = [&](const PrefetchOf<W> &fetched) __attribute__((always_inline)) {
          tile_for<T, W>(n, vectors, fetched)(started ? accumulators + first * width : from + first * from_stride,
                                              started ? width : from_stride, term.rows + first, term.row_offset + k,
                                              term.panel + k * width, depth, to.at, to.stride, fetched);
        };
        if constexpr (!W::kNarrow && std::is_invocable_v<Prepare, Index, Index, PrefetchList &>) {
          PrefetchList lines;
          if (last) {
            prepare(first, n, lines);
          }
          if (!spread) {
            for (const void *line : lines) {
              fetch(line);
            }
          }
          run(next.take(lines.begin(), spread ? lines.count() : 0));
        } else {  // needs no 4 KB of stack for a list
          if constexpr (std::is_invocable_v<Prepare, Index, Index>) {
            if (last) {
              prepare(first, n);
            }
          }
          run(next.take());
        }
        if (last) {
          finish(first, n, to.at);
        }
      });
      started = true;
      k += depth;
    } while (k < term.depth);
  }
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
