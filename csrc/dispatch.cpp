// CPUID + XGETBV -> table of kernels. Compiled for the plain architecture, since it runs before anything is known.
#include "dispatch.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace recurra {
namespace {

// The registers that decide, all zero where the architecture has no choice to make.
struct CpuState {
  std::uint32_t leaf1_ecx = 0;
  std::uint32_t leaf7_ebx = 0, leaf7_ecx = 0;
  std::uint64_t xcr0 = 0;  // what the operating system saves at a context switch
};

constexpr std::uint32_t kFma = 1u << 12, kOsxsave = 1u << 27, kAvx = 1u << 28, kF16c = 1u << 29;
constexpr std::uint32_t kAvx2 = 1u << 5, kAvx512f = 1u << 16, kAvx512dq = 1u << 17;
constexpr std::uint32_t kAvx512bw = 1u << 30, kAvx512vl = 1u << 31;
constexpr std::uint32_t kAvx512vnni = 1u << 11;  // of ECX
constexpr std::uint64_t kYmmState = 0x06;        // XMM and the upper halves of YMM
constexpr std::uint64_t kZmmState = 0xe6;        // the same, mask registers and both parts of ZMM

CpuState read_cpu() {
  CpuState cpu;
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d)) cpu.leaf1_ecx = c;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
    cpu.leaf7_ebx = b;
    cpu.leaf7_ecx = c;
  }
  if (cpu.leaf1_ecx & kOsxsave) {  // without it XGETBV is an illegal instruction
    std::uint32_t low = 0, high = 0;
    // Not _xgetbv(): the intrinsic needs -mxsave, which would license it in the rest of this file too.
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    cpu.xcr0 = (static_cast<std::uint64_t>(high) << 32) | low;
  }
#endif
  return cpu;
}

[[maybe_unused]] bool runs_everywhere(const CpuState &) { return true; }

// The flag of an instruction set only says that the CPU has it; that the operating system keeps the registers across
// a context switch is said by XCR0, and virtual machines do mask one without the other.
[[maybe_unused]] bool runs_avx2(const CpuState &cpu) {
  constexpr std::uint32_t leaf1 = kOsxsave | kAvx | kFma | kF16c;
  return (cpu.leaf1_ecx & leaf1) == leaf1 && (cpu.leaf7_ebx & kAvx2) && (cpu.xcr0 & kYmmState) == kYmmState;
}

[[maybe_unused]] bool runs_avx512(const CpuState &cpu) {
  constexpr std::uint32_t leaf7 = kAvx512f | kAvx512dq | kAvx512bw | kAvx512vl;
  return runs_avx2(cpu) && (cpu.leaf7_ebx & leaf7) == leaf7 && (cpu.xcr0 & kZmmState) == kZmmState;
}

[[maybe_unused]] bool runs_avx512vnni(const CpuState &cpu) { return runs_avx512(cpu) && (cpu.leaf7_ecx & kAvx512vnni); }

struct Isa {
  const char *name;
  bool (*runs)(const CpuState &);
  const KernelTable &(*table)();
  const NarrowFloatKernels &(*narrow_floats)();
  const Kernels<float> &(*int8)();
};

// Weakest first.
constexpr Isa kIsasBuilt[] = {
#ifdef RECURRA_HAVE_BASELINE
    {"baseline", runs_everywhere, isa_baseline::kernel_table, isa_baseline::narrow_float_kernels,
     isa_baseline::int8_kernels},
#endif
#ifdef RECURRA_HAVE_AVX2
    {"avx2", runs_avx2, isa_avx2::kernel_table, isa_avx2::narrow_float_kernels, isa_avx2::int8_kernels},
#endif
#ifdef RECURRA_HAVE_AVX512
    {"avx512", runs_avx512, isa_avx512::kernel_table, isa_avx512::narrow_float_kernels, isa_avx512::int8_kernels},
#endif
#ifdef RECURRA_HAVE_AVX512VNNI  // a build of the kernels with int8 weights, beside the others of AVX-512
    {"avx512vnni", runs_avx512vnni, isa_avx512::kernel_table, isa_avx512::narrow_float_kernels,
     isa_avx512vnni::int8_kernels},
#endif
#ifdef RECURRA_HAVE_NEON
    {"neon", runs_everywhere, isa_neon::kernel_table, isa_neon::narrow_float_kernels, isa_neon::int8_kernels},
#endif
};

// The strongest one that runs, or the one that is asked for (nullptr or "": no wish).
const Isa &choose(const CpuState &cpu, const char *wish) {
  const bool any = wish == nullptr || *wish == '\0';
  const Isa *chosen = nullptr;
  bool built = false;
  std::string available;
  for (const Isa &isa : kIsasBuilt) {
    const bool wanted = any || std::strcmp(isa.name, wish) == 0;
    built = built || wanted;
    if (!isa.runs(cpu)) continue;
    available += (available.empty() ? "" : ", ") + std::string(isa.name);
    if (wanted) chosen = &isa;
  }
  if (chosen != nullptr) return *chosen;
  throw std::runtime_error("RECURRA_ISA: expected one of " + available + ", got '" + wish + "'" +
                           (built ? ", which this build has, but this CPU or its operating system doesn't support"
                                  : ", which this build doesn't have"));
}

const Isa &active_isa() {
  static const Isa &isa = choose(read_cpu(), std::getenv("RECURRA_ISA"));
  return isa;
}

}  // namespace

const KernelTable &active_kernels() {
  static const KernelTable table = [] {
    KernelTable made = active_isa().table();
    made.isa = active_isa().name;
    return made;
  }();
  return table;
}

const Kernels<float> &kernels_with(Weights weights) {
  const Isa &isa = active_isa();
  switch (weights) {
    case Weights::kBfloat16:
      return isa.narrow_floats().bfloat16;
    case Weights::kFloat16:
      return isa.narrow_floats().float16;
    case Weights::kInt8:
      return isa.int8();
    default:
      return active_kernels().f32;
  }
}

BuildInfo build_info() {
  BuildInfo info{RECURRA_VERSION, RECURRA_COMPILER, RECURRA_FLAGS, {}, {}, active_isa().name};
  const CpuState cpu = read_cpu();
  for (const Isa &isa : kIsasBuilt) {
    info.isas.push_back(isa.name);
    if (isa.runs(cpu)) info.isas_available.push_back(isa.name);
  }
  return info;
}

}  // namespace recurra
