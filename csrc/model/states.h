// States of the caller's sequences, and of the rows that the kernels go through: where a state is reset on its way, a
// sequence has several rows, of which one begins with the caller's state and one ends with it.
#pragma once

#include <algorithm>

#include "model/network.h"

namespace recurra {

enum class End { kEntering, kLeaving };

// visit(layer and direction, sequence, place of its row or -1).
template <class Visit>
void for_states(const NetworkShape &shape, const Sequences &sequences, End end, const Visit &visit) {
  for (Index k = 0; k < shape.states(); ++k) {
    const bool reverse = shape.reversed(k % shape.directions);
    for (Index s = 0; s < sequences.batch; ++s) {
      visit(k, s, end == End::kEntering ? sequences.entering(s, reverse) : sequences.leaving(s, reverse));
    }
  }
}

// From the caller's (layers * directions, batch, size), or if `shared` (layers * directions, size), to rows of
// (layers * directions, rows.batch, size). Rows that have none are zeros.
template <class T>
void spread_states(const NetworkShape &shape, const Sequences &sequences, End end, Index size, bool shared,
                   const T *from, T *to) {
  const Index rows = sequences.rows.batch;
  if (sequences.cut()) std::fill_n(to, shape.states() * rows * size, T(0));
  for_states(shape, sequences, end, [&](Index k, Index s, Index place) {
    if (place >= 0)
      std::copy_n(from + (shared ? k : k * sequences.batch + s) * size, size, to + (k * rows + place) * size);
  });
}

// The way back, to zeros for sequences whose state is dropped.
template <class T>
void gather_states(const NetworkShape &shape, const Sequences &sequences, End end, Index size, const T *from, T *to) {
  const Index rows = sequences.rows.batch;
  for_states(shape, sequences, end, [&](Index k, Index s, Index place) {
    T *state = to + (k * sequences.batch + s) * size;
    if (place < 0) {
      std::fill_n(state, size, T(0));
    } else {
      std::copy_n(from + (k * rows + place) * size, size, state);
    }
  });
}

}  // namespace recurra
