// What the tapes of all layers share in Python: whose they are, and that they serve once.
#pragma once

#include <mutex>

#include "python/arguments.h"

namespace recurra {

// The pointers that gradients are added to, from a dict with an array for every parameter; in parameters.cpp.
template <class T>
std::vector<T *> gradient_targets(const Parameters<T> &parameters, py::handle grads, Arguments<T> &arguments);

// Parameters that are the caller's arrays, from a dict with one for every entry of the table; in parameters.cpp.
template <class T>
ParametersPtr<T> borrowed_parameters(const TablePtr &table, py::handle arrays, long long version);

constexpr const char *kOtherLayer = "tape: expected one of this layer, got one of another";
constexpr const char *kConsumed =
    "tape: expected an unused one, got one that backward has consumed; retain=True keeps it";
constexpr const char *kOutdatedTape =
    "tape: expected one made with the present weights, got one from before they changed";

// A tape without a state of its own to lose: it serves once, or more often if it is retained.
class Once {
 public:
  void take(bool retain) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (consumed_) throw std::runtime_error(kConsumed);
    consumed_ = !retain;
  }
  void give_back() {
    const std::lock_guard<std::mutex> lock(mutex_);
    consumed_ = false;
  }

 private:
  std::mutex mutex_;
  bool consumed_ = false;
};

// The tape behind a Python object, if it is one of the layer with these parameters.
template <template <class> class Tape, class T>
std::shared_ptr<Tape<T>> tape_of(py::handle object) {
  if (!py::isinstance<Tape<float>>(object) && !py::isinstance<Tape<double>>(object)) {
    refuse_type("tape", "the tape of a forward call of this layer", type_name(object));
  }
  if (!py::isinstance<Tape<T>>(object)) throw std::runtime_error(kOtherLayer);
  return py::cast<std::shared_ptr<Tape<T>>>(object);
}

}  // namespace recurra
