// Aligned memory without a constructor call per element, and each thread's workspace.
#pragma once

#include <cstddef>
#include <cstring>
#include <limits>
#include <memory>
#include <new>

#include "kernels.h"
#include "system/block_pool.h"
#include "system/memory.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace recurra {

// a * b, or std::bad_alloc where no memory could hold so many.
inline Index checked_product(Index a, Index b) {
  Index product = 0;
  if (__builtin_mul_overflow(a, b, &product)) throw std::bad_alloc();
  return product;
}

#ifdef __SANITIZE_ADDRESS__
// What fresh memory is filled with: numbers that are NaN. Tests choose another byte to see whether anything depends on
// it.
inline unsigned char fresh_byte = 0xff;
#endif

// Under the address sanitizer: nothing is left of what a block was before, nor of the gaps that kernels have marked
// between arrays in it.
inline void freshen([[maybe_unused]] void *at, [[maybe_unused]] std::size_t bytes) {
#ifdef __SANITIZE_ADDRESS__
  __asan_unpoison_memory_region(at, bytes);
  std::memset(at, fresh_byte, bytes);
#endif
}

struct FreeMemory {
  std::size_t pooled_bytes = 0;  // of a block that may go to the pool, else 0

  void operator()(void *at) const {
    if (pooled_bytes == 0 || !BlockPool::instance().keep(at, pooled_bytes)) give_block(at);
  }
};

// `size` uninitialised elements, the first on a cache line of its own. What is made and given back with every call of a
// kind, as a tape is, may be `pooled`.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(Index size, bool pooled = false) : size_(size) {
    auto bytes = static_cast<std::size_t>(checked_product(size, sizeof(T)));
    if (bytes > static_cast<std::size_t>(std::numeric_limits<Index>::max()) - kLine) throw std::bad_alloc();
    bytes = (bytes + kLine) / kLine * kLine;
    pooled = pooled && bytes >= BlockPool::kLeast;
    void *at = pooled ? BlockPool::instance().take(bytes) : nullptr;
    if (!at) at = take_block(bytes);
    if (!at) throw std::bad_alloc();
    freshen(at, bytes);
    memory_ = {static_cast<T *>(at), FreeMemory{pooled ? bytes : 0}};
  }
  T *data() const { return memory_.get(); }
  Index size() const { return size_; }

 private:
  std::unique_ptr<T[], FreeMemory> memory_;
  Index size_ = 0;
};

// Cuts a block into aligned arrays; without a block it only measures. Sizes are checked, unlike those of the kernels'.
class Cutter {
 public:
  explicit Cutter(char *base) : base_(base) {}

  template <class U>
  U *take(Index count) {
    const Index bytes = checked_product(count, sizeof(U));
    char *at = base_ ? base_ + used_ : nullptr;
    if (bytes > std::numeric_limits<Index>::max() - used_ - 64) throw std::bad_alloc();
    used_ += (bytes + 63) / 64 * 64;
    return reinterpret_cast<U *>(at);
  }
  Index used() const { return used_; }

 private:
  char *base_;
  Index used_ = 0;
};

// Scratch memory that belongs to the calling thread and goes with it: a second call of the same shape allocates
// nothing. A call within a call (a signal handler may make one while a long call polls for Ctrl-C) gets memory of its
// own.
class Workspace {
 public:
  explicit Workspace(Index bytes) {
    Home &home = own();
    if (home.taken) {
      extra_ = Buffer<char>(bytes);
      data_ = extra_.data();
      return;
    }
    if (home.memory.size() < bytes) {
      home.memory = Buffer<char>();  // first give back, then ask
      home.memory = Buffer<char>(bytes);
    }
    home.taken = taken_ = true;
    data_ = home.memory.data();
    freshen(data_, static_cast<std::size_t>(bytes));
  }
  ~Workspace() {
    if (taken_) own().taken = false;
  }
  Workspace(const Workspace &) = delete;
  Workspace &operator=(const Workspace &) = delete;
  char *data() const { return data_; }

 private:
  struct Home {
    Buffer<char> memory;
    bool taken = false;
  };
  static Home &own() {
    static thread_local Home home;
    return home;
  }

  Buffer<char> extra_;
  char *data_ = nullptr;
  bool taken_ = false;
};

}  // namespace recurra
