// How the rows of a product are shared out among register tiles.
#pragma once

#include "kernels/integers.h"
#include "kernels/product/tile_shapes.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

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

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
