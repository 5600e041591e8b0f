// The threads that work on one call: they barrier, wait for each other, and stop together.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>

#include "system/interrupt.h"
#include "system/parallel.h"

namespace recurra {

class Team {
 public:
  Team(Signalled signalled, int threads)
      : interrupt_(signalled), threads_(threads), spins_(threads <= available_cpus() ? kSpins : 0) {}
  Team(const Team &) = delete;
  Team &operator=(const Team &) = delete;

  // body(worker) in every member; false if the call was interrupted. A member whose worker says so may leave the body
  // at any point: the others don't wait for it. When this returns, all have left it.
  template <class Body>
  bool run(const Body &body) {
    if (threads_ > 1) cpus_.note(0);  // the caller's own thread is member 0
    run_team(threads_, [&](int member, int members) {
      if (member == 0) size_ = members;
      if (members > 1) cpus_.spread(member, members);
      Worker worker = this->worker(member, members);
      body(worker);
      leave(worker);
    });
    return !stopped();
  }
  // What a member begins with, and the last thing it does. OpenMP has a barrier at the end, which doesn't ask for
  // signals: so the member that does comes there last.
  Worker worker(int member, int members) { return {kPollBudget, poll, barrier, this, member, members}; }
  void leave(Worker &worker) {
    if (worker.members == 1) return;
    if (worker.member > 0) {
      left_.fetch_add(1);
      wake();
    } else {
      wait(&worker, [&] { return left_.load() == worker.members - 1; });
    }
  }
  bool stopped() const { return interrupt_.stopped(); }
  int size() const { return size_; }  // of the team that ran

 private:
  // Turns of waiting in haste, some 20 µs, and of giving the CPU away each time, some 0.5 ms; then a member sleeps.
  static constexpr int kSpins = 1000, kYields = 1000;

  static bool poll(Worker *worker) {
    auto &self = *static_cast<Team *>(worker->shared);
    worker->credit = kPollBudget;
    if (worker->member == 0 && self.interrupt_.due() && self.interrupt_.ask()) self.wake();
    return self.stopped();
  }

  // A barrier of our own, since OpenMP's can't be left: a member that is told to stop won't come any more.
  static bool barrier(Worker *worker) {
    auto &self = *static_cast<Team *>(worker->shared);
    if (worker->members == 1) return !self.stopped();
    self.cpus_.note(worker->member);
    const unsigned phase = self.phase_.load(std::memory_order_relaxed);
    if (self.arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == worker->members) {
      self.arrived_.store(0, std::memory_order_relaxed);
      self.phase_.store(phase + 1);
      self.wake();
    } else {
      self.wait(worker, [&] { return self.phase_.load() != phase; });
    }
    return !self.stopped();
  }

  // Until done(), or until the call is to stop. Steps are microseconds, so at first it is in haste. In the end it
  // sleeps: another thread may need the CPU to get anything done at all.
  template <class Done>
  void wait(Worker *worker, const Done &done) {
    for (int turns = 0; turns < spins_ + kYields; ++turns) {
      if (done() || stopped()) return;
      if (turns < spins_) {
        relax();
        continue;
      }
      if (turns == spins_) cpus_.spread(worker->member, worker->members);
      yield();
      poll(worker);
    }
    std::unique_lock<std::mutex> lock(mutex_);
    sleepers_.fetch_add(1);  // before done() is looked at once more, as wake() looks after it has become true
    while (!done() && !stopped()) {
      wakened_.wait_for(lock, kSignalInterval);
      lock.unlock();
      poll(worker);
      lock.lock();
    }
    sleepers_.fetch_sub(1);
  }
  void wake() {
    if (sleepers_.load() == 0) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    wakened_.notify_all();
  }

  Interrupt interrupt_;
  const int threads_, spins_;
  int size_ = 1;
  MemberCpus cpus_;
  std::mutex mutex_;
  std::condition_variable wakened_;
  std::atomic<int> sleepers_{0}, left_{0};
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<unsigned> phase_{0};
};

}  // namespace recurra
