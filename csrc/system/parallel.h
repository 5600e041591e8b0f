// The only file that knows threads: OpenMP, or one thread without it.
#pragma once

#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>

#include "system/thread_limit.h"

#ifdef _OPENMP
#include <omp.h>
#include <pthread.h>
#endif

namespace recurra {

// The largest number that set_num_threads takes; more than any machine has, few enough to keep stacks for.
constexpr int kMaxThreads = 1024;

// OMP_NUM_THREADS, else as many as there are CPUs this process may use.
inline int default_threads() {
  if (const char *text = std::getenv("OMP_NUM_THREADS")) {
    const int wish = std::atoi(text);
    if (wish >= 1) return wish < kMaxThreads ? wish : kMaxThreads;
  }
#if defined(__linux__)
  cpu_set_t cpus;
  if (sched_getaffinity(0, sizeof cpus, &cpus) == 0 && CPU_COUNT(&cpus) > 0) return CPU_COUNT(&cpus);
#endif
  const long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online < 1 ? 1 : online < kMaxThreads ? static_cast<int>(online) : kMaxThreads;
}

inline std::atomic<int> &thread_setting() {
  static std::atomic<int> threads{default_threads()};
  return threads;
}

#ifdef _OPENMP
// A forked child inherits GNU's OpenMP believing in teams whose threads stayed with the parent, ours or another
// library's: waiting for one would last forever. So it runs in one thread.
inline std::atomic<bool> &team_lost() {
  static std::atomic<bool> lost{false};
  [[maybe_unused]] static const int registered = pthread_atfork(nullptr, nullptr, [] { team_lost() = true; });
  return lost;
}
#endif

// How many threads a call may have at most, here and now.
inline int usable_threads([[maybe_unused]] int wish) {
#ifdef _OPENMP
  return team_lost() ? 1 : wish;
#else
  return 1;
#endif
}

// body(member, members) in a team of `threads`, or fewer where OpenMP is told to grant fewer or no more can be made. It
// must not throw.
template <class Body>
void run_team([[maybe_unused]] int threads, const Body &body) {
#ifdef _OPENMP
  threads = startable_threads(threads);
  if (threads > 1) {
#pragma omp parallel num_threads(threads)
    body(omp_get_thread_num(), omp_get_num_threads());
    return;
  }
#endif
  body(0, 1);
}

// Waits for the whole team of `members`. A team of one is no team to OpenMP: its barrier would be that of a team around
// it, if a signal handler makes a call within a call.
inline void team_barrier([[maybe_unused]] int members) {
#ifdef _OPENMP
  if (members == 1) return;
#pragma omp barrier
#endif
}

// While waiting for another thread: a pause of some tens of cycles, or the rest of the time slice.
inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}
inline void yield() { sched_yield(); }

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

}  // namespace recurra
