// Blocks of memory that begin on a cache line.
#pragma once

#include <cstddef>
#include <cstdlib>

#if defined(_WIN32)
#include <malloc.h>
#endif

namespace recurra {

constexpr std::size_t kLine = 64;

// `bytes`, a multiple of kLine, or null.
inline void *take_block(std::size_t bytes) {
#if defined(_WIN32)
  return _aligned_malloc(bytes, kLine);
#else
  return std::aligned_alloc(kLine, bytes);
#endif
}
inline void give_block(void *at) {
#if defined(_WIN32)
  _aligned_free(at);
#else
  std::free(at);
#endif
}

}  // namespace recurra
