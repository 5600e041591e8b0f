// The weights of a layer, their version, and the packed copies that the kernels read.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "model/long_read.h"
#include "system/buffer.h"
#include "system/fork.h"

namespace recurra {

// The parameters that a layer has: names, shapes, and where each begins in a block that holds all of them.
struct ParameterTable {
  struct Entry {
    std::string name;
    std::vector<Index> shape;
    std::string symbols;   // the shape as an error message names it: "(4*hidden_size, input_size)"
    bool narrows = false;  // whether it is a matrix of weights, which may have a narrow form
    Index size = 0, offset = 0;
    mutable void *key = nullptr;  // for the bindings: the name as a Python string
  };

  explicit ParameterTable(std::vector<Entry> of) : entries(std::move(of)) {
    for (Entry &entry : entries) {
      entry.size = 1;
      for (const Index length : entry.shape) entry.size = checked_product(entry.size, length);
      entry.offset = size;
      const Index step = entry.size + 16;  // to the next cache line
      if (__builtin_add_overflow(size, step - step % 16, &size)) throw std::bad_alloc();
    }
  }

  std::vector<Entry> entries;
  Index size = 0;  // elements of the block
};

using TablePtr = std::shared_ptr<const ParameterTable>;

// An immutable snapshot of one version, laid out for the kernels.
template <class T>
struct Packed {
  long long version = -1;
  Buffer<T> memory;
};

template <class T>
using PackedPtr = std::shared_ptr<const Packed<T>>;

// The latest snapshot. Callers hold on to theirs for as long as they run; only a snapshot that nobody else holds is
// written over.
template <class T>
class PackedCache {
 public:
  // With the lock of the parameters' mutex held, see long_read. pack(to, worker) fills `size` elements from the
  // parameters of this version; null if interrupted.
  template <class Pack>
  PackedPtr<T> get(std::unique_lock<std::mutex> &lock, const long long &version, Signalled signalled, Index size,
                   const Pack &pack) {
    if (latest_ && latest_->version == version) return latest_;
    // Not in the cache while it is written: another thread may come here when the lock is given up.
    std::shared_ptr<Packed<T>> next = std::move(latest_);
    if (!next || next.use_count() > 1) {
      auto fresh = std::make_shared<Packed<T>>();
      fresh->memory = Buffer<T>(size, true);
      next = std::move(fresh);
    }
    std::atomic_thread_fence(std::memory_order_acquire);  // after what the last other holder read
    next->version = -1;
    const auto read = [&](Worker *worker) { return pack(next->memory.data(), worker); };
    if (!long_read(lock, version, signalled, read)) return nullptr;
    next->version = version;
    latest_ = next;
    return next;
  }

 private:
  std::shared_ptr<Packed<T>> latest_;
};

// Whose packed copies they are, as several networks may share parameters; see NetworkShape.
struct PackedFor {
  std::size_t part, variant;

  bool operator<(const PackedFor &other) const {
    return part < other.part || (part == other.part && variant < other.variant);
  }
};

template <class T>
struct PackedCaches {
  PackedCache<T> forward, backward;
};

// The weights of a layer: arrays by the entries of a table, their version, and what is packed of them. Whoever changes
// them holds the mutex and counts the version up, so a call sees the weights before a change or after it, but no
// mixture.
//
// The arrays lie in one block of the object's own, or they are somebody else's, lent to be changed in place.
template <class T>
class Parameters {
 public:
  explicit Parameters(TablePtr of) : table(std::move(of)), entries(table->entries), memory_(table->size) {
    std::memset(memory_.data(), 0, static_cast<std::size_t>(table->size) * sizeof(T));
    for (const auto &entry : entries) arrays_.push_back(memory_.data() + entry.offset);
    ForkGate::instance().add(&mutex);
  }
  // Of copies of somebody else's arrays, each contiguous.
  Parameters(TablePtr of, const std::vector<const T *> &values)
      : table(std::move(of)), entries(table->entries), memory_(table->size, true) {
    for (std::size_t i = 0; i < entries.size(); ++i) {
      const auto &entry = entries[i];
      const Index end = i + 1 < entries.size() ? entries[i + 1].offset : table->size;
      arrays_.push_back(memory_.data() + entry.offset);
      std::copy_n(values[i], entry.size, arrays_.back());
      std::fill(arrays_.back() + entry.size, memory_.data() + end, T(0));
    }
    ForkGate::instance().add(&mutex);
  }
  // Of somebody else's arrays, each contiguous, which `keeper` keeps alive.
  Parameters(TablePtr of, std::vector<T *> arrays, std::shared_ptr<void> keeper)
      : table(std::move(of)), entries(table->entries), lent_(true) {
    lend(std::move(arrays), keeper);
    ForkGate::instance().add(&mutex);
  }
  ~Parameters() { ForkGate::instance().remove(&mutex); }
  Parameters(const Parameters &) = delete;
  Parameters &operator=(const Parameters &) = delete;

  bool lent() const { return lent_; }
  // What keeps the lent arrays alive; with the mutex held.
  const std::shared_ptr<void> &keeper() const { return keeper_; }
  T *data(std::size_t entry) { return arrays_[entry]; }
  const T *data(std::size_t entry) const { return arrays_[entry]; }

  // Takes over arrays of all entries' values.
  void replace(const T *const *values) {
    const std::lock_guard<std::mutex> lock(mutex);
    ++version;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      std::memcpy(data(i), values[i], static_cast<std::size_t>(entries[i].size) * sizeof(T));
    }
  }

  // Whether the arrays hold the same bytes as others of the same shapes.
  bool holds(const std::vector<const T *> &values) {
    const std::lock_guard<std::mutex> lock(mutex);
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (std::memcmp(data(i), values[i], static_cast<std::size_t>(entries[i].size) * sizeof(T)) != 0) return false;
    }
    return true;
  }

  // Copies of all arrays, of one version; false if interrupted.
  bool copy_to(const std::vector<T *> &to, Signalled signalled) {
    constexpr Index kPiece = 64 << 10;
    std::unique_lock<std::mutex> lock(mutex);
    return long_read(lock, version, signalled, [&](Worker *worker) {
      for (std::size_t i = 0; i < entries.size(); ++i) {
        for (Index first = 0, size = entries[i].size; first < size; first += kPiece) {
          std::copy_n(data(i) + first, std::min(kPiece, size - first), to[i] + first);
          if (stops(*worker, kCopyWork * kPiece)) return false;
        }
      }
      return true;
    });
  }

  // Other arrays of the same shapes in the place of the lent ones. With the mutex held, unless under construction; so
  // what kept the old ones alive is handed out, to be released without it.
  void lend(std::vector<T *> arrays, std::shared_ptr<void> &keeper) {
    arrays_ = std::move(arrays);
    keeper_.swap(keeper);
    ++version;
  }

  const TablePtr table;
  const std::vector<ParameterTable::Entry> &entries;
  std::mutex mutex;
  long long version = 0;
  std::map<PackedFor, PackedCaches<T>> packed;

 private:
  const bool lent_ = false;
  Buffer<T> memory_;
  std::vector<T *> arrays_;
  std::shared_ptr<void> keeper_;
};

template <class T>
using ParametersPtr = std::shared_ptr<Parameters<T>>;

}  // namespace recurra
