// Workers of one thread for the tests of kernels: one that never stops the work, and one that does so at once.
#pragma once

#include "kernels.h"

namespace recurra {
namespace testing {

inline Worker endless_worker() {
  return {1 << 20,
          [](Worker *worker) {
            worker->credit = 1 << 20;
            return false;
          },
          [](Worker *) { return true; },
          nullptr,
          0,
          1};
}
inline Worker stopping_worker() {
  return {0, [](Worker *) { return true; }, [](Worker *) { return false; }, nullptr, 0, 1};
}

}  // namespace testing
}  // namespace recurra
