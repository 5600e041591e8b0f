// The weights of a layer, their version, and the packed copies that the kernels read.
#pragma once

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "system/buffer.h"

namespace recurra {

// The mutexes of all parameters alive. A fork waits for them, so that no child inherits one that is held, nor weights
// in the middle of a change. Whoever holds one never waits for the GIL, which the forking thread has.
class ForkGate {
 public:
  static ForkGate &instance() {
    static auto *gate = new ForkGate;
    return *gate;
  }
  void add(std::mutex *mutex) {
    const std::lock_guard<std::mutex> lock(own_);
    mutexes_.push_back(mutex);
  }
  void remove(std::mutex *mutex) {
    const std::lock_guard<std::mutex> lock(own_);
    mutexes_.erase(std::find(mutexes_.begin(), mutexes_.end(), mutex));
  }

 private:
  ForkGate() {
    pthread_atfork([] { instance().close(); }, [] { instance().open(); }, [] { instance().open(); });
  }
  void close() {
    own_.lock();
    for (std::mutex *mutex : mutexes_) mutex->lock();
  }
  void open() {
    for (std::mutex *mutex : mutexes_) mutex->unlock();
    own_.unlock();
  }

  std::mutex own_;
  std::vector<std::mutex *> mutexes_;
};

// Named arrays in one block. Whoever changes them holds the mutex and counts the version up, so a call sees the weights
// before a change or after it, but no mixture.
template <class T>
struct Parameters {
  struct Entry {
    std::string name;
    std::vector<Index> shape;
    std::string symbols;  // the shape as an error message names it: "(4*hidden_size, input_size)"
    Index size = 0, offset = 0;
    mutable void *key = nullptr;  // for the bindings: the name as a Python string
  };

  explicit Parameters(std::vector<Entry> of) : entries(std::move(of)) {
    Index total = 0;
    for (Entry &entry : entries) {
      entry.size = 1;
      for (const Index length : entry.shape) entry.size = checked_product(entry.size, length);
      entry.offset = total;
      const Index step = entry.size + 16;  // to the next cache line
      if (__builtin_add_overflow(total, step - step % 16, &total)) throw std::bad_alloc();
    }
    memory = Buffer<T>(total);
    ForkGate::instance().add(&mutex);
    std::memset(memory.data(), 0, static_cast<std::size_t>(total) * sizeof(T));
  }

  ~Parameters() { ForkGate::instance().remove(&mutex); }
  Parameters(const Parameters &) = delete;
  Parameters &operator=(const Parameters &) = delete;

  T *data(std::size_t entry) const { return memory.data() + entries[entry].offset; }

  // Takes over arrays of all entries' values.
  void replace(const T *const *values) {
    const std::lock_guard<std::mutex> lock(mutex);
    ++version;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      std::memcpy(data(i), values[i], static_cast<std::size_t>(entries[i].size) * sizeof(T));
    }
  }

  std::vector<Entry> entries;
  Buffer<T> memory;
  std::mutex mutex;
  long long version = 0;
};

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
  // With the parameters' mutex held. pack(to) fills `size` elements.
  template <class Pack>
  PackedPtr<T> get(const Parameters<T> &parameters, Index size, Pack pack) {
    if (!latest_ || latest_->version != parameters.version) {
      if (!latest_ || latest_.use_count() > 1) {
        auto fresh = std::make_shared<Packed<T>>();
        fresh->memory = Buffer<T>(size);
        latest_ = std::move(fresh);
      }
      std::atomic_thread_fence(std::memory_order_acquire);  // after what the last other holder read
      latest_->version = -1;
      pack(latest_->memory.data());
      latest_->version = parameters.version;
    }
    return latest_;
  }

 private:
  std::shared_ptr<Packed<T>> latest_;
};

}  // namespace recurra
