// The CPUs that threads run on: how many there are, which one a thread has, and how it leaves one to another thread.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <thread>

#include "system/machine.h"
#include "system/quota.h"

#if defined(__linux__)
#include <sched.h>
#endif

namespace recurra {

// CPUs that this process may use when it is first asked: those of its affinity, or fewer where a control group grants
// less time. A part of a CPU counts as one: two threads that share the time of one and a half do more than one thread.
inline int available_cpus() {
  static const int count = [] {
    double cpus = usable_cpus();
#if defined(__linux__)
    cpus = std::fmin(cpus, std::ceil(cpu_quota("/proc/self/cgroup", "/sys/fs/cgroup")));
#endif
    return static_cast<int>(std::fmin(cpus, 1 << 20));
  }();
  return count;
}

// While waiting for another thread: a pause of some tens of cycles, or the rest of the time slice.
inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}
inline void yield() { std::this_thread::yield(); }

// Where this thread runs now; -1 if that can't be told.
inline int current_cpu() {
#if defined(__linux__)
  return sched_getcpu();
#else
  return -1;
#endif
}

// Goes to another of the CPUs that this thread may use, if there is one.
inline void leave_cpu([[maybe_unused]] int cpu) {
#if defined(__linux__)
  cpu_set_t mine, others;
  if (cpu < 0 || cpu >= CPU_SETSIZE || sched_getaffinity(0, sizeof mine, &mine) != 0) return;
  others = mine;
  CPU_CLR(cpu, &others);
  if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others) != 0) return;
  sched_setaffinity(0, sizeof mine, &mine);
#endif
}

// Where the members of a team ran lately. Threads of a team that wake up on one CPU may stay there for long and take
// turns: a GRU of 256 units took by two threads as long as by one. So a member looks where the others were, at the
// beginning and when it has waited, and leaves their CPU, some times a call at most, as there may be more members than
// CPUs. The caller's own thread, member 0, stays where it is.
class MemberCpus {
 public:
  int note(int member) {
    const int cpu = current_cpu() + 1;                                              // 0: not known
    if (member < kNoted && cpus_[member].load(std::memory_order_relaxed) != cpu) {  // so as not to disturb the others
      cpus_[member].store(cpu, std::memory_order_relaxed);
    }
    return cpu;
  }
  void spread(int member, int members) {
    const int cpu = note(member);
    for (int other = 0; member > 0 && cpu > 0 && other < std::min(members, kNoted); ++other) {
      if (other != member && cpus_[other].load(std::memory_order_relaxed) == cpu) {
        if (moves_.fetch_add(1, std::memory_order_relaxed) < kMostMoves) leave_cpu(cpu - 1);
        note(member);
        return;
      }
    }
  }

 private:
  static constexpr int kNoted = 16, kMostMoves = 8;

  std::atomic<int> moves_{0};
  std::atomic<int> cpus_[kNoted] = {};
};

}  // namespace recurra
