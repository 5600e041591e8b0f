#include "system/team.h"

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

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
    std::atomic<int> wrong{0};
    in_threads(members, [&](int member) {
      Worker worker = team.worker(member, members);
      for (int turn = 1; turn <= turns; ++turn) {
        reached[member] = turn;
        if (!worker.barrier(&worker)) ++wrong;
        for (const int other : reached) wrong += other != turn;
        if (!worker.barrier(&worker)) ++wrong;
      }
    });
    CHECK(wrong == 0);
    CHECK_FALSE(team.stopped());
  }
}

TEST_CASE("team: a signal ends the work of all, those that wait at a meeting too") {
  constexpr int members = 3;
  Team team([] { return true; }, members);
  std::atomic<int> ended{0};
  in_threads(members, [&](int member) {
    Worker worker = team.worker(member, members);
    if (member == 0) {
      while (!worker.poll(&worker)) yield();  // and never comes to the meeting
      ++ended;
    } else {
      ended += worker.barrier(&worker) ? 0 : 1;
    }
  });
  CHECK(ended == members);
  CHECK(team.stopped());
}

TEST_CASE("team: without somebody to ask nothing stops, and a poll gives new credit") {
  Team team(nullptr, 1);
  Worker worker = team.worker(0, 1);
  worker.credit = -1;
  CHECK_FALSE(worker.poll(&worker));
  CHECK(worker.credit > 0);
}

TEST_CASE("team: who waits for long sleeps, and is woken at a meeting and at the end") {
  constexpr int members = 3;
  Team team(nullptr, members);
  std::vector<int> reached(members);
  std::atomic<int> wrong{0};
  in_threads(members, [&](int member) {
    Worker worker = team.worker(member, members);
    for (int late = 0; late < members; ++late) {
      if (member == late) std::this_thread::sleep_for(std::chrono::milliseconds(20));
      reached[member] = late + 1;
      wrong += worker.barrier(&worker) ? 0 : 1;
      for (const int other : reached) wrong += other != late + 1;
      wrong += worker.barrier(&worker) ? 0 : 1;
    }
    if (member > 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    reached[member] = 99;
    team.leave(worker);
    if (member > 0) return;
    for (const int other : reached) wrong += other != 99;
  });
  CHECK(wrong == 0);
}

TEST_CASE("team: the caller's member asks for signals while the others still work") {
  constexpr int members = 2;
  Team team([] { return true; }, members);
  std::atomic<bool> stopped{false};
  in_threads(members, [&](int member) {
    Worker worker = team.worker(member, members);
    while (member > 0 && !worker.poll(&worker)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (member > 0) stopped = true;
    team.leave(worker);
  });
  CHECK(stopped);
}

TEST_CASE("team: run gives every member its number and ends after all") {
  for (const int threads : {1, 2, 5}) {
    Team team(nullptr, threads);
    std::atomic<int> sum{0};
    CHECK(team.run([&](Worker &worker) { sum += 1 << worker.member; }));
    CHECK(sum == (1 << team.size()) - 1);
  }
}

}  // namespace
}  // namespace recurra
