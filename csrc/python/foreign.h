// Arrays of other packages, and lists of numbers where those will do: Python makes arrays of them (_foreign.py).
//
// That may run any code, which could free the memory behind arrays that have been looked at. So a call that meets such
// an object ends as with an error; once nothing is held the object is converted, and the call begins anew, in which it
// finds the array in the object's place. Arrays of NumPy pay nothing for it.
#pragma once

#include <pybind11/numpy.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "python/errors.h"

namespace recurra {

// What a parameter takes: arrays of NumPy alone, if they are written to or the package's own; those of others too; or
// numbers in a list as well. What takes kArrays or kNumbers throws Foreign, so it needs with_foreign around the call.
enum class Takes { kNumPy, kArrays, kNumbers };  // 0, 1 and 2 of as_array

// Thrown for an object that might become an array of NumPy: how an error calls it, what it is to hold, and as which
// dtype.
struct Foreign {
  py::object given;
  std::string name, kind, dtype;
  Takes takes;

  py::object converted() const {
    const py::object convert = py::module_::import("recurra._foreign").attr("as_array");
    py::object made = convert(name, given, kind, dtype, static_cast<int>(takes));
    if (!py::isinstance<py::array>(made)) throw std::runtime_error("as_array: expected an array");
    return made;
  }
};

// The objects that have been converted for the call that is running in this thread.
class ForeignArrays {
 public:
  ForeignArrays() : outer_(std::exchange(current(), this)) {}
  ~ForeignArrays() { current() = outer_; }
  ForeignArrays(const ForeignArrays &) = delete;
  ForeignArrays &operator=(const ForeignArrays &) = delete;

  void convert(const Foreign &foreign) {
    // More than any call has arrays, but an end for a list in which each conversion puts a new object: 0.2 s.
    constexpr std::size_t kMost = 1 << 12;
    if (pairs_.size() == kMost) refuse_value(foreign.name, "the same object when it is read again", "another");
    pairs_.emplace_back(foreign.given, foreign.converted());
  }
  // The array in place of an object, or null.
  static py::handle find(py::handle given) {
    if (const ForeignArrays *arrays = current()) {
      for (const auto &[object, array] : arrays->pairs_) {
        if (object.is(given)) return array;
      }
    }
    return {};
  }
  // The dict of what a mapping gave when a call that begins anew read it, or null: a DataFrame makes new objects at
  // each read, none of which would ever be found.
  static py::handle find_read(py::handle mapping) {
    if (const ForeignArrays *arrays = current()) {
      for (const auto &[object, dict] : arrays->read_) {
        if (object.is(mapping)) return dict;
      }
    }
    return {};
  }
  static void keep_read(py::handle mapping, const py::object &dict) {
    if (ForeignArrays *arrays = current()) {
      arrays->read_.emplace_back(py::reinterpret_borrow<py::object>(mapping), dict);
    }
  }

 private:
  static ForeignArrays *&current() {
    static thread_local ForeignArrays *arrays = nullptr;
    return arrays;
  }

  ForeignArrays *outer_;
  std::vector<std::pair<py::object, py::object>> pairs_, read_;  // which keep what they are of alive
};

// The array in place of an object that is none of NumPy's.
inline py::handle foreign_array(py::handle object, Name name, const char *kind, const char *dtype, Takes takes) {
  const py::handle array = ForeignArrays::find(object);
  if (array && takes != Takes::kNumPy) return array;
  Foreign foreign{py::reinterpret_borrow<py::object>(object), std::string(name), kind, dtype, takes};
  if (takes == Takes::kNumPy) foreign.converted();  // raises
  throw foreign;
}

// An object, or the array that stands in its place.
inline py::handle resolved(py::handle object) {
  if (py::isinstance<py::array>(object)) return object;
  const py::handle array = ForeignArrays::find(object);
  return array ? array : object;
}

// A call that has met an object, as often as it takes. Out of the way: in line it cost a step of a stream 22 ns of 500.
template <class Call>
[[gnu::noinline, gnu::cold]] auto again_with(std::unique_ptr<Foreign> met, const Call &call) -> decltype(call()) {
  ForeignArrays arrays;
  for (;;) {
    arrays.convert(*met);
    try {
      return call();
    } catch (Foreign &foreign) {
      *met = std::move(foreign);
    }
  }
}

// What a call returns in which objects are converted. Until it has looked at all its arrays, the call changes nothing.
template <class Call>
auto with_foreign(const Call &call) -> decltype(call()) {
  Foreign *met = nullptr;
  try {
    return call();
  } catch (Foreign &foreign) {
    met = new Foreign(std::move(foreign));  // converted below, where no exception is being handled
  }
  return again_with(std::unique_ptr<Foreign>(met), call);
}

}  // namespace recurra
