// What a register tile prefetches into the caches while it multiplies.
#pragma once

#include "kernels/integers.h"
#include "kernels/product/tile_shapes.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

constexpr Index kLineBytes = 64;

// Addresses of cache lines to be prefetched. Requested all at once, all but the first two dozen would be dropped.
class PrefetchList {
 public:
  static constexpr Index kMost = 512;
  static constexpr Index kPanelLines = kPanelVectors * kVectorBytes / kLineBytes + 1;

  // The lines of a whole panel's width from `from` on.
  template <class T>
  RECURRA_INLINE void add(const T *from) {
    constexpr Index line = kLineBytes / static_cast<Index>(sizeof(T)), width = kPanelVectors * Vec<T>::size;
    for (Index i = 0; i < width; i += line) {
      at_[count_++] = from + i;
    }
    if (reinterpret_cast<std::uintptr_t>(from) % kLineBytes) {
      at_[count_++] = from + width - 1;
    }
  }
  const void *const *begin() const { return at_; }
  const void *const *end() const { return at_ + count_; }
  Index count() const { return count_; }

 private:
  const void *at_[kMost];
  Index count_ = 0;
};

// What a tile prefetches every few depths (`every`): one cache line of the next panel, which would otherwise come from
// L3 no faster than its latency allows, and one of the lines that the epilogue will need. S is what panels are stored
// in.
template <class S>
struct TilePrefetch {
  const S *panel;  // null: none
  const void *const *lines;
  Index line_count;
  Index every;  // 0: nothing at all
};
template <class W>
using PrefetchOf = TilePrefetch<typename W::Storage>;

// Shares out the cache lines of the next panel (or null) among the tiles of this one.
template <class S>
struct PanelPrefetch {
  static constexpr Index kLine = kLineBytes / static_cast<Index>(sizeof(S));

  const S *panel;
  Index size, depth, pace, taken = 0;

  PanelPrefetch(const S *next, Index panel_depth, Index width, Index rows, Index most)
      : panel(next), size(panel_depth * width), depth(panel_depth), pace(ceil_div(rows, most) * kLine / width) {}

  // A tile's share, together with lines for its epilogue.
  RECURRA_INLINE TilePrefetch<S> take(const void *const *lines = nullptr, Index line_count = 0) {
    TilePrefetch<S> ahead{panel && taken < size ? panel + taken : nullptr, lines, line_count, 0};
    if (ahead.panel || line_count > 0) {
      ahead.every = ahead.panel ? pace : depth;
      if (line_count > 0) {
        ahead.every = smaller(ahead.every, depth / line_count);
      }
      ahead.every = larger(ahead.every, 1);
      taken += ceil_div(depth, ahead.every) * kLine;
    }
    return ahead;
  }
};

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
