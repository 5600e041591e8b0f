#include "system/interrupt.h"

#include "testing/core_test.h"

namespace recurra {
namespace {

TEST_CASE("interrupt: nobody passes a meeting before all have come") {
  for (const int members : {1, 2, 3, 5}) {
    CAPTURE(members);
    Interrupt interrupt(nullptr, members);
    constexpr int turns = 300;
    // Plain numbers: what a member wrote before a meeting, all may read after it, and a thread sanitizer sees whether.
    std::vector<int> reached(static_cast<std::size_t>(members));
    std::atomic<int> wrong{0};
    in_threads(members, [&](int member) {
      Pulse pulse = interrupt.pulse(member, members);
      for (int turn = 1; turn <= turns; ++turn) {
        reached[member] = turn;
        if (!pulse.meet(&pulse)) ++wrong;
        for (const int other : reached) wrong += other != turn;
        if (!pulse.meet(&pulse)) ++wrong;
      }
    });
    CHECK(wrong == 0);
    CHECK_FALSE(interrupt.stopped());
  }
}

TEST_CASE("interrupt: a signal ends the work of all, those that wait at a meeting too") {
  constexpr int members = 3;
  Interrupt interrupt([] { return true; }, members);
  std::atomic<int> ended{0};
  in_threads(members, [&](int member) {
    Pulse pulse = interrupt.pulse(member, members);
    if (member == 0) {
      while (!pulse.poll(&pulse)) yield();  // and never comes to the meeting
      ++ended;
    } else {
      ended += pulse.meet(&pulse) ? 0 : 1;
    }
  });
  CHECK(ended == members);
  CHECK(interrupt.stopped());
}

TEST_CASE("interrupt: without somebody to ask nothing stops, and a poll gives new credit") {
  Interrupt interrupt(nullptr, 1);
  Pulse pulse = interrupt.pulse(0, 1);
  pulse.credit = -1;
  CHECK_FALSE(pulse.poll(&pulse));
  CHECK(pulse.credit > 0);
}

}  // namespace
}  // namespace recurra
