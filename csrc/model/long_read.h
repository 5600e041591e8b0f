// Reads of all weights, which for large ones last long enough that Ctrl-C has to end them.
#pragma once

#include <mutex>

#include "system/interrupt.h"

namespace recurra {

// read(worker) with the lock of a mutex that guards `version`'s object held; false if interrupted. The lock is given up
// while Python is asked for signals, as that takes the GIL (see ForkGate), and if the version has changed meanwhile,
// read is told to stop and begins anew. The second time it isn't interrupted: a thread that trains may change the
// version more often than a read could end.
template <class Read>
bool long_read(std::unique_lock<std::mutex> &lock, const long long &version, Signalled signalled, const Read &read) {
  struct Shared {
    Interrupt interrupt;
    std::unique_lock<std::mutex> &lock;
    const long long &version, begun;
  } shared{Interrupt(signalled), lock, version, version};
  const auto poll = [](Worker *worker) {
    auto &self = *static_cast<Shared *>(worker->shared);
    worker->credit = kPollBudget;
    if (!self.interrupt.due()) return false;
    self.lock.unlock();
    const bool stop = self.interrupt.ask();
    self.lock.lock();
    return stop || self.version != self.begun;
  };
  const auto pass = [](Worker *worker) {
    worker->credit = kPollBudget;
    return false;
  };
  Worker worker{kPollBudget, poll, nullptr, &shared, 0, 1}, deaf{kPollBudget, pass, nullptr, nullptr, 0, 1};
  return read(&worker) || (!shared.interrupt.stopped() && read(&deaf));
}

}  // namespace recurra
