// What the tapes of all layers share in Python: whose they are, and that they serve once.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

#include "model/parameters.h"
#include "python/arguments.h"
#include "python/classes.h"

namespace recurra {

constexpr const char *kOtherLayer = "tape: expected one of this layer, got one of another";
constexpr const char *kConsumed =
    "tape: expected an unused one, got one that backward has consumed; retain=True keeps it";
constexpr const char *kOutdatedTape =
    "tape: expected one made with the present weights, got one from before they changed";

// The memory of a tape: it serves once and is freed then, or more often if it is retained.
template <class Memory>
class Kept {
 public:
  explicit Kept(std::shared_ptr<const Memory> memory) : memory_(std::move(memory)) {}

  // Null once consumed.
  std::shared_ptr<const Memory> hold() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return memory_;
  }
  std::shared_ptr<const Memory> take(bool retain) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!memory_) throw std::runtime_error(kConsumed);
    return retain ? memory_ : std::exchange(memory_, nullptr);
  }
  void give_back(const std::shared_ptr<const Memory> &memory) {
    const std::lock_guard<std::mutex> lock(mutex_);
    memory_ = memory;
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const Memory> memory_;
};

// Takes a tape's memory, and gives it back unless done() is called: a backward pass that fails can be tried again.
template <class Memory>
class Taken {
 public:
  Taken(Kept<Memory> &kept, bool retain) : kept_(kept), memory_(kept.take(retain)), done_(retain) {}
  ~Taken() {
    if (!done_) kept_.give_back(memory_);
  }
  Taken(const Taken &) = delete;
  Taken &operator=(const Taken &) = delete;

  const Memory &operator*() const { return *memory_; }
  const Memory *operator->() const { return memory_.get(); }
  void done() { done_ = true; }

 private:
  Kept<Memory> &kept_;
  const std::shared_ptr<const Memory> memory_;
  bool done_;
};

// The tape behind a Python object, if it is one of a layer of this kind and dtype.
template <template <class> class Tape, class T>
std::shared_ptr<Tape<T>> tape_of(py::handle object) {
  if (const auto tape = object_of<Tape<T>>(object)) return tape;
  const bool other = object_of<Tape<float>>(object) || object_of<Tape<double>>(object);
  if (other) throw std::runtime_error(kOtherLayer);
  refuse_type("tape", "the tape of a forward call of this layer", type_name(object));
}

}  // namespace recurra
