// The only file that knows threads: OpenMP, or one thread without it.
#pragma once

#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>

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
constexpr bool kHasThreads = true;

// A forked child inherits GNU's OpenMP believing in a team whose threads stayed with the parent: waiting for it would
// last forever. So a child of a process that has had a team runs in one thread.
struct ForkGuard {
  std::atomic<bool> team_existed{false};
  std::atomic<bool> team_lost{false};
};

inline ForkGuard &fork_guard() {
  static ForkGuard guard;
  [[maybe_unused]] static const int registered =
      pthread_atfork(nullptr, nullptr, [] { fork_guard().team_lost = fork_guard().team_existed.load(); });
  return guard;
}
#else
constexpr bool kHasThreads = false;
#endif

// How many threads a call may have at most, here and now.
inline int usable_threads(int wish) {
#ifdef _OPENMP
  return fork_guard().team_lost ? 1 : wish;
#else
  return wish < 1 ? wish : 1;
#endif
}

// body(member, members) in a team of `threads`, or fewer if the system grants fewer. It must not throw.
template <class Body>
void run_team(int threads, const Body &body) {
#ifdef _OPENMP
  if (threads > 1) {
    fork_guard().team_existed = true;
#pragma omp parallel num_threads(threads)
    body(omp_get_thread_num(), omp_get_num_threads());
    return;
  }
#endif
  body(0, 1);
}

// Waits for the whole team; nothing to wait for outside of one.
inline void team_barrier() {
#ifdef _OPENMP
#pragma omp barrier
#endif
}

}  // namespace recurra
