// Numbers to compute with, the sums that products are compared with, and the comparison: bit for bit.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "testing/guarded.h"

namespace recurra {
namespace testing {

// The same numbers on every machine (SplitMix64; Steele, Lea & Flood 2014).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t bits() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // -1 … 1, with as many bits as T has, so that products and sums round.
  template <class T>
  T number() {
    constexpr int digits = sizeof(T) == 4 ? 24 : 53;
    const T unit = static_cast<T>(bits() >> (64 - digits)) / static_cast<T>(std::uint64_t(1) << (digits - 1));
    return unit - T(1);
  }
  Index integer(Index least, Index most) {
    return least + static_cast<Index>(bits() % static_cast<std::uint64_t>(most - least + 1));
  }
  Guard guard() { return kGuards[integer(0, 1)]; }
  template <class T>
  void fill(const GuardedArray<T> &array) {
    for (T &value : array) value = number<T>();
  }
  template <class T>
  GuardedArray<T> array(Index size, Guard guard = Guard::kAfter) {
    GuardedArray<T> made(size, guard);
    fill(made);
    return made;
  }

 private:
  std::uint64_t state_;
};

template <class T>
bool same_bits(T a, T b) {
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}
template <class T>
bool same_bits(const T *a, const T *b, Index count) {
  return count == 0 || std::memcmp(a, b, static_cast<std::size_t>(count) * sizeof(T)) == 0;
}

}  // namespace testing
}  // namespace recurra
