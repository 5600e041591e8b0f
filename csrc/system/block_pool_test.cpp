#include "system/block_pool.h"

#include <algorithm>
#include <cstring>

#include "testing/core_test.h"

namespace recurra {
namespace {

constexpr std::size_t kSize = BlockPool::kLeast;

void *fresh(std::size_t bytes) { return take_block(bytes); }

// All blocks that an earlier test has left, given back to the system.
void empty_pool() {
  for (std::size_t bytes = BlockPool::kLeast; bytes <= BlockPool::kMost; bytes += bytes / 4) {
    std::size_t wanted = bytes;
    while (void *at = BlockPool::instance().take(wanted)) {
      give_block(at);
      wanted = bytes;
    }
  }
}

TEST_CASE("block pool: a block fits a wish for up to a quarter less") {
  empty_pool();
  BlockPool &pool = BlockPool::instance();
  void *block = fresh(2 * kSize);
  REQUIRE(pool.keep(block, 2 * kSize));
  for (const std::size_t wish : {2 * kSize + 1, kSize, kSize + kSize / 2}) {
    std::size_t bytes = wish;
    CHECK(pool.take(bytes) == nullptr);
    CHECK(bytes == wish);
  }
  std::size_t bytes = 2 * kSize - kSize / 8;
  CHECK(pool.take(bytes) == block);
  CHECK(bytes == 2 * kSize);
  CHECK(pool.take(bytes) == nullptr);  // it is gone
  give_block(block);
}

TEST_CASE("block pool: too large a block is refused, and the oldest make room for the newest") {
  empty_pool();
  BlockPool &pool = BlockPool::instance();
  CHECK_FALSE(pool.keep(nullptr, BlockPool::kMost + 1));
  constexpr int count = 40;  // more than the pool has places for
  std::vector<void *> blocks;
  for (int i = 0; i < count; ++i) {
    blocks.push_back(fresh(kSize));
    REQUIRE(pool.keep(blocks.back(), kSize));
  }
  int held = 0;
  std::size_t bytes = kSize;
  while (void *at = pool.take(bytes)) {
    CHECK(at == blocks[count - 1 - held]);  // the newest first, whose pages are warm
    give_block(at);
    ++held;
  }
  CHECK(held > 0);
  CHECK(held < count);
}

TEST_CASE("block pool: threads never share a block") {
  empty_pool();
  in_threads(4, [](int member) {
    for (int turn = 0; turn < 200; ++turn) {
      std::size_t bytes = kSize;
      void *at = BlockPool::instance().take(bytes);
      if (!at) at = fresh(bytes);
      std::memset(at, member, 4096);
      std::this_thread::yield();
      const auto *values = static_cast<const unsigned char *>(at);
      const bool own = std::all_of(values, values + 4096, [&](unsigned char v) { return v == member; });
      if (!own) CHECK(own);  // doctest's counters are slow among threads
      if (!BlockPool::instance().keep(at, bytes)) give_block(at);
    }
  });
  empty_pool();
}

}  // namespace
}  // namespace recurra
