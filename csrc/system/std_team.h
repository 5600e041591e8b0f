// A team made of the standard library's threads, for a single call: macOS and Windows, whose compilers bring no OpenMP
// that a wheel could rely on, and the thread sanitizer, which doesn't see how OpenMP orders its threads.
#pragma once

#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "system/float_mode.h"

namespace recurra {

// body(member, members) in a team of `threads`, or of as many as can be made. None begins before all are there.
template <class Body>
void run_std_team(int threads, const Body &body) {
  std::mutex gate;
  int members = 1;
  std::vector<std::thread> others;
  std::unique_lock<std::mutex> closed(gate);
  try {
    others.reserve(static_cast<std::size_t>(threads) - 1);
    for (; members < threads; ++members) {
      others.emplace_back([&body, &gate, &members, member = members] {
        gate.lock();
        const int all = members;
        gate.unlock();
        const FloatMode mode;
        body(member, all);
      });
    }
  } catch (const std::exception &) {  // no memory, or a limit on threads
  }
  closed.unlock();
  body(0, members);
  for (std::thread &other : others) other.join();
}

}  // namespace recurra
