// Work on many independent elements, shared out among a team and done in pieces, so that it can be interrupted.
#pragma once

#include <algorithm>

#include "system/team.h"

namespace recurra {

// body(first, last) for pieces of [0, size), of which each element is worth `cost` multiply-adds; false if interrupted,
// which can't be without a function to ask for signals. It must not throw.
template <class Body>
bool in_pieces(Index size, Index cost, Signalled signalled, const Body &body) {
  constexpr Index kThreadWork = 3'000'000;  // below, a second thread costs more than it brings
  constexpr Index kPieceWork = kPollBudget / 4;
  const Index most = std::min<Index>(thread_setting(), 1 + size * cost / kThreadWork);
  Team team(signalled, std::max(1, usable_threads(static_cast<int>(most))));
  return team.run([&](Pulse &pulse) {
    const Index piece = std::max<Index>(1, kPieceWork / cost), last = size * (pulse.member + 1) / pulse.members;
    for (Index first = size * pulse.member / pulse.members, end; first < last; first = end) {
      end = std::min(last, first + piece);
      body(first, end);
      pulse.credit -= (end - first) * cost;
      if (pulse.credit < 0 && pulse.poll(&pulse)) return;
    }
  });
}

}  // namespace recurra
