// Large blocks of memory that were given back, for the next tape of the same shape.
#pragma once

#include <cstddef>
#include <mutex>
#include <vector>

#include "system/memory.h"

namespace recurra {

// A fresh block comes from the system page by page, which took a tenth of a training call.
class BlockPool {
 public:
  static constexpr std::size_t kLeast = 256 << 10;  // smaller ones malloc keeps by itself
  static constexpr std::size_t kMost = 128u << 20;  // of all that lie here

  static BlockPool &instance() {
    static auto *pool = new BlockPool;  // never destroyed: threads may outlive the end of main
    return *pool;
  }

  // A block of `bytes` or up to a quarter more, and `bytes` becomes its size; or null. Who can't have the lock does
  // without: in a forked child it may be held for ever.
  void *take(std::size_t &bytes) {
    const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (!lock) return nullptr;
    for (std::size_t i = blocks_.size(); i-- > 0;) {
      const Block block = blocks_[i];
      if (block.bytes < bytes || block.bytes > bytes + bytes / 4) continue;
      held_ -= block.bytes;
      blocks_.erase(blocks_.begin() + static_cast<std::ptrdiff_t>(i));
      bytes = block.bytes;
      return block.at;
    }
    return nullptr;
  }

  // Keeps the block, in place of the oldest ones if need be; false if it can't.
  bool keep(void *at, std::size_t bytes) {
    const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (!lock || bytes > kMost) return false;
    while (held_ + bytes > kMost || blocks_.size() == kBlocks) {
      give_block(blocks_.front().at);
      held_ -= blocks_.front().bytes;
      blocks_.erase(blocks_.begin());
    }
    blocks_.push_back({at, bytes});
    held_ += bytes;
    return true;
  }

 private:
  struct Block {
    void *at;
    std::size_t bytes;
  };
  static constexpr std::size_t kBlocks = 32;

  BlockPool() { blocks_.reserve(kBlocks); }

  std::mutex mutex_;
  std::vector<Block> blocks_;  // oldest first
  std::size_t held_ = 0;
};

}  // namespace recurra
