// Lets Ctrl-C end a long call: the kernels report their work, and every now and then somebody asks for signals.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>

#include "kernels.h"
#include "system/parallel.h"

namespace recurra {

// Multiply-adds between two looks at the clock: 0.05 ms or so, and 2 ms where kernels run at a fortieth of that speed.
constexpr Index kPulseBudget = 4'000'000;
constexpr std::chrono::milliseconds kSignalInterval{50};
constexpr int kSpins = 1000;  // turns of waiting for the team, some 20 µs, before giving the CPU away

class Interrupt {
 public:
  Interrupt(bool (*signalled)(), int threads) : signalled_(signalled) {
    if (threads > 1) note_cpu(0);  // the caller's own thread is member 0
  }

  Pulse pulse(int member, int members) {
    if (members > 1) spread(member, members);
    return {kPulseBudget, poll, meet, this, member, members};
  }
  bool stopped() const { return stop_.load(std::memory_order_relaxed); }

 private:
  static bool poll(Pulse *pulse) {
    auto &self = *static_cast<Interrupt *>(pulse->shared);
    pulse->credit = kPulseBudget;
    if (pulse->member == 0 && self.signalled_) {  // only the caller's own thread may ask Python
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
    self.note_cpu(pulse->member);
    const unsigned phase = self.phase_.load(std::memory_order_relaxed);
    if (self.arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == pulse->members) {
      self.arrived_.store(0, std::memory_order_relaxed);
      self.phase_.store(phase + 1, std::memory_order_release);
    } else {
      for (int turns = 0; self.phase_.load(std::memory_order_acquire) == phase && !self.stopped(); ++turns) {
        if (turns < kSpins) {
          relax();
          continue;
        }
        if (turns == kSpins) self.spread(pulse->member, pulse->members);
        poll(pulse);  // for somebody who has little to do but wait
        yield();
      }
    }
    return !self.stopped();
  }

  // Threads of a team that wake up on one CPU may stay there for long and take turns: a GRU of 256 units took by two
  // threads as long as by one. So a member looks where the others were, at the beginning and when it has waited, and
  // leaves their CPU, some times a call at most, as there may be more members than CPUs. The caller's own thread stays
  // where it is.
  void spread(int member, int members) {
    const int cpu = note_cpu(member);
    for (int other = 0; member > 0 && cpu > 0 && other < std::min(members, kNoted); ++other) {
      if (other != member && cpus_[other].load(std::memory_order_relaxed) == cpu) {
        if (moves_.fetch_add(1, std::memory_order_relaxed) < kMostMoves) leave_cpu(cpu - 1);
        note_cpu(member);
        return;
      }
    }
  }
  int note_cpu(int member) {
    const int cpu = current_cpu() + 1;                                              // 0: not known
    if (member < kNoted && cpus_[member].load(std::memory_order_relaxed) != cpu) {  // so as not to disturb the others
      cpus_[member].store(cpu, std::memory_order_relaxed);
    }
    return cpu;
  }

  static constexpr int kNoted = 16, kMostMoves = 8;

  bool (*signalled_)();
  std::atomic<bool> stop_{false};
  std::atomic<int> moves_{0};
  std::atomic<int> cpus_[kNoted] = {};  // where each member ran lately
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<unsigned> phase_{0};
  std::chrono::steady_clock::time_point next_ = std::chrono::steady_clock::now() + kSignalInterval;
};

}  // namespace recurra
