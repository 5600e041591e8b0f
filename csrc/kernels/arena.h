// Cuts a block of memory into aligned arrays. On a null block it only adds up, so one constructor both measures and
// cuts.
#pragma once

#include "kernels.h"
#include "kernels/simd.h"

#ifdef __SANITIZE_ADDRESS__
extern "C" void __asan_poison_memory_region(const volatile void *at, std::size_t bytes);
extern "C" void __asan_unpoison_memory_region(const volatile void *at, std::size_t bytes);
#endif

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

struct Arena {
  char *base;
  Index used = 0;

  template <class U>
  RECURRA_INLINE U *take(Index count) {
    char *at = base + used;
    const Index bytes = count * static_cast<Index>(sizeof(U)), rounded = (bytes + 63) & ~Index(63);
#ifdef __SANITIZE_ADDRESS__
    constexpr Index kGap = 64;  // between arrays, which the sanitizer then watches one by one
    if (base) {
      __asan_unpoison_memory_region(at, static_cast<std::size_t>(bytes));
      __asan_poison_memory_region(at + bytes, static_cast<std::size_t>(rounded - bytes + kGap));
    }
    used += kGap;
#endif
    used += rounded;
    return reinterpret_cast<U *>(at);
  }
};

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
