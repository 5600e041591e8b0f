// What a register tile fetches into the caches on the way through its product.
#pragma once

#include "kernels/integers.h"
#include "kernels/product/tile_shapes.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

constexpr Index kLineBytes = 64;

// Addresses of cache lines that are to be fetched. Asked for all at once, all but the first two dozen would be dropped.
class Lines {
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

// What a tile fetches on the way, at every so many k: a line of the panel that comes next, which would otherwise come
// from L3 no faster than its latency allows, and one of those that will be needed when the tile is done.
template <class T>
struct Ahead {
  const T *panel;  // null: none
  const void *const *lines;
  Index line_count;
  Index every;  // 0: nothing at all
};

// Shares out the lines of the panel that comes next (or null) among the tiles of this one.
template <class T>
struct NextPanel {
  static constexpr Index kLine = kLineBytes / static_cast<Index>(sizeof(T));

  const T *panel;
  Index size, depth, pace, taken = 0;

  NextPanel(const T *next, Index panel_depth, Index width, Index rows, Index most)
      : panel(next), size(panel_depth * width), depth(panel_depth), pace(ceil_div(rows, most) * kLine / width) {}

  // A tile's share, beside lines of its own.
  RECURRA_INLINE Ahead<T> take(const void *const *lines = nullptr, Index line_count = 0) {
    Ahead<T> ahead{panel && taken < size ? panel + taken : nullptr, lines, line_count, 0};
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
