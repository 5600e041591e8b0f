// Lets Ctrl-C end a long call: the kernels report their work, and every now and then somebody asks for signals.
#pragma once

#include <atomic>
#include <chrono>

#include "kernels.h"

namespace recurra {

// Multiply-adds between two looks at the clock: 0.05 ms or so, and 2 ms where kernels run at a fortieth of that speed.
constexpr Index kPulseBudget = 4'000'000;
constexpr std::chrono::milliseconds kSignalInterval{50};

class Interrupt {
 public:
  explicit Interrupt(bool (*signalled)()) : signalled_(signalled) {}

  Pulse pulse(bool master) { return {kPulseBudget, poll, this, master}; }
  bool stopped() const { return stop_.load(std::memory_order_relaxed); }

 private:
  static bool poll(Pulse *pulse) {
    auto &self = *static_cast<Interrupt *>(pulse->shared);
    pulse->credit = kPulseBudget;
    if (pulse->master && self.signalled_) {  // only the caller's own thread may ask Python
      const auto now = std::chrono::steady_clock::now();
      if (now >= self.next_) {
        self.next_ = now + kSignalInterval;
        if (!self.stopped() && self.signalled_()) self.stop_ = true;
      }
    }
    return self.stopped();
  }

  bool (*signalled_)();
  std::atomic<bool> stop_{false};
  std::chrono::steady_clock::time_point next_ = std::chrono::steady_clock::now() + kSignalInterval;
};

}  // namespace recurra
