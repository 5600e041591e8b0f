// The tests' main, compiled for the plain architecture. A program for an ISA that this CPU lacks says so and ends with
// CTest's code for a skipped test.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

namespace {

bool cpu_runs([[maybe_unused]] const char *isa) {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (std::strcmp(isa, "avx2") == 0) return avx2;
  if (std::strcmp(isa, "avx512") == 0) {
    return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  }
#endif
  return true;
}

// Before any other constructor, since those that register the tests are compiled for the ISA.
__attribute__((constructor(101))) void skip() {
#if defined(__x86_64__)
  __builtin_cpu_init();
#endif
  if (!cpu_runs(RECURRA_TEST_ISA)) {
    std::puts("skipped: this CPU does not run " RECURRA_TEST_ISA);
    std::fflush(stdout);
    _exit(77);
  }
}

}  // namespace
