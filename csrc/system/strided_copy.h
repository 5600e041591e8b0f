// Copies between arrays of any strides, in tiles that use whole cache lines of both, so that it can be interrupted.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "system/pieces.h"

namespace recurra {

// Copies an array of `rank` axes from one place to another that it doesn't overlap; false if interrupted. Strides are
// bytes of any sign, and elements may lie at any address.
template <class T>
bool copy_strided(int rank, const Index *shape, const char *from, const Index *from_strides, char *to,
                  const Index *to_strides, Signalled signalled) {
  constexpr int kMostAxes = 64;  // NumPy's
  constexpr Index kTile = 1024, kSide = 32;
  struct Axis {
    Index length, from, to, side;
  } axes[kMostAxes + 2];
  int count = 0;
  for (int i = 0; i < rank; ++i) {
    if (shape[i] == 0) return true;
    if (shape[i] > 1) axes[count++] = {shape[i], from_strides[i], to_strides[i], 1};
  }
  while (count < 2) axes[count++] = {1, 0, 0, 1};
  // A tile is of the two axes along which elements are nearest to each other where they go and where they come from.
  std::sort(axes, axes + count, [](const Axis &a, const Axis &b) { return std::abs(a.to) < std::abs(b.to); });
  std::swap(axes[1], *std::min_element(axes + 1, axes + count, [](const Axis &a, const Axis &b) {
              return std::abs(a.from) < std::abs(b.from);
            }));
  Axis &column = axes[0], &row = axes[1];
  const bool runs = column.from == static_cast<Index>(sizeof(T)) && column.to == column.from;
  column.side = std::min(column.length, runs ? kTile : kSide);
  row.side = std::min(row.length, std::max(kSide, kTile / column.side));
  Index tiles = 1;
  for (int i = 0; i < count; ++i) tiles *= (axes[i].length + axes[i].side - 1) / axes[i].side;

  const auto copy_tile = [&](Index tile) {
    const char *source = from;
    char *target = to;
    Index sides[2] = {};
    for (int i = 0; i < count; ++i) {
      const Axis &axis = axes[i];
      const Index pieces = (axis.length + axis.side - 1) / axis.side, at = tile % pieces * axis.side;
      tile /= pieces;
      source += at * axis.from;
      target += at * axis.to;
      if (i < 2) sides[i] = std::min(axis.side, axis.length - at);
    }
    for (Index r = 0; r < sides[1]; ++r, source += row.from, target += row.to) {
      if (runs) {
        std::memcpy(target, source, static_cast<std::size_t>(sides[0]) * sizeof(T));
        continue;
      }
      for (Index c = 0; c < sides[0]; ++c) std::memcpy(target + c * column.to, source + c * column.from, sizeof(T));
    }
  };
  return in_pieces(tiles, kCopyWork * column.side * row.side, signalled, [&](Index first, Index last) {
    for (Index tile = first; tile < last; ++tile) copy_tile(tile);
  });
}

}  // namespace recurra
