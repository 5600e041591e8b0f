#include "system/machine.h"

#include <algorithm>
#include <thread>

#if defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>

#include <vector>
#else
#include <sched.h>
#include <unistd.h>
#endif

namespace recurra {
namespace {

#if defined(__APPLE__)
// 0 where the system knows no such name, as perflevel0 on Intel's Macs.
Index system_number(const char *name) {
  std::int64_t value = 0;
  std::size_t size = sizeof value;  // the system writes 4 bytes or 8, and both are little-endian
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 ? static_cast<Index>(value) : 0;
}
#endif

Index l2_found() {
#if defined(__APPLE__)
  const Index bytes = system_number("hw.perflevel0.l2cachesize");
  return bytes > 0 ? bytes / std::max<Index>(1, system_number("hw.perflevel0.cpusperl2"))
                   : system_number("hw.l2cachesize");
#elif defined(_WIN32)
  DWORD size = 0;
  GetLogicalProcessorInformation(nullptr, &size);
  std::vector<SYSTEM_LOGICAL_PROCESSOR_INFORMATION> all(size / sizeof(SYSTEM_LOGICAL_PROCESSOR_INFORMATION));
  if (all.empty() || !GetLogicalProcessorInformation(all.data(), &size)) return 0;
  for (const SYSTEM_LOGICAL_PROCESSOR_INFORMATION &one : all) {
    if (one.Relationship == RelationCache && one.Cache.Level == 2) return static_cast<Index>(one.Cache.Size);
  }
  return 0;
#elif defined(_SC_LEVEL2_CACHE_SIZE)
  return sysconf(_SC_LEVEL2_CACHE_SIZE);
#else
  return 0;
#endif
}

}  // namespace

int usable_cpus() {
#if defined(__APPLE__)
  // A team waits for its slowest member, and the others take three times as long.
  const Index cpus = system_number("hw.perflevel0.logicalcpu");
  if (cpus > 0) return static_cast<int>(cpus);
#elif defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
  return static_cast<int>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
#endif
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

Index l2_cache_bytes() {
  static const Index found = l2_found();
  return found > 0 ? found : 1 << 20;
}

}  // namespace recurra
