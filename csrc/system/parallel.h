// The only file that knows what threads are made by: how many a call may have, and a team of them.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "kernels.h"
#include "system/cpus.h"
#include "system/float_mode.h"
#include "system/fork.h"
#include "system/thread_limit.h"

#ifdef _OPENMP
#include <omp.h>
#elif defined(RECURRA_STD_THREADS)
#include "system/std_team.h"
#endif

namespace recurra {

// The largest number that set_num_threads takes; more than any machine has, few enough to keep stacks for.
constexpr int kMaxThreads = 1024;

#ifdef _OPENMP
constexpr const char *kThreading = "OpenMP";
#elif defined(RECURRA_STD_THREADS)
constexpr const char *kThreading = "std";
#else
constexpr const char *kThreading = "none";
#endif

// Multiply-adds that a thread must have before another one pays: some 30 µs of work against 5 µs to wake a team of
// OpenMP's, and as much again for what the two wait for each other. A thread of the standard library's, made and
// joined, takes 10 to 18 µs.
#ifdef RECURRA_STD_THREADS
constexpr Index kThreadWork = 6'000'000;
#else
constexpr Index kThreadWork = 3'000'000;
#endif

// OMP_NUM_THREADS, else as many as there are CPUs this process may use.
inline int default_threads() {
  if (const char *text = std::getenv("OMP_NUM_THREADS")) {
    const int wish = std::atoi(text);
    if (wish >= 1) return std::min(wish, kMaxThreads);
  }
  return std::min(available_cpus(), kMaxThreads);
}

inline std::atomic<int> &thread_setting() {
  static std::atomic<int> threads{default_threads()};
  return threads;
}

// How many threads a call may have at most, here and now.
inline int usable_threads([[maybe_unused]] int wish) {
#ifdef _OPENMP
  return ForkGate::instance().in_child() ? 1 : wish;
#elif defined(RECURRA_STD_THREADS)
  return wish;
#else
  return 1;
#endif
}

// body(member, members) in a team of `threads`, or fewer where OpenMP is told to grant fewer or no more can be made. It
// must not throw. Each member is in our floating-point mode.
template <class Body>
void run_team([[maybe_unused]] int threads, const Body &body) {
#ifdef _OPENMP
  threads = startable_threads(threads);
  if (threads > 1) {
    const CallersFloatMode outside;
#pragma omp parallel num_threads(threads)
    {
      const FloatMode mode;
      body(omp_get_thread_num(), omp_get_num_threads());
    }
    return;
  }
#elif defined(RECURRA_STD_THREADS)
  if (threads > 1) {
    run_std_team(threads, body);
    return;
  }
#endif
  body(0, 1);
}

}  // namespace recurra
