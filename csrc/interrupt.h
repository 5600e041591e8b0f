// Lets Ctrl-C end a long call: the kernels report their work, and every now and then somebody asks for signals.
#pragma once

#include <atomic>
#include <chrono>

#include "kernels.h"
#include "parallel.h"

namespace recurra {

// Multiply-adds between two looks at the clock: 0.05 ms or so, and 2 ms where kernels run at a fortieth of that speed.
constexpr Index kPulseBudget = 4'000'000;
constexpr std::chrono::milliseconds kSignalInterval{50};
constexpr int kSpins = 1000;  // turns of waiting for the team, some 20 µs, before giving the CPU away

class Interrupt {
 public:
  explicit Interrupt(bool (*signalled)()) : signalled_(signalled) {}

  Pulse pulse(int member, int members) { return {kPulseBudget, poll, meet, this, members, member == 0}; }
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

  // A barrier of our own, since OpenMP's can't be left: a member that is told to stop won't come any more.
  static bool meet(Pulse *pulse) {
    auto &self = *static_cast<Interrupt *>(pulse->shared);
    const unsigned phase = self.phase_.load(std::memory_order_relaxed);
    if (self.arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == pulse->members) {
      self.arrived_.store(0, std::memory_order_relaxed);
      self.phase_.store(phase + 1, std::memory_order_release);
    } else {
      for (int turns = 0; self.phase_.load(std::memory_order_acquire) == phase && !self.stopped(); ++turns) {
        turns < kSpins ? relax() : yield();
      }
    }
    return !self.stopped();
  }

  bool (*signalled_)();
  std::atomic<bool> stop_{false};
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<unsigned> phase_{0};
  std::chrono::steady_clock::time_point next_ = std::chrono::steady_clock::now() + kSignalInterval;
};

}  // namespace recurra
