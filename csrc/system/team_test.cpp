#include "system/team.h"

#include <atomic>

#include "testing/core_test.h"

namespace recurra {
namespace {

TEST_CASE("team: nobody passes a meeting before all have come") {
  for (const int members : {1, 2, 3, 5}) {
    CAPTURE(members);
    Team team(nullptr, members);
    constexpr int turns = 300;
    // Plain numbers: what a member wrote before a meeting, all may read after it, and a thread sanitizer sees whether.
    std::vector<int> reached(static_cast<std::size_t>(members));
    std::atomic<int> wrong{0}, ran{0};
    const bool done = team.run([&](Pulse &pulse) {
      ++ran;
      for (int turn = 1; turn <= turns; ++turn) {
        reached[pulse.member] = turn;
        if (!pulse.meet(&pulse)) ++wrong;
        for (int other = 0; other < pulse.members; ++other) wrong += reached[other] != turn;
        if (!pulse.meet(&pulse)) ++wrong;
      }
    });
    CHECK(done);
    CHECK(ran == team.size());
    CHECK(team.size() >= 1);
    CHECK(wrong == 0);
  }
}

TEST_CASE("team: a signal ends the work of all, those that wait at a meeting too") {
  Team team([] { return true; }, 3);
  std::atomic<int> ended{0};
  CHECK_FALSE(team.run([&](Pulse &pulse) {
    if (pulse.member == 0) {
      while (!pulse.poll(&pulse)) yield();  // and never comes to the meeting
      ++ended;
    } else {
      ended += pulse.meet(&pulse) ? 0 : 1;
    }
  }));
  CHECK(ended == team.size());
  CHECK(team.stopped());
}

TEST_CASE("team: a member that leaves early holds nobody up") {
  Team team(nullptr, 3);
  std::atomic<int> ran{0};
  CHECK(team.run([&](Pulse &pulse) { ran += pulse.member == 0 ? 1 : 10; }));
  CHECK(ran % 10 == 1);
}

}  // namespace
}  // namespace recurra
