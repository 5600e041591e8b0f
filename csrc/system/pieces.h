// Work on many independent elements, shared out among a team and done in pieces, so that it can be interrupted.
#pragma once

#include <algorithm>

#include "system/team.h"

namespace recurra {

// How many threads a call of so many independent pieces of work, and so many multiply-adds, is to have.
inline int threads_for(Index pieces, Index multiply_adds) {
  const Index most = std::min<Index>(thread_setting(), 1 + multiply_adds / kThreadWork);
  return static_cast<int>(std::max<Index>(1, usable_threads(static_cast<int>(std::min(most, pieces)))));
}

// body(first, last) for pieces of [0, size), of which each element is worth `cost` multiply-adds; false if interrupted,
// which can't be without a function to ask for signals. It must not throw.
template <class Body>
bool in_pieces(Index size, Index cost, Signalled signalled, const Body &body) {
  constexpr Index kPieceWork = kPollBudget / 4;
  if (size * cost <= kPieceWork) {
    body(Index(0), size);
    return true;
  }
  Team team(signalled, threads_for(size, size * cost));
  return team.run([&](Worker &worker) {
    const Index piece = std::max<Index>(1, kPieceWork / cost), last = size * (worker.member + 1) / worker.members;
    for (Index first = size * worker.member / worker.members, end; first < last; first = end) {
      end = std::min(last, first + piece);
      body(first, end);
      if (stops(worker, (end - first) * cost)) return;
    }
  });
}

}  // namespace recurra
