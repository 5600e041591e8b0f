// The last step of every backward pass.
#pragma once

#include "system/pieces.h"

namespace recurra {

// gradient += sum. Not interrupted, as it would be done in part: it takes a small share of the pass that made the sum.
template <class T>
void add_gradient(Index size, const T *sum, T *gradient) {
  in_pieces(size, kCopyWork, nullptr, [&](Index first, Index last) {
    for (Index i = first; i < last; ++i) gradient[i] += sum[i];
  });
}

}  // namespace recurra
