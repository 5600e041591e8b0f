// Pulses of one thread for the tests of kernels: one that never stops the work, and one that does so at once.
#pragma once

#include "kernels.h"

namespace recurra {
namespace testing {

inline Pulse endless_pulse() {
  return {1 << 20,
          [](Pulse *pulse) {
            pulse->credit = 1 << 20;
            return false;
          },
          [](Pulse *) { return true; },
          nullptr,
          0,
          1};
}
inline Pulse stopping_pulse() {
  return {0, [](Pulse *) { return true; }, [](Pulse *) { return false; }, nullptr, 0, 1};
}

}  // namespace testing
}  // namespace recurra
