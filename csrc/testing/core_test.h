// What the tests of everything but the kernels have in common.
#pragma once

#include <doctest/doctest.h>

#include <thread>
#include <vector>

#include "testing/numbers.h"

namespace recurra {

using namespace recurra::testing;  // NOLINT

// body(member) in threads of our own rather than OpenMP's, whose synchronisation a thread sanitizer doesn't see.
template <class Body>
void in_threads(int members, const Body &body) {
  std::vector<std::thread> threads;
  for (int member = 1; member < members; ++member) threads.emplace_back(body, member);
  body(0);
  for (std::thread &thread : threads) thread.join();
}

}  // namespace recurra
