// What a fork must not tear apart: weights in the middle of a change, and teams of threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <mutex>
#include <vector>

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace recurra {

// What is done by the forking thread: before the fork, then in the parent and in the child; each may be null. Windows
// has no fork.
inline void at_fork([[maybe_unused]] void (*before)(), [[maybe_unused]] void (*parent)(),
                    [[maybe_unused]] void (*child)()) {
#if !defined(_WIN32)
  pthread_atfork(before, parent, child);
#endif
}

// The mutexes of all parameters alive. A fork waits for them, so that no child inherits one that is held, nor weights
// in the middle of a change. Whoever holds one never waits for the GIL, which the forking thread has.
class ForkGate {
 public:
  static ForkGate &instance() {
    static auto *gate = new ForkGate;
    return *gate;
  }
  void add(std::mutex *mutex) {
    const std::lock_guard<std::mutex> lock(own_);
    mutexes_.push_back(mutex);
  }
  void remove(std::mutex *mutex) {
    const std::lock_guard<std::mutex> lock(own_);
    mutexes_.erase(std::find(mutexes_.begin(), mutexes_.end(), mutex));
  }

  // Whether this process was forked after the gate was made. Such a child inherits GNU's OpenMP believing in teams
  // whose threads stayed with the parent, ours or another library's: waiting for one would last forever.
  bool in_child() const { return in_child_.load(std::memory_order_relaxed); }

  // How many forks there were between the process in which the gate was made and this one.
  unsigned generation() const { return generation_.load(std::memory_order_relaxed); }

  // For a child that was forked before the gate was made, from a process whose OpenMP it has.
  void enter_child() { in_child_ = true; }

 private:
  ForkGate() {
    at_fork([] { instance().close(); }, [] { instance().open(); },
            [] {
              instance().in_child_ = true;
              ++instance().generation_;
              instance().open();
            });
  }
  void close() {
    own_.lock();
    for (std::mutex *mutex : mutexes_) mutex->lock();
  }
  void open() {
    for (std::mutex *mutex : mutexes_) mutex->unlock();
    own_.unlock();
  }

  std::mutex own_;
  std::vector<std::mutex *> mutexes_;
  std::atomic<bool> in_child_{false};
  std::atomic<unsigned> generation_{0};
};

}  // namespace recurra
