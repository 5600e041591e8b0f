#include "system/buffer.h"

#include "testing/core_test.h"

namespace recurra {
namespace {

constexpr Index kMost = std::numeric_limits<Index>::max();

bool aligned(const void *at) { return reinterpret_cast<std::uintptr_t>(at) % kLine == 0; }

TEST_CASE("buffer: aligned, writable to its end, and refused beyond all memory") {
  for (const Index size : {0, 1, 7, 16, 1000, 100003}) {
    for (const bool pooled : {false, true}) {
      CAPTURE(size);
      const Buffer<double> buffer(size, pooled);
      CHECK(aligned(buffer.data()));
      CHECK(buffer.size() == size);
      std::memset(buffer.data(), 1, static_cast<std::size_t>(size) * sizeof(double));
    }
  }
  for (const Index size : {kMost, kMost / 8, kMost / 8 - 4}) CHECK_THROWS_AS(Buffer<double>{size}, std::bad_alloc);
}

TEST_CASE("buffer: a product too large for an Index is no product") {
  CHECK(checked_product(3, 5) == 15);
  CHECK(checked_product(0, kMost) == 0);
  CHECK_THROWS_AS(checked_product(kMost, 2), std::bad_alloc);
}

TEST_CASE("cutter: measuring and cutting agree, and sizes are checked") {
  const auto cut = [](Cutter &cutter) {
    std::vector<std::pair<char *, Index>> arrays;
    for (const Index count : {1, 0, 7, 64, 65, 131}) {
      arrays.emplace_back(reinterpret_cast<char *>(cutter.take<double>(count)), count * 8);
      arrays.emplace_back(cutter.take<char>(count), count);
    }
    return arrays;
  };
  Cutter measured(nullptr);
  for (const auto &array : cut(measured)) CHECK(array.first == nullptr);
  const Buffer<char> memory(measured.used());
  Cutter cutter(memory.data());
  const char *end = memory.data();
  for (const auto &[at, bytes] : cut(cutter)) {
    CHECK(at >= end);
    CHECK(aligned(at));
    end = at + bytes;
  }
  CHECK(cutter.used() == measured.used());
  CHECK(end <= memory.data() + memory.size());
  CHECK_THROWS_AS(measured.take<double>(kMost / 4), std::bad_alloc);
  measured.take<char>(kMost - 100000);
  CHECK_THROWS_AS(measured.take<char>(100000), std::bad_alloc);
}

TEST_CASE("workspace: a thread's memory comes back, and a call within a call has memory of its own") {
  const char *first = nullptr;
  {
    const Workspace outer(1000);
    first = outer.data();
    CHECK(aligned(first));
    const Workspace inner(1000);
    CHECK(inner.data() != first);
  }
  CHECK(Workspace(500).data() == first);
  in_threads(4, [&](int member) {
    const Workspace own(1000);
    if (member > 0) CHECK(own.data() != first);
    std::memset(own.data(), member, 1000);
  });
}

}  // namespace
}  // namespace recurra
