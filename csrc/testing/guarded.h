// Arrays against a page that may not be touched: whoever reads or writes past their end dies of it.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "kernels.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace recurra {
namespace testing {

// Which end of an array lies at the forbidden page.
enum class Guard { kBefore, kAfter };
constexpr Guard kGuards[] = {Guard::kBefore, Guard::kAfter};

// `size` elements, at first all of them a number that nothing computes.
template <class T>
class GuardedArray {
 public:
  explicit GuardedArray(Index size, Guard guard = Guard::kAfter) : size_(size) {
    const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t bytes = static_cast<std::size_t>(size) * sizeof(T), body = (bytes + page - 1) / page * page;
    mapped_ = body + 2 * page;
    memory_ = mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory_ == MAP_FAILED) std::abort();
    char *inner = static_cast<char *>(memory_) + page;
    if (body > 0 && mprotect(inner, body, PROT_READ | PROT_WRITE) != 0) std::abort();
#ifdef __SANITIZE_ADDRESS__
    __asan_unpoison_memory_region(inner, body);  // of gaps that an Arena has marked in an array that was here before
#endif
    std::memset(inner, kUntouched, body);
    data_ = reinterpret_cast<T *>(guard == Guard::kBefore ? inner : inner + body - bytes);
  }
  template <class U>
  GuardedArray(std::initializer_list<U> values, Guard guard = Guard::kAfter)
      : GuardedArray(static_cast<Index>(values.size()), guard) {
    T *to = data_;
    for (const U &value : values) *to++ = static_cast<T>(value);
  }
  ~GuardedArray() { munmap(memory_, mapped_); }
  GuardedArray(GuardedArray &&other) noexcept
      : memory_(other.memory_), mapped_(other.mapped_), data_(other.data_), size_(other.size_) {
    other.memory_ = nullptr;
    other.mapped_ = 1;  // munmap of nothing fails, and does nothing
  }
  GuardedArray &operator=(GuardedArray &&) = delete;

  T *data() const { return data_; }
  Index size() const { return size_; }
  T *begin() const { return data_; }
  T *end() const { return data_ + size_; }
  T &operator[](Index i) const { return data_[i]; }

  // Whether element i is as it was when the array was made.
  bool untouched(Index i) const {
    unsigned char bytes[sizeof(T)];
    std::memset(bytes, kUntouched, sizeof(T));
    return std::memcmp(bytes, data_ + i, sizeof(T)) == 0;
  }

 private:
  static constexpr int kUntouched = 0xa5;

  void *memory_;
  std::size_t mapped_;
  T *data_;
  Index size_;
};

}  // namespace testing
}  // namespace recurra
