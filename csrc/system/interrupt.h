// Lets Ctrl-C end a long call: every now and then the caller's thread asks Python for signals.
#pragma once

#include <atomic>
#include <chrono>

#include "kernels.h"

namespace recurra {

// Asked now and then during a long call, by the thread that made it; true ends the call.
using Signalled = bool (*)();

// Multiply-adds between two looks at the clock: 0.05 ms or so, and 2 ms where kernels run at a fortieth of that speed.
constexpr Index kPollBudget = 4'000'000;
constexpr std::chrono::milliseconds kSignalInterval{50};

// Multiply-adds in whose time a number is copied, at the pace of memory.
constexpr Index kCopyWork = 16;

// Notes some work; true if the call is to stop.
inline bool stops(Worker &worker, Index multiply_adds) {
  worker.credit -= multiply_adds;
  return worker.credit < 0 && worker.poll(&worker);
}

class Interrupt {
 public:
  // Without a function to ask, a call can't be interrupted.
  explicit Interrupt(Signalled signalled) : signalled_(signalled) {}

  bool stopped() const { return stop_.load(std::memory_order_relaxed); }

  // Whether it is time to ask. The clock starts when somebody looks at it: a short call never does.
  bool due() {
    if (!signalled_ || stopped()) return false;
    const auto now = std::chrono::steady_clock::now();
    if (next_ == std::chrono::steady_clock::time_point{}) next_ = now + kSignalInterval;
    if (now < next_) return false;
    next_ = now + kSignalInterval;
    return true;
  }
  bool ask() {
    if (signalled_()) stop_ = true;
    return stopped();
  }

 private:
  const Signalled signalled_;
  std::atomic<bool> stop_{false};
  std::chrono::steady_clock::time_point next_{};
};

}  // namespace recurra
