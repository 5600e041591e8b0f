// A program of tests for an ISA that this CPU lacks says so and ends with CTest's code for a skipped test. Compiled for
// the plain architecture.
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <cstdio>
#include <cstring>

namespace {

#if defined(__x86_64__)
bool has_f16c() {  // which not every compiler's __builtin_cpu_supports knows
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & 1u << 29);
}
#endif

bool cpu_runs([[maybe_unused]] const char *isa) {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
  if (std::strcmp(isa, "avx2") == 0) return avx2;
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (std::strcmp(isa, "avx512") == 0) return avx512;
  if (std::strcmp(isa, "avx512vnni") == 0) return avx512 && __builtin_cpu_supports("avx512vnni");
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
