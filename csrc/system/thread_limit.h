// How many threads can be made: GNU's OpenMP ends the process when one of a team can't be.
#pragma once

#ifdef _OPENMP
#include <pthread.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <new>
#endif

namespace recurra {

#ifdef _OPENMP
// How many of `count` threads can be made at the same time.
inline int threads_made(int count) {
  const std::unique_ptr<pthread_t[]> made(new (std::nothrow) pthread_t[static_cast<std::size_t>(count)]);
  const auto pass = [](void *gate) -> void * {
    const std::lock_guard<std::mutex> lock(*static_cast<std::mutex *>(gate));
    return nullptr;
  };
  std::mutex gate;
  gate.lock();
  int n = 0;
  while (made && n < count && pthread_create(&made[n], nullptr, pass, &gate) == 0) ++n;
  gate.unlock();
  for (int i = 0; i < n; ++i) pthread_join(made[i], nullptr);
  return n;
}
#endif

// How many threads of `wish` a team of the calling thread can have. A larger team than all before is tried first, in
// some 20 µs a thread. Where a limit on memory or processes forbids it, half of what could be made is used from then
// on, so that something is left to work with.
inline int startable_threads(int wish) {
#ifdef _OPENMP
  static thread_local int tried = 1, startable = 1;
  if (wish > tried && startable == tried) {
    const int others = threads_made(wish - 1);
    tried = wish;
    startable = 1 + (others == wish - 1 ? others : others / 2);
  }
  return std::min(wish, startable);
#else
  return wish;  // there is no team, or it isn't OpenMP's
#endif
}

}  // namespace recurra
